# SPDX-License-Identifier: LGPL-2.1-or-later
"""The ladder on real jobs: who is warned, held, given room, interrupted, ended, and who is left in peace."""

import os
import time
from datetime import datetime

from jobs_kit import MIB, PATIENCE, PYTHON, VERSION, check, read_text, rss_of, same, scenario, state_of, wait_until
from jobs_record import told


def held_then_given_room(s, run, target, more):
    """What all growing jobs must come to."""
    held = run.wait_held()
    # A tree has no kernel that charges it page by page: between two looks it may pass its limit, and nothing ends it.
    # On v1 a freeze that waits for the kernel is outrun: the limit stands back for it, and that is told.
    outran = "reserve" in run.actions()
    most = held["limit_bytes"] * (1 if s.kind == "cgroup" and not outran else 1.5)
    check("held before its limit", held["used_bytes"] < most, held)
    check("near its limit", held["used_bytes"] > held["limit_bytes"] * 0.9, held)
    before = rss_of(held["leader_pid"])
    time.sleep(1)
    same("it takes no more while it is held", rss_of(held["leader_pid"]), before)
    wait_until("run says it, with the command to answer with", lambda: "headroom resume" in run.err() and "--limit" in run.err(),
               detail=run.err)
    out = s.must("resume", run.name, "--limit", more)
    check("the answer names the limit", "limit" in out, out)
    run.check_unharmed(run.wait())
    same("its result", run.result()[0], "finished")
    check("all of it", run.result()[1] >= target - 16, run.result())


@scenario("cgroup", "process")
def slow_growth(s):
    """A job that grows at 20 MB/s is warned, held before its limit, and finishes right once it has more room."""
    s.daemon()
    run = s.grow("--to", "110", "--rate", "20", limit="72M")
    same("kind", run.wait_watched()["kind"] if s.kind == "process" else "process", "process")
    held_then_given_room(s, run, 110, "200M")
    actions = run.actions()
    check("it was warned before it was held", actions.index("notice") < actions.index("freeze"), actions)


@scenario("cgroup", "process", alone=True)
def fast_growth(s):
    """
    A job that grows as fast as it can is held all the same, and finishes right. Before its limit where something
    brakes it (memory.high); on cgroup v1 its limit stands back until it stands still. A tree may pass its limit
    between two looks, which harms nobody.
    """
    s.daemon()
    for _ in range(3):
        held_then_given_room(s, s.grow("--to", "600", limit="400M"), 600, "900M")


@scenario("cgroup", "process", alone=True)
def fast_growth_on_a_busy_machine(s):
    """The same among 40 busy processes; where its freeze waits for the kernel, it may finish meanwhile: none is lost."""
    s.daemon()
    busy = [s.popen(["sh", "-c", "while :; do :; done"]) for _ in range(40)]
    for _ in range(3):
        run = s.grow("--to", "200", limit="100M")
        if wait_until("it is held, or has ended", lambda r=run: r.process.poll() is not None or
                      (r.status() or {}).get("stage") == "hold" and "held", 120, run.explain) == "held":
            s.client("resume", run.name, "--limit", "400M")  # too late for one that has finished; one that is held would stay
        run.check_unharmed(run.wait(120))
        same("its result", run.result()[0], "finished")
    for process in busy:
        process.kill()


@scenario("cgroup", "process")
def page_cache(s):
    """A job that reads four times its limit of files, file by file, is never warned."""
    s.daemon()
    folder = os.path.join(s.work, "data")
    os.mkdir(folder)
    if s.user:
        os.chown(folder, s.user, s.user)
    run = s.program("read", "--folder", folder, "--size", "12", "--total", "400", limit="64M")
    run.check_unharmed(run.wait(90))
    check("it read all", run.result()[0] == "finished" and run.result()[1] >= 400, run.result())
    same("what was done to it", run.actions(), [])
    same("what run said", [line for line in run.err().splitlines() if "bytes" not in line], [])


@scenario("cgroup", "process")
def plateau_95(s):
    """A job that rises to 95 % of its limit, stays there and finishes is never frozen."""
    s.daemon()
    run = s.grow("--to", "95", "--rate", "40", "--rest", "3", limit="100M")
    wait_until("it is there", lambda: (run.status() or {"peak_bytes": 0})["peak_bytes"] > 92 * MIB, detail=run.explain)
    run.check_unharmed(run.wait())
    same("its result", run.result()[0], "finished")
    check("never frozen", not set(run.actions()) & {"freeze", "interrupt", "kill", "fuse"}, run.explain())


@scenario("cgroup", "process")
def plateau_83(s):
    """A job that came to 83 % long ago sits there in peace: nothing but a notice, and none that comes again."""
    s.daemon()
    reached = os.path.join(s.work, "reached")
    group = s.make_group("resting") if s.kind == "cgroup" else None
    program = s.popen([PYTHON, s.workload, "grow", "--to", "83", "--rest", "60", "--state", s.work + "/state",
                       "--reached", reached], group=group)
    pid = int(wait_until("it is there", lambda: read_text(reached, "")))
    if s.kind == "cgroup":
        s.must("attach", group, "--name", "resting", "--limit", "100M")
    else:
        s.must("attach", str(pid), "--name", "resting", "--limit", "100M")
    time.sleep(4)
    status = s.status("resting")
    check("it is at 83 %", 81 < status["used_bytes"] / MIB < 89, status)
    check("nothing but a notice", set(e["action"] for e in s.events("resting")) <= {"watch", "limit", "notice"}, s.told("resting"))
    s.must("detach", "resting")
    program.terminate()


@scenario("cgroup", "process")
def staircase(s):
    """A job that keeps one file after the other is held before the file that would not fit, and gets its room."""
    s.daemon()
    run = s.program("stairs", "--to", "96", "--size", "8", "--rest", "0.4", limit="72M")
    held_then_given_room(s, run, 96, "160M")
    actions = run.actions()
    same("it was warned once before", actions[:actions.index("freeze")].count("notice"), 1)


@scenario("cgroup", "process")
def staircase_that_fits(s):
    """A staircase that ends below its limit finishes without being held, though each of its steps is steep."""
    s.daemon()
    run = s.program("stairs", "--to", "48", "--size", "8", "--rest", "0.3", limit="72M")
    run.check_unharmed(run.wait())
    check("never frozen", "freeze" not in run.actions(), run.explain())


@scenario("cgroup", "process")
def fuse(s):
    """A held job that is interrupted meets MemoryError or KeyboardInterrupt in its script, and its finally saves."""
    s.daemon()
    run = s.grow("--to", "200", "--rate", "60", limit="72M")
    run.wait_held()
    s.must("interrupt", run.name)
    status = run.wait()
    check("python ended by its exception", status in (1, 130, 128 + 2), (status, *run.explain()))
    why = read_text(run.state + ".why", "").strip()
    check("the exception", why in ("MemoryError", "KeyboardInterrupt"), why)
    word, size = run.result()
    check("it saved what it had", word == "saved" and size > 50, (word, size))
    check("no OOM kill", run.end_event()["outcome"] != "lost", run.explain())


@scenario("cgroup", "process")
def fuse_from_the_start(s):
    """`run --fuse` turns one allocation that does not fit into a MemoryError at its line, and nothing else happens."""
    s.daemon()
    code = "import sys\ntry:\n x = bytearray(b'x') * (300 << 20)\nexcept MemoryError:\n print('caught'); sys.exit(7)"
    run = s.run(PYTHON, "-c", code, limit="100M", options=("--fuse",))
    run.check_unharmed(run.wait(), 7)
    same("its line", run.out(), "caught\n")


@scenario("cgroup", "process")
def resume_without_room(s):
    """`resume` without more room thaws with the fuse armed: the next large allocation is a MemoryError, which saves."""
    s.daemon()
    # What it has under way when it is held, and what its fuse leaves it, must fit below its limit.
    run = s.grow("--to", "200", "--rate", "60", "--step", "256", limit="72M")
    run.wait_held()
    out = s.must("resume", run.name)
    check("the answer says so", "MemoryError" in out, out)
    same("python ended by its exception", run.wait(), 1)
    same("which one", read_text(run.state + ".why", "").strip(), "MemoryError")
    same("it saved", run.result()[0], "saved")


@scenario("cgroup", "process")
def half_a_result(s):
    """A job that Headroom interrupts and that returns 0 all the same makes run return 75."""
    s.daemon()
    run = s.grow("--to", "200", "--rate", "60", "--return-zero", limit="72M")
    run.wait_held()
    s.must("interrupt", run.name)
    same("status", run.wait(), 75)
    check("run says why", "half done" in run.err(), run.err())


@scenario("cgroup", "process")
def batch_policy(s):
    """Policy batch does not hold: at the wall it interrupts, and the job saves."""
    s.daemon()
    run = s.grow("--to", "200", "--rate", "40", limit="72M", options=("--policy", "batch"))
    status = run.wait()
    check("ended by its exception", status in (1, 130), (status, *run.explain()))
    same("it saved", run.result()[0], "saved")
    check("never held for an answer", ("freeze", "done") not in [(e["action"], e["outcome"]) for e in s.events(run.name)],
          run.explain())


@scenario("cgroup", "process")
def observe_policy(s):
    """Policy observe tells of the whole ladder and does nothing: the job runs on, and its limit is the kernel's."""
    s.daemon()
    run = s.grow("--to", "76", "--rate", "10", limit="80M", options=("--policy", "observe"))  # it is looked at once a second
    run.check_unharmed(run.wait())
    outcomes = set(e["outcome"] for e in s.events(run.name) if e["action"] not in ("watch", "end"))
    same("what it did", outcomes, {"observed"})


@scenario("cgroup", "process")
def stubborn_killed_by_verb(s):
    """A job that ignores every signal is ended by `headroom kill`, held or not."""
    s.daemon()
    for held in (False, True):
        reached = os.path.join(s.work, f"there-{held}")
        run = s.program("nap", "--to", "20", "--rest", "120", "--stubborn", "--reached", reached)
        wait_until("it is there", lambda path=reached: os.path.exists(path))
        if held:
            s.must("hold", run.name)
            run.wait_held()
        s.must("kill", run.name)
        same("status", run.wait(), 137)


@scenario("cgroup", "process")
def stubborn_ended_by_the_ladder(s):
    """A job that ignores SIGINT and SIGTERM is killed once its grace is over, and only then."""
    s.daemon("[policy default]\ngrace = 1s\n")
    reached = os.path.join(s.work, "there")
    run = s.program("nap", "--to", "70", "--rest", "120", "--stubborn", "--reached", reached, limit="80M")
    wait_until("it is there", lambda: os.path.exists(reached))
    s.must("interrupt", run.name)
    same("status", run.wait(), 137)
    actions = run.actions("notice", "trim", "checkpoint", "fuse", "reserve")
    same("in this order", actions, ["interrupt", "terminate", "kill"])
    times = [e["time"] for e in s.events(run.name) if e["action"] in actions]
    check("each had its grace", times == sorted(times), times)


@scenario("cgroup", "process")
def hold_is_over(s):
    """A hold that nobody answers ends by an interrupt when the longest hold is over; the job saves."""
    s.daemon("[policy default]\nhold_max = 2s\ngrace = 5s\n")
    run = s.grow("--to", "200", "--rate", "60", limit="72M")
    status = run.wait()
    check("ended by its exception", status in (1, 130), (status, *run.explain()))
    same("it saved", run.result()[0], "saved")
    actions = run.actions()
    check("held, then interrupted", actions.index("freeze") < actions.index("interrupt"), run.explain())


@scenario("cgroup", "process")
def elastic_limit(s):
    """A policy that gives room raises the limit by itself, and nobody is asked."""
    s.daemon("[policy default]\nelastic = yes\nlimit_max = 300M\n")
    run = s.grow("--to", "110", "--rate", "40", limit="72M")
    run.check_unharmed(run.wait(60))
    same("its result", run.result()[0], "finished")
    limits = [e["limit_bytes"] for e in s.events(run.name)]
    check("the limit was raised", max(limits) > 100 * MIB, limits)


@scenario("cgroup", alone=True)
def thirty_at_once(s):
    """Thirty jobs that cross their limits at the same time are all held, none is lost, all finish with more room."""
    s.daemon()
    gate = os.path.join(s.work, "gate")
    wait = f"import os, sys, time\nwhile not os.path.exists({gate!r}): time.sleep(0.05)\n" \
           "os.execv(sys.argv[1], sys.argv[1:])"
    runs = []
    for number in range(30):
        state = os.path.join(s.work, f"thirty-{number}")
        run = s.run(PYTHON, "-c", wait, PYTHON, s.workload, "grow", "--to", "40", "--rate", "8", "--state", state, limit="32M")
        run.state = state
        runs.append(run)
    wait_until("all are watched", lambda: len(s.jobs()) == 30)
    with open(gate, "w", encoding="ascii"):
        pass
    wait_until("all are held", lambda: sum(job["frozen"] for job in s.jobs()) == 30, 90,
               lambda: [(job["name"], job["stage"], job["used_bytes"]) for job in s.jobs() if not job["frozen"]])
    for run in runs:
        s.must("resume", run.name, "--limit", "64M")
    for run in runs:
        run.check_unharmed(run.wait(90))
        same(run.name, run.result()[0], "finished")


@scenario("cgroup", "process")
def stopped_by_its_owner(s):
    """A job that its owner stopped himself is not continued by a hold and a resume."""
    s.daemon()
    reached = os.path.join(s.work, "there")
    run = s.program("nap", "--to", "20", "--rest", "5", "--reached", reached)
    pid = int(wait_until("it is there", lambda: read_text(reached, "")))
    os.kill(pid, 19)
    wait_until("it is stopped", lambda: state_of(pid) == "T")
    s.client("hold", run.name)
    s.client("resume", run.name)
    time.sleep(3)
    check("still stopped", run.process.poll() is None and state_of(pid) == "T", (run.explain(), state_of(pid)))
    os.kill(pid, 18)
    run.check_unharmed(run.wait(PATIENCE))


@scenario("cgroup", "process")
def held_after_its_owner_had_stopped_it(s):
    """A hold of a job that its owner has stopped has nothing to stop: it is held all the same when it comes to its limit."""
    s.daemon()
    go, reached = os.path.join(s.work, "go"), os.path.join(s.work, "there")
    run = s.grow("--start", "30", "--to", "90", "--rate", "10", "--go", go, "--reached", reached, limit="72M")
    pid = int(wait_until("it is there", lambda: read_text(reached, ""), detail=run.explain))
    os.kill(pid, 19)
    wait_until("it is stopped", lambda: state_of(pid) == "T")
    s.client("hold", run.name)
    s.client("resume", run.name)
    os.kill(pid, 18)
    with open(go, "w", encoding="ascii"):
        pass
    run.wait_held()
    s.must("resume", run.name, "--limit", "140M")
    run.check_unharmed(run.wait())
    same("its result", run.result()[0], "finished")


@scenario("cgroup", "process")
def numbers_of_status(s):
    """status tells a growing job's use, growth, time left and peak as they are."""
    s.daemon()
    run = s.grow("--to", "90", "--rate", "10", "--rest", "1", limit="200M")

    def grown():
        status = run.status()
        return status and status["used_bytes"] > 50 * MIB and status
    status = wait_until("it grows", grown)
    real = rss_of(status["leader_pid"])
    check("used", abs(real - status["used_bytes"]) < 16 * MIB, (real, status))
    check("growth near 10 MB/s", 3e6 < status["growth_bytes_per_second"] < 40e6, status)
    # On a busy machine it may just have caught up, at full speed: for a moment the least that is left is less.
    wait_until("time left", lambda: 2 < ((run.status() or status)["seconds_to_limit"] or 0) < 60, detail=run.explain)
    same("headroom", status["headroom_bytes"], status["limit_bytes"] - status["used_bytes"])
    same("source", status["limit_source"], "own")
    run.check_unharmed(run.wait())


def switches(daemon):
    """How often the deciding thread has woken up."""
    lines = read_text(f"/proc/{daemon.pid}/task/{daemon.pid}/status").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))


@scenario("cgroup")
def at_rest_left_to_its_tripwire(s):
    """Ten seconds after it moved last a job isn't looked at any more, and once it grows that is seen at once."""
    daemon = s.daemon("[host]\nguard = no\n")
    go = os.path.join(s.work, "go")
    run = s.grow("--start", "20", "--to", "60", "--rate", "100", "--rest", "600", "--go", go, limit="400M")
    run.wait_watched()
    time.sleep(16)
    before = switches(daemon)
    time.sleep(8)
    same("wake-ups in 8 s of rest", switches(daemon) - before, 0)
    began = time.time()
    with open(go, "w", encoding="ascii"):
        pass
    time.sleep(5)
    s.must("kill", run.name)
    run.wait()
    samples = told(s, run.name, outcome="killed")["samples"]
    seen = [p for p in samples if p["used_bytes"] > 40 * MIB]
    check("its growth is on record", seen, samples)
    check("at once", datetime.fromisoformat(seen[0]["time"].replace("Z", "+00:00")).timestamp() < began + 2, (began, samples))
