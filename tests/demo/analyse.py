#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""The notebook's case: reads every file of a folder in one loop and keeps all of it in a module-level list.

    analyse.py all FOLDER RESULT       everything at once
    analyse.py each FOLDER RESULT      one file at a time, in a function: the same result in a fraction of the memory
    analyse.py cycles FOLDER RESULT    one file at a time too, but each in an object that refers to itself: garbage that
                                       Python would collect some day, after many more such objects

Saves what it has on SIGUSR1, so that a checkpoint is a file from which it could go on.
"""
import array
import glob
import json
import os
import signal
import sys
import time

mode, folder, result = sys.argv[1:4]
frames = []  # everything that was read, for ever: nothing ever lets go of it
sums = []


def save(*_):
    """The checkpoint: what is worth keeping is small."""
    with open(result + ".checkpoint.new", "w") as out:
        json.dump({"files": len(sums), "sums": sums}, out)
    os.replace(result + ".checkpoint.new", result + ".checkpoint")


def read(path):
    values = array.array("d")
    with open(path, "rb") as data:
        values.frombytes(data.read())
    return values


class Frame:
    def __init__(self, path):
        self.values = read(path)
        self.view = self  # as a tree does whose children know their parent


def analyse_one(path):
    return sum(read(path)[::512])  # the values are let go when the function returns


signal.signal(signal.SIGUSR1, save)
files = sorted(glob.glob(os.path.join(folder, "*.bin")))
for path in files:
    if mode == "all":
        frames.append(read(path))
        sums.append(sum(frames[-1][::512]))
    elif mode == "cycles":
        sums.append(sum(Frame(path).values[::512]))
    else:
        sums.append(analyse_one(path))
    time.sleep(0.15)  # a real analysis would compute here
with open(result, "w") as out:
    json.dump({"files": len(sums), "total": sum(sums)}, out)
print(f"analysed {len(sums)} files, total {sum(sums):.3f}")
