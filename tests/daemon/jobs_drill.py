# SPDX-License-Identifier: LGPL-2.1-or-later
"""`headroom drill`: it drills for real, tells the truth about it, and leaves nothing behind."""

import json
import os
import re
import resource
import signal
import subprocess
import time

from jobs_kit import MIB, PATIENCE, check, read_text, same, scenario, wait_until

SECONDS = 90


def drill(s, *words):
    status, out, err = s.client("drill", "--json", *words, timeout=SECONDS)
    return status, json.loads(out)[0] if out else None, err


def bombs(s):
    """Processes of the scene that fill memory for a drill."""
    return [pid for pid in s.ours() if "drill-bomb" in read_text(f"/proc/{pid}/cmdline", "").split("\0")[1:2]]


def check_clean(s):
    wait_until("no job is left", lambda: not s.jobs(), 20, lambda: (s.jobs(), s.log()))
    wait_until("no process is left", lambda: not bombs(s), 10, lambda: bombs(s))


@scenario("cgroup", "process", alone=True)
def drill_saves(s):
    """With the default policy the drill's job is warned, held before its limit, given room, and finishes intact."""
    s.daemon()
    status, report, err = drill(s)
    detail = (report, err, s.told(None), s.log())
    check("saved", status == 0 and report["saved"] and report["outcome"] == "held", detail)
    check("resumed, not killed", report["resumed"] and not report["oom_killed"] and report["remedy"] == "", detail)
    same("its limit", (report["limit_bytes"], report["policy"]), (64 * MIB, "default"))
    same("its kind", report["kind"] == "process", s.kind == "process")
    check("warned in time", report["warning_milliseconds"] >= 500, detail)
    check("frozen at once", 0 <= report["freeze_microseconds"] < 1000000, detail)
    same("by its event", report["freeze_microseconds"], next(
        e["took_microseconds"] for e in s.events(report["job"]) if e["action"] == "frozen"))
    check("its level", abs(report["hold_bytes"] - 64 * MIB * 0.97) < MIB, detail)
    # What it says is what the events say.
    events = s.events(report["job"])
    freeze = next(e for e in events if e["action"] == "freeze")
    check("used", abs(report["used_bytes"] - freeze["used_bytes"]) < 4 * MIB, (report, freeze))
    same("overshoot", report["overshoot_bytes"], max(0, report["used_bytes"] - report["hold_bytes"]))
    check("the limit was raised", any(e["action"] == "limit" and e["limit_bytes"] == 128 * MIB for e in events), events)
    check_clean(s)


@scenario("cgroup", alone=True)
def drill_tells_a_loss(s):
    """Under a policy that only observes the kernel kills the job: exit 1, and what to type. One without a hold is
    told which key. So are people, in words."""
    s.daemon("[policy nohold]\nhold = off\ninterrupt = off\n")
    status, report, err = drill(s, "--policy", "observe", "--limit", "32M")
    same("lost", (status, report["saved"], report["outcome"], report["oom_killed"]), (1, False, "lost", True))
    check("what to type", "headroom drill --policy default" in report["remedy"], report)
    status, report, err = drill(s, "--policy", "nohold", "--limit", "32M")
    same("lost as well", (status, report["oom_killed"], report["hold_bytes"]), (1, True, None))
    check("the key", "[policy nohold] hold = 97%" in report["remedy"], report)
    status, out, _ = s.client("drill", "--policy", "observe", "--limit", "32M", timeout=SECONDS)
    check("for people", status == 1 and re.search(r"verdict: +NOT SAVED: the kernel", out) and "to mend:" in out, out)
    check_clean(s)


@scenario("cgroup", "process", alone=True)
def drill_interrupts(s):
    """Under batch, which does not hold, its job is interrupted and ends in order: that is saved too."""
    s.daemon()
    status, report, err = drill(s, "--policy", "batch")
    same("interrupted", (status, report["outcome"], report["oom_killed"]), (0, "interrupted", False))
    check_clean(s)


@scenario("cgroup", "process", alone=True)
def drill_is_broken_off(s):
    """Ctrl-C, or even SIGKILL, at any time of a drill: its job ends with it, and headroomd has none left."""
    s.daemon()
    for number, after, wanted in ((signal.SIGINT, 1.5, 130), (signal.SIGTERM, 4, 143), (signal.SIGKILL, 2, -9)):
        process = s.popen([os.path.join(s.build, "headroom"), "drill"], stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True)
        wait_until("it runs", lambda: bombs(s), 20, s.log)
        time.sleep(after - 1)
        process.send_signal(number)
        _, err = process.communicate(timeout=PATIENCE)
        same("its status", process.returncode, wanted)
        check("said", number == signal.SIGKILL or "was broken off" in err, err)
        check_clean(s)


@scenario("cgroup", "process")
def drill_that_is_refused_memory(s):
    """Where the shell's own limit refuses it memory, that is said, and not that Headroom failed."""
    s.daemon()
    status, out, err = s.client("drill", "--json", timeout=SECONDS, preexec_fn=lambda: resource.setrlimit(
        resource.RLIMIT_DATA, (24 * MIB, 24 * MIB)))
    report = json.loads(out)[0]
    same("not tried", (status, report["saved"], report["outcome"]), (1, False, "unknown"))
    check("what to type", "ulimit -d unlimited" in report["remedy"], report)
    check_clean(s)
