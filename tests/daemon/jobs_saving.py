# SPDX-License-Identifier: LGPL-2.1-or-later
"""Checkpoints and hooks: what saves a job, what proves it, and what must not hurt when it goes wrong."""

import os
import time

from jobs_kit import MIB, check, read_text, same, scenario, user_name, wait_until


def grow_past_checkpoint(s, *words, method, config="", rate="15"):
    """A job that comes past 90 % with that method, and is held after."""
    s.daemon(config)
    run = s.grow("--to", "120", "--rate", rate, *words, limit="80M", options=("--checkpoint", method) if method else ())
    return run


def outcome_of_checkpoint(s, run):
    """The events of its checkpoint, once it is held; then it gets room and must finish."""
    run.wait_held()
    wait_until("the checkpoint has an outcome", lambda: [e for e in s.events(run.name) if e["action"] == "checkpoint"
                                                         and e["outcome"] != "started"],
               detail=lambda: run.explain())
    found = [e for e in s.events(run.name) if e["action"] == "checkpoint" and e["outcome"] != "started"]
    s.must("resume", run.name, "--limit", "200M")
    run.check_unharmed(run.wait())
    same("it finished", run.result()[0], "finished")
    return found


@scenario("cgroup", "process")
def signal_with_handler(s):
    """signal:USR1 makes a job with a handler save; with nothing that could prove it, it counts as asked."""
    saved = os.path.join(s.work, "saved")
    run = grow_past_checkpoint(s, "--usr1", saved, method="signal:USR1")
    found = outcome_of_checkpoint(s, run)
    same("asked, not proven", found[0]["outcome"], "asked")
    word, size = read_text(saved).split()
    check("it saved when asked, near its limit", word == "checkpoint" and int(size) > 50, (word, size))


@scenario("cgroup", "process")
def signal_without_handler(s):
    """signal:USR1 is never sent to a process that would die of it: told as failed, and the job is held."""
    run = grow_past_checkpoint(s, method="signal:USR1")
    found = outcome_of_checkpoint(s, run)
    same("failed", found[0]["outcome"], "failed")
    check("and says why", "no process has a handler" in found[0]["reason"], found)


@scenario("cgroup", "process")
def signal_to_the_leader(s):
    """signal:B:USR1 goes to the job's first process alone."""
    s.daemon()
    marks = os.path.join(s.work, "marks")
    code = ("import os, signal, time\n"
            f"signal.signal(signal.SIGUSR1, lambda n, f: open({marks!r}, 'a').write(str(os.getpid()) + '\\n'))\n"
            "child = os.fork()\nopen(%r, 'w').close()\n"
            "until = time.monotonic() + 4\n"
            "while time.monotonic() < until: time.sleep(0.05)\n" % (marks + ".there"))
    run = s.run("/usr/bin/python3", "-c", code, options=("--checkpoint", "signal:B:USR1"))
    leader = run.wait_watched()["leader_pid"]
    wait_until("it is there", lambda: os.path.exists(marks + ".there"))
    time.sleep(0.3)
    s.must("checkpoint", run.name)
    run.check_unharmed(run.wait())
    same("who was asked", read_text(marks).split(), [str(leader)])


@scenario("cgroup", "process")
def proven_by_a_file(s):
    """A checkpoint_file with %j and %n in its name proves a signal's checkpoint once it is new and has settled."""
    s.daemon(f"[policy default]\ncheckpoint_method = signal:USR1\ncheckpoint_file = {s.work}/%n-%j.saved\n")
    reached = os.path.join(s.work, "there")
    path = os.path.join(s.work, "proof-j1.saved")  # the first job of a new daemon
    run = s.program("nap", "--to", "20", "--rest", "60", "--usr1", path, "--reached", reached, options=("--name", "proof"))
    wait_until("it is there", lambda: os.path.exists(reached))
    same("its id", run.status()["job"], "j1")
    s.must("checkpoint", "proof")
    event = run.wait_event("checkpoint", "proven")
    check("by the file", "file" in event["reason"] and os.path.exists(path), event)
    s.must("kill", "proof")
    same("status", run.wait(), 137)


@scenario("cgroup", "process")
def file_that_never_comes(s):
    """A checkpoint_file that does not appear proves nothing: asked, at the deadline, and the job runs on."""
    s.daemon(f"[policy default]\ncheckpoint_method = signal:USR1\ncheckpoint_file = {s.work}/%n-%%-%u.saved\n"
             "checkpoint_deadline = 1s\n")
    reached = os.path.join(s.work, "there")
    run = s.program("nap", "--rest", "60", "--usr1", s.work + "/elsewhere", "--reached", reached)
    wait_until("it is there", lambda: os.path.exists(reached))
    s.must("checkpoint", run.name)
    event = run.wait_event("checkpoint", "asked")
    check("says why", "no proof" in event["reason"], event)
    s.must("kill", run.name)
    run.wait()


HOOKS = {
    # name: (script, mode, the outcome, what the reason says)
    "good": ("#!/bin/sh\nexit 0\n", 0o755, "proven", "status 0"),
    "failing": ("#!/bin/sh\nexit 3\n", 0o755, "failed", "status 3"),
    "missing": (None, 0, "failed", "not found"),
    "not_executable": ("#!/bin/sh\nexit 0\n", 0o644, "failed", "not executable"),
    "hanging": ("#!/bin/sh\nsleep 1000\n", 0o755, "failed", "deadline"),
    "daemonising": ("#!/bin/sh\n(setsid sleep 20 &)\nexit 0\n", 0o755, "proven", "status 0"),
    "closing_stdout": ("#!/bin/sh\nexec >&- 2>&- <&-\nsleep 0.3\nexit 0\n", 0o755, "proven", "status 0"),
    "killed": ("#!/bin/sh\nkill -9 $$\n", 0o755, "failed", "signal 9"),
    "no_program": ("nonsense without an interpreter \x7f\n", 0o755, "failed", "not executable"),
    "directory": ("", None, "failed", "not executable"),
}


@scenario("cgroup", "process")
def checkpoint_hooks(s):
    """A checkpoint hook proves by its status alone; one that fails, lacks, hangs or forks away harms neither job nor daemon."""
    s.daemon("[policy default]\ncheckpoint_deadline = 3s\n")
    runs = {}
    for name, (text, mode, _, _) in HOOKS.items():
        path = os.path.join(s.work, name)
        if mode is None:
            os.mkdir(path)
        elif text is not None:
            s.script(name, text, mode)
        runs[name] = s.program("nap", "--rest", "60", "--reached", path + ".there",
                               options=("--name", f"hook-{name}", "--checkpoint", f"hook:{path}"))
        runs[name].wait_watched()  # one after the other: a user has eight connections until they follow their jobs
    for name, run in runs.items():
        wait_until("it is there", lambda n=name: os.path.exists(os.path.join(s.work, n + ".there")))
        s.must("checkpoint", run.name)
    for name, run in runs.items():
        _, _, outcome, text = HOOKS[name]
        event = run.wait_event("checkpoint", outcome)
        check(name, text in event["reason"], event)
        check(f"{name}: the job runs on", run.process.poll() is None, run.explain())
        s.must("kill", run.name)
    for run in runs.values():
        same("ended by its kill", run.wait(), 137)


@scenario("cgroup", "process")
def hook_before_the_hold(s):
    """On its way to the limit a job is saved by its hook first and held after; a proven one is said to be proven."""
    hook = s.script("save", '#!/bin/sh\nenv > "$(dirname "$0")/env"\necho "$@" > "$(dirname "$0")/args"\nexit 0\n')
    run = grow_past_checkpoint(s, method=f"hook:{hook}")
    found = outcome_of_checkpoint(s, run)
    same("proven", found[0]["outcome"], "proven")
    environment = dict(line.split("=", 1) for line in read_text(s.work + "/env").splitlines() if "=" in line)
    same("stage", environment["HEADROOM_STAGE"], "checkpoint")
    check("a deadline in the future of its start", int(environment["HEADROOM_DEADLINE"]) > time.time() - 60, environment)
    same("arguments", read_text(s.work + "/args").split(), ["checkpoint", environment["HEADROOM_JOB"]])


@scenario("cgroup", "process")
def told_by_hooks(s):
    """on_notice, on_hold and on_end run as the job's owner, with HEADROOM_* as documented and nothing of the daemon's."""
    hook = s.script("tell", f'#!/bin/sh\nenv > "{s.work}/told-$1.new"\nid -un >> "{s.work}/told-$1.new"\n'
                    f'cat /proc/self/oom_score_adj >> "{s.work}/told-$1.new"\nmv "{s.work}/told-$1.new" "{s.work}/told-$1"\n')
    s.daemon(f"[policy default]\non_notice = {hook}\non_hold = {hook}\non_end = {hook}\n")
    # Fast: two stages may come within a look, and each has its hook.
    run = s.grow("--to", "110", "--rate", "150", limit="80M", options=("--name", "teller"))
    held = run.wait_held()
    s.must("resume", "teller", "--limit", "200M")
    run.check_unharmed(run.wait())
    for stage in ("notice", "hold", "end"):
        text = wait_until(f"on_{stage} was run", lambda name=stage: read_text(f"{s.work}/told-{name}", ""),
                          detail=lambda: (os.listdir(s.work), run.explain()))
        lines = text.splitlines()
        environment = dict(line.split("=", 1) for line in lines if "=" in line)
        same("job", environment["HEADROOM_JOB"], held["job"])
        same("name", environment["HEADROOM_NAME"], "teller")
        same("stage", environment["HEADROOM_STAGE"], stage)
        least = 0 if stage == "end" else 20 * MIB  # a job on its way out has given back what it had
        check("used", least <= int(environment["HEADROOM_USED_BYTES"]) < 200 * MIB, environment)
        check("limit", int(environment["HEADROOM_LIMIT_BYTES"]) in (80 * MIB, 200 * MIB), environment)
        check("reason", environment["HEADROOM_REASON"], environment)
        check("deadline", environment["HEADROOM_DEADLINE"].isdigit(), environment)
        same("user", lines[-2:], [user_name(s), "0"])
        same("nothing of the daemon's", [key for key in environment if key in ("HEADROOM_SOCKET", "NOTIFY_SOCKET")], [])


@scenario("cgroup")
def hooks_of_another_user(s):
    """Root's daemon runs the hook of an ordinary user's job as that user, without root's groups."""
    os.chmod(s.work, 0o777)
    hook = s.script("who", f'#!/bin/sh\nid > "{s.work}/who.new"; grep -E "^Cap(Eff|Prm)" /proc/self/status >> "{s.work}/who.new"\n'
                    f'mv "{s.work}/who.new" "{s.work}/who.out"\n')
    s.daemon(f"[policy default]\non_end = {hook}\n")
    run = s.run("true", user=65534)
    same("status", run.wait(), 0)
    text = wait_until("the hook was run", lambda: read_text(s.work + "/who.out", ""), detail=s.log)
    check("as nobody alone", "uid=65534" in text and "gid=65534" in text and "root" not in text, text)
    check("without capabilities", text.count("0000000000000000") == 2, text)


@scenario("cgroup", "process")
def hook_that_fails_is_told(s):
    """A notice hook that can't be run is told as an event, with the reason, and nothing else changes."""
    s.daemon(f"[policy default]\non_notice = {s.work}/missing\n")
    run = s.grow("--to", "70", "--rate", "30", "--rest", "1", limit="80M")
    event = run.wait_event("hook", "failed")
    check("says why", "not found" in event["reason"], event)
    run.check_unharmed(run.wait())
