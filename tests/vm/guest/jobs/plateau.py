# SPDX-License-Identifier: LGPL-2.1-or-later
"""A job that fits: rises at RATE MB/s to PERCENT of LIMIT MiB, stays there for STAY seconds, finishes.

Writes FILE.up on the plateau, and at the end FILE: `finished at N %, frozen M times`.
"""

import argparse
import time

from pulse import CGROUPS, Pulse, own_cgroup


def used_bytes():
    """What its cgroup uses that the kernel can't simply drop."""
    folder = CGROUPS + own_cgroup()
    with open(folder + "/memory.stat") as lines:
        stat = dict(line.split() for line in lines)
    with open(folder + "/memory.current") as line:
        current = int(line.read())
    return current - sum(int(stat[key]) for key in ("inactive_file", "active_file", "slab_reclaimable"))


parser = argparse.ArgumentParser()
parser.add_argument("--percent", type=float, required=True)
parser.add_argument("--limit", type=int, required=True)
parser.add_argument("--stay", type=float, required=True)
parser.add_argument("--rate", type=float, default=20)
parser.add_argument("--state", required=True)
options = parser.parse_args()

limit_bytes = options.limit << 20
pulse = Pulse()
held = []
while used_bytes() < limit_bytes * options.percent / 100:
    held.append(b"x" * (1 << 20))
    pulse.tick()
    time.sleep((1 << 20) / (options.rate * 1e6))

open(options.state + ".up", "w").close()
leave = time.monotonic() + options.stay
while time.monotonic() < leave:
    pulse.tick()
    time.sleep(0.01)

percent = round(100 * used_bytes() / limit_bytes)
with open(options.state, "w") as out:
    out.write(f"finished at {percent} %, frozen {pulse.freezes} times\n")
