# SPDX-License-Identifier: LGPL-2.1-or-later
"""An analysis that knows nothing of checkpoints, for CRIU: grows by 2 MiB a step to TO MiB, and at its end writes
`right`, or what is wrong, to FILE.

KIND: numpy; processes (a pool of two does the sums, over pipes and semaphores); files (each step's sum is
appended to FILE.log, which is read back at the end, and a thread waits in between; it reads of itself in /proc).
"""

import argparse
import multiprocessing
import os
import threading
import time

import numpy

STEP = 2


def total(number):
    return int(numpy.full(1000, number, dtype=numpy.int64).sum())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kind", choices=("numpy", "processes", "files"), required=True)
    parser.add_argument("--to", type=int, required=True)
    parser.add_argument("--at-once", type=int, default=0, help="MiB that it has from the start, and only reads at its end")
    parser.add_argument("--pause", type=float, default=0.2)
    parser.add_argument("--state", required=True)
    options = parser.parse_args()

    pool = multiprocessing.Pool(2) if options.kind == "processes" else None
    log = open(options.state + ".log", "w+") if options.kind == "files" else None
    status = open("/proc/self/stat") if log else None  # as our own hook has, for a moment, whenever it looks
    if log:
        threading.Thread(target=threading.Event().wait, daemon=True).start()
    kept = numpy.arange(options.at_once << 17)
    datasets, sums = [], []
    for number in range(options.to // STEP):
        datasets.append(numpy.full(STEP << 17, number, dtype=numpy.int64))
        sums.append(pool.apply(total, (number,)) if pool else total(number))
        if log:
            log.write(f"{sums[-1]}\n")
            log.flush()
        time.sleep(options.pause)

    wrong = [n for n, data in enumerate(datasets) if not (data == n).all() or sums[n] != 1000 * n]
    if int(kept.sum()) != kept.size * (kept.size - 1) // 2:
        wrong.append("what it had from the start")
    if log:
        log.seek(0)
        wrong += [n for n, line in enumerate(log) if int(line) != 1000 * n]
        status.seek(0)
        if int(status.read().split()[0]) != os.getpid():
            wrong.append("/proc/self")
        if log.tell() != os.path.getsize(options.state + ".log"):
            wrong.append("the log's length")
    with open(options.state + ".new", "w") as out:
        out.write(f"wrong: {wrong}\n" if wrong else "right\n")
    os.rename(options.state + ".new", options.state)


if __name__ == "__main__":
    main()
