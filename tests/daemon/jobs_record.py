# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is on record of a job that has ended: who ended it, why, history, advise, run --limit auto."""

import json
import os
import re
import signal
import subprocess

from jobs_kit import MEMORY, MIB, NOBODY, PATIENCE, PYTHON, VERSION, Skip, check, is_alive, read_text, same, scenario, wait_until

GROW = "import time\nkeep = []\nfor i in range({count}):\n    keep.append(bytearray(5 << 20))\n    time.sleep({pause})\n"


def story_of(s, job):
    """What `why --json` has of it; of one that runs, what holds its memory: it has no outcome, and may be nothing."""
    status, out, _ = s.client("why", job, "--json")
    return (json.loads(out) or [{}])[0] if status == 0 else {}


def told(s, job, **wanted):
    """Its story by `why --json`, once the record has these values."""
    def found():
        story = story_of(s, job)
        return story if all(story.get(key, "?") == value for key, value in wanted.items()) else None
    return wait_until(f"why {job}: {wanted}", found, detail=lambda: (s.client("why", job, "--json"), s.told(job), s.log()))


def ended(s, job):
    """Its story, once the record has its end, whatever that was."""
    def found():
        story = story_of(s, job)
        return story if story.get("outcome") else None
    return wait_until(f"the end of {job}", found, detail=lambda: (s.client("why", job, "--json"), s.told(job), s.log()))


def start_shell(s, *words, **options):
    """A shell that nobody watches, once it is that, and its user's."""
    process = s.popen(["sh", "-c", *words], **options)
    wanted = "\0".join(["sh", "-c", *words, ""])
    wait_until("it runs as its user", lambda: read_text(f"/proc/{process.pid}/cmdline", "") == wanted)
    return process


def check_told(s, story, *words):
    """Its text is one screen and has these words; its curve and timeline make sense."""
    text = s.must("why", story["job"])
    check("one screen", len(text.splitlines()) <= 40, text)
    for word in words:
        check(f"why says {word}", word in text, text)
    check("a timeline", [e["action"] for e in story["events"]][0] == "watch", story["events"])
    same("and its end", story["events"][-1]["action"], "end")
    times = [sample["time"] for sample in story["samples"]]
    same("a curve in order", times, sorted(times))


@scenario("cgroup", "process")
def record_by_itself(s):
    """A job that ends by itself leaves its status, its peak and its command; one that fails, that it failed."""
    s.daemon()
    script = s.script("hold.py", "import time\nx = bytearray(50 << 20)\ntime.sleep(0.6)\n")
    same("status", s.run(PYTHON, script, limit="200M", options=("--name", "good")).wait(), 0)
    story = told(s, "good", outcome="finished")
    same("status", (story["exit_status"], story["signal"]), (0, None))
    check("peak", 50 * MIB <= story["peak_bytes"] <= 80 * MIB, story)
    check("not cut off", not story["peak_is_lower_bound"], story)
    same("limit", story["limit_bytes"], 200 * MIB)
    check("its command", story["command"].endswith("hold.py"), story)
    check_told(s, story, "finished", "headroom run --limit auto", "hold.py")
    same("status", s.run("sh", "-c", "exit 3", options=("--name", "bad")).wait(), 3)
    check_told(s, told(s, "bad", outcome="failed", exit_status=3), "failed with status 3")
    same("no such job", s.client("why", "nobody")[0], 4)


@scenario("process")
def record_command_of_attached(s):
    """Of a job that nobody started with `run` the command is told as it can be typed, each word of it whole."""
    s.daemon()
    job = start_shell(s, "sleep 1.5; true # $HOME", "it's")
    s.must("attach", str(job.pid), "--name", "found")
    job.wait()
    story = ended(s, "found")
    check("how it ended is told where that was to be seen", story["outcome"] in ("ended", "finished"), story)
    same("its command", story["command"], "sh -c 'sleep 1.5; true # $HOME' 'it'\"'\"'s'")
    check("what to type", f"-- {story['command']}\n" in s.must("why", "found"), s.must("why", "found"))


@scenario("cgroup", "process")
def record_memory_error(s):
    """`run --fuse`: what ends by its MemoryError says so, with its line; what fails otherwise under a fuse failed."""
    s.daemon()
    script = s.script("grow.py", GROW.format(count=60, pause=0.03))
    run = s.run(PYTHON, script, limit="100M", options=("--name", "fused", "--fuse"))
    same("status", run.wait(), 1)
    check("MemoryError", "MemoryError" in run.err(), run.err())
    story = told(s, "fused", outcome="memory_error", memory_error_said=True, fuse_armed=True)
    check("a lower bound", story["peak_is_lower_bound"], story)
    check("its line", "MemoryError at grow.py line 4" in story["reason"], story)
    check_told(s, story, "ended by a MemoryError", "Headroom's fuse refused", "at least", "headroom run --limit 150M -- ")
    # A child of a shell: the shell's status is the job's.
    run = s.run("sh", "-c", f"{PYTHON} {script}; exit 5", limit="100M", options=("--name", "below", "--fuse"))
    same("status", run.wait(), 5)
    told(s, "below", outcome="memory_error", memory_error_said=True, exit_status=5)
    run = s.run(PYTHON, "-c", "import time; time.sleep(0.6); 1 / 0", options=("--name", "divides", "--fuse"))
    same("status", run.wait(), 1)
    told(s, "divides", outcome="failed", exit_status=1, fuse_armed=True)
    # Without the hook it can't be known: taken for one, and said to be a guess.
    run = s.run(PYTHON, script, limit="100M", options=("--name", "mute", "--fuse", "--no-python-hook"))
    same("status", run.wait(), 1)
    check_told(s, told(s, "mute", outcome="memory_error", memory_error_said=False), "most likely")


@scenario("cgroup", "process")
def record_memory_error_of_its_own(s):
    """Under a limit that the user set himself it is one too, and not by our fuse; a lie counts for nothing."""
    s.daemon()
    code = "import resource\nresource.setrlimit(resource.RLIMIT_AS, (300 << 20, 300 << 20))\n"
    script = s.script("own.py", code + GROW.format(count=100, pause=0))
    run = s.run(PYTHON, script, limit="800M", options=("--name", "own"))
    same("status", run.wait(), 1)
    story = told(s, "own", outcome="memory_error", memory_error_said=True, fuse_armed=False)
    check_told(s, story, "ended by a MemoryError", "It was not Headroom's fuse", "it said: MemoryError at own.py line 6")
    check("more room does not help", not story["next"], story)
    lie = ("import os, socket, sys\ns = socket.socket(socket.AF_UNIX)\ns.connect(os.environ['MEMORY_PRESSURE_WATCH'])\n"
           "s.send(b'hello headroom/1\\nmemory-error 1 lie.py\\n')\ns.recv(100)\nsys.exit(int(sys.argv[1]))\n")
    script = s.script("lie.py", lie)
    same("status", s.run(PYTHON, script, "0", options=("--name", "liar")).wait(), 0)
    check_told(s, told(s, "liar", outcome="finished", exit_status=0), "finished")


@scenario("cgroup")
def record_interrupted(s):
    """A job that Headroom interrupts: by whom, with what held the memory, and the limit to type."""
    s.daemon()
    script = s.script("grow.py", GROW.format(count=200, pause=0.1))
    run = s.run(PYTHON, script, limit="100M", options=("--name", "stopped", "--policy", "batch"))
    run.wait()
    story = told(s, "stopped", outcome="interrupted")
    check("what held it", "keep" in story["held_by"], story)
    check_told(s, story, "interrupted by Headroom", "keep", "headroom run --limit 1")
    same("furthest", story["furthest_stage"], "interrupt")


@scenario("cgroup", "process")
def record_signal(s):
    """Somebody's SIGKILL is told from the kernel's and from ours; ours is told as ours."""
    s.daemon()
    run = s.run("sleep", "60", options=("--name", "shot"))
    run.wait_watched()
    os.kill(run.status()["leader_pid"], signal.SIGKILL)
    same("status", run.wait(), 128 + 9)
    check_told(s, told(s, "shot", outcome="signal", signal=9), "somebody's signal 9 (SIGKILL)", "journalctl")
    run = s.run("sleep", "60", options=("--name", "ours"))
    run.wait_watched()
    s.must("kill", "ours")
    run.wait()
    check_told(s, told(s, "ours", outcome="killed"), "killed by Headroom")


@scenario("cgroup")
def record_own_limit(s):
    """Under a policy that only observes, the kernel kills at the job's own limit, and the record says so."""
    if VERSION != 1:
        raise Skip("on v2 the kernel slows it down first: the virtual machine's tests do that")
    s.daemon()
    script = s.script("grow.py", GROW.format(count=60, pause=0.02))
    run = s.run(PYTHON, script, limit="60M", options=("--name", "lost", "--policy", "observe"))
    same("status", run.wait(), 128 + 9)
    story = told(s, "lost", outcome="own_limit", signal=9)
    check("peak is the limit", story["peak_bytes"] >= 59 * MIB and story["peak_is_lower_bound"], story)
    check_told(s, story, "killed by the kernel at its own limit", "headroom run --limit 90M", "--policy default")


@scenario("cgroup", "process")
def record_unseen(s):
    """A job that ends while no daemon runs is on record, and its keeper tells how; one that lives goes on."""
    daemon = s.daemon()
    one = s.run("sleep", "60", options=("--name", "gone", "--detach"))
    two = s.run("sleep", "60", options=("--name", "stays"))
    one.wait()
    two.wait_watched()
    pid = s.status("gone")["leader_pid"]
    daemon.kill()
    daemon.wait()
    os.kill(pid, signal.SIGKILL)
    wait_until("it is gone", lambda: not is_alive(pid))
    s.daemon()
    story = told(s, "gone", outcome="signal", signal=9)
    check("a lower bound", story["peak_is_lower_bound"], story)
    same("its command", story["command"], "sleep 60")
    check("said", "while headroomd was down" in s.must("why", "gone"), story)
    os.kill(s.status("stays")["leader_pid"], signal.SIGTERM)
    two.wait()
    story = told(s, "stays", outcome="signal", signal=15)
    same("adopted once", [e["outcome"] for e in story["events"] if e["action"] == "watch"], ["started", "adopted"])


@scenario("cgroup", "process")
def record_detached(s):
    """How a detached job ended is told by its keeper, which keeps nothing else of it; without a keeper nobody knows."""
    s.daemon()
    job = s.must("run", "--detach", "--name", "three", "--", "sh", "-c", "sleep 0.3; exit 3").strip()
    told(s, "three", outcome="failed", exit_status=3)
    s.must("run", "--detach", "--name", "shot", "--", "sleep", "60")
    leader = s.status("shot")["leader_pid"]
    keeper = int(read_text(f"/proc/{leader}/stat").rpartition(")")[2].split()[1])
    wait_until("its name", lambda: read_text(f"/proc/{keeper}/comm") == "headroom-keeper\n")
    # The last thing that it does before it waits.
    wait_until("its descriptors are its own", lambda: set(os.listdir(f"/proc/{keeper}/fd")) == {"0", "1", "2"})
    same("its descriptors", [os.readlink(f"/proc/{keeper}/fd/{fd}") for fd in range(3)], ["/dev/null"] * 3)
    same("its directory", os.readlink(f"/proc/{keeper}/cwd"), "/")
    same("its session", os.getsid(keeper), keeper)
    os.kill(leader, signal.SIGTERM)
    check_told(s, told(s, "shot", outcome="signal", signal=15), "somebody's signal 15 (SIGTERM)")
    wait_until("the keeper has ended", lambda: not is_alive(keeper))
    s.must("run", "--detach", "--name", "orphan", "--", "sleep", "3")
    leader = s.status("orphan")["leader_pid"]
    os.kill(int(read_text(f"/proc/{leader}/stat").rpartition(")")[2].split()[1]), signal.SIGTERM)
    story = ended(s, "orphan")
    if story["exit_status"] is None:  # else the kernel has told its pidfd, see record_attached
        check_told(s, told(s, "orphan", outcome="ended"), "ended, nobody told how", "is not known")
    else:
        same("by the kernel", (story["outcome"], story["exit_status"]), ("finished", 0))
    status, _, err = s.client("run", "--detach", "--", "/nowhere/program")
    check("what can't be started", status == 127 and "not found" in err, (status, err))
    check("ids", job.startswith("j"), job)


@scenario("cgroup", "process")
def record_attached(s):
    """Of a process that was attached the kernel tells how it ended: from Linux 6.15 on, before that while it is a zombie."""
    s.daemon()
    for name, end, wanted in (("three", "exit 3", {"outcome": "failed", "exit_status": 3}),
                              ("good", "exit 0", {"outcome": "finished", "exit_status": 0}),
                              ("shot", "kill -TERM $$", {"outcome": "signal", "signal": 15})):
        # Nobody waits for it before all is told.
        process = start_shell(s, f"sleep 1; {end}")
        s.must("attach", str(process.pid), "--name", name)
        told(s, name, **wanted)
    if tuple(int(n) for n in os.uname().release.split(".")[:2]) < (6, 15):
        return
    process = s.popen(["sh", "-c", "(sleep 1; exit 4) & echo $!; wait $!; sleep 1"], stdout=subprocess.PIPE, text=True)
    s.must("attach", process.stdout.readline().strip(), "--name", "reaped")
    told(s, "reaped", outcome="failed", exit_status=4)


@scenario("cgroup")
def record_killed_below(s):
    """A process tree that the kernel kills for the limit of the cgroup that it is in is told from somebody's kill -9."""
    s.daemon()
    group = s.make_group("below")
    with open(MEMORY + group + ("/memory.max" if VERSION == 2 else "/memory.limit_in_bytes"), "w", encoding="ascii") as out:
        out.write(str(60 * MIB))
    script = s.script("wait.py", "import sys\nsys.stdin.readline()\nx = bytearray(b'x') * (int(sys.argv[1]) << 20)\n"
                                 "sys.stdin.readline()\n")
    for name, mib, outcome in (("full", 100, "host_full"), ("shot", 10, "signal")):
        process = s.popen([PYTHON, script, str(mib)], group=group, stdin=subprocess.PIPE)
        s.wait_in_group(process, group)
        s.must("attach", str(process.pid), "--name", name, "--policy", "observe")
        same("a tree", s.status(name)["kind"], "process")
        process.stdin.write(b"\n")
        process.stdin.flush()
        if outcome == "signal":
            process.kill()
        same("killed", process.wait(PATIENCE), -signal.SIGKILL)
        told(s, name, outcome=outcome)
    check_told(s, told(s, "full", outcome="host_full"), "killed by the kernel", "OOM killer struck in its cgroup")


@scenario("cgroup")
def record_history_and_advise(s):
    """history filters; advise tells 1.2 x the peaks of past runs, and run --limit auto takes it, or says why not."""
    s.daemon()
    script = s.script("steady.py", "import time\nx = bytearray(60 << 20)\ntime.sleep(0.5)\n")
    words = (PYTHON, script)
    run = s.run(*words, limit="auto", options=("--name", "steady"))
    same("nothing to go by", run.wait(), 125)
    check("and what to type", "headroom run --limit 8G" in run.err(), run.err())
    for _ in range(3):
        same("status", s.run(*words, limit="300M", options=("--name", "steady")).wait(), 0)
    wait_until("on record", lambda: len(json.loads(s.must("history", "--outcome", "finished", "--json"))) == 3)
    advice = json.loads(s.must("advise", "--json", *words))[0]
    same("by its command", (advice["basis"], advice["runs"], advice["sure"]), ("command", 3, "low"))
    check("1.2 x the peak", 72 * MIB <= advice["limit_bytes"] <= 110 * MIB, advice)
    same("by its name", json.loads(s.must("advise", "steady", "--json"))[0]["basis"], "name")
    check("what to type", f"headroom run --limit {advice['limit_bytes'] // MIB}M -- {PYTHON} " in s.must("advise", *words))
    run = s.run(*words, limit="auto", options=("--name", "steady"))
    same("status", run.wait(), 0)
    check("says its limit", "limit auto = " in run.err() and "3 runs" in run.err(), run.err())
    told(s, "steady", limit_bytes=advice["limit_bytes"], outcome="finished")
    same("unknown", s.client("advise", "nothing-like-it")[0], 4)
    rows = json.loads(s.must("history", "--json", "--since", "today"))
    same("in order", [row["end"] for row in rows], sorted(row["end"] for row in rows))
    same("filters", [json.loads(s.must("history", "--json", *more)) for more in (
        ("--name", "other"), ("--until", "yesterday"), ("--outcome", "failed"), ("--user", "nobody"))], [[]] * 4)
    check("text", "steady" in s.must("history", "--since", "1h"))
    same("a wrong time", s.client("history", "--since", "2026-02-31")[0], 2)
    # Others see nothing of it.
    same("others' history", json.loads(s.must("history", "--json", user=NOBODY)), [])
    same("others' why", s.client("why", "steady", user=NOBODY)[0], 4)
    same("others' advice", s.client("advise", "steady", user=NOBODY)[0], 4)


@scenario("cgroup")
def record_page(s):
    """why --html writes one page that loads nothing, with the curve, the marks and nothing that a name smuggles in."""
    s.daemon()
    script = s.script("hold.py", "import time\nx = bytearray(40 << 20)\ntime.sleep(0.5)\n")
    run = s.run(PYTHON, script, "<script>alert(1)</script>&\"'", limit="100M", options=("--name", "page"))
    same("status", run.wait(), 0)
    told(s, "page", outcome="finished")
    path = os.path.join(s.work, "page.html")
    s.must("why", "page", "--html", path)
    page = read_text(path)
    same("for its owner alone", os.stat(path).st_mode & 0o077, 0)
    for wanted in ("<svg", "prefers-color-scheme:dark", "class=line", "class=limit", "&lt;script&gt;", "viewport"):
        check(f"has {wanted}", wanted in page, page)
    for unwanted in ("<script", "http://", "https://", "src="):
        check(f"has no {unwanted}", unwanted not in page, page)
    check("numbers stay with their units", "&nbsp;MiB" in page, page)
    check("commands can be copied", "&nbsp;" not in "".join(re.findall("<pre>.*?</pre>", page, re.DOTALL)), page)
    lines = [int(float(y)) for y in re.findall("class=grid .* y1=([0-9.]+)", page)]
    check("some lines of a grid", 3 <= len(lines) <= 6 and lines == sorted(lines, reverse=True), lines)
    same("a place that is none", s.client("why", "page", "--html", "/nowhere/page.html")[0], 1)


@scenario("cgroup")
def record_damaged(s):
    """A damaged record is moved aside and said; jobs are watched, and the next one is on record again."""
    daemon = s.daemon()
    same("status", s.run("true", options=("--name", "before")).wait(), 0)
    told(s, "before", outcome="finished")
    daemon.terminate()
    daemon.wait()
    path = os.path.join(s.runtime, "record.db")
    with open(path, "r+b") as file:
        file.write(b"x" * 8192)
    s.daemon()
    same("status", s.run("true", options=("--name", "after")).wait(), 0)
    told(s, "after", outcome="finished")
    same("the old one", s.client("why", "before")[0], 4)
    check("said", "record.db.damaged" in s.log(), s.log())
    check("kept", os.path.exists(path + ".damaged"))


@scenario("cgroup")
def record_many(s):
    """A history of several pages, each larger than what a socket takes at once, comes whole; so does its newest day."""
    daemon = s.daemon()
    daemon.terminate()
    daemon.wait()
    fill = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "bench", "record-fill.py")
    subprocess.run([PYTHON, fill, s.runtime, "4500"], check=True)
    s.daemon("[daemon]\nrecord_age = 400d\n")
    # First of all: the next one leaves the day before 16 s after they were made.
    same("a day", len(json.loads(s.must("history", "--since", "24h", "--json"))), 50)
    rows = json.loads(s.must("history", "--json"))
    same("every one", [row["job"] for row in rows], [f"j{i + 1}" for i in range(4500)])
    same("a line each", len(s.must("history").splitlines()), 4501)
