# SPDX-License-Identifier: LGPL-2.1-or-later
"""A job that grows by forking: FORKERS processes fork as fast as they can, CHILDREN in all, of KIB each.

Beside them HOP processes never stand still: each forks and exits, so that its pid is another one every moment.
At the end FILE says `finished N children`, or `saved` if it was ended before.
"""

import argparse
import os
import select
import signal
import sys

parser = argparse.ArgumentParser()
parser.add_argument("--forkers", type=int, default=4)
parser.add_argument("--children", type=int, required=True)
parser.add_argument("--kib", type=int, default=256)
parser.add_argument("--hop", type=int, default=0)
parser.add_argument("--state", required=True)
options = parser.parse_args()

alive, keep = os.pipe()  # who reads the end of it goes


def hop():
    while not select.select([alive], [], [], 0)[0]:
        if os.fork():
            os._exit(0)
    os._exit(0)


def fork_children(count):
    for _ in range(count):
        if os.fork() == 0:
            data = bytearray(os.urandom(1024) * options.kib)
            os.read(alive, 1)
            os._exit(len(data) == 0)
    os._exit(0)


signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
word = "saved"
try:
    forkers = []
    for number in range(options.hop + options.forkers):
        pid = os.fork()
        if pid == 0:
            os.close(keep)
            if number < options.hop:
                hop()
            fork_children(options.children // options.forkers)
        if number >= options.hop:
            forkers.append(pid)
    if all([os.waitpid(pid, 0)[1] == 0 for pid in forkers]):
        word = f"finished {options.children}"
finally:
    with open(options.state + ".new", "w") as out:
        out.write(f"{word} children\n")
    os.rename(options.state + ".new", options.state)
