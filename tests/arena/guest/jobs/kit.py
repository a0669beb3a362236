# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the arena's programs share: how they end, what they leave, and how they notice that they were touched.

A program is a `with Job(...)` block. When it is left, by its end or by an exception, the state file says so, as JSON:

    word     `finished`; `saved`: it was ended early, and could go on from here; `broken`: its data is not what it put in
    why      what ended it early: SIGTERM, KeyboardInterrupt, MemoryError
    mib, seconds, touched (what was done to a program that wants none), longest_pause_seconds
"""

import argparse
import json
import os
import resource
import select
import signal
import time

MIB = 1 << 20
LIMITS = ("memory.max", "memory.swap.max", "memory.limit_in_bytes")


def read(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError:
        return ""


def own_group():
    """The directory of the memory cgroup that this process lives in: v1's where there is one, else v2's."""
    mounts = {}
    for line in read("/proc/mounts").splitlines():
        _, path, kind, options = line.split()[:4]
        if kind == "cgroup2" or (kind == "cgroup" and "memory" in options.split(",")):
            mounts[kind] = path
    for line in read("/proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(",") or (controllers == "" and "cgroup" not in mounts):
            return mounts["cgroup" if controllers else "cgroup2"] + path.rstrip("/")
    return ""


def pulse_of(group):
    """A freeze is never missed, however short: the mark on cgroup.events stays until the file is read again."""
    try:
        events = open(group + "/cgroup.events", encoding="ascii")
    except OSError:
        return None, None
    events.read()
    poll = select.poll()
    poll.register(events, select.POLLPRI)
    return events, poll


def rss_bytes():
    status = dict(line.split(":", 1) for line in read("/proc/self/status").splitlines() if ":" in line)
    return sum(int(status[key].split()[0]) << 10 for key in ("RssAnon", "RssShmem"))


class Job:
    def __init__(self, options, peaceful=False):
        """peaceful: it fits, so nobody has a reason to touch it; it notes whatever is done to it."""
        self.options, self.blocks, self.bytes = options, [], 0
        self.touched, self.longest_pause, self.last_tick = [], 0.0, None
        self.began = time.monotonic()
        self.peaceful = peaceful
        self.group = own_group()
        if peaceful:
            for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}:
                try:
                    signal.signal(number, lambda got, frame: self.touched.append(signal.Signals(got).name))
                except (OSError, ValueError):  # the C library keeps two for itself
                    pass
            self.events, self.poll = pulse_of(self.group)
            self.condition = self.look()
        else:
            # SIGTERM ends it as ctrl-C does: by an exception.
            signal.signal(signal.SIGTERM, self.terminate)
        self.why = None

    def terminate(self, number, frame):
        self.why = "SIGTERM"
        raise SystemExit(128 + number)

    def look(self):
        return {**{name: read(f"{self.group}/{name}").strip() for name in LIMITS},
                "RLIMIT_DATA": resource.getrlimit(resource.RLIMIT_DATA)}

    def limited_group(self):
        """The nearest one with a limit of v2, from its own up; its own where there is none."""
        group = self.group
        while (limit := read(group + "/memory.max").strip()) == "max":
            group = os.path.dirname(group)
        return group if limit else self.group

    def used_bytes(self):
        """What uses the limit that binds it, less what the kernel can simply drop; where it can't be told, what it uses."""
        group = self.limited_group()
        stat = dict(line.split() for line in read(group + "/memory.stat").splitlines())
        if "total_rss" in stat and group.rpartition("/")[2].startswith("headroom-j"):
            return int(stat["total_rss"]) + int(stat.get("total_shmem", 0))
        alone = group != self.group or read(group + "/cgroup.procs").split() == [str(os.getpid())]
        if "slab_reclaimable" in stat and alone:
            cache = sum(int(stat[key]) for key in ("inactive_file", "active_file", "slab_reclaimable"))
            return int(read(group + "/memory.current")) - cache
        return rss_bytes()

    def keep(self, size):
        """Holds size more bytes, each page touched."""
        self.blocks.append(bytearray(bytes((len(self.blocks) % 251 + 1,))) * size)
        self.bytes += size
        self.tick()

    def intact(self):
        return all(block[0] == block[len(block) // 2] == block[-1] == number % 251 + 1
                   for number, block in enumerate(self.blocks))

    def drop(self):
        self.blocks.clear()
        self.bytes = 0

    def tick(self):
        """To be called every 10 ms or so by who is at rest."""
        now = time.monotonic()
        if self.last_tick is not None:
            self.longest_pause = max(self.longest_pause, now - self.last_tick)
        self.last_tick = now
        if self.peaceful and self.poll and self.poll.poll(0):
            self.touched.append("frozen or thawed")
            self.events.seek(0)
            self.events.read()

    def rest(self, seconds):
        leave = time.monotonic() + seconds
        while time.monotonic() < leave:
            self.tick()
            time.sleep(0.01)

    def rise(self, to_bytes, rate, step=MIB):
        """Holds more until it uses to_bytes, at rate MB/s, 0: at full speed."""
        while self.used_bytes() < to_bytes:
            self.keep(step)
            if rate:
                time.sleep(step / (rate * 1e6))

    def write(self, **more):
        word = "broken" if not self.intact() else "saved" if self.why else "finished"
        told = {"word": word, "why": self.why, "mib": self.bytes // MIB, "touched": self.touched,
                "seconds": round(time.monotonic() - self.began, 3),
                "longest_pause_seconds": round(self.longest_pause, 3), **more}
        with open(self.options.state + ".new", "w", encoding="ascii") as out:
            json.dump(told, out)
        os.rename(self.options.state + ".new", self.options.state)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if kind and not self.why:
            self.why = kind.__name__
        if self.peaceful:
            self.tick()
            after = self.look()
            self.touched += [f"{key}: {was} became {after[key]}" for key, was in self.condition.items()
                             if after[key] != was]
        self.write()


def arguments(**defaults):
    """--state FILE, and an option for each default, of its type."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--state", required=True)
    for name, default in defaults.items():
        if default is False:
            parser.add_argument("--" + name, action="store_true")
        else:
            parser.add_argument("--" + name, type=type(default), default=default)
    return parser.parse_args()
