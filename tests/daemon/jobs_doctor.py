# SPDX-License-Identifier: LGPL-2.1-or-later
"""`headroom doctor`: every sensor and every means, held against what the machine and the daemon really have."""

import json
import os
import re
import resource
import shutil

from jobs_kit import MEMORY, UNIFIED, VERSION, check, read_text, same, scenario

STATES = {"ok", "absent", "warning", "missing"}
ALWAYS = {"daemon", "channel", "bus", "terminal", "python", "criu", "memory", "freezer", "pressure", "processes", "metrics",
          "terminals", "rights", "systemd", "fuse", "realtime", "mlock", "files", "oom_score_adj", "swap", "host",
          "helper", "matches"}
OF_VERSION = {1: {"v1 usage": "memory.usage_in_bytes", "v1 thresholds": "cgroup.event_control",
                  "v1 peak": "memory.max_usage_in_bytes", "v1 swap": "memory.memsw.usage_in_bytes",
                  "v1 OOM kills": "memory.oom_control"},
              2: {name: name for name in ("memory.current", "memory.high", "memory.peak", "memory.reclaim",
                                          "memory.swap.current", "memory.events.local")}}


def doctor(s):
    return {row["item"]: row for row in json.loads(s.must("doctor", "--json"))}


def has_file(mount, name):
    return any(name in files for folder, _, files in os.walk(mount) if folder != mount)


@scenario("cgroup", "process")
def doctor_is_complete(s):
    """Each sensor and means has its line, in a state that the machine bears out; what is not there says what to type,
    unless it is not needed; and settings change the lines that are about them."""
    path = os.path.join(s.work, "headroom.prom")
    s.daemon()
    rows = doctor(s)
    wanted = ALWAYS | set(OF_VERSION.get(VERSION, {}))
    check("every item", wanted <= set(rows), wanted - set(rows))
    for row in rows.values():
        check("its state", row["state"] in STATES, row)
        check("what to type", row["state"] == "ok" or row["remedy"] or re.search("not needed|does not have", row["detail"]), row)
        check("what is lost", row["state"] in ("ok", "absent") or "without" in row["detail"], row)
    for name, file in OF_VERSION.get(VERSION, {}).items():
        same(name, rows[name]["state"] == "ok", has_file(MEMORY, file))
    same("memory", f"cgroup v{VERSION}" in rows["memory"]["detail"], VERSION > 0)
    same("freezer", UNIFIED != "" and UNIFIED in rows["freezer"]["detail"], UNIFIED != "")
    swap = int(re.search(r"SwapTotal:\s+(\d+)", read_text("/proc/meminfo")).group(1))
    same("swap", rows["swap"]["state"] == "ok", swap > 0)
    same("PSI", rows["pressure"]["state"] == "ok", os.path.exists("/proc/pressure/memory"))
    daemon = max(s.pids({"kind": "process", "leader_pid": s.daemons[0].pid}), key=lambda pid: pid == s.daemons[0].pid)
    same("mlock", rows["mlock"]["state"] == "ok", not re.search(r"VmLck:\s+0 kB", read_text(f"/proc/{daemon}/status")))
    same("realtime", rows["realtime"]["state"] == "ok", os.sched_getscheduler(daemon) & ~os.SCHED_RESET_ON_FORK == os.SCHED_RR)
    effective = int(re.search(r"CapEff:\s+(\w+)", read_text(f"/proc/{daemon}/status")).group(1), 16)
    same("fuse", rows["fuse"]["state"] == "ok", s.kind == "process" or bool(effective >> 24 & 1))
    same("metrics", rows["metrics"]["state"], "absent")
    same("python", rows["python"]["state"], "ok")

    s.daemons[-1].terminate()
    s.daemons[-1].wait(20)
    few = 300
    s.daemon(f"[daemon]\nmetrics_file = {path}\nlock_memory = no\ntell_terminals = no\njobs_max = 100\n[host]\nguard = no\n",
             preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (few, few)))
    rows = doctor(s)
    check("metrics", rows["metrics"]["state"] == "ok" and path in rows["metrics"]["detail"], rows["metrics"])
    same("files", (rows["files"]["state"], rows["files"]["detail"].split(" ", 1)[0]), ("warning", str(few)))
    check("what files cost", "jobs_max = 100" in rows["files"]["detail"], rows["files"])
    same("switched off", [rows[item]["state"] for item in ("mlock", "terminals", "pressure")], ["absent"] * 3)
    check("a key for each", "guard = yes" in rows["pressure"]["remedy"] and "tell_terminals = yes" in rows["terminals"]["remedy"],
          rows)


@scenario("process")
def doctor_of_a_poor_machine(s):
    """On a tree of files that stands for an old kernel with cgroup v2 what it lacks is named, with what is lost and
    where to get it; what it has is not."""
    root = os.path.join(s.work, "root")
    group = os.path.join(root, "sys/fs/cgroup/a.slice")
    os.makedirs(group)
    os.makedirs(os.path.join(root, "proc/1"))
    files = {"sys/fs/cgroup/cgroup.controllers": "memory\n", "sys/fs/cgroup/a.slice/cgroup.procs": "",
             "sys/fs/cgroup/a.slice/memory.current": "0\n", "sys/fs/cgroup/a.slice/memory.high": "max\n",
             "proc/meminfo": read_text("/proc/meminfo"), "proc/vmstat": read_text("/proc/vmstat")}
    for name, text in files.items():
        with open(os.path.join(root, name), "w", encoding="utf-8") as file:
            file.write(text)
    s.daemon(arguments=["--root", root])
    rows = doctor(s)
    same("there", [rows[item]["state"] for item in ("memory.current", "memory.high")], ["ok", "ok"])
    for item, state, word in (("memory.reclaim", "absent", "5.19"), ("memory.peak", "absent", "5.19"),
                              ("memory.events.local", "warning", "5.2"), ("cgroup.freeze", "warning", "5.2"),
                              ("cgroup.kill", "absent", "5.14"), ("memory.swap.current", "absent", "swapaccount")):
        row = rows[item]
        check(item, row["state"] == state and word in row["remedy"] and "without it: " in row["detail"], row)
    check("PSI", rows["pressure"]["state"] == "missing" and "psi=1" in rows["pressure"]["remedy"], rows["pressure"])
    check("processes", rows["processes"]["state"] == "warning" and "hidepid" in rows["processes"]["remedy"], rows["processes"])
    known = set(rows)
    shutil.rmtree(group)
    rows = doctor(s)
    same("no group to look at: no line is left out", set(rows), known)
    for item in ("memory.current", "memory.reclaim", "cgroup.freeze"):
        check(item, rows[item]["state"] == "warning" and "not known" in rows[item]["detail"]
              and rows[item]["remedy"] == "headroom run -- headroom doctor", rows[item])
