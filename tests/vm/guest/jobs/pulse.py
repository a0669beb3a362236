# SPDX-License-Identifier: LGPL-2.1-or-later
"""How a workload proves that it was left alone: it ticks, and notes every pause and every freeze.

A freeze is never missed, however short: the kernel marks cgroup.events as changed when the cgroup is
frozen or thawed, and the mark stays until the file is read again.
"""

import select
import time

CGROUPS = "/sys/fs/cgroup"


def own_cgroup():
    """This process's cgroup v2 path below CGROUPS, such as /user.slice/user-1000.slice/session-1.scope."""
    with open("/proc/self/cgroup") as lines:
        for line in lines:
            if line.startswith("0::"):
                return line[3:].rstrip("\n")
    raise SystemExit("no cgroup v2 here")


class Pulse:
    def __init__(self):
        self.ticks = 0
        self.longest_pause = 0.0
        self.freezes = 0
        self._last = time.monotonic()
        self._events = open(CGROUPS + own_cgroup() + "/cgroup.events")
        self._events.read()
        self._poll = select.poll()
        self._poll.register(self._events, select.POLLPRI)

    def tick(self):
        """To be called every 10 ms or so."""
        now = time.monotonic()
        self.longest_pause = max(self.longest_pause, now - self._last)
        self._last = now
        self.ticks += 1
        if self._poll.poll(0):
            self.freezes += 1
            self._events.seek(0)
            self._events.read()
