# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Which cells are played, and in which boots: one for each size of machine and swap setting. Contenders stand in the same
boot and the same order for every row.

usage: plan.py DIRECTORY [options of arena.sh]

Writes DIRECTORY/boot-N/plan.json, prints `N MEMORY_MIB SWAP_MIB SECONDS` for each, and the estimate on stderr.
"""

import argparse
import dataclasses
import fnmatch
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "guest"))
sys.dont_write_bytecode = True

import cells

SWAP_MIB = 96
MEMORY_MIB = {cells.OWN: 1536, cells.PARENT: 1024, cells.HOST: 512}  # the 50 jobs of `many` leave their host room
BOOT_SECONDS = 60  # boot, install, the data file, power off
CELL_SECONDS_MAX = 200
SHORT = {"rows": "grow-20,grow-full,allocate-10x-fuse,staircase,shm,escape,many,pool,map-dirty,frees,spike,cache,plateau",
         "contenders": "headroom", "bindings": "own", "swap": "0", "here": "v1"}
SHORT_COUNT = 10  # of many
SHORT_CONTROL = ("grow-full", "plateau")  # the kernel alone, for comparison


def parse(words):
    parser = argparse.ArgumentParser(prog="arena.sh", description="The arena: every workload under every contender.")
    parser.add_argument("--rows", "--row", default="*", help="globs, comma between")
    parser.add_argument("--contenders", "--contender", default=",".join(cells.CONTENDERS))
    parser.add_argument("--bindings", "--binding", default=",".join(cells.BINDINGS))
    parser.add_argument("--swap", default=f"0,{SWAP_MIB}", help="MiB, comma between")
    parser.add_argument("--runs", type=int, default=1, help="of each cell")
    parser.add_argument("--short", action="store_true", help="Headroom, own limit, and the kernel alone for a few")
    parser.add_argument("--here", default="v1,tree", help="of v1 and tree: Headroom's rows on this machine's kernel; none")
    parser.add_argument("--list", action="store_true", help="only tell the plan")
    options = parser.parse_args(words)
    if options.short:
        for key, value in SHORT.items():
            if getattr(options, key) == parser.get_default(key):
                setattr(options, key, value)
    return options


def wanted(options):
    globs = options.rows.split(",")
    contenders = [name for name in cells.CONTENDERS if name in options.contenders.split(",")]
    for binding in options.bindings.split(","):
        for swap_mib in map(int, options.swap.split(",")):
            for row in cells.ROWS:
                if not any(fnmatch.fnmatch(row.name, glob) for glob in globs):
                    continue
                if binding not in row.bindings or (swap_mib and not row.swap):
                    continue
                own = ["headroom"] if row.fuse else contenders
                if options.short and row.name in SHORT_CONTROL:
                    own = ["kernel", *own]
                for name in own:
                    for number in range(options.runs):
                        count = SHORT_COUNT if options.short and row.count > 1 else 0
                        yield cells.Cell(row.name, name, binding, swap_mib, number + 1, count)


def main():
    directory, options = sys.argv[1], parse(sys.argv[2:])
    boots = {}
    for cell in wanted(options):
        boots.setdefault((MEMORY_MIB[cell.binding], cell.swap_mib), []).append(cell)
    total = 0
    for number, ((memory, swap), chosen) in enumerate(boots.items(), 1):
        seconds = BOOT_SECONDS + sum(cells.BY_NAME[cell.row].seconds for cell in chosen)
        total += seconds
        os.makedirs(f"{directory}/boot-{number}", exist_ok=True)
        with open(f"{directory}/boot-{number}/plan.json", "w", encoding="ascii") as out:
            json.dump({"swap_mib": swap, "cells": [dataclasses.asdict(cell) for cell in chosen]}, out)
        print(number, memory, swap, BOOT_SECONDS + CELL_SECONDS_MAX * len(chosen))
        print(f"arena: boot {number}: {memory} MiB, swap {swap} MiB, {len(chosen)} cells, about {seconds // 60} min",
              file=sys.stderr)
    print(f"arena: about {total // 60 + 1} min in the virtual machine", file=sys.stderr)


if __name__ == "__main__":
    main()
