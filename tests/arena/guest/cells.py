# SPDX-License-Identifier: LGPL-2.1-or-later
"""
The arena's rows, what a cell runs, and how it is judged: what the guest (arena.py) and this machine (host.py) share.
No I/O here.

A cell is a row (a workload) under a contender, with what binds it: its own limit, the limit of the slice above it
(parent), or the host's memory; with or without swap.
"""

import dataclasses

OWN, PARENT, HOST = BINDINGS = ("own", "parent", "host")
CONTENDERS = ("kernel", "earlyoom", "systemd-oomd", "nohang", "headroom")
STAGES = {"notice": 7000, "trim": 8000, "checkpoint": 9000, "hold": 9700}  # permyriad, as the default policy says
HELD = ("freeze", "interrupt", "terminate", "kill", "fuse", "limit", "reserve")  # events that touch a job


@dataclasses.dataclass(frozen=True)
class Row:
    name: str
    grows: bool  # outgrows its room; else it fits, and must not be touched
    program: str  # in jobs/, with {limit}, {to} (MiB), {state}, {data}, {shm}, {scratch}, {go} in its words
    bindings: tuple = (OWN,)
    swap: bool = False  # run with swap as well
    limit_mib: int = 96
    to_factor: float = 1.5  # it grows to this many times its limit
    count: int = 1  # jobs at once
    fuse: bool = False  # `headroom run --fuse`: Headroom's alone
    can_save: bool = True
    seconds: int = 12  # about, in the emulated guest: for the estimate
    physics: tuple = ()  # bindings under which it can't be kept, whoever watches: `why` says why
    why: str = ""


ROWS = (
    Row("grow-5", True, "grow.py --rate 5 --to {to}", limit_mib=64, seconds=20),
    Row("grow-20", True, "grow.py --rate 20 --to {to}", BINDINGS, swap=True, seconds=14),
    Row("grow-100", True, "grow.py --rate 100 --to {to}"),
    Row("grow-full", True, "grow.py --to {to}", BINDINGS, swap=True),
    Row("allocate-10x", True, "allocate.py --to {to}", (OWN, PARENT), limit_mib=48, to_factor=10, seconds=16,
        physics=(PARENT,), why="one call of C, which answers no signal until it returns; no fuse before it began"),
    Row("allocate-10x-fuse", True, "allocate.py --to {to}", limit_mib=48, to_factor=10, fuse=True),
    Row("staircase", True, "stairs.py --step 8 --rest 0.4 --to {to}", BINDINGS, physics=(PARENT,),
        why="a step of 8 MiB under way is more than the room below a limit that is not Headroom's to raise"),
    Row("shm", True, "shm.py --file {shm} --to {to}", BINDINGS, swap=True),
    Row("escape", True, "escape.py --to {to}", BINDINGS),
    Row("stubborn", True, "grow.py --stubborn --rate 20 --to {to}", BINDINGS),
    Row("many", True, "grow.py --go {go} --rate 4 --step 256 --to {to}", limit_mib=14, to_factor=1.2, count=50, seconds=70),
    Row("tail", True, "tail.sh {state} {to}", BINDINGS, can_save=False,
        physics=(PARENT, HOST), why="it can't save, so only room keeps it, and there is none to give"),
    Row("stress-ng", True, "stress.sh {state} {to}", BINDINGS, can_save=False, seconds=20,
        physics=(PARENT, HOST), why="it can't save, so only room keeps it, and there is none to give"),
    Row("pool", False, "pool.py --to {limit40}", seconds=14),
    Row("map-read", False, "mapped.py --file {data}"),
    Row("map-dirty", False, "dirty.py --file {scratch} --to {limit300}"),
    Row("frees", False, "frees.py --limit {limit}", swap=True, seconds=16),
    Row("spike", False, "spike.py --limit {limit}", (OWN, PARENT)),
    Row("cache", False, "cache.py --file {data}", BINDINGS, swap=True, seconds=16),
    Row("plateau", False, "plateau.py --limit {limit} --percent 95", (OWN, PARENT), swap=True, seconds=18),
    Row("plateau-80", False, "plateau.py --limit {limit} --percent 80", (HOST,), seconds=24),
)
BY_NAME = {row.name: row for row in ROWS}


@dataclasses.dataclass(frozen=True)
class Cell:
    row: str
    contender: str
    binding: str
    swap_mib: int
    run: int = 1
    count: int = 0  # of jobs, in place of the row's; 0: the row's

    @property
    def name(self):
        return f"{self.binding}/{'swap' if self.swap_mib else 'no-swap'}/{self.row}/{self.contender}/{self.run}"

    def jobs(self):
        return self.count or BY_NAME[self.row].count


def target_mib(row, binding, room_mib, swap_mib):
    """What a growing row grows to: past all the room that there is."""
    return room_mib * 4 if binding == HOST else int(room_mib * row.to_factor) + swap_mib


def more_room_mib(row, binding, room_mib, swap_mib):
    """The limit that its owner gives to a held job: enough to finish."""
    return target_mib(row, binding, room_mib, swap_mib) + max(24, room_mib // 4)


def command(row, jobs, room_mib, to_mib, paths):
    """The words of its program; jobs: the directory of the programs; paths: state, data, shm, scratch, go."""
    fill = {"limit": room_mib, "to": to_mib, "limit40": room_mib * 40 // 100, "limit300": room_mib * 3, **paths}
    words = [word.format(**fill) for word in row.program.split()]
    if words[0].endswith(".py"):
        return ["/usr/bin/python3", f"{jobs}/{words[0]}", *words[1:], "--state", paths["state"]]
    return ["/bin/sh", f"{jobs}/{words[0]}", *words[1:]]


def overshoot(events, limit_bytes):
    """By stage: how far above its level usage was when the stage was told, in bytes; the first time, by the first limit."""
    found = {}
    for event in events:
        stage = {"freeze": "hold"}.get(event["action"], event["action"])
        if stage in STAGES and stage not in found and event["limit_bytes"] == limit_bytes:
            over = event["used_bytes"] - limit_bytes * STAGES[stage] // 10000
            if over >= 0:  # notice may come by time, far below
                found[stage] = over
    return found


def lead_seconds(events):
    """From the first warning to the end of room: the freeze, or what ended it."""
    first = next((event for event in events if event["action"] in ("notice", "trim")), None)
    last = next((event for event in events if event["action"] in ("freeze", "interrupt", "kill", "end")), None)
    return round(last["at"] - first["at"], 3) if first and last and last["at"] >= first["at"] else None


def judge(cell, facts):
    """
    The result of a cell, as it is written. facts: names, states (a dict or None for each job), statuses (exit status or None),
    kernel_kills, events (Headroom's), limit_bytes (own, or None), and whatever else was measured, which is passed on.
    """
    row = BY_NAME[cell.row]
    states, statuses, events = facts["states"], facts["statuses"], facts.get("events", [])
    kept = [bool(state) and state["word"] in ("finished", "saved") for state in states]
    finished = [bool(state) and state["word"] == "finished" for state in states]
    whys = sorted({state["why"] for state in states if state and state["why"]})
    refused = sum(str(status) == "125" for status in statuses)  # `headroom run` did not start it
    lost = len(states) - sum(kept) - refused
    result = {
        "cell": cell.name, **dataclasses.asdict(cell),
        "fits": not row.grows,
        "jobs_count": len(states),
        "kept_count": sum(kept) if row.grows else sum(finished),
        "finished_count": sum(finished),
        "kernel_kills_count": facts["kernel_kills"],
        "tool_kills_count": max(0, lost - facts["kernel_kills"]),
        "not_started_count": refused,
        "held_count": len({event["job"] for event in events if event["action"] in ("freeze", "interrupt", "kill")}),
        "ended_by": whys,
        "exit_statuses": sorted({str(status) for status in statuses}),
        "physics": row.why if cell.binding in row.physics else "",
    }
    if not row.grows:
        touched = sorted({what for state in states if state for what in state.get("touched", [])})
        touched += sorted({event["action"] for event in events if event["action"] in HELD})
        result["touched"] = touched + (["ended early"] if not all(finished) else [])
        result["job_seconds"] = max((state["seconds"] for state in states if state), default=None)
        result["longest_pause_seconds"] = max((state["longest_pause_seconds"] for state in states if state), default=None)
    if events:
        first_job = [event for event in events if event["job"] == events[0]["job"]]
        result["lead_seconds"] = lead_seconds(first_job)
        if facts.get("limit_bytes") and not cell.swap_mib:  # with swap the levels are of more than the limit
            result["overshoot_bytes"] = overshoot(first_job, facts["limit_bytes"])
    result.update({key: value for key, value in facts.items() if key not in ("names", "states", "statuses", "kernel_kills")})
    result["states"] = states if len(states) <= 3 else [state for state, good in zip(states, kept) if not good][:3]
    if len(states) > 3 and events:  # of those that were lost, whole
        lost_names = {name for name, good in zip(facts["names"], kept) if not good}
        result["events"] = [event for event in events if event["name"] in lost_names][:60]
    return result


def verdict(result):
    """One word for the table."""
    all_jobs = result["kept_count"] == result["jobs_count"]
    if result["fits"]:
        return "touched" if result["touched"] else "in peace"
    if all_jobs:
        if result["contender"].startswith("headroom") and not result["held_count"] and not result["ended_by"]:
            return "finished, never held"
        return "finished" if result["finished_count"] == result["jobs_count"] else "saved"
    by = "kernel" if result["kernel_kills_count"] else "not started" if result["not_started_count"] else "time" if result.get("timed_out") else "tool"
    return f"LOST, {result['kept_count']} of {result['jobs_count']} kept ({by})" if result["jobs_count"] > 1 else f"LOST ({by})"
