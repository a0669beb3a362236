# SPDX-License-Identifier: LGPL-2.1-or-later
"""An analysis that keeps every data set it reads: grows by STEP MiB at RATE MB/s (0: full speed) to TO MiB.

However it ends, short of SIGKILL, it saves what it has: FILE then says `finished N MiB` if it reached TO,
`saved N MiB` if not, and `broken` if the data is not what was put in.
"""

import argparse
import os
import signal
import sys
import time

import numpy


def save(path, datasets, step, to):
    mib = len(datasets) * step
    intact = all(data[0] == data[-1] == number for number, data in enumerate(datasets))
    word = "broken" if not intact else "finished" if mib >= to else "saved"
    with open(path + ".new", "w") as out:
        out.write(f"{word} {mib} MiB\n")
    os.rename(path + ".new", path)


parser = argparse.ArgumentParser()
parser.add_argument("--rate", type=float, default=0)
parser.add_argument("--to", type=int, required=True)
parser.add_argument("--step", type=int, default=4)
parser.add_argument("--state", required=True)
options = parser.parse_args()

# SIGTERM ends it as ctrl-C does: by an exception, so that `finally` runs.
signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))

datasets = []
seconds_per_step = options.step * (1 << 20) / (options.rate * 1e6) if options.rate else 0
try:
    due = time.monotonic()
    while len(datasets) * options.step < options.to:
        datasets.append(numpy.full(options.step << 17, len(datasets), dtype=numpy.int64))
        due = max(due + seconds_per_step, time.monotonic() - 1)  # after a long hold: no rush to catch up
        time.sleep(max(0, due - time.monotonic()))
finally:
    save(options.state, datasets, options.step, options.to)
