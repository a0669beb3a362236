# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Plays the cells of a plan in the guest, one after the other, each from a clean state, as root.

usage: arena.py PLAN   (JSON: {"swap_mib": N, "cells": [{row, contender, binding, swap_mib, run, count}]})

Prints a line for each cell, and the result of each as a line `arena: {JSON}`.

Every job is ana's, in a scope of its own below her slice: made by `systemd-run --scope` (MemoryMax= where it has a
limit of its own), or by `headroom run` from a login of hers. A limit on the parent is the slice's.
"""

import dataclasses
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import time

import cells
import headroom_user
from guest import read, run, wait_for, write

USER, UID = "ana", 1000
SLICE = f"user-{UID}.slice"
SLICE_DIR = f"/sys/fs/cgroup/user.slice/{SLICE}"
JOBS = "/payload/jobs"
WORK = "/var/tmp/arena"
DATA = "/var/tmp/arena-data"  # a file larger than any limit, for those who read
DATA_MIB = 256
CELL_SECONDS_MAX = 150
SETTLE_BYTES = 16 << 20  # available memory that may be short of the base, unsaid
SERVICES = {"earlyoom": "earlyoom", "systemd-oomd": "systemd-oomd", "nohang": "nohang", "headroom": "headroomd"}
OOMD = ("ManagedOOMMemoryPressure=kill", "ManagedOOMSwap=kill")


def headroom(*words):
    return run("headroom", *words)


def number(text, key):
    found = re.search(rf"^{key}:?\s+(\d+)", text, re.MULTILINE)
    return int(found.group(1)) if found else 0


def where_memory_went():
    """In MiB, what of it could explain a shortage."""
    text = read("/proc/meminfo")
    keys = ("MemFree", "AnonPages", "Shmem", "Mapped", "Dirty", "SUnreclaim", "SReclaimable", "PageTables", "KernelStack", "Percpu")
    return {key: number(text, key) >> 10 for key in keys}


def available_bytes():
    return number(read("/proc/meminfo"), "MemAvailable") << 10


def kernel_kills():
    return number(read("/proc/vmstat"), "oom_kill")


def spare(yes):
    """Is this process left out when the host runs out? The arena is, and no job that it starts."""
    write("/proc/self/oom_score_adj", "-1000" if yes else "0")


class Login:
    """A login session of ana, kept open: what it is told to start runs as hers, with its status in a file."""

    def __init__(self):
        self.shell = None

    def ensure(self):
        if self.shell is None or self.shell.poll() is not None:
            self.shell = subprocess.Popen(["runuser", "-l", USER, "-c", "exec sh -s"], stdin=subprocess.PIPE, text=True,
                                          preexec_fn=lambda: spare(False))
            write_mark = f"{WORK}/login"
            self.tell(f"touch {write_mark}")
            wait_for(lambda: os.path.exists(write_mark), 60)

    def tell(self, line):
        self.shell.stdin.write(line + "\n")
        self.shell.stdin.flush()

    def start(self, words, base):
        self.tell(f"{{ {shlex.join(words)}; echo $? >{base}.status; }} >{base}.out 2>{base}.err </dev/null &")


class FreezeWatch(threading.Thread):
    """Notes when a job's cgroup stood frozen for the first time, by the kernel's word, and what was in use then."""

    def __init__(self):
        super().__init__(daemon=True)
        self.stop, self.frozen = False, {}  # by cgroup: time, bytes

    def run(self):
        known = {}
        while not self.stop:
            for path in find_jobs():
                if path not in known and path not in self.frozen:
                    known[path] = path + "/cgroup.events"
            for path in list(known):
                text = read(known[path])
                if "frozen 1" in text:
                    self.frozen[path] = (time.time(), int(read(path + "/memory.current") or 0))
                if "frozen 1" in text or not text:
                    del known[path]
            time.sleep(0.01)


def find_jobs():
    """The cgroups that Headroom made for jobs."""
    found = []
    try:
        scopes = [entry.path for entry in os.scandir(SLICE_DIR) if entry.name.startswith("headroom")]
        for scope in scopes:
            inner = [entry.path for entry in os.scandir(scope) if entry.is_dir()]
            found += inner or [scope]
    except OSError:
        pass  # it went meanwhile
    return found


class Arena:
    def __init__(self, plan):
        self.login, self.swap_mib, self.serial = Login(), plan["swap_mib"], 0
        self.base_bytes, self.base_went = 0, {}
        os.makedirs(WORK, exist_ok=True)
        shutil.chown(WORK, USER)
        run("mount", "-o", "remount,size=100%", "/dev/shm")  # it is full at half of the host's memory, else
        with open(DATA, "wb") as out:
            for _ in range(DATA_MIB):
                out.write(os.urandom(1 << 20))
        os.chmod(DATA, 0o644)

    # -- a clean state --

    def clean(self):
        for name in os.listdir(SLICE_DIR) if os.path.isdir(SLICE_DIR) else ():
            if name.startswith(("arena-", "headroom")):
                for path, _, files in os.walk(f"{SLICE_DIR}/{name}"):
                    if "cgroup.kill" in files:
                        try:
                            write(path + "/cgroup.freeze", "0")
                            write(path + "/cgroup.kill", "1")
                        except OSError:
                            pass  # it went meanwhile
        run("systemctl", "stop", *SERVICES.values(), "systemd-oomd.socket")
        run("systemctl", "set-property", "--runtime", SLICE, "MemoryMax=infinity",
            "ManagedOOMMemoryPressure=auto", "ManagedOOMSwap=auto")
        run("systemctl", "reset-failed")
        for folder in ("/dev/shm", WORK):
            for entry in os.scandir(folder):
                if folder == WORK or entry.name.startswith("arena-"):
                    os.unlink(entry.path)
        if self.swap_mib:
            run("swapoff", "/dev/vdc")
            run("swapon", "/dev/vdc")
        os.sync()
        write("/proc/sys/vm/drop_caches", "3")
        write("/proc/sys/vm/compact_memory", "1")  # free pages on lists of a processor's own count as used: 30 MiB, seen
        self.login.ensure()
        wait_for(lambda: available_bytes() >= self.base_bytes - SETTLE_BYTES, 3)

    # -- a cell --

    def room_mib(self, row, cell):
        """The limit that the row is told of; the host has what is available."""
        return available_bytes() >> 20 if cell.binding == cells.HOST else row.limit_mib

    def limit_parent(self, limit_mib):
        """The slice's limit, above what the login itself needs, which is not the job's."""
        stat = read(SLICE_DIR + "/memory.stat")
        cache = number(stat, "inactive_file") + number(stat, "active_file") + number(stat, "slab_reclaimable")
        base = int(read(SLICE_DIR + "/memory.current")) - cache
        run("systemctl", "set-property", "--runtime", SLICE, f"MemoryMax={base + (limit_mib << 20)}")

    def start_contender(self, name):
        service = SERVICES.get(name)
        if not service:
            return ""
        if name == "systemd-oomd":
            run("systemctl", "set-property", "--runtime", SLICE, *OOMD)
        status, _, err = run("systemctl", "start", service)
        if name == "headroom":
            wait_for(lambda: headroom("status", "--json")[0] == 0, 20)
        return "" if status == 0 else f"{service} did not start: {err.strip()}"

    def start_job(self, cell, row, name, words, limit_mib):
        base = f"{WORK}/{name}"
        if cell.contender == "headroom":
            limit = ["--limit", f"{limit_mib}M"] if limit_mib else []
            self.login.start(["headroom", "run", "--name", name, *limit, *(["--fuse"] if row.fuse else []), "--", *words], base)
            return
        options = [f"-pMemoryMax={limit_mib}M"] if limit_mib else []
        if cell.contender == "systemd-oomd":
            options += ["-p" + option for option in OOMD]
        scope = ["systemd-run", "--quiet", "--collect", "--scope", f"--unit={name}", f"--slice={SLICE}", f"--uid={UID}",
                 f"--gid={UID}", *options, "--", *words]
        line = f"{shlex.join(scope)} >{base}.out 2>{base}.err </dev/null; echo $? >{base}.status"
        subprocess.Popen(["sh", "-c", line], cwd="/", preexec_fn=lambda: spare(False))

    def play(self, cell):
        row = cells.BY_NAME[cell.row]
        began = time.monotonic()
        self.clean()
        short = max(0, self.base_bytes - available_bytes())
        went = {key: now - self.base_went[key] for key, now in where_memory_went().items()} if short > SETTLE_BYTES else None
        kills = kernel_kills()
        room = self.room_mib(row, cell)
        to = cells.target_mib(row, cell.binding, room, self.swap_mib)
        limit = row.limit_mib if cell.binding == cells.OWN else 0
        if cell.binding == cells.PARENT:
            self.limit_parent(row.limit_mib)
        trouble = self.start_contender(cell.contender)
        owner = watch = None
        if cell.contender == "headroom":
            owner = headroom_user.Owner(headroom, cells.more_room_mib(row, cell.binding, room, self.swap_mib))
            watch = FreezeWatch()
            if row.grows:  # it costs time, which a job in peace would be seen to need
                watch.start()

        self.serial += 1
        names = [f"arena-{self.serial}-{index + 1}" for index in range(cell.jobs())]
        go = f"{WORK}/go"
        for name in names:
            paths = {"state": f"{WORK}/{name}", "data": DATA, "shm": f"/dev/shm/{name}",
                     "scratch": f"{WORK}/{name}.scratch", "go": go}
            self.start_job(cell, row, name, cells.command(row, JOBS, room, to, paths), limit)
        if "{go}" in row.program:
            self.wait_started(cell, names)
            write(go, "")
        timed_out = not self.wait_ended(names, owner, 0.3 if row.grows else 5)
        facts = {
            "names": names,
            "states": [self.state(name) for name in names],
            "statuses": [read(f"{WORK}/{name}.status").strip() or None for name in names],
            "kernel_kills": kernel_kills() - kills,
            "timed_out": timed_out,
            "limit_bytes": limit << 20 or None,
            "room_bytes": room << 20,
            "base_short_bytes": short if short > SETTLE_BYTES else 0,
        }
        if went:
            facts["more_than_at_base_mib"] = went
        if trouble:
            facts["trouble"] = trouble
        if facts["kernel_kills"]:
            facts["kernel_says"] = re.findall(r"Killed process \d+ \(([^)]*)\)", run("dmesg")[1])[-facts["kernel_kills"]:][:5]
        if cell.contender in ("earlyoom", "nohang", "systemd-oomd"):
            facts["tool_says"] = self.tool_says(SERVICES[cell.contender], began)
        if owner:
            watch.stop = True
            wait_for(lambda: sum(event["action"] == "end" for event in owner.events()) >= len(names), 3)
            facts["events"] = [event for event in owner.events() if event["name"] in names]
            facts["answers_count"] = sum(owner.answers.values())
            facts["resume_refused"] = owner.refused
            facts["frozen"] = self.frozen_facts(watch, facts["events"])
            if timed_out:
                facts["status"] = headroom("status", "--json")[1]
            refused = [name for name, status in zip(names, facts["statuses"]) if status == "125"]
            facts["run_says"] = read(f"{WORK}/{refused[0]}.err")[-300:] if refused else ""
        result = cells.judge(cell, facts)
        result["wall_seconds"] = round(time.monotonic() - began, 1)
        return result

    def wait_started(self, cell, names):
        """All of them at once: until the last one waits for the word."""
        def count():
            return int(run("pgrep", "-cf", f"jobs/grow.py.*--go {WORK}/go")[1] or 0)
        # `headroom run` and systemd-run's shell show the same words: each job has 2 or 3 processes
        wait_for(lambda: count() >= 2 * len(names), 100)
        if cell.contender == "headroom":
            wait_for(lambda: len(json.loads(headroom("status", "--json")[1] or "[]")) >= len(names), 60)
        time.sleep(3)

    def wait_ended(self, names, owner, pause):
        """True once all have ended and left their state, else false when the time is up; the owner looks at each pause."""
        end = time.monotonic() + CELL_SECONDS_MAX
        look = time.monotonic() + pause
        while time.monotonic() < end:
            if all(os.path.exists(f"{WORK}/{name}.status") for name in names):
                return True
            if owner and time.monotonic() >= look:
                owner.answer()
                look = time.monotonic() + pause
            time.sleep(0.1)
        return False

    @staticmethod
    def state(name):
        text = read(f"{WORK}/{name}")
        return json.loads(text) if text else None

    @staticmethod
    def tool_says(service, began):
        """What it did, by its own word."""
        seconds = int(time.monotonic() - began) + 1
        log = run("journalctl", "-q", "-o", "cat", "-u", service, f"--since=-{seconds}s")[1]
        return [line[:160] for line in log.splitlines()
                if re.search(r"(?i)sending sig|killed /|killing|sigterm|sigkill", line)][:6]

    @staticmethod
    def frozen_facts(watch, events):
        """Of the first freeze of each job: from the daemon's decision until the kernel says frozen, and what grew meanwhile."""
        facts = []
        for path, (at, used) in watch.frozen.items():
            near = [event for event in events if event["action"] in ("freeze", "interrupt") and abs(event["at"] - at) < 2]
            if near:
                facts.append({"after_seconds": round(at - near[0]["at"], 3), "current_bytes": used,
                              "decided_at_bytes": near[0]["used_bytes"], "cgroup": path[-40:]})
        return facts[:3]


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        plan = json.load(file)
    spare(True)
    arena = Arena(plan)
    arena.clean()
    time.sleep(1)
    arena.clean()
    arena.base_bytes, arena.base_went = available_bytes(), where_memory_went()
    wanted = [cells.Cell(**cell) for cell in plan["cells"]]
    print(f"arena: base: {arena.base_bytes >> 20} MiB available, swap {arena.swap_mib} MiB", flush=True)
    began = time.monotonic()
    for done, cell in enumerate(wanted, 1):
        try:
            result = arena.play(cell)
        except Exception as error:  # one that breaks must not keep the others from being played
            result = {"cell": cell.name, **dataclasses.asdict(cell), "broken": f"{type(error).__name__}: {error}"}
        word = result.get("broken") or cells.verdict(result)
        print(f"# {done}/{len(wanted)} {cell.name}: {word} ({result.get('wall_seconds', 0)} s, "
              f"{time.monotonic() - began:.0f} s in all)", flush=True)
        print("arena: " + json.dumps(result), flush=True)
    arena.clean()
    return 0


if __name__ == "__main__":
    sys.exit(main())
