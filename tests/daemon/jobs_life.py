# SPDX-License-Identifier: LGPL-2.1-or-later
"""The daemon's own life: killed, stopped, reloaded, started twice, on a full disk; its jobs must not pay for it."""

import os
import signal
import subprocess
import time

from jobs_answers import start_nap
from jobs_kit import MIB, Scene, Skip, check, read_text, same, scenario, state_of, wait_until


def helper_of(s, daemon):
    for pid in s.ours():
        if "headroomd-helper" in read_text(f"/proc/{pid}/cmdline", "").split("\0")[0] or \
                read_text(f"/proc/{pid}/comm", "").strip() == "headroom-helper":
            if pid != daemon.pid:
                return pid
    return None


def is_frozen(s, status):
    """By the kernel's word alone."""
    return status["leader_pid"] and s.stands_still(status)


@scenario("cgroup", "process")
def killed_and_back(s):
    """kill -9 of the daemon: a held job stays held, a running one runs; the new daemon knows both, and run comes back."""
    daemon = s.daemon()
    held = s.grow("--to", "110", "--rate", "60", limit="72M")
    running = s.grow("--to", "40", "--rate", "20", "--rest", "12", limit="100M")
    before = held.wait_held()
    other = running.wait_watched()
    daemon.kill()
    daemon.wait()
    time.sleep(1.5)
    check("still held", s.stands_still(before), held.err())
    s.daemon()
    after = held.status()
    check("it knows the held one", after and after["job"] == before["job"] and after["frozen"], (after, s.log()))
    same("the running one", running.status()["job"], other["job"])
    wait_until("run comes back", lambda: "the daemon is back" in held.err(), detail=held.err)
    s.must("resume", held.name, "--limit", "200M")
    held.check_unharmed(held.wait())
    same("its result", held.result()[0], "finished")
    running.check_unharmed(running.wait())
    same("the other's", running.result()[0], "finished")


@scenario("cgroup", "process")
def killed_again_and_again(s):
    """Daemons that are killed one after another never lose a held job, and ids are never used again."""
    daemon = s.daemon()
    run = s.grow("--to", "110", "--rate", "60", limit="72M")
    before = run.wait_held()
    for _ in range(4):
        daemon.kill()
        daemon.wait()
        daemon = s.daemon()
        check("known", run.status() and run.status()["frozen"], s.log())
    out = s.must("run", "--detach", "--", "sleep", "1")
    check("a new id", int(out.strip()[1:]) > int(before["job"][1:]), out)
    s.must("resume", run.name, "--limit", "200M")
    run.check_unharmed(run.wait())


@scenario("cgroup", "process")
def held_again_after_the_crash(s):
    """What an adopted job's new daemon does is the ladder as before: it holds it at its new limit again."""
    daemon = s.daemon()
    run = s.grow("--to", "150", "--rate", "40", limit="72M")
    run.wait_held()
    daemon.kill()
    daemon.wait()
    s.daemon()
    s.must("resume", run.name, "--limit", "110M")
    wait_until("it grows on", lambda: run.status()["used_bytes"] > 85 * MIB, detail=run.explain)
    run.wait_held()
    s.must("resume", run.name, "--limit", "250M")
    run.check_unharmed(run.wait())
    same("its result", run.result()[0], "finished")


@scenario("cgroup", "process")
def ended_while_it_was_down(s):
    """A job that ended while no daemon was there is not listed by the next one, and leaves no record."""
    daemon = s.daemon()
    run = s.program("nap", "--to", "10", "--rest", "60")
    run.wait_watched()
    daemon.kill()
    daemon.wait()
    run.process.terminate()
    run.wait()
    s.daemon()
    same("jobs", s.jobs(), [])
    same("records", os.listdir(s.runtime + "/jobs"), [])


@scenario("cgroup", "process")
def stopped_in_peace(s):
    """SIGTERM of a private daemon lets held jobs go, with the fuse armed: nothing is frozen after it."""
    daemon = s.daemon()
    held = s.grow("--to", "200", "--rate", "60", limit="72M")
    asked = start_nap(s, "--rest", "6")
    s.must("hold", asked.name)
    asked.wait_held()
    held.wait_held()
    daemon.terminate()
    same("the daemon's status", daemon.wait(30), 0)
    status = held.wait()
    same("MemoryError, saved", (status, held.result()[0], read_text(held.state + ".why", "").strip()), (1, "saved", "MemoryError"))
    same("the other goes on", asked.wait(), 0)
    wait_until("its helper goes too", lambda: not [p for p in s.ours() if read_text(f"/proc/{p}/comm", "").startswith("headroom")],
               detail=lambda: [(p, read_text(f"/proc/{p}/comm", "")) for p in s.ours()])


@scenario("cgroup", "process", background=True)
def nobody_comes_back(s):
    """kill -9 and no new daemon: after 60 s the helper lets held jobs go by itself, with the fuse armed."""
    daemon = s.daemon()
    held = s.grow("--to", "200", "--rate", "60", limit="72M")
    asked = start_nap(s, "--rest", "20")  # over by the time that it goes on
    s.must("hold", asked.name)
    before = held.wait_held()
    daemon.kill()
    daemon.wait()
    began = time.monotonic()
    time.sleep(45)
    check("held until then", s.stands_still(before), held.err())
    status = held.wait(60)
    check("not before a minute", time.monotonic() - began > 55, time.monotonic() - began)
    same("MemoryError, saved", (status, held.result()[0], read_text(held.state + ".why", "").strip()), (1, "saved", "MemoryError"))
    same("the other goes on", asked.wait(), 0)


@scenario("cgroup", background=True)
def one_came_back_meanwhile(s):
    """Two crashes, a new daemon between them: the first one's helper, after its 60 s, leaves the job to the second one's."""
    daemon = s.daemon()
    held = s.grow("--to", "200", "--rate", "60", limit="72M")
    before = held.wait_held()
    daemon.kill()
    daemon.wait()
    began = time.monotonic()
    daemon = s.daemon()
    held.wait_held()
    time.sleep(max(0, began + 57 - time.monotonic()))
    daemon.kill()
    daemon.wait()
    time.sleep(max(0, began + 67 - time.monotonic()))
    check("held all the time", s.stands_still(before), held.err())
    s.daemon()
    s.must("resume", held.name, "--limit", "300M")
    same("nothing was lost", (held.wait(), held.result()[0]), (0, "finished"))


@scenario("cgroup", "process")
def helper_killed(s):
    """The helper dies: it is started again, and limits and hooks work as before."""
    daemon = s.daemon()
    run = s.program("nap", "--to", "20", "--rest", "60")
    run.wait_watched()
    helper = wait_until("there is a helper", lambda: helper_of(s, daemon))
    os.kill(helper, signal.SIGKILL)
    wait_until("there is another", lambda: helper_of(s, daemon) not in (None, helper), detail=s.log)
    time.sleep(0.3)
    s.must("limit", run.name, "200M")
    same("set", run.own_limit(), 200 * MIB)
    same("and a new job runs", s.client("run", "--limit", "64M", "--", "true")[0], 0)
    s.must("kill", run.name)
    run.wait()


@scenario("cgroup", "process")
def reload(s):
    """SIGHUP reads the configuration again; a bad one is told with file, line and key, and the old one stays whole."""
    daemon = s.daemon("[policy mine]\ngrace = 7s\n")
    run = s.program("nap", "--to", "20", "--rest", "60", options=("--policy", "mine"))
    run.wait_watched()

    def reloaded(text, word):
        count = s.log().count(word)
        with open(s.config, "w", encoding="ascii") as file:
            file.write(text)
        daemon.send_signal(signal.SIGHUP)
        wait_until(word, lambda: s.log().count(word) > count, detail=s.log)
    reloaded("[policy mine]\ngrace = 9s\n", "configuration read again")
    check("the new one", "grace = 9s" in s.must("policy", "show", "mine"), s.must("policy", "show", "mine"))
    reloaded("[policy mine]\ngrace = soon\n", "configuration was not changed")
    check("names the place", "headroom.conf:2" in s.log() and "grace" in s.log(), s.log())
    check("the old one stays", "grace = 9s" in s.must("policy", "show", "mine"), s.must("policy", "show", "mine"))
    reloaded("", "policy mine is gone")
    same("its job falls back", run.status()["policy"], "default")
    check("the job runs", run.process.poll() is None, run.explain())
    for _ in range(20):  # a storm of them
        daemon.send_signal(signal.SIGHUP)
        time.sleep(0.01)
    check("the daemon lives", s.client("status")[0] == 0 and daemon.poll() is None, s.log())
    s.must("kill", run.name)
    run.wait()


@scenario("cgroup", "process")
def bad_configuration(s):
    """A daemon does not start on a configuration that can't be used, and says which file, line and key; --check-config too."""
    daemon = s.daemon("[policy default]\nnotice = 600\n", wait=False)
    check("refused", daemon.wait(30) != 0, "")
    check("names the place", "headroom.conf:2" in s.log() and "notice" in s.log(), s.log())
    process = s.popen([os.path.join(s.build, "headroomd"), "--check-config", "--config", s.config], stdout=subprocess.PIPE,
                      stderr=subprocess.STDOUT, text=True)
    out, _ = process.communicate(timeout=30)
    check("--check-config", process.returncode == 1 and "headroom.conf:2" in out, (process.returncode, out))


@scenario("cgroup", "process")
def two_daemons(s):
    """A second daemon on the same socket is refused, says so, and the first one serves on."""
    first = s.daemon()
    second = s.daemon(wait=False)
    check("refused", second.wait(30) != 0, s.log())
    check("says why", "runs already" in s.log(), s.log())
    check("the first serves on", first.poll() is None and s.client("status")[0] == 0, s.log())


@scenario("cgroup")
def full_disk(s):
    """With the runtime directory full, the daemon says so once for each job and goes on; jobs run and end as always."""
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k,mode=755", "tmpfs", s.runtime], check=False,
                      capture_output=True).returncode:
        raise Skip("a tmpfs can't be mounted here")
    s.mounts.append(s.runtime)
    daemon = s.daemon()
    early = s.grow("--to", "110", "--rate", "15", limit="72M")
    early.wait_watched()
    try:
        with open(s.runtime + "/filler", "wb") as filler:
            while True:
                filler.write(bytes(4096))
                filler.flush()
    except OSError:
        pass
    late = s.grow("--to", "110", "--rate", "60", limit="72M")
    late.wait_watched()
    wait_until("it says so", lambda: "No space left" in s.log(), detail=s.log)
    for run in (early, late):
        run.wait_held()
        s.must("resume", run.name, "--limit", "200M")
        run.check_unharmed(run.wait())
        same("its result", run.result()[0], "finished")
    check("the daemon lives", daemon.poll() is None and s.client("status")[0] == 0, s.log())
    os.unlink(s.runtime + "/filler")
    same("and runs the next", s.client("run", "--limit", "64M", "--", "true")[0], 0)


@scenario("cgroup", "process")
def torn_records(s):
    """Records that are cut off or nonsense are set aside and told; the good one beside them is taken over."""
    daemon = s.daemon()
    run = s.program("nap", "--to", "20", "--rest", "60")
    job = run.wait_watched()["job"]
    daemon.kill()
    daemon.wait()
    good = read_text(f"{s.runtime}/jobs/{job}")
    for name, text in (("j900", good[:len(good) // 2]), ("j901", ""), ("j902", "nonsense\n" * 50),
                       ("j903", good.replace("headroom ", "headroom 99", 1))):
        with open(f"{s.runtime}/jobs/{name}", "w", encoding="utf-8") as file:
            file.write(text)
    s.daemon()
    same("jobs", [j["job"] for j in s.jobs()], [job])
    wait_until("told", lambda: "set aside" in s.log(), detail=s.log)
    same("kept", sorted(n for n in os.listdir(s.runtime + "/jobs") if n.endswith(".bad")),
         ["j900.bad", "j901.bad", "j902.bad", "j903.bad"])
    s.must("kill", run.name)
    run.wait()


@scenario("cgroup", "process")
def two_private_daemons(s):
    """Two private daemons of one user do not meet: each has its own job 1, and ends only that."""
    other = Scene.__new__(Scene)
    s.daemon()
    try:
        other.__init__(s.kind)
        other.cgroups, kept = s.cgroups, other.cgroups  # the same place for both
        other.daemon()
        mine = s.program("nap", "--to", "20", "--rest", "60")
        theirs = other.program("nap", "--to", "20", "--rest", "60")
        a, b = mine.wait_watched(), theirs.wait_watched()
        same("both are j1", (a["job"], b["job"]), ("j1", "j1"))
        wait_until("both are there", lambda: s.pids(a) and other.pids(b))
        check("apart", not set(s.pids(a)) & set(other.pids(b)), (a, b))
        s.must("kill", "j1")
        same("mine", mine.wait(), 137)
        time.sleep(0.5)
        check("theirs lives", theirs.process.poll() is None, theirs.explain())
        other.must("kill", "j1")
        same("theirs", theirs.wait(), 137)
    finally:
        other.cgroups = kept
        other.close()


@scenario("cgroup", "process")
def held_over_a_stop_and_start(s):
    """A job that is held when the daemon is told to stop is released, and the next daemon still watches it."""
    daemon = s.daemon()
    go, reached = (os.path.join(s.work, name) for name in ("go", "there"))
    run = s.grow("--start", "20", "--to", "20", "--go", go, "--reached", reached)
    wait_until("it is there", lambda: os.path.exists(reached), detail=run.err)
    before = run.status()
    s.must("hold", run.name)
    run.wait_held()
    daemon.terminate()
    daemon.wait(30)
    wait_until("released", lambda: state_of(before["leader_pid"]) in "SRD")
    s.daemon()
    after = run.status()
    check("watched, not held", after and after["job"] == before["job"] and not after["frozen"], (after, s.log()))
    with open(go, "w", encoding="ascii"):
        pass
    run.check_unharmed(run.wait())
