# SPDX-License-Identifier: LGPL-2.1-or-later
"""The verbs: hold, resume, limit, interrupt by hand and by ctrl-C, wrong words, and the statuses of run."""

import os
import signal
import subprocess
import threading
import time

from jobs_kit import MIB, PATIENCE, PYTHON, Terminal, check, is_alive, read_text, rss_of, same, scenario, wait_until


def start_nap(s, *words, limit="100M", options=()):
    """A job that has come to rest at 20 MiB."""
    reached = os.path.join(s.work, f"there-{s.runs}")
    run = s.program("nap", "--to", "20", "--rest", "60", "--reached", reached, *words, limit=limit, options=options)
    wait_until("it is there", lambda: os.path.exists(reached), detail=run.err)
    return run


FILLS_AND_FREES = """
import mmap, sys, time
def wait_for(word):
    while word not in open(sys.argv[1], encoding="ascii").read():
        time.sleep(0.01)
with mmap.mmap(-1, 30 << 20) as block:
    print("begun", flush=True)
    wait_for("fill")
    block.write(bytes(1 << 20) * 30)
    print("filled", flush=True)
    wait_for("free")
print("freed", flush=True)
wait_for("end")
"""


@scenario("cgroup", "process")
def status_is_of_now(s):
    """A job that has long been at rest is looked at when somebody asks: what it took or gave back since is in the answer."""
    s.daemon()
    go = os.path.join(s.work, "go")
    with open(go, "w", encoding="ascii"):
        pass
    run = s.run(PYTHON, "-c", FILLS_AND_FREES, go, stdout=subprocess.PIPE, text=True)
    same("it has", run.process.stdout.readline(), "begun\n")
    time.sleep(10)  # from then on it would be looked at each 2.5 s
    rested = run.status()["used_bytes"]
    for word, answer, least, most in (("fill", "filled", 30, 40), ("free", "freed", -2, 5)):
        time.sleep(0.3)
        with open(go, "a", encoding="ascii") as file:
            file.write(word)
        same("it has", run.process.stdout.readline(), answer + "\n")

        def more():
            return (run.status()["used_bytes"] - rested) / MIB
        # A tree's looks may take 2 % of a core: after one that had to wait for the processor the next comes later.
        wait_until(f"{answer}: told at once", lambda: least - 1 <= more() <= most,
                   1 if s.kind == "process" else 0, detail=more)
    with open(go, "a", encoding="ascii") as file:
        file.write("end")
    same("it ends", run.wait(), 0)


@scenario("cgroup", "process")
def interrupt_after_ctrl_z(s):
    """A ctrl-Z that waits in a held job does not keep it from obeying a later interrupt: it saves and ends."""
    s.daemon()
    state = os.path.join(s.work, "state")
    # A shell with job control: without one a process group is an orphan, and the kernel does not stop it.
    shell = s.popen(["bash", "-mc", '"$@" & wait', "bash", os.path.join(s.build, "headroom"), "run", "--name", "stopped",
                     "--limit", "72M", "--", PYTHON, s.workload, "grow", "--to", "110", "--rate", "40", "--state", state],
                    start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.kill(s.wait_held("stopped")["leader_pid"], signal.SIGTSTP)
    s.must("interrupt", "stopped")
    same("it saved what it had", wait_until("it has ended", lambda: read_text(state, ""), detail=lambda: s.told("stopped")).split()[0], "saved")
    shell.wait(PATIENCE)


@scenario("cgroup", "process")
def hold_and_resume(s):
    """`hold` freezes a job where it is, `resume` lets it go on with its data as they were."""
    s.daemon()
    run = s.grow("--to", "60", "--rate", "15", limit="200M")
    run.wait_watched()
    time.sleep(1)
    out = s.must("hold", run.name)
    check("says how long", "held as asked" in out, out)
    held = run.wait_held()
    before = rss_of(held["leader_pid"])
    time.sleep(1.5)
    same("no growth", rss_of(held["leader_pid"]), before)
    s.must("resume", run.name)
    check("goes on", not run.status()["frozen"], run.status())
    run.check_unharmed(run.wait())
    same("its result", run.result()[0], "finished")


@scenario("cgroup", "process")
def resume_when_not_held(s):
    """`resume` of a job that is not held is refused, and says how a limit is changed."""
    s.daemon()
    run = start_nap(s)
    for words in ((), ("--limit", "200M")):
        status, _, err = s.client("resume", run.name, *words)
        same("status", status, 1)
        check("says what to do", "not held" in err and "headroom limit" in err, err)
    s.must("kill", run.name)
    run.wait()


@scenario("cgroup", "process")
def limit_below_use(s):
    """A limit below what is used is refused with the least that would do; that one is taken, one below is not."""
    s.daemon()
    run = start_nap(s, "--to", "60")
    status, out, err = s.client("limit", run.name, "40M")
    same("status", (status, out), (2 if "uses" in err and status == 2 else 1, ""))
    check("says how much would do", "least that would do" in err, err)
    same("unchanged", run.own_limit(), 100 * MIB)
    least = err.rpartition(" is the least")[0].split()[-1]
    number = int(least.rstrip("M"))
    check("a little above use", 60 < number < 90, err)
    s.must("limit", run.name, least)
    same("set", run.own_limit(), number * MIB)
    time.sleep(0.5)
    check("it lives", run.process.poll() is None, run.explain())
    same("one less", s.client("limit", run.name, f"{number - 2}M")[0] in (1, 2), True)
    s.must("limit", run.name, "300M")
    same("raised", run.own_limit(), 300 * MIB)
    run.wait_event("limit", "done")
    s.must("hold", run.name)
    status, _, err = s.client("resume", run.name, "--limit", "30M")
    check("resume the same", status in (1, 2) and "least that would do" in err, (status, err))
    check("still held", run.status()["frozen"], run.status())
    s.must("kill", run.name)
    run.wait()


@scenario("cgroup", "process")
def wrong_words(s):
    """An unknown policy, job, method or verb is refused with the way out; nothing is started by half."""
    s.daemon()
    mark = os.path.join(s.work, "began")
    for options, text in ((("--policy", "nosuch"), "no policy nosuch"), (("--checkpoint", "magic"), "magic"),
                          (("--checkpoint", "criu"), "criu"), (("--limit", "6"), "6G"), (("--name", "j17"), "j17")):
        status, _, err = s.client("run", *options, "--", "touch", mark)
        check(f"{options}", status in (2, 125) and text in err, (status, err))
    check("nothing was started", not os.path.exists(mark), "")
    same("no jobs", s.jobs(), [])
    run = start_nap(s, options=("--name", "work"))
    for words, wanted, text in ((("resume", "nobody"), 4, "nobody"), (("policy", "set", "work", "nosuch"), 2, "nosuch"),
                                (("hold", "j999"), 4, "j999"), (("status", "999999999"), 4, "999999999"),
                                (("attach", "999999999"), 1, "no process"), (("checkpoint", "work"), 2, "--checkpoint"),
                                (("policy", "show", "nosuch"), 2, "nosuch")):
        status, _, err = s.client(*words)
        check(f"{words}", status == wanted and text in err, (status, err))
    other = start_nap(s, options=("--name", "work"))
    status, _, err = s.client("kill", "work")
    check("ambiguous", status == 2 and "j" in err, (status, err))
    check("both live", run.process.poll() is None and other.process.poll() is None, err)
    for job in s.jobs():
        s.must("kill", job["job"])
    run.wait()
    other.wait()


@scenario("cgroup", "process")
def another_policy(s):
    """`policy set` gives a running job another policy, which its next crossing follows."""
    s.daemon("[policy quick]\nhold_timeout = 0\ngrace = 5s\n")
    run = s.grow("--to", "200", "--rate", "15", limit="80M")
    run.wait_watched()
    s.must("policy", "set", run.name, "quick")
    same("status", run.status()["policy"], "quick")
    check("ended by its exception", run.wait() in (1, 130), run.explain())
    same("it saved", run.result()[0], "saved")


@scenario("cgroup", "process")
def words_for_a_job(s):
    """A job answers to its id, its name and the pid of any process in it."""
    s.daemon()
    run = s.run("sh", "-c", "sleep 60; true")
    job = run.wait_watched()
    wait_until("it has a child", lambda: len(s.pids(job)) == 2)
    for word in (job["job"], run.name, *map(str, s.pids(job))):
        same(word, s.status(word)["job"], job["job"])
    s.must("kill", str(s.pids(job)[-1]))
    same("killed", run.wait(), 137)


@scenario("cgroup", "process")
def exit_statuses(s):
    """run ends as its job ends: 0, 3, 128 + n; 125 not started, 126 not executable, 127 not found."""
    s.daemon()
    plain = s.script("plain", "true\n", 0o644)
    for command, wanted in ((["true"], 0), (["sh", "-c", "exit 3"], 3), (["sh", "-c", "kill -TERM $$"], 143),
                            (["sh", "-c", "kill -9 $$"], 137), (["sh", "-c", "kill -SEGV $$"], 139), ([plain], 126),
                            (["/nosuch/program"], 127), (["nosuch-program"], 127)):
        status, _, err = s.client("run", "--limit", "64M", "--", *command)
        check(f"{command}", status == wanted, (status, err))
    same("unknown policy", s.client("run", "--policy", "nosuch", "--", "true")[0], 125)
    same("bad option", s.client("run", "--nosuch", "--", "true")[0], 2)
    wait_until("none is left", lambda: s.jobs() == [])
    if s.cgroups:
        for path in s.cgroups:
            wait_until("no group is left", lambda p=path: next(os.walk(p))[1] == [], detail=lambda p=path: next(os.walk(p))[1])


@scenario("cgroup")
def no_daemon(s):
    """Without a daemon run says so and starts nothing, 125; with --unwatched it starts the job all the same."""
    mark = os.path.join(s.work, "began")
    status, _, err = s.client("run", "--", "touch", mark)
    check("refused", status == 125 and "--unwatched" in err and not os.path.exists(mark), (status, err))
    status, _, err = s.client("run", "--unwatched", "--limit", "64M", "--", "sh", "-c", f"touch {mark}; exit 5")
    check("started", status == 5 and os.path.exists(mark), (status, err))
    check("and says that nobody watches", "nobody watches" in err, err)
    same("others: status 3", s.client("status")[0], 3)


@scenario("cgroup", "process")
def ctrl_c_to_a_held_job(s):
    """ctrl-C on the terminal of a held job lets it obey: it is thawed, its finally runs, and run ends as it did."""
    s.daemon()
    state = os.path.join(s.work, "state")
    terminal = Terminal(s, [os.path.join(s.build, "headroom"), "run", "--limit", "72M", "--name", "typed", "--", PYTHON,
                            s.workload, "grow", "--to", "200", "--rate", "60", "--state", state])
    s.wait_held("typed")
    terminal.expect("headroom resume")
    terminal.type("\x03")
    status = terminal.wait()
    word = read_text(state, "nothing").split()[0]
    check("it saved", word == "saved", (word, s.told("typed"), terminal.text))
    why = read_text(state + ".why", "").strip()
    check("by an exception of its own", why in ("KeyboardInterrupt", "MemoryError"), why)
    check("status", status in (1, 130, -2), (status, terminal.text))


@scenario("cgroup", "process")
def ctrl_c_passes(s):
    """ctrl-C to a job that runs interrupts it once, as without headroom."""
    s.daemon()
    state = os.path.join(s.work, "state")
    terminal = Terminal(s, [os.path.join(s.build, "headroom"), "run", "--limit", "72M", "--name", "typed", "--", PYTHON,
                            s.workload, "nap", "--to", "20", "--rest", "60", "--state", state, "--reached", state + ".there"])
    wait_until("it is there", lambda: os.path.exists(state + ".there"), detail=lambda: terminal.text)
    terminal.type("\x03")
    check("status", terminal.wait() in (130, -2), terminal.text)
    same("once", terminal.text.count("KeyboardInterrupt"), 1)


@scenario("cgroup", "process")
def detached(s):
    """run --detach prints the id and ends; the job runs on and its output goes to headroom-ID.log."""
    s.daemon()
    status, out, err = s.client("run", "--detach", "--limit", "64M", "--name", "away", "--", "sh", "-c", "sleep 3; echo hello")
    same("status", status, 0)
    job = out.strip()
    same("its id", s.status("away")["job"], job)
    log = os.path.join(s.work, f"headroom-{job}.log")
    wait_until("its output", lambda: read_text(log, "") == "hello\n", detail=lambda: (read_text(log, ""), err))
    wait_until("it ends", lambda: s.status("away") is None)


@scenario("cgroup", "process")
def many_questions(s):
    """Two hundred clients at once, and some that hang up in the middle, disturb neither each other nor the job."""
    s.daemon()
    run = start_nap(s)
    bad = []

    def ask():
        for _ in range(25):
            status, out, err = s.client("status", run.name, "--json")
            if status not in (0, 3) or (status == 3 and "does not answer" not in err and "busy" not in err.lower()
                                        and "connection" not in err.lower()):
                bad.append((status, out, err))
    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for _ in range(30):
        process = s.popen([os.path.join(s.build, "headroom"), "status"], stdout=-3, stderr=-3)
        time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    for thread in threads:
        thread.join()
    same("answers", bad[:2], [])
    s.must("kill", run.name)
    same("status", run.wait(), 137)


@scenario("cgroup")
def not_your_job(s):
    """An ordinary user neither sees nor touches another's job; he sees totals."""
    s.daemon()
    run = start_nap(s, options=("--name", "roots"))
    job = run.status()["job"]
    same("status", s.client("status", "--json", user=65534)[:2], (0, "[]\n"))
    for verb in ("hold", "kill", "interrupt", "detach", "resume"):
        status, _, err = s.client(verb, job, user=65534)
        check(verb, status in (4, 5), (status, err))
    same("limit", s.client("limit", job, "200M", user=65534)[0] in (4, 5), True)
    same("attach", s.client("attach", str(run.status()["leader_pid"]), user=65534)[0] in (4, 5), True)
    check("it runs", run.process.poll() is None and not run.status()["frozen"], run.explain())
    theirs = s.run(PYTHON, "-c", "import time; time.sleep(60)", user=65534, options=("--name", "theirs"))
    theirs.wait_watched()
    same("his own he sees", [j["name"] for j in __import__("json").loads(s.must("status", "--json", user=65534))], ["theirs"])
    s.must("hold", "theirs", user=65534)
    s.must("resume", "theirs", user=65534)
    s.must("kill", "theirs", user=65534)
    same("and may kill", theirs.wait(), 137)
    s.must("kill", "roots")
    run.wait()


@scenario("cgroup", "process")
def answers_race(s):
    """Contrary answers to a held job, given at once, leave it running or ended, never frozen or forgotten."""
    s.daemon()
    for words in (("resume", "kill"), ("interrupt", "resume"), ("hold", "resume", "hold", "kill")):
        run = start_nap(s)
        pid = run.status()["leader_pid"]
        s.must("hold", run.name)
        threads = [threading.Thread(target=s.client, args=(word, run.name)) for word in words]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        s.client("kill", run.name)
        run.wait(PATIENCE)
        check("it has ended", not is_alive(pid), run.explain())
        wait_until("it is not listed", lambda name=run.name: s.status(name) is None)
