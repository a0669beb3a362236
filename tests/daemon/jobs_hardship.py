# SPDX-License-Identifier: LGPL-2.1-or-later
"""The daemon is killed, stopped and interfered with at any moment: no job is frozen and forgotten, and none is lost for it."""

import os
import random
import signal
import subprocess
import time

from jobs_kit import MEMORY, MIB, PATIENCE, PYTHON, UNIFIED, VERSION, check, read_text, same, scenario, wait_until

CRASHES = int(os.environ.get("HEADROOM_CRASHES", "12"))  # `make check-crashes` has 100
JOBS = 6
CROWD = 20


def frozen(s, status):
    """Does the kernel have any process of the job stopped?"""
    if any(read_text(f"/proc/{pid}/stat", "").rpartition(")")[2].split()[:1] == ["T"] for pid in s.pids(status)):
        return True
    leaf = os.path.basename(status["cgroup"])
    return bool(leaf) and any("frozen 1" in read_text(os.path.join(path, leaf, "cgroup.events"), "") for path in s.cgroups)


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
            # Slow enough that the kernel does not strike between two daemons: from the hold level that takes 0.4 s, and a
            # new daemon 0.04 s.
            method = dice.choice(("none", "signal:USR1"))
            runs.append(s.grow("--to", "90", "--rate", "5", "--start", str(dice.randrange(20, 50)),
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
        check(f"{run.name}: its status is 0 (seed {seed})", run.wait() == 0, (run.wait(), run.explain()))
        same(f"{run.name} has finished (seed {seed})", run.result()[0], "finished")
    check("jobs were there", len(runs) >= JOBS, len(runs))


@scenario("cgroup", "process")
def between_two_daemons(s):
    """
    The daemon is killed while one job is near its limit and one is not: the first is braked until the next daemon is
    there, two seconds later, and held by it before its limit; the second, and one that is only observed, run on.
    """
    daemon = s.daemon()
    far = s.program("nap", "--to", "20", "--rest", "12", limit="72M")
    observed = s.grow("--start", "50", "--to", "62", "--rate", "20", "--rest", "12", limit="72M", options=("--policy", "observe"))
    near = s.grow("--start", "50", "--to", "90", "--rate", "2", limit="72M")
    rows = {run.name: run.wait_watched() for run in (near, far, observed)}
    for run in (observed, near):
        wait_until("it is near its limit", lambda r=run: (r.status() or {"used_bytes": 0})["used_bytes"] > 60 * MIB, detail=run.explain)
    same("it runs", near.status()["stage"] in ("notice", "trim", "checkpoint"), True)
    daemon.kill()
    daemon.wait()
    wait_until("braked", lambda: frozen(s, rows[near.name]), 1, near.err)
    time.sleep(2)
    check("still", frozen(s, rows[near.name]), near.err())
    for run in (far, observed):
        check(f"{run.name} is not", not frozen(s, rows[run.name]), run.err())
    s.daemon()
    held_and_finished(s, [near])
    check("it was held by the next one", "freeze" in near.actions(), near.explain())
    for run in (far, observed):
        run.check_unharmed(run.wait())


@scenario("process")
def stopped_by_its_owner_between_two_daemons(s):
    """A tree near its limit that its owner had stopped himself before the daemon was killed is not continued by the next."""
    daemon = s.daemon()
    reached = os.path.join(s.work, "there")
    run = s.grow("--start", "62", "--to", "62", "--rest", "4", "--reached", reached, limit="72M")
    pid = int(wait_until("it is there", lambda: read_text(reached, ""), detail=run.explain))
    wait_until("that is seen", lambda: run.status()["used_bytes"] > 60 * MIB, detail=run.explain)
    os.kill(pid, signal.SIGSTOP)
    wait_until("it is stopped", lambda: frozen(s, run.status()), detail=run.explain)
    daemon.kill()
    daemon.wait()
    time.sleep(0.5)
    s.daemon()
    wait_until("it is known", run.status)
    time.sleep(2)
    check("still stopped", run.process.poll() is None and frozen(s, run.status()), run.explain())
    os.kill(pid, signal.SIGCONT)
    run.check_unharmed(run.wait())


@scenario("cgroup", "process")
def stopped_daemon(s):
    """SIGSTOP and SIGCONT to the daemon itself: it goes on where it was, and holds the job as ever."""
    daemon = s.daemon()
    run = s.grow("--to", "110", "--rate", "10", "--start", "30", limit="72M")  # stopped long before its hold level
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
    wait_until("no longer watched", lambda: s.jobs() == [])


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


# Moves a process of 3000 threads to and fro between two groups: the kernel's cgroup lock is held 10 to 200 ms at a time
# (Linux 6.18, 2 processors; a write to cgroup.freeze took 34 ms for one in ten, 145 ms at the most, with three of these).
BUSY = """
import os, sys, threading, time
top, threading.stack_size = sys.argv[1], threading.stack_size(65536) or threading.stack_size
for _ in range(3000):
    threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
leaves = [f"{top}/busy-{os.getpid()}-{leaf}" for leaf in "ab"]
for leaf in leaves:
    os.mkdir(leaf)
print("begun", flush=True)
while True:
    for leaf in leaves:
        with open(leaf + "/cgroup.procs", "w", encoding="ascii") as file:
            file.write("0")
"""


def start_crowd(s):
    """Jobs that stand at half of their limit, and grow all at once when s.work/go is made."""
    go = os.path.join(s.work, "go")
    runs = [s.grow("--start", "16", "--to", "80", "--go", go, "--reached", os.path.join(s.work, f"reached-{n}"), limit="48M")
            for n in range(CROWD)]
    for n, run in enumerate(runs):
        wait_until(f"{run.name} stands at its start", lambda p=os.path.join(s.work, f"reached-{n}"): os.path.exists(p), 60, run.explain)
    return runs, go


def held_and_finished(s, runs, room="100M"):
    """Each is held or has ended; with more room each finishes, and the kernel has killed none."""
    for run in runs:
        wait_until(f"{run.name} is held", lambda r=run: r.process.poll() is not None or
                   (r.status() or {}).get("stage") == "hold", 60, run.explain)
    for run in runs:
        if run.process.poll() is None:
            s.must("resume", run.name, "--limit", room)
    for run in runs:
        run.check_unharmed(run.wait(60))
        same(f"{run.name} has finished", run.result()[0], "finished")


@scenario("cgroup", alone=True)
def crowd_while_cgroups_are_busy(s):
    """
    Twenty jobs come to their limits at the same moment, while others move processes between cgroups, which makes each
    freeze wait for the kernel: every one is held, none is lost, and how long it took to stand still is among the events.
    """
    s.daemon()
    runs, go = start_crowd(s)
    busy = [s.popen([PYTHON, "-c", BUSY, path], stdout=subprocess.PIPE, text=True) for path in s.cgroups + s.cgroups[-1:]]
    for process in busy:
        same("it is busy", process.stdout.readline(), "begun\n")
    with open(go, "w", encoding="ascii"):
        pass
    held_and_finished(s, runs)
    for process in busy:
        process.kill()
    took = {e["job"]: e["reason"] for e in s.events() if e["action"] == "frozen" and e["outcome"] == "done"}
    frozen = {e["job"] for e in s.events() if e["action"] == "freeze" and e["outcome"] == "done"}
    check("many were held", len(frozen) > CROWD / 2, frozen)
    # One that got its room before it stood still has nothing to tell.
    check("it is told how long a freeze took", len(frozen & set(took)) > CROWD / 2, (frozen, took))
    check("run does not tell of that", not any("stands still" in run.err() for run in runs), runs[0].err())


@scenario("cgroup", alone=True)
def outruns_a_freeze_that_waits(s):
    """A job at full speed whose freeze waits for the kernel comes past its limit before it stands still, and is not lost."""
    s.daemon()
    busy = [s.popen([PYTHON, "-c", BUSY, path], stdout=subprocess.PIPE, text=True) for path in s.cgroups + s.cgroups[-1:]]
    for process in busy:
        same("it is busy", process.stdout.readline(), "begun\n")
    for _ in range(6):
        held_and_finished(s, [s.grow("--to", "600", "--rate", "0", limit="400M")], "800M")
    for process in busy:
        process.kill()


@scenario("cgroup", "process", alone=True)
def asked_without_pause(s):
    """While others ask for status and doctor without a pause, a job at full speed is held before its limit all the same."""
    s.daemon()
    client = os.path.join(s.build, "headroom")
    loop = f"while :; do {client} doctor; {client} status; done >/dev/null 2>&1"
    askers = [s.popen(["sh", "-c", loop]) for _ in range(7)]
    time.sleep(1)
    run = s.grow("--to", "300", "--rate", "0", limit="200M")
    held_and_finished(s, [run], "400M")
    for asker in askers:
        asker.kill()


@scenario("cgroup")
def freezer_refuses(s):
    """A job whose freezer refuses to work is not called held: that is told, and it is interrupted in time to save its work."""
    s.daemon()
    run = s.grow("--start", "40", "--to", "110", "--rate", "10", limit="72M")
    job = run.wait_watched()
    own = next(path for path in s.cgroups if os.path.exists(path + "/cgroup.freeze"))
    freeze = os.path.join(own, os.path.basename(job["cgroup"]), "cgroup.freeze")
    same("a freezer that refuses", subprocess.run(["mount", "--bind", "/dev/full", freeze], check=False).returncode, 0)
    s.mounts.append(freeze)
    check("it was ended by a signal", run.wait() != 0, run.explain())
    check("it saved", run.result()[0] == "saved", (run.result(), *run.explain()))
    told = [(e["action"], e["outcome"]) for e in s.events(run.name)]
    check("that it could not be frozen", ("freeze", "failed") in told, run.explain())
    check("its hold was passed over", told.index(("freeze", "failed")) < told.index(("freeze", "passed over"))
          < told.index(("interrupt", "started")), run.explain())
    check("never frozen", "frozen" not in [action for action, _ in told], told)
    refusals = [line for line in run.err().splitlines() if "could not be frozen" in line]
    check("nothing to answer to what is not held", refusals and not any("resume" in line for line in refusals), run.err())
    check("no OOM kill", run.end_event()["outcome"] != "lost", run.explain())
    wait_until("the group goes, and what was mounted there", lambda: not os.path.exists(freeze))
    s.mounts.remove(freeze)


@scenario("cgroup", alone=True)
def thawed_while_cgroups_are_busy(s):
    """Holding, resuming and detaching a job again and again while each write waits for the kernel: it ends running."""
    s.daemon()
    run = s.program("nap", "--to", "20", "--rest", "600", "--reached", os.path.join(s.work, "reached"))
    wait_until("it is there", lambda: os.path.exists(os.path.join(s.work, "reached")))
    status = run.wait_watched()
    busy = [s.popen([PYTHON, "-c", BUSY, path], stdout=subprocess.PIPE, text=True) for path in s.cgroups + s.cgroups[-1:]]
    for process in busy:
        same("it is busy", process.stdout.readline(), "begun\n")
    for _ in range(30):
        s.must("hold", run.name)
        s.must("resume", run.name)
    s.must("hold", run.name)
    wait_until("it stands still", lambda: s.stands_still(status))
    same("by our word too", run.status()["frozen"], True)
    s.must("resume", run.name)
    s.must("hold", run.name)
    s.must("detach", run.name)
    for process in busy:
        process.kill()
    own = next(path for path in s.cgroups if os.path.exists(path + "/cgroup.freeze"))
    freeze = os.path.join(own, os.path.basename(status["cgroup"]), "cgroup.freeze")
    same("detach has let it go", read_text(freeze), "0\n")
    same("nothing is on record", os.listdir(s.runtime + "/jobs"), [])


# Reads so much that cache fills what its limit leaves, then keeps what it makes; its handler takes its time.
READS_AND_KEEPS = """
import os, sys, time
with open("data", "wb") as out:
    for _ in range(160):
        out.write(bytes(1 << 20))
    os.fsync(out.fileno())
def read():
    with open("data", "rb", buffering=0) as data:
        while data.read(1 << 20):
            pass
kept = []
try:
    while True:
        read()
        kept += [bytearray(b"x") * (1 << 20) for _ in range(4)]
except KeyboardInterrupt:
    time.sleep(2)
    print("in order", flush=True)
"""


@scenario("cgroup")
def reserve_beside_cache(s):
    """What a job is given for its handlers is not taken back at once where cache fills its limit."""
    s.daemon("[policy default]\nhold_timeout = 0\ngrace = 10s\n")
    run = s.run(PYTHON, "-c", READS_AND_KEEPS, limit="100M")
    run.wait_event("interrupt", "started")
    run.wait_event("reserve", "done")
    time.sleep(1)
    check("it has its reserve", run.own_limit() >= 116 * MIB, run.explain())
    run.wait()
    same("its output", run.out(), "in order\n")
    check("nobody has set its limit", "limit" not in run.actions(), run.explain())


# Rises to a level, and when told so on to its end at once.
TWO_STEPS = """
import os, sys, time
kept = [bytearray(b"x") * (int(sys.argv[1]) << 10)]
open(sys.argv[3] + ".there", "w").close()
while not os.path.exists(sys.argv[3]):
    time.sleep(0.01)
for _ in range(int(sys.argv[2])):
    kept.append(bytearray(b"x") * (1 << 20))
print("finished", flush=True)
"""


@scenario("cgroup")
def lowered_below_its_tripwire(s):
    """A limit that is set so low that the job stands just below its hold level: it is held all the same when it goes on."""
    s.daemon()
    go = os.path.join(s.work, "go")
    run = s.run(PYTHON, "-c", TWO_STEPS, "290000", "100", go, limit="1000M")
    wait_until("it is there", lambda: os.path.exists(go + ".there"), detail=run.explain)
    time.sleep(4)
    stat = dict(line.split() for line in read_text(MEMORY + run.status()["cgroup"] + "/memory.stat").splitlines())
    lowered = int(stat["rss" if VERSION == 1 else "anon"]) * 1000 // 968 // 1024
    s.must("limit", run.name, f"{lowered}K")
    time.sleep(3)
    with open(go, "w", encoding="ascii"):
        pass
    time.sleep(1)  # who asks for its status has it looked at
    run.wait_held()
    s.must("resume", run.name, "--limit", "1000M")
    run.check_unharmed(run.wait())
    same("its output", run.out(), "finished\n")


# Comes to its hold level, rests there, and frees all when it is told to; its handler takes its time.
RESTS_AT_THE_WALL = """
import os, sys, time
def anon():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("RssAnon")) << 10
kept = []
while anon() < 380 << 20:
    kept.append(bytearray(b"x") * (1 << 20))
while anon() < 388 << 20:
    kept.append(bytearray(b"x") * (1 << 17))
    time.sleep(0.01)
open(sys.argv[1] + ".there", "w").close()
try:
    while not os.path.exists(sys.argv[1]):
        time.sleep(0.001)
    kept.clear()
    time.sleep(120)
except KeyboardInterrupt:
    time.sleep(3)
    print("in order", flush=True)
"""


def helper_of(daemon):
    return int(read_text(f"/proc/{daemon.pid}/task/{daemon.pid}/children").split()[0])


def kernel_limit(status):
    return int(read_text(MEMORY + status["cgroup"] + ("/memory.limit_in_bytes" if VERSION == 1 else "/memory.max")))


def stand_back(s, helper):
    """A job that rests at its hold level, with its limit stood back and its helper stopped; and what it waits for."""
    for number in range(10):  # it may be held on its way
        go = os.path.join(s.work, f"go-{number}")
        run = s.run(PYTHON, "-c", RESTS_AT_THE_WALL, go, limit="400M")
        status = run.wait_watched()
        os.kill(helper, signal.SIGSTOP)
        wait_until("it is there, or held on its way", lambda p=go, r=run: os.path.exists(p + ".there") or r.status()["frozen"], detail=run.explain)
        time.sleep(0.1)
        if kernel_limit(status) > 400 * MIB and not run.status()["frozen"]:
            return run, status, go
        os.kill(helper, signal.SIGCONT)
        s.must("kill", run.name)
        run.wait()
    raise AssertionError(f"none stood back: {run.explain()}")


@scenario("cgroup")
def late_helper_beside_a_reserve(s):
    """The old limit, which a late helper sets, does not end the reserve that was given to the job's handlers meanwhile."""
    helper = helper_of(s.daemon())
    run, status, _ = stand_back(s, helper)
    s.must("interrupt", run.name)
    run.wait_event("reserve", "done")
    os.kill(helper, signal.SIGCONT)
    time.sleep(1)
    check("it has its reserve", kernel_limit(status) >= 416 * MIB and run.own_limit() >= 416 * MIB, (kernel_limit(status), *run.explain()))
    run.wait()
    same("its output", run.out(), "in order\n")


@scenario("cgroup")
def new_limit_after_one_that_stood_back(s):
    """A limit that is set after the old one has stood back for a while is the one that the next daemon knows."""
    daemon = s.daemon()
    helper = helper_of(daemon)
    run, status, go = stand_back(s, helper)
    os.kill(helper, signal.SIGCONT)
    wait_until("it has closed up", lambda: kernel_limit(status) == 400 * MIB, detail=run.explain)
    with open(go, "w", encoding="ascii"):
        pass
    wait_until("all is freed", lambda: run.status()["used_bytes"] < 100 * MIB, detail=run.explain)
    s.must("limit", run.name, "800M")
    daemon.kill()
    daemon.wait()
    s.daemon()
    same("its limit", run.own_limit(), 800 * MIB)
    time.sleep(1)
    same("the kernel's", kernel_limit(status), 800 * MIB)
    s.must("kill", run.name)
    run.wait()
