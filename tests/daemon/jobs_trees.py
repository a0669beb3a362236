# SPDX-License-Identifier: LGPL-2.1-or-later
"""Process trees: shared pages, families that fork, names that bite."""

import os
import signal
import struct
import time

from jobs_kit import MIB, PYTHON, Terminal, check, read_text, same, scenario, wait_until


@scenario("process", "cgroup")
def pool_with_shared_pages(s):
    """Six workers that share 40 MiB with their parent under a limit of 100 MiB are not held: shared pages count once."""
    s.daemon()
    reached = os.path.join(s.work, "there")
    run = s.program("pool", "--to", "40", "--children", "6", "--rest", "4", "--reached", reached, limit="100M")
    wait_until("it is there", lambda: os.path.exists(reached))
    time.sleep(1.5)
    status = run.status()
    check("counted once", status["used_bytes"] < 90 * MIB, (status, run.explain()))
    run.check_unharmed(run.wait())
    check("never held", not set(run.actions()) & {"freeze", "interrupt", "kill"}, run.explain())


@scenario("process", "cgroup")
def forking_family_held_whole(s):
    """A family that forks all the time is held whole, again and again: no member counts on, none is born."""
    s.daemon()
    run = s.program("forker", "--children", "12", "--rest", "120")
    run.wait_watched()

    def forked():
        data = open(run.state, "rb").read() if os.path.exists(run.state) else b""
        return data and struct.unpack_from("<Q", data)[0] > 12

    def freezes():
        return [event for event in s.events(run.name) if event["action"] == "frozen"]
    wait_until("it forks", forked)
    for number in range(8):
        time.sleep(0.1)
        s.must("hold", run.name)
        wait_until("it stands still", lambda n=number: len(freezes()) > n, detail=run.explain)
        time.sleep(0.5)  # signals and freezes take effect at the next return to user space
        before = open(run.state, "rb").read()
        time.sleep(0.5)
        after = open(run.state, "rb").read()
        moved = [slot for slot in range(4096) if before[8 * slot:8 * slot + 8] != after[8 * slot:8 * slot + 8]]
        check(f"hold {number}: nobody runs on", not moved, (moved, run.explain()))
        s.must("resume", run.name)
        wait_until("it goes on", lambda b=after: open(run.state, "rb").read() != b)
    s.must("kill", run.name)
    same("status", run.wait(), 137)


@scenario("process", "cgroup")
def kill_reaches_the_whole_family(s):
    """`kill` ends every process of a family that forks all the time."""
    s.daemon()
    run = s.program("forker", "--children", "8", "--rest", "60")
    status = run.wait_watched()
    wait_until("it forks", lambda: len(s.pids(status)) > 4)
    s.must("kill", run.name)
    same("status", run.wait(), 137)
    mark = run.state.encode()

    def left():
        found = []
        for pid in s.ours():
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as text:
                    if mark in text.read():
                        found.append(pid)
            except OSError:
                pass
        return found
    wait_until("nobody is left", lambda: not left(), detail=left)


@scenario("process", "cgroup")
def daughters_memory_counts(s):
    """What the processes below the leader take counts: a shell whose child grows is held as a whole."""
    s.daemon()
    state = os.path.join(s.work, "state")
    run = s.run("sh", "-c", f"/usr/bin/python3 {s.workload} grow --to 100 --rate 40 --state {state}; echo over", limit="72M")
    run.state = state
    held = run.wait_held()
    check("more than the leader", len(s.pids(held)) > 1, held)
    s.must("resume", run.name, "--limit", "160M")
    run.check_unharmed(run.wait())
    same("the shell went on after it", run.out(), "over\n")


ESCAPE = """import os, sys
ends, told = os.pipe()
if os.fork():
    os.close(told)
    os.wait()
    os.read(ends, 1)
    sys.exit(0)
os.setsid()
if os.fork():
    os._exit(0)
os.set_inheritable(told, True)
os.execv(sys.argv[1], sys.argv[1:])
"""


@scenario("process")
def escaped_from_its_tree(s):
    """What leaves its parents by a double fork, faster than anybody looks, is held with the job; detached too, and by
    the daemon that comes after one that was killed."""
    s.daemon()
    for detached in (False, True):
        state = os.path.join(s.work, f"state-{detached}")
        command = (PYTHON, "-c", ESCAPE, PYTHON, s.workload, "grow", "--to", "110", "--rate", "20", "--state", state)
        if detached:
            job = s.must("run", "--limit", "72M", "--detach", "--", *command).strip()
            s.daemons[-1].send_signal(signal.SIGKILL)
            s.daemons[-1].wait()
            s.daemon()
        else:
            run = s.run(*command, limit="72M")
            job = run.name
        held = s.wait_held(job)
        check("most is the one's that escaped", held["used_bytes"] > 60 * MIB, (held, s.told(job)))
        escaped = [pid for pid in s.ours() if read_text(f"/proc/{pid}/cmdline", "").startswith(f"{PYTHON}\0{s.workload}")]
        same("one has escaped", len(escaped), 1)
        same("it is stopped", read_text(f"/proc/{escaped[0]}/stat").rpartition(")")[2].split()[0], "T")
        s.must("resume", job, "--limit", "200M")
        wait_until("it finishes", lambda path=state: read_text(path, "").startswith("finished"), detail=lambda: s.told(job))
        if not detached:
            same("status", run.wait(), 0)
    wait_until("nobody is left", lambda: not s.jobs(), detail=s.jobs)


@scenario("process", "cgroup")
def names_that_bite(s):
    """Process names with a newline, brackets and escape codes reach no terminal raw, in no verb, and break no parser."""
    s.daemon()
    reached = os.path.join(s.work, "there")
    program = s.popen(["/usr/bin/python3", s.workload, "named", "--to", "8", "--rest", "60", "--reached", reached])
    pid = int(wait_until("it is there", lambda: read_text(reached, "")))
    s.must("attach", str(pid), "--limit", "64M")
    job = s.jobs()[0]
    same("which process", job["leader_pid"], pid)
    check("its use is read", job["used_bytes"] > 8 * MIB, job)
    bite = os.path.join(s.work, "esc\x1b[31m\nape")
    with open(bite, "w", encoding="ascii") as file:
        file.write("#!/bin/sh\nsleep 60\n")
    os.chmod(bite, 0o755)
    run = s.run(bite, limit="64M", options=("--name", "plain"))
    run.wait_watched()
    s.must("hold", job["job"])
    for words in (["status"], ["status", job["job"]], ["events"], ["doctor"], ["limit", job["job"]], ["status", "plain"]):
        terminal = Terminal(s, [os.path.join(s.build, "headroom"), *words])
        same(" ".join(words), terminal.wait(), 0)
        text = terminal.text
        # Headroom's own colours begin with 0 or 1; the name's is a bare 31.
        check(f"{words}: no raw escape code", "\x1b[31m" not in text and "\x07" not in text, text)
        piped = s.must(*words)
        check(f"{words}: no control character", not [c for c in piped if ord(c) < 32 and c != "\n"], piped)
    log = s.log()
    check("nor the log", not [c for c in log if ord(c) < 32 and c not in "\n\t"], log)
    s.must("kill", job["job"])
    program.wait()
    s.must("kill", "plain")
    run.wait()


@scenario("process")
def limit_of_a_tree(s):
    """A tree's limit is Headroom's to enforce: it is shown, raised and lowered like any other, and binds."""
    s.daemon()
    reached = os.path.join(s.work, "there")
    run = s.program("nap", "--to", "30", "--rest", "60", "--reached", reached, limit="100M")
    wait_until("it is there", lambda: os.path.exists(reached))
    same("limit", run.own_limit(), 100 * MIB)
    s.must("limit", run.name, "80M")
    same("lowered", run.own_limit(), 80 * MIB)
    s.must("limit", run.name, "max")
    same("none", run.own_limit(), None)
    s.must("kill", run.name)
    run.wait()
