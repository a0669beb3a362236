# SPDX-License-Identifier: LGPL-2.1-or-later
"""
kill -9 of the daemon at random moments, while jobs of each kind are at any stage of their ladders: started with `run`,
with a checkpoint and without, units found by a [match] rule, process trees that were attached. After each crash the
service is back and knows every job that runs. In the end each has finished.

usage: crashes.py CRASHES WORK   (as root; WORK: a folder that ana may write)

Prints how far it is and what was played; what is wrong goes to stderr, with a status of 1.
"""

import json
import os
import random
import subprocess
import sys
import time

from guest import read, run, wait_for

CRASHES, WORK = int(sys.argv[1]), sys.argv[2]
WORKLOAD = "/payload/jobs/workload.py"
JOBS = 5
LIMIT, ROOM, GOAL = "90M", "200M", 100  # MiB
RATE = 1.2  # MB/s: from the hold level to the limit it takes two seconds, a new daemon one
KINDS = ("run", "saves", "matched", "tree")


def rows():
    """Every job that the daemon knows; None: it does not answer."""
    status, out, _ = run("headroom", "status", "--json")
    return json.loads(out) if status == 0 else None


def answers():
    return rows() is not None


class Job:
    def __init__(self, number, kind, start):
        self.name, self.kind, self.state = f"crash{number}", kind, f"{WORK}/state{number}"
        self.unit = f"vm-{kind}{number}.service"
        work = ["/usr/bin/python3", WORKLOAD, "grow", "--to", str(GOAL), "--start", str(start), "--rate", str(RATE),
                "--state", self.state, "--usr1", self.state + ".saved"]
        self.err = open(f"{WORK}/{self.name}.err", "w", encoding="utf-8")  # pylint: disable=consider-using-with
        self.refused = False
        if kind in ("matched", "tree"):
            status, _, said = run("systemd-run", "--quiet", "--collect", f"--unit={self.unit}", *work)
            self.err.write(said)
            self.process = None
            if status == 0 and kind == "tree":
                pid = run("systemctl", "show", "-P", "MainPID", self.unit)[1].strip()
                self.refused = run("headroom", "attach", pid, "--name", self.name, "--limit", LIMIT)[0] != 0
            if self.refused:  # the daemon was killed while it was asked: nobody watches it
                run("systemctl", "kill", "--signal=KILL", self.unit)
        else:
            words = ["headroom", "run", "--name", self.name, "--limit", LIMIT,
                     *(["--checkpoint", "signal:USR1"] if kind == "saves" else []), "--", *work]
            self.process = subprocess.Popen(["runuser", "-l", "ana", "-c", " ".join(words)], stdin=subprocess.DEVNULL,
                                            stdout=subprocess.DEVNULL, stderr=self.err)

    def runs(self):
        if self.process:
            if self.process.poll() == 125:
                self.refused = True
            return self.process.poll() is None
        return run("systemctl", "is-active", "--quiet", self.unit)[0] == 0

    def row(self, known):
        """Its row among them, or None."""
        key, value = ("cgroup", self.unit) if self.kind == "matched" else ("name", self.name)
        return next((row for row in known if row[key].endswith(value)), None)

    def result(self):
        return (read(self.state).split() or ["nothing"])[0]


def crash():
    pid = run("systemctl", "show", "-P", "MainPID", "headroomd")[1].strip()
    run("systemctl", "reset-failed", "headroomd")  # not the limit of starts is at stake here
    os.kill(int(pid), 9)
    if not wait_for(answers, 60):
        sys.exit("no daemon is back within 60 s")


def main():
    seed = random.randrange(1 << 32)
    dice = random.Random(seed)
    jobs, live, crashes, since = [], [], 0, {}
    end = time.monotonic() + 300 + 15 * CRASHES
    while crashes < CRASHES or live:
        if time.monotonic() > end:
            sys.exit(f"not all have ended in time, {crashes} crashes (seed {seed}): {rows()}")
        live = [job for job in live if job.runs()]
        if crashes < CRASHES and len(live) < JOBS:
            jobs.append(Job(len(jobs), KINDS[len(jobs) % len(KINDS)], dice.randrange(20, 80)))
            live.append(jobs[-1])
        if crashes < CRASHES and dice.random() < 0.5:
            known = rows() or []
            before = [job for job in live if job.row(known)]
            crash()
            crashes += 1
            if not wait_for(lambda: (known := rows()) is not None and
                            all(job.row(known) or not job.runs() for job in before), 30):  # pylint: disable=cell-var-from-loop
                gone = [f"{job.name}, {job.kind}" for job in before if not job.row(rows() or []) and job.runs()]
                sys.exit(f"forgotten after crash {crashes} (seed {seed}): {gone}")
            if crashes % 10 == 0:
                print(f"# {crashes} crashes, {len(jobs)} jobs", flush=True)
        for row in rows() or []:
            if row["stage"] != "hold":
                since.pop(row["job"], None)
            elif time.monotonic() - since.setdefault(row["job"], time.monotonic()) > dice.random() * 4:
                run("headroom", "resume", row["job"], "--limit", ROOM)  # refused if it was thawed meanwhile
        time.sleep(dice.random() * 0.5)
    lost = [f"{job.name}, {job.kind}: {job.result()}, {read(job.err.name)[-600:]}" for job in jobs
            if not job.refused and job.result() != "finished"]
    if lost:
        sys.exit(f"lost (seed {seed}): {lost}")
    played = ", ".join(f"{sum(job.kind == kind and not job.refused for job in jobs)} {kind}" for kind in KINDS)
    print(f"# {crashes} crashes, jobs: {played}; {sum(job.refused for job in jobs)} refused; seed {seed}")


main()
