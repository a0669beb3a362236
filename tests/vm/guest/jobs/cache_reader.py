# SPDX-License-Identifier: LGPL-2.1-or-later
"""A healthy job that reads much more than its limit: reads the files in FOLDER, one by one, round and round
until TOTAL MiB are read, and writes `finished N MiB` to FILE. With --make it makes those files instead: eight
of 64 MiB."""

import argparse
import os

parser = argparse.ArgumentParser()
parser.add_argument("--folder", required=True)
parser.add_argument("--make", action="store_true")
parser.add_argument("--total", type=int, default=2048)
parser.add_argument("--state")
options = parser.parse_args()

paths = [os.path.join(options.folder, f"data-{number}") for number in range(8)]
if options.make:
    block = os.urandom(1 << 20)
    for path in paths:
        with open(path, "wb") as out:
            for _ in range(64):
                out.write(block)
    raise SystemExit

read_bytes = 0
while read_bytes < options.total << 20:
    for path in paths:
        with open(path, "rb") as data:
            while piece := data.read(1 << 20):
                read_bytes += len(piece)

with open(options.state, "w") as out:
    out.write(f"finished {read_bytes >> 20} MiB\n")
