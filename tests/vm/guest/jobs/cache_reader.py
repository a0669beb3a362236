# SPDX-License-Identifier: LGPL-2.1-or-later
"""A healthy job that reads much more than its limit: makes FILES files of SIZE MiB in FOLDER, reads them
round and round until TOTAL MiB are read, file by file, and writes `finished N MiB` to FILE."""

import argparse
import os

parser = argparse.ArgumentParser()
parser.add_argument("--folder", required=True)
parser.add_argument("--files", type=int, default=8)
parser.add_argument("--size", type=int, default=64)
parser.add_argument("--total", type=int, default=2048)
parser.add_argument("--state", required=True)
options = parser.parse_args()

block = os.urandom(1 << 20)
paths = [os.path.join(options.folder, f"data-{number}") for number in range(options.files)]
for path in paths:
    with open(path, "wb") as out:
        for _ in range(options.size):
            out.write(block)

read_bytes = 0
while read_bytes < options.total << 20:
    for path in paths:
        with open(path, "rb") as data:
            while piece := data.read(1 << 20):
                read_bytes += len(piece)

with open(options.state, "w") as out:
    out.write(f"finished {read_bytes >> 20} MiB\n")
for path in paths:
    os.remove(path)
