# SPDX-License-Identifier: LGPL-2.1-or-later
"""Holds memory and counts, nobody's job; afterwards proves that nobody touched it.

--hold MIB --until FILE --report FILE: counts until FILE exists, then writes the report (REPORT.ready
appears at the start). --judge REPORT --pause SECONDS: prints `untouched`, or what was done to it.
"""

import argparse
import json
import os
import resource
import signal
import time

from pulse import CGROUPS, Pulse, own_cgroup

LIMITS = ["memory.high", "memory.max", "memory.swap.max"]


def condition():
    """What others could have changed about this process."""
    cgroup = own_cgroup()
    files = [f"{CGROUPS}{cgroup}/{name}" for name in LIMITS]
    return {
        "cgroup": cgroup,
        "limits": [open(path).read().strip() for path in files if os.path.exists(path)],
        "RLIMIT_DATA": resource.getrlimit(resource.RLIMIT_DATA),
    }


def stand_by(hold_mib, until, report):
    signals = []
    untellable = {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}
    for number in signal.valid_signals() - untellable:
        try:
            signal.signal(number, lambda received, frame: signals.append(received))
        except (OSError, ValueError):  # the C library keeps two for itself
            pass

    held = [b"x" * (1 << 20) for _ in range(hold_mib)]
    before = condition()
    pulse = Pulse()
    open(report + ".ready", "w").close()
    while not os.path.exists(until):
        pulse.tick()
        time.sleep(0.01)
    after = condition()

    findings = [f"{key} was {before[key]}, is {after[key]}" for key in before if before[key] != after[key]]
    findings += [f"received signal {number}" for number in signals]
    if pulse.freezes:
        findings.append(f"was frozen or thawed {pulse.freezes} times")
    if any(block[0] != ord("x") for block in held):
        findings.append("lost its memory")
    with open(report + ".new", "w") as out:
        json.dump({"findings": findings, "ticks": pulse.ticks, "longest_pause": pulse.longest_pause}, out)
    os.rename(report + ".new", report)


def judge(report, pause):
    try:
        with open(report) as lines:
            told = json.load(lines)
    except FileNotFoundError:
        return "it left no report: killed, or stopped for good"
    findings = told["findings"]
    if told["longest_pause"] > pause:
        findings.append(f"paused for {told['longest_pause']:.2f} s")
    return "; ".join(findings) or "untouched"


parser = argparse.ArgumentParser()
parser.add_argument("--hold", type=int, metavar="MIB")
parser.add_argument("--until")
parser.add_argument("--report")
parser.add_argument("--judge", metavar="REPORT")
parser.add_argument("--pause", type=float, metavar="SECONDS", default=3)
options = parser.parse_args()
if options.judge:
    print(judge(options.judge, options.pause))
else:
    stand_by(options.hold, options.until, options.report)
