#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""record.py [--cgroup DIR] [--limit BYTES] [--title TEXT] [--output FILE] -- COMMAND [ARG...]

Runs COMMAND and records what memory it uses, every 20 ms, as a history for test-replay (see README).

Without --cgroup the process tree is measured: the sum of RssAnon, RssShmem and VmSwap of the command and its
descendants; cache is 0. With --cgroup DIR (a directory of the memory controller, version 1 or 2, made by the
caller, who also removes it) the command is moved into it first, and used and cache are what think/account
makes of the group's counters.

The record is thinned on writing: a point goes where the straight line between those that stay is nearer to it
than --tolerance (a part of the highest use). The exit status is that of COMMAND.
"""

import argparse
import os
import subprocess
import sys
import time

PERIOD = 0.020


def children(pid):
    found = [pid]
    for p in found:
        try:
            for task in os.listdir(f"/proc/{p}/task"):
                with open(f"/proc/{p}/task/{task}/children", encoding="ascii") as f:
                    found += [int(c) for c in f.read().split()]
        except OSError:
            pass  # it has ended
    return found


def read_tree(pid):
    used = 0
    for p in children(pid):
        try:
            with open(f"/proc/{p}/status", encoding="utf-8", errors="replace") as f:
                for line in f:
                    if line.startswith(("RssAnon:", "RssShmem:", "VmSwap:")):
                        used += int(line.split()[1]) * 1024
        except OSError:
            pass
    return used, 0


def read_number(path):
    with open(path, encoding="ascii") as f:
        return int(f.read())


def read_stat(directory):
    with open(f"{directory}/memory.stat", encoding="ascii") as f:
        return {k: int(v) for k, v in (line.split() for line in f)}


def read_cgroup(directory):
    """What hr_account_used() does."""
    stat = read_stat(directory)
    if os.path.exists(f"{directory}/memory.current"):
        whole = read_number(f"{directory}/memory.current")
        cache = stat["inactive_file"] + stat["active_file"] + stat["slab_reclaimable"]
        swap = read_number(f"{directory}/memory.swap.current")
    else:
        whole = read_number(f"{directory}/memory.usage_in_bytes")
        cache = stat["total_inactive_file"] + stat["total_active_file"]
        try:
            whole -= read_number(f"{directory}/memory.kmem.usage_in_bytes")
        except OSError:
            pass  # not accounted on this kernel
        swap = stat.get("total_swap", 0)
    return max(whole - cache, 0) + swap, cache


def farthest(points, first, last, column):
    t0, t1 = points[first][0], points[last][0]
    v0, v1 = points[first][column], points[last][column]
    best, where = 0, first
    for i in range(first + 1, last):
        line = v0 + (v1 - v0) * (points[i][0] - t0) / (t1 - t0)
        if abs(points[i][column] - line) > best:
            best, where = abs(points[i][column] - line), i
    return best, where


def thin(points, used_tolerance, cache_tolerance):
    """Ramer, Douglas and Peucker, with an allowance for each column."""
    keep, todo = {0, len(points) - 1}, [(0, len(points) - 1)]
    while todo:
        first, last = todo.pop()
        for column, tolerance in ((1, used_tolerance), (2, cache_tolerance)):
            distance, at = farthest(points, first, last, column)
            if distance > tolerance:
                keep.add(at)
                todo += [(first, at), (at, last)]
                break
    return [points[i] for i in sorted(keep)]


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--cgroup")
    parser.add_argument("--limit", type=int, default=0, help="written into the header")
    parser.add_argument("--title", default="")
    parser.add_argument("--output", default="-")
    parser.add_argument("--seconds", type=float, default=60, help="stop the command after this time")
    parser.add_argument("--tolerance", type=float, default=0.003)
    parser.add_argument("command", nargs="+")
    args = parser.parse_args()

    def enter():
        if args.cgroup:
            with open(f"{args.cgroup}/cgroup.procs", "w", encoding="ascii") as f:
                f.write(str(os.getpid()))

    start = time.monotonic()
    child = subprocess.Popen(args.command, preexec_fn=enter)
    points, due = [], start
    while child.poll() is None:
        used, cache = read_cgroup(args.cgroup) if args.cgroup else read_tree(child.pid)
        now = time.monotonic()
        if child.poll() is None:  # else the last value may be half gone
            points.append((round((now - start) * 1e6), used, cache))
        if now > start + args.seconds:
            child.terminate()
            break
        due = max(due + PERIOD, now)
        time.sleep(max(due - time.monotonic(), 0))
    status = child.wait()
    if len(points) < 2:
        sys.exit("record.py: the command ended before it could be measured")

    kept = thin(points, args.tolerance * max(p[1] for p in points), 0.05 * max(p[2] for p in points))
    out = sys.stdout if args.output == "-" else open(args.output, "w", encoding="ascii")
    with out:
        if args.title:
            out.write(f"# {args.title}\n")
        out.write(f"# recorded: {len(points)} samples in {points[-1][0] / 1e6:.1f} s, {len(kept)} kept\n")
        out.write(f"# limit {args.limit or max(p[1] for p in points)}\n")
        for point in kept:
            out.write("%d %d %d\n" % point)
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main())
