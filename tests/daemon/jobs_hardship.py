# SPDX-License-Identifier: LGPL-2.1-or-later
"""The daemon is killed, stopped and interfered with at any moment: no job is frozen and forgotten, and none is lost for it."""

import os
import random
import signal
import time

from jobs_kit import MIB, PATIENCE, PYTHON, UNIFIED, VERSION, check, read_text, same, scenario, wait_until

CRASHES = int(os.environ.get("HEADROOM_CRASHES", "12"))  # `make check-crashes` has 100
JOBS = 6


def cpu_seconds(pid):
    fields = read_text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@scenario("cgroup", "process", alone=True)
def crashes_at_any_moment(s):
    """
    kill -9 of the daemon at random moments, while six jobs are at any stage of their ladders: after each there is a new
    one, which knows every job that runs. All of them finish, and nobody ever waits for a daemon that is not there.
    """
    seed = random.randrange(1 << 32)
    dice = random.Random(seed)
    daemon = s.daemon()
    runs, crashes, held_since = [], 0, {}
    until = time.monotonic() + 60 + 3 * CRASHES
    while crashes < CRASHES or any(run.process.poll() is None for run in runs):
        check(f"all have ended in time (seed {seed})", time.monotonic() < until, [(s.status(run.name), run.explain()) for run in runs if run.process.poll() is None])
        running = [run for run in runs if run.process.poll() is None]
        if crashes < CRASHES and len(running) < JOBS:
            # Slow enough that the kernel does not strike in the part of a second between two daemons.
            method = dice.choice(("none", "signal:USR1"))
            runs.append(s.grow("--to", "100", "--rate", "8", "--start", str(dice.randrange(10, 50)),
                               "--usr1", os.path.join(s.work, f"saved-{len(runs)}"), limit="72M", options=("--checkpoint", method)))
        if crashes < CRASHES and dice.random() < 0.3:
            daemon.kill()
            daemon.wait()
            crashes += 1
            s.runtime_left_by = sorted(os.listdir(s.runtime + "/jobs"))
            daemon = s.daemon()
            known = {job["name"] for job in s.jobs()}
            for run in runs:
                if run.process.poll() is None:
                    wait_until(f"{run.name} is known to the new daemon, or has ended (seed {seed})",
                               lambda r=run: r.name in known or r.process.poll() is not None or r.status(), 10,
                               lambda r=run: (r.explain(), s.runtime_left_by))
        for job in s.jobs():
            first = held_since.setdefault(job["job"], time.monotonic()) if job["frozen"] and job["stage"] == "hold" else None
            if first is None:
                held_since.pop(job["job"], None)
            elif time.monotonic() - first > dice.random() * 3:
                s.client("resume", job["job"], "--limit", "200M")  # refused if it was thawed meanwhile
        time.sleep(dice.random() * 0.4)
    for run in runs:
        if run.wait() == 125:  # the daemon was killed while it was asked
            same(f"{run.name}: not begun by half", run.result()[0], "nothing")
            continue
        same(f"{run.name}: its status (seed {seed})", run.wait(), 0)
        same(f"{run.name} has finished (seed {seed})", run.result()[0], "finished")
    check("jobs were there", len(runs) >= JOBS, len(runs))


@scenario("cgroup", "process")
def stopped_daemon(s):
    """SIGSTOP and SIGCONT to the daemon itself: it goes on where it was, and holds the job as ever."""
    daemon = s.daemon()
    run = s.grow("--to", "110", "--rate", "10", "--start", "40", limit="72M")
    run.wait_watched()
    for _ in range(5):
        daemon.send_signal(signal.SIGSTOP)
        time.sleep(0.1)
        daemon.send_signal(signal.SIGCONT)
        time.sleep(0.2)
    run.wait_held()
    s.must("resume", run.name, "--limit", "200M")
    run.check_unharmed(run.wait())
    same("its result", run.result()[0], "finished")


@scenario("cgroup")
def leaves_its_cgroup(s):
    """A job that moves itself out of its cgroup is no longer watched, and goes on; run ends with its status."""
    s.daemon()
    others = s.make_group("elsewhere")
    mount = s.cgroups[0][:-len(s.memory)]
    out = os.path.join(s.work, "out")
    run = s.run("sh", "-c", f"sleep 1; echo $$ > {mount}{others}/cgroup.procs; sleep 2; echo done > {out}; exit 7")
    run.wait_watched()
    same("its status", run.wait(), 7)
    same("what it did", read_text(out), "done\n")
    same("no longer watched", s.jobs(), [])


@scenario("cgroup")
def frozen_by_somebody_else(s):
    """A cgroup that another manager freezes is not thawed by us, costs no time, and the job goes on when he thaws it."""
    daemon = s.daemon()
    run = s.program("nap", "--to", "20", "--rest", "3")
    job = run.wait_watched()
    own = next(path for path in s.cgroups if os.path.exists(path + "/cgroup.freeze"))
    freeze = os.path.join(own, os.path.basename(job["cgroup"]), "cgroup.freeze")
    check("has a freezer", os.path.exists(freeze), freeze)
    with open(freeze, "w", encoding="ascii") as file:
        file.write("1")
    before = cpu_seconds(daemon.pid)
    time.sleep(3)
    check("no time spent", cpu_seconds(daemon.pid) - before < 0.3, cpu_seconds(daemon.pid) - before)
    check("still frozen", s.stands_still(s.status(run.name)), s.told(run.name))
    check("resume says that it is none of ours", s.client("resume", run.name)[0] == 1, s.told(run.name))
    with open(freeze, "w", encoding="ascii") as file:
        file.write("0")
    run.check_unharmed(run.wait())
