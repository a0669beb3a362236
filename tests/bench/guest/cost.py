# SPDX-License-Identifier: LGPL-2.1-or-later
"""
What watching costs: resident memory, CPU time and system calls of each contender, in the guest, as root.

usage: cost.py PLAN   (JSON: {"counts": [1, ...], "window": s, "rest_window": s, "settle": s, "falling": [s, ...], "calm": s, "longest": s, "limit_bytes": N})

All contenders run at once, on the same jobs: a cgroup with a limit and one small process each, below one slice (herd.c).
earlyoom and nohang watch the host; systemd-oomd has the slice, ManagedOOMMemoryPressure=kill; Headroom has each job,
with policy default. Its jobs are taken over from records (adopt.c), with a tripwire each, as `headroom run` has them.
Afterwards, alone, Headroom with the same jobs found by a [match] rule: foreign cgroups, which it watches by timer.

Under load each job fills 2 MiB and gives it back, over and over. At rest it sleeps. Measured of a service as a whole, with
every process and thread in its cgroup: CPU time as the kernel accounts it to the cgroup, then, under load in a window of
its own, since counting costs time, the system calls as the kernel's raw_syscalls event counts them. No tracer is attached.
Reading the clock is left out: the emulated processor has no clock that can be read without the kernel, real ones have.

Prints a line for each measurement, and as `cost: {JSON}` what it found.
"""

import json
import os
import re
import subprocess
import sys
import time

import guest
from guest import read, wait_for, write

CGROUPS = "/sys/fs/cgroup"
SLICE = "bench.slice"
GROUP = f"/{SLICE}/bench-jobs.scope"
TRACING = "/sys/kernel/tracing"
EVENT = f"{TRACING}/events/raw_syscalls/sys_enter/trigger"
HIST = "hist:keys=common_pid,id.syscall:size=8192"
CLOCKS = ("clock_gettime", "gettimeofday", "time")  # no system calls where the processor's own clock can be used
CLOCK = "/sys/devices/system/clocksource/clocksource0/"
KIN = ("earlyoom", "systemd-oomd", "nohang")
HEADROOM = "headroomd"
RULES = "/etc/headroom/headroom.conf.d/bench.conf"


def run(*words):
    return guest.run(*words, timeout=None)  # what is done to a thousand jobs takes its time


def say(text):
    print(f"# {time.monotonic() - BEGAN:.0f} s: {text}", flush=True)


def numbers(path, separator=None):
    """KEY NUMBER lines."""
    found = {}
    for line in read(path).splitlines():
        words = line.split(separator)
        if len(words) >= 2 and words[1].strip().split(" ")[0].isdigit():
            found[words[0]] = int(words[1].strip().split(" ")[0])
    return found


class Herd:
    def __init__(self, limit_bytes):
        self.process = subprocess.Popen(
            ["systemd-run", "--quiet", "--collect", "--scope", "--unit=bench-jobs.scope", f"--slice={SLICE}", "-pDelegate=yes",
             "-pTasksMax=infinity", "/payload/herd", CGROUPS + GROUP, str(limit_bytes)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.answer()

    def answer(self):
        line = self.process.stdout.readline().strip()
        if not line.startswith("ok "):
            raise RuntimeError(f"herd: {line}")
        return int(line[3:])

    def tell(self, words):
        self.process.stdin.write(words + "\n")
        self.process.stdin.flush()
        return self.answer()

    def end(self):
        self.process.stdin.close()
        self.process.wait()


class Service:
    """A systemd service, with all that is in its cgroup."""

    def __init__(self, unit):
        self.unit, self.path = unit, None

    def locate(self):  # nohang has a slice of its own
        self.path = CGROUPS + run("systemctl", "show", "-P", "ControlGroup", f"{self.unit}.service")[1].strip()

    def pids(self):
        return read(self.path + "/cgroup.procs").split()

    def threads(self):
        return read(self.path + "/cgroup.threads").split()

    def cpu_usec(self):
        return numbers(self.path + "/cpu.stat").get("usage_usec", 0)

    def memory(self):
        sums = {"Pss": 0, "Rss": 0, "Anonymous": 0}
        for pid in self.pids():
            found = numbers(f"/proc/{pid}/smaps_rollup", ":")
            for key in sums:
                sums[key] += found.get(key, 0) << 10
        kernel = numbers(self.path + "/memory.stat").get("kernel", 0)
        return {"pss_bytes": sums["Pss"], "rss_bytes": sums["Rss"], "anonymous_bytes": sums["Anonymous"],
                "kernel_bytes": kernel, "processes": len(self.pids()), "threads": len(self.threads())}


class Count:
    """Of the system calls of services, from now on."""

    def __init__(self, services):
        self.owner = {tid: service.unit for service in services for tid in service.threads()}
        self.text = f"{HIST} if " + " || ".join(f"common_pid == {tid}" for tid in self.owner)
        write(EVENT, self.text)
        self.began = time.monotonic()

    def end(self):
        """The seconds that it took, and the calls of each service, by name."""
        text, seconds = read(EVENT.replace("trigger", "hist")), time.monotonic() - self.began
        write(EVENT, "!" + self.text)
        counted = {unit: {} for unit in self.owner.values()}
        for tid, name, hits in re.findall(r"common_pid:\s*(\d+), id: sys_(\w+)\s*\[\s*\d+\] \} hitcount:\s*(\d+)", text):
            calls = counted[self.owner[tid]]
            calls[name] = calls.get(name, 0) + int(hits)
        return seconds, counted


class Cost:
    def __init__(self, plan):
        self.plan = plan
        self.kin = [Service(unit) for unit in KIN]
        self.headroom = Service(HEADROOM)

    # -- the contenders --

    def start_kin(self):
        run("systemctl", "set-property", "--runtime", SLICE, "ManagedOOMMemoryPressure=kill")
        for service in self.kin:
            status, _, said = run("systemctl", "start", service.unit)
            if status:
                raise RuntimeError(f"{service.unit} did not start: {said}")

    def start_headroom(self, count, rule=False):
        run("systemctl", "stop", HEADROOM)
        run("sh", "-c", "rm -rf /run/headroom/jobs")
        os.makedirs(os.path.dirname(RULES), exist_ok=True)
        write(RULES, f"[match bench]\ncgroup = {GROUP}/job-*\npolicy = default\n" if rule else "")
        if not rule:
            status, _, said = run("/payload/build/tests/bench/adopt", "/run/headroom", GROUP, str(count))
            if status:
                raise RuntimeError(said)
        status, _, said = run("systemctl", "start", HEADROOM)
        if status:
            raise RuntimeError(f"{HEADROOM} did not start: {said}")
        if not self.wait_watched(count):
            told = run("journalctl", "-q", "-o", "cat", "-u", HEADROOM, "-g", "not watched")[1].splitlines()
            say(f"{HEADROOM} watches {self.watched()} jobs of {count}; it said {len(told)} times: {told[-1] if told else ''}")

    @staticmethod
    def watched():
        """By its records: asking it for the status of a thousand would be work of its own."""
        try:
            return sum(name[1:].isdigit() for name in os.listdir("/run/headroom/jobs"))
        except OSError:
            return 0

    def wait_watched(self, count):
        return wait_for(lambda: self.watched() == count, 20)

    def wires(self, count):
        return sum(read(f"{CGROUPS}{GROUP}/job-{number}/memory.high").strip() not in ("max", "") for number in range(1, count + 1))

    # -- a measurement --

    def measure(self, services, count, state, name="", apart=True, window=0, **more):
        """name: in place of Headroom's. apart: the calls are counted in a window of their own."""
        window = window or self.plan["rest_window" if state == "rest" else "window"]
        for service in services:
            service.locate()
        memory = [service.memory() for service in services]
        counting = None if apart else Count(services)
        before, began = [service.cpu_usec() for service in services], time.monotonic()
        time.sleep(window)
        after, seconds = [service.cpu_usec() for service in services], time.monotonic() - began
        if apart:
            counting = Count(services)
            time.sleep(window)
        call_seconds, calls = counting.end()
        available = numbers("/proc/meminfo", ":").get("MemAvailable", 0) << 10
        for service, used, start, end in zip(services, memory, before, after):
            own = service.unit == HEADROOM
            total = sum(count for name, count in calls[service.unit].items() if name not in CLOCKS)
            result = {
                "contender": name if own and name else "headroom" if own else service.unit,
                "jobs": count, "watched": self.watched(), "state": state, **used,
                "cpu_share_percent": (end - start) / seconds / 1e4,
                "cpu_usec_per_job_second": (end - start) / seconds / count,
                "calls_per_second": total / call_seconds,
                "calls_per_job_second": total / call_seconds / count,
                "calls_by_name": dict(sorted(calls[service.unit].items(), key=lambda item: -item[1])[:12]),
                "clock_calls_per_second": (sum(calls[service.unit].values()) - total) / call_seconds,
                "window_seconds": round(seconds, 2), "available_bytes": available, **(more if own else {}),
            }
            print("cost: " + json.dumps(result), flush=True)
            say(f"{result['contender']}, {count} jobs, {state}: {used['pss_bytes'] / (1 << 20):.1f} MiB, "
                f"{result['cpu_share_percent']:.3f} % of a core, {result['calls_per_second']:.1f} calls/s")

    def play(self):
        counts, everyone = self.plan["counts"], [*self.kin, self.headroom]
        herd = Herd(self.plan["limit_bytes"])
        self.start_kin()
        herd.tell("move")
        for count in counts:
            herd.tell(f"grow {count}")
            say(f"{count} jobs")
            self.start_headroom(count)
            say(f"{HEADROOM} watches them")
            time.sleep(self.plan["settle"])
            self.measure(everyone, count, "load", wires=self.wires(count))

        herd.tell("rest")
        since = time.monotonic()
        say(f"at rest from now on; measured in {self.plan['calm']} s")
        for seconds in self.plan["falling"]:  # how it calms down
            time.sleep(max(0, since + seconds - time.monotonic()))
            self.measure([self.headroom], counts[-1], f"rest for {seconds} s", apart=False)
        time.sleep(max(0, since + self.plan["calm"] - time.monotonic()))
        for count in reversed(counts):
            herd.tell(f"shrink {count}")
            self.wait_watched(count)
            time.sleep(2)
            # Of the most, over as long as Headroom may leave one alone: each is looked at once in it, many at a time.
            window = self.plan["longest"] if count == counts[-1] else 0
            self.measure(everyone, count, "rest", apart=False, window=window, wires=self.wires(count))
        for service in self.kin:
            run("systemctl", "stop", service.unit)

        for count in counts:  # alone: it may keep a processor busy
            herd.tell(f"grow {count}")
            self.start_headroom(count, rule=True)
            time.sleep(self.plan["settle"])
            self.measure([self.headroom], count, "rest", "headroom-match", apart=False)
            herd.tell("move")
            time.sleep(self.plan["settle"])
            self.measure([self.headroom], count, "load", "headroom-match")
            herd.tell("rest")
        run("systemctl", "stop", HEADROOM)
        os.unlink(RULES)
        herd.end()


BEGAN = time.monotonic()


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        plan = json.load(file)
    run("systemctl", "stop", HEADROOM)
    say(f"clock: {read(CLOCK + 'current_clocksource').strip()} of {read(CLOCK + 'available_clocksource').strip()}")
    Cost(plan).play()
    say("the comparison is done")


if __name__ == "__main__":
    main()
