#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
The programs that test-jobs.py runs as jobs. Each keeps to the standard library, touches every page that it takes,
and says in a file how far it came: `finished N` with all its data intact, `saved N` if it was ended by an exception,
`broken` if the data is not what was put in.

usage: workload.py grow|read|stairs|pool|forker|nap|named [options]
"""

import argparse
import ctypes
import mmap
import os
import signal
import struct
import sys
import time

MIB = 1 << 20


def write(path, text):
    """Whole or not at all."""
    with open(path + ".new", "w", encoding="utf-8") as out:
        out.write(text)
    os.rename(path + ".new", path)


def rss_anon():
    with open("/proc/self/status", encoding="utf-8", errors="replace") as status:
        for line in status:
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) << 10
    return 0


class Data:
    """The data sets of an analysis, each filled with its own number."""

    def __init__(self, path):
        self.path, self.sets, self.bytes = path, [], 0

    def add(self, size):
        block = bytearray(bytes((len(self.sets) % 251 + 1,))) * size
        self.sets.append(block)
        self.bytes += size

    def intact(self):
        return all(block[0] == block[len(block) // 2] == block[-1] == number % 251 + 1
                   for number, block in enumerate(self.sets))

    def save(self, word, path=None):
        write(path or self.path, f"{word if self.intact() else 'broken'} {self.bytes // MIB}\n")


def take_signals(o, data):
    """--usr1 FILE saves there; --stubborn ignores all that can be ignored; else SIGTERM is an exception, as SIGINT is."""
    if o.stubborn:
        for number in set(range(1, 65)) - {signal.SIGKILL, signal.SIGSTOP, 32, 33}:
            signal.signal(number, signal.SIG_IGN)
    elif not o.plain:
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    if o.usr1:
        signal.signal(signal.SIGUSR1, lambda number, frame: data.save("checkpoint", o.usr1))


def grow(o):
    """
    Keeps all that it makes: --start MiB, and once --go is there --rate MB/s (0: full speed) up to --to MiB, then --rest
    seconds.
    """
    data = Data(o.state)
    take_signals(o, data)
    if o.start:
        data.add(o.start * MIB)
    if o.reached and o.go:
        write(o.reached, f"{os.getpid()}\n")
    while o.go and not os.path.exists(o.go):
        time.sleep(0.02)
    started = time.monotonic() - (data.bytes / (o.rate * 1e6) if o.rate else 0)
    try:
        while rss_anon() < o.to * MIB:
            data.add(o.step << 10)
            if o.rate:
                due = started + data.bytes / (o.rate * 1e6)
                if due < time.monotonic() - 1:  # after a long hold: no rush to catch up
                    started += time.monotonic() - due
                time.sleep(max(0, due - time.monotonic()))
        if o.reached:
            write(o.reached, f"{os.getpid()}\n")
        time.sleep(o.rest)
        data.save("finished")
    except BaseException as error:
        # What a program's own `finally` would do: give back what it does not need, keep the result.
        kind = type(error).__name__
        data.save("saved")
        write(o.state + ".why", kind + "\n")
        if o.return_zero:
            sys.exit(0)
        raise


def read(o):
    """A healthy job: makes files of --size MiB in --folder, and reads them file by file until --total MiB are read."""
    block = os.urandom(MIB)
    paths = [os.path.join(o.folder, f"data-{number}") for number in range(8)]
    for path in paths:
        with open(path, "wb") as out:
            for _ in range(o.size):
                out.write(block)
    done = 0
    while done < o.total:
        for path in paths:
            with open(path, "rb", buffering=0) as data:
                while data.read(MIB):
                    done += 1
    write(o.state, f"finished {done}\n")


def stairs(o):
    """Reads one file of --size MiB after the other and keeps each: a staircase of --to MiB, a step each --rest seconds."""
    data = Data(o.state)
    take_signals(o, data)
    while data.bytes < o.to * MIB:
        data.add(o.size * MIB)
        time.sleep(o.rest)
    data.save("finished")


def pool(o):
    """--to MiB, then --children forked workers that share it, touch nothing of it, and rest."""
    data = Data(o.state)
    data.add(o.to * MIB)
    children = []
    for _ in range(o.children):
        pid = os.fork()
        if pid == 0:
            time.sleep(o.rest)
            os._exit(0)
        children.append(pid)
    if o.reached:
        write(o.reached, f"{os.getpid()}\n")
    for pid in children:
        os.waitpid(pid, 0)
    data.save("finished")


def forker(o):
    """A family that never stands still: members count in --state (8 bytes each), and are replaced by new ones."""
    with open(o.state, "wb") as out:
        out.write(bytes(8 * 4096))
    with open(o.state, "r+b") as file:
        counters = mmap.mmap(file.fileno(), 8 * 4096)
    until = time.monotonic() + o.rest
    slot = 0
    living = set()
    while time.monotonic() < until:
        while len(living) < o.children:
            slot = (slot + 1) % 4095
            pid = os.fork()
            if pid == 0:
                end = time.monotonic() + 0.1 + slot % 7 * 0.02
                count = 0
                while time.monotonic() < end:
                    count += 1
                    struct.pack_into("<Q", counters, 8 * (slot + 1), count)
                    time.sleep(0.002)
                os._exit(0)
            living.add(pid)
            struct.pack_into("<Q", counters, 0, slot)
        pid, _ = os.wait()
        living.discard(pid)
    for pid in living:
        os.waitpid(pid, 0)


def nap(o):
    """Holds --to MiB and sleeps --rest seconds."""
    data = Data(o.state)
    take_signals(o, data)
    if o.to:
        data.add(o.to * MIB)
    if o.reached:
        write(o.reached, f"{os.getpid()}\n")
    time.sleep(o.rest)
    if o.state:
        data.save("finished")


def named(o):
    """Calls itself by a name that would harm a terminal, and holds --to MiB."""
    name = b") R \x1b[31m\n;\x07"
    ctypes.CDLL(None).prctl(15, name, 0, 0, 0)
    nap(o)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    for option, kind, default in [("--start", int, 0), ("--to", int, 0), ("--rate", float, 0), ("--step", int, 1024), ("--rest", float, 0),
                                  ("--size", int, 8), ("--total", int, 256), ("--children", int, 6)]:
        parser.add_argument(option, type=kind, default=default)
    for option in ("--state", "--folder", "--usr1", "--reached", "--go"):
        parser.add_argument(option, default="")
    for option in ("--stubborn", "--plain", "--return-zero"):
        parser.add_argument(option, action="store_true")
    o = parser.parse_args()
    {"grow": grow, "read": read, "stairs": stairs, "pool": pool, "forker": forker, "nap": nap, "named": named}[o.program](o)


if __name__ == "__main__":
    main()
