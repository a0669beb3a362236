# SPDX-License-Identifier: LGPL-2.1-or-later
"""Jobs that were there before: attached by pid or cgroup, found by [match] rules, gone and back under one name."""

import os
import time

from jobs_kit import MEMORY, MIB, PYTHON, VERSION, check, is_alive, read_text, same, scenario, state_of, wait_until

LIMIT_FILE = "memory.limit_in_bytes" if VERSION == 1 else "memory.max"


def start_program(s, *words, group=None, **options):
    """A program that nobody watches; its pid once it has come to rest."""
    reached = os.path.join(s.work, f"there-{len(s.processes)}")
    program = s.popen([PYTHON, s.workload, *words, "--reached", reached], group=group, **options)
    wait_until("it is there", lambda: os.path.exists(reached))
    return program


def set_limit(group, mib):
    with open(f"{MEMORY}{group}/{LIMIT_FILE}", "w", encoding="ascii") as file:
        file.write(str(mib * MIB))


@scenario("cgroup", "process")
def attach_a_pid(s):
    """A process that runs is attached by its pid, held, resumed and detached, and moved nowhere."""
    s.daemon()
    program = start_program(s, "nap", "--to", "20", "--rest", "60")
    before = read_text(f"/proc/{program.pid}/cgroup")
    out = s.must("attach", str(program.pid), "--name", "old", "--limit", "100M")
    job = s.status("old")
    same("its id", out.strip(), job["job"])
    same("kind", job["kind"], "process")
    same("limit", s.own_limit("old"), 100 * MIB)
    same("not moved", read_text(f"/proc/{program.pid}/cgroup"), before)
    status, _, err = s.client("attach", str(program.pid))
    check("not twice", status == 1 and job["job"] in err, (status, err))
    s.must("hold", "old")
    wait_until("stopped", lambda: state_of(program.pid) == "T")
    s.must("detach", "old")
    wait_until("detach lets it go", lambda: state_of(program.pid) != "T")
    same("not listed", s.status("old"), None)
    program.terminate()
    program.wait()


@scenario("cgroup", "process")
def attached_and_held(s):
    """A process that was attached is held before the limit that it got there, and finishes with more room."""
    s.daemon()
    state = os.path.join(s.work, "state")
    program = s.popen([PYTHON, s.workload, "grow", "--to", "110", "--rate", "20", "--state", state])
    wait_until("it is itself", lambda: "python" in read_text(f"/proc/{program.pid}/comm", ""))
    s.must("attach", str(program.pid), "--name", "old", "--limit", "72M")
    s.wait_held("old")
    s.must("resume", "old", "--limit", "200M")
    same("status", program.wait(60), 0)
    same("its result", read_text(state).split()[0], "finished")


@scenario("cgroup")
def attach_a_cgroup(s):
    """A cgroup is attached where it stands: its limit is set and read, its processes are held and let go."""
    s.daemon()
    group = s.make_group("batch-step")
    state = os.path.join(s.work, "state")
    program = s.popen([PYTHON, s.workload, "grow", "--to", "110", "--rate", "20", "--state", state], group=group)
    s.wait_in_group(program, group)
    out = s.must("attach", group, "--limit", "72M", "--name", "step")
    job = s.status("step")
    same("its id", out.strip(), job["job"])
    same("kind", job["kind"], f"cgroup{VERSION}")
    same("cgroup", job["cgroup"], group)
    same("limit, by the kernel's word", int(read_text(f"{MEMORY}{group}/{LIMIT_FILE}")), 72 * MIB)
    s.wait_held("step")
    s.must("resume", "step", "--limit", "200M")
    same("status", program.wait(60), 0)
    same("its result", read_text(state).split()[0], "finished")
    wait_until("not listed", lambda: s.status("step") is None)
    check("the group is not ours to remove", os.path.isdir(MEMORY + group), group)
    status, _, err = s.client("attach", s.memory + "/nosuch")
    check("no such cgroup", status == 1 and "nosuch" in err, (status, err))


@scenario("cgroup")
def limit_by_somebody_else(s):
    """A limit that somebody else writes on the job's cgroup is seen once the job moves, and judged by."""
    s.daemon()
    group = s.make_group("theirs")
    set_limit(group, 300)
    program = s.popen([PYTHON, s.workload, "grow", "--to", "90", "--rate", "6", "--rest", "60", "--state", s.work + "/state"],
                      group=group)
    s.wait_in_group(program, group)
    s.must("attach", group, "--name", "theirs")
    same("read", s.own_limit("theirs"), 300 * MIB)
    set_limit(group, 100)
    wait_until("seen", lambda: s.own_limit("theirs") == 100 * MIB, 30)
    program.kill()
    program.wait()
    wait_until("the first has ended", lambda: s.status("theirs") is None)
    resting = start_program(s, "nap", "--to", "10", "--rest", "90", group=group)
    s.must("attach", group, "--name", "resting")
    time.sleep(2)
    set_limit(group, 70)
    wait_until("seen of one that rests, too", lambda: s.own_limit("resting") == 70 * MIB, 30)
    resting.kill()
    resting.wait()


@scenario("cgroup")
def limit_of_one_found(s):
    """So is one that is written on a found job's, which the kernel tells of, though its memory stands still."""
    group = s.make_group("theirs")
    set_limit(group, 300)
    start_program(s, "nap", "--to", "10", "--rest", "90", group=group)
    s.daemon(f"[match tests]\ncgroup = {group}\npolicy = default\n")
    wait_until("found", s.jobs, detail=s.log)
    same("its limit", s.own_limit("theirs"), 300 * MIB)
    time.sleep(3)
    set_limit(group, 200)
    wait_until("seen", lambda: s.own_limit("theirs") == 200 * MIB, 12, s.log)


@scenario("cgroup")
def limit_above_set_later(s):
    """A limit that is set later on a cgroup above the job is seen, named, and acted on before it is reached."""
    s.daemon()
    run = s.grow("--to", "150", "--rate", "8", "--start", "20", limit="300M")
    run.wait_watched()
    set_limit(s.memory, 100)
    held = run.wait_held()
    check("by that limit", held["limit_source"].endswith(os.path.basename(s.memory)), held)
    check("before it", held["used_bytes"] < 100 * MIB, held)
    set_limit(s.memory, 400)
    wait_until("it can go on", lambda: s.client("resume", run.name)[0] == 0 or not s.status(run.name)["frozen"])
    run.check_unharmed(run.wait())
    same("its result", run.result()[0], "finished")


@scenario("cgroup")
def match_observes(s):
    """A [match] rule finds a cgroup that appears; by default it is only observed, up to the kernel's own limit."""
    s.daemon(f"[match tests]\ncgroup = {s.memory}/found-*\n")
    group = s.make_group("found-1")
    other = s.make_group("other-1")
    set_limit(group, 80)
    state = os.path.join(s.work, "state")
    program = s.popen([PYTHON, s.workload, "grow", "--to", "72", "--rate", "12", "--rest", "2", "--state", state],
                      group=group)
    bystander = start_program(s, "nap", "--rest", "60", group=other)
    job = wait_until("it is found", lambda: [j for j in s.jobs() if j["cgroup"] == group], detail=s.log)[0]
    same("policy", job["policy"], "observe")
    same("status", program.wait(60), 0)
    same("its result", read_text(state).split()[0], "finished")
    told = s.events(job["job"])
    outcomes = {e["outcome"] for e in told if e["action"] not in ("watch", "end")}
    same("only observed", outcomes, {"observed"})
    check("no other", not [e for e in s.events() if e["job"] not in (job["job"], "")], s.told(None))
    bystander.kill()
    bystander.wait()


@scenario("cgroup")
def limit_above_that_comes_suddenly(s):
    """Somebody limits the group above a job that grows: it is held before that limit, three seconds later, which is named."""
    s.daemon()
    run = s.grow("--start", "10", "--to", "160", "--rate", "25", limit="300M")
    wait_until("it grows", lambda: (run.status() or {"used_bytes": 0})["used_bytes"] > 40 << 20, detail=run.explain)
    above = os.path.dirname(run.status()["cgroup"])
    set_limit(above, 100)
    held = run.wait_held()
    same("what binds it", held["limit_source"], above)
    set_limit(above, 4096)
    run.check_unharmed(run.wait())
    same("its result", run.result()[0], "finished")


@scenario("cgroup")
def match_with_policy_and_limit(s):
    """A [match] rule may name a policy and a limit: the job that it finds is held before it, and let go by its owner."""
    s.daemon(f"[match tests]\ncgroup = {s.memory}/**\npolicy = default\nlimit = 72M\n"
             .replace("**", "found-*"))
    group = s.make_group("found-2")
    state = os.path.join(s.work, "state")
    program = s.popen([PYTHON, s.workload, "grow", "--to", "110", "--rate", "15", "--state", state], group=group)
    job = wait_until("it is found", lambda: [j for j in s.jobs() if j["cgroup"] == group], detail=s.log)[0]
    s.wait_held(job["job"])
    s.must("resume", job["job"], "--limit", "200M")
    same("status", program.wait(60), 0)


@scenario("cgroup")
def match_many(s):
    """Hundreds of cgroups that were there before are all found, however busy the helper is."""
    many = 1000
    for number in range(many):
        s.popen(["/bin/sleep", "600"], group=s.make_group(f"many-{number}"))
    s.daemon(f"[match tests]\ncgroup = {s.memory}/many-*\n")
    wait_until("all are watched", lambda: len(s.jobs()) == many, 120, lambda: f"{len(s.jobs())} of {many}")


@scenario("cgroup")
def match_locked(s):
    """Where a rule locks, the owner can neither detach the job nor change its policy; root can."""
    s.daemon(f"[match tests]\ncgroup = {s.memory}/found-*\npolicy = default\nlock = yes\n")
    os.chmod(s.work, 0o777)
    group = s.make_group("found-3")
    program = start_program(s, "nap", "--to", "10", "--rest", "60", group=group, user=65534)
    job = wait_until("it is found", lambda: [j for j in s.jobs() if j["cgroup"] == group], detail=s.log)[0]["job"]
    for words in (("detach", job), ("policy", "set", job, "observe")):
        status, _, err = s.client(*words, user=65534)
        check(" ".join(words), status == 5, (status, err))
    s.must("detach", job)
    program.kill()
    program.wait()


@scenario("cgroup")
def match_leaves_what_is_placed(s):
    """A group that is made for a `run` is that job's, also while it has not come yet: no rule takes it for found."""
    s.daemon(f"[match tests]\ncgroup = {s.memory}/*\npolicy = default\nlimit = 72M\n")
    placed, found = s.make_group("headroom-j4711-1"), s.make_group("headroom-jobs")
    for group in (placed, found):
        s.wait_in_group(s.popen(["/bin/sleep", "60"], group=group), group)
    wait_until("the other is found", lambda: [j for j in s.jobs() if j["cgroup"] == found], detail=s.log)
    time.sleep(0.5)
    same("this one is not", [j["cgroup"] for j in s.jobs()], [found])


@scenario("cgroup", "process")
def match_of_a_run(s):
    """A rule reaches a job started with `run`: its policy unless another is asked for, its limit, and its lock."""
    # Nobody else's cgroup may fit: a limit would be set on it.
    where = "user = nobody" if s.user else f"user = root\ncgroup = {s.memory}/headroom-*"
    s.daemon(f"[policy soft]\nnotice = 60%\n[match tests]\n{where}\npolicy = soft\nlimit = 72M\n")
    run = s.program("nap", "--to", "10", "--rest", "60", limit=None)
    same("by the rule", run.wait_watched()["policy"], "soft")
    wait_until("limited by the rule", lambda: s.own_limit(run.name) == 72 * MIB, detail=run.explain)
    other = s.program("nap", "--to", "10", "--rest", "60", limit="90M", options=("--policy", "batch"))
    same("by its owner", other.wait_watched()["policy"], "batch")
    same("limit of its owner", s.own_limit(other.name), 90 * MIB)
    s.must("detach", run.name)


@scenario("cgroup", "process")
def match_observes_no_run(s):
    """A rule that only observes is a dry run for what nobody asked to watch: `run` is watched as always."""
    s.daemon("[match tests]\n" + ("user = nobody\n" if s.user else f"user = root\ncgroup = {s.memory}/headroom-*\n"))
    run = s.program("nap", "--to", "10", "--rest", "60")
    same("policy", run.wait_watched()["policy"], "default")


@scenario("cgroup")
def match_locks_a_run(s):
    """Where the rule locks, `run --policy` is told that it is not granted, and its owner can't detach the job."""
    # Nobody else's cgroup may fit.
    s.daemon(f"[match tests]\nuser = nobody\ncgroup = {s.memory}/headroom-*\npolicy = batch\nlock = yes\n")
    os.chmod(s.work, 0o777)
    run = s.program("nap", "--to", "10", "--rest", "60", options=("--policy", "observe"), user=65534)
    same("policy", run.wait_watched()["policy"], "batch")
    check("run says so", "locked" in run.err() and "observe" in run.err(), run.err())
    status, _, err = s.client("detach", run.name, user=65534)
    check("not detached", status == 5 and "locked" in err, (status, err))


@scenario("cgroup")
def match_after_reload(s):
    """A rule that is added and reloaded finds what appears after, and what is there already."""
    daemon = s.daemon()
    group = s.make_group("found-4")
    program = start_program(s, "nap", "--to", "10", "--rest", "60", group=group)
    with open(s.config, "w", encoding="ascii") as file:
        file.write(f"[match tests]\ncgroup = {s.memory}/found-*\n")
    daemon.send_signal(1)
    wait_until("it is read", lambda: "configuration read again" in s.log(), detail=s.log)
    later = s.make_group("found-5")
    second = start_program(s, "nap", "--to", "10", "--rest", "60", group=later)
    wait_until("both are found", lambda: {group, later} <= {j["cgroup"] for j in s.jobs()}, 15,
               lambda: ([j["cgroup"] for j in s.jobs()], s.log()))
    for process in (program, second):
        process.kill()
        process.wait()


@scenario("cgroup")
def same_name_again(s):
    """A cgroup that goes and is made again under its name is a new job, with a new id; the old one has ended."""
    s.daemon(f"[match tests]\ncgroup = {s.memory}/again\n")
    ids = []
    for number in range(3):
        group = s.make_group("again")
        program = start_program(s, "nap", "--to", str(10 + number), "--rest", "60", group=group)
        job = wait_until("it is found", lambda g=group: [j for j in s.jobs() if j["cgroup"] == g and j["job"] not in ids],
                         detail=s.log)[0]
        ids.append(job["job"])
        program.kill()
        program.wait()
        wait_until("it can go", lambda g=group: not read_text(MEMORY + g + "/cgroup.procs").split())
        os.rmdir(MEMORY + group)
    wait_until("all have ended", lambda: s.jobs() == [], detail=s.jobs)
    same("ids", len(set(ids)), 3)
    for job in ids:
        same(f"{job} ended once", len([e for e in s.events(job) if e["action"] == "end"]), 1)


@scenario("cgroup")
def attached_and_made_again(s):
    """A group that was attached, went and was made again at once is not taken for the old one."""
    s.daemon()
    group = s.make_group("again")
    program = start_program(s, "nap", "--to", "10", "--rest", "60", group=group)
    s.must("attach", group, "--name", "first")
    program.kill()
    program.wait()
    wait_until("it can go", lambda: not read_text(MEMORY + group + "/cgroup.procs").split())
    os.rmdir(MEMORY + group)
    os.mkdir(MEMORY + group)
    second = start_program(s, "nap", "--to", "10", "--rest", "60", group=group)
    wait_until("the first has ended", lambda: s.status("first") is None, detail=lambda: s.told("first"))
    s.client("kill", "first")
    time.sleep(0.3)
    check("the second is nobody's job, and lives", is_alive(second.pid) and s.jobs() == [], s.jobs())
    second.kill()
    second.wait()


@scenario("cgroup")
def the_way_in(s):
    """A cgroup that holds headroomd itself is only observed: hold and kill are refused, nothing in it stops."""
    daemon = s.daemon()
    s.must("attach", s.memory, "--name", "all")
    for verb in ("hold", "interrupt", "kill"):
        status, _, err = s.client(verb, "all")
        check(verb, status != 0 and "observed" in err, (status, err))
    check("the daemon lives", daemon.poll() is None and state_of(daemon.pid) != "T", s.log())
    s.must("detach", "all")
