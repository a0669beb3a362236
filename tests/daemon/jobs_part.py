# SPDX-License-Identifier: LGPL-2.1-or-later
"""The job takes part: garbage given back, variables named, checkpoints by its own code, over the jobs' socket."""

import fcntl
import json
import os
import pwd
import shutil
import signal
import subprocess
import time

from jobs_kit import MIB, PYTHON, check, read_text, same, scenario, wait_until

# Each round leaves a MiB that only a collection of garbage frees: it would be at 200 MiB in the end.
GARBAGE = """
import gc, sys, time
gc.disable()
class Node:
    pass
def leave():
    node = Node()
    node.itself, node.data = node, bytearray(b"x") * (1 << 20)
for number in range(200):
    leave()
    time.sleep(0.01)
print("finished")
"""

# Half of 120 MiB of small objects is freed, none of it at the end of the heap: only malloc_trim gives it to the kernel.
HOLES = """
import time
kept = []
for number in range(60):
    kept.append([bytes(1000) for _ in range(1000)])
    time.sleep(0.01)
last = bytes(1000)
kept.clear()
more = []
for number in range(50):
    more.append(bytearray(b"x") * (1 << 20))
    time.sleep(0.02)
print("finished")
"""

FRAMES = """
import sys, time
frames = []
def load(number):
    return bytearray(b"x") * (1 << 20)
for number in range(int(sys.argv[1])):
    frames.append(load(number))
    time.sleep(0.06)
print("finished")
"""

WILLING = """
import sys, time
import headroom
frames = []
@headroom.checkpoint
def save():
    with headroom.saving("saved.txt") as path:
        open(path, "w").write(str(len(frames)))
    return "saved.txt"
start = int(open(headroom.resume_path()).read()) if headroom.resume_path() else 0
for number in range(start, 150):
    frames.append(bytearray(b"x") * (1 << 20))
    time.sleep(0.04)
print("finished")
"""


def write(s, name, text):
    return s.script(name, text, 0o644)


def outcomes(s, run, action):
    return [event["outcome"] for event in s.events(run.name) if event["action"] == action]


@scenario("cgroup", "process")
def garbage_is_given_back(s):
    """An unmodified script that leaves cyclic garbage finishes within its limit, and is never held."""
    s.daemon()
    run = s.run(PYTHON, write(s, "garbage.py", GARBAGE), limit="72M")
    run.check_unharmed(run.wait())
    same("its output", run.out(), "finished\n")
    check("it was asked, and gave back", "done" in outcomes(s, run, "trim"), run.explain())
    check("not held", "freeze" not in run.actions(), run.explain())


@scenario("cgroup", "process")
def malloc_gives_back(s):
    """What malloc keeps after many small objects were freed goes back to the kernel, and the script finishes."""
    s.daemon()
    run = s.run(PYTHON, write(s, "holes.py", HOLES), limit="100M")
    run.check_unharmed(run.wait())
    same("its output", run.out(), "finished\n")
    check("not held", "freeze" not in run.actions(), run.explain())


@scenario("cgroup")
def without_the_hook(s):
    """--no-python-hook leaves it out: nothing of ours is loaded, and the same script is held at its limit."""
    s.daemon()
    run = s.run(PYTHON, write(s, "garbage.py", GARBAGE), limit="72M", options=("--no-python-hook",))
    run.wait_held()
    s.must("kill", run.name)
    run.wait()
    probe = s.run(PYTHON, "-c", "import os, sys; print('headroom' in str(sys.modules), os.environ.get('PYTHONPATH'))",
                  limit="72M", options=("--no-python-hook",))
    probe.wait()
    same("nothing is loaded or set", probe.out(), "False None\n")


@scenario("cgroup", "process")
def names_what_holds(s):
    """`why` names the variable that holds the memory, and its line; the warnings do; another user sees neither."""
    s.daemon()
    script = write(s, "frames.py", FRAMES)
    run = s.run(PYTHON, script, "150", limit="100M")
    run.wait_event("why")
    rows = json.loads(s.must("why", run.name, "--json"))
    same("first", (rows[0]["kind"], rows[0]["name"], rows[0]["file"], rows[0]["line"]),
         ("variable", "frames", script, 3))
    check("its size", 20 * MIB < rows[0]["bytes"] < 100 * MIB and rows[0]["count"] > 20, rows[0])
    run.wait_held()
    check("the warning says it", "frames in frames.py line 3 holds" in run.err(), run.err())
    status, out, err = s.client("why", run.name)
    check("of a held job what was said last", status == 0 and "frames in frames.py line 3 holds" in err, (out, err))
    if not s.user:
        status, out, err = s.client("why", run.name, user=65534)
        check("not to others", status == 5 and "frames" not in out + err, (status, out, err))
        check("nor to the journal", "frames in" not in s.log(), s.log())
    s.must("resume", run.name, "--limit", "300M")
    run.check_unharmed(run.wait())


@scenario("cgroup", "process")
def saves_by_its_own_code(s):
    """`@headroom.checkpoint` is called before the limit, its file proves it, and policy batch then ends the job."""
    s.daemon()
    run = s.run(PYTHON, write(s, "willing.py", WILLING), limit="100M", options=("--policy", "batch"))
    status = run.wait()
    check("it was ended", status in (75, 130), (status, *run.explain()))
    check("proven", outcomes(s, run, "checkpoint")[-1:] == ["proven"], run.explain())
    count = int(read_text(os.path.join(s.work, "saved.txt")))
    check("it saved near its limit", 60 < count < (100 if s.kind == "cgroup" else 140), count)  # a tree is sampled


@scenario("cgroup", "process")
def resumes_what_was_saved(s):
    """A job ended by its checkpoint is listed as saved, and `resume` starts it again from there, where and as it was."""
    s.daemon()
    os.mkdir(os.path.join(s.work, "there"), 0o777)
    os.chmod(os.path.join(s.work, "there"), 0o777)
    script = write(s, "willing.py", WILLING + "import os\nprint(os.environ['FLAVOUR'], start > 0, os.getcwd())\n")
    run = s.run(PYTHON, script, limit="100M", options=("--policy", "batch"), cwd=os.path.join(s.work, "there"),
                env=s.environment(FLAVOUR="sweet \n\\ sour"))
    check("it was ended", run.wait() in (75, 130), run.explain())
    run.end_event()
    listed = s.jobs()
    same("listed", [(job["name"], job["stage"]) for job in listed], [(run.name, "saved")])
    check("it says how to go on", f"headroom resume {listed[0]['job']} --limit" in run.err(), run.err())
    check("and where it is", os.path.join(s.work, "there/saved.txt") in listed[0]["reason"], listed)
    if not s.user:
        status, out, err = s.client("resume", run.name, user=65534)
        check("not by others", status == 4, (status, out, err))
    status, out, err = s.client("resume", run.name, "--limit", "300M", timeout=60)
    same("it goes on, and finishes", (status, out),
         (0, f"finished\nsweet \n\\ sour True {os.path.join(s.work, 'there')}\n"))
    wait_until("listed no more", lambda: s.jobs() == [])
    status, out, err = s.client("resume", run.name)
    same("and can't be resumed again", status, 4)


@scenario("cgroup")
def resumes_a_detached_job(s):
    """The same of a job that nobody waited for; one that finished by itself is not listed."""
    s.daemon()
    script = write(s, "willing.py", WILLING)
    words = ("run", "--detach", "--limit", "100M", "--policy", "batch", "--name")
    short = s.must(*words, "short", "--", PYTHON, "-c", "print('done')").strip()
    job = s.must(*words, "long", "--", PYTHON, script).strip()
    s.wait_event(job, "end")
    s.wait_event(short, "end")
    s.daemons[-1].terminate()
    s.daemons[-1].wait(20)
    s.daemon()  # one that has not seen its end
    same("listed", [(j["job"], j["stage"]) for j in s.jobs()], [(job, "saved")])
    status, out, err = s.client("resume", "long", "--limit", "300M", timeout=60)
    same("it goes on, and finishes", (status, out), (0, "finished\n"))
    same("no record is left", os.listdir(os.path.join(s.work, ".local/state/headroom/jobs")), [])


@scenario("cgroup")
def a_program_on_sd_event(s):
    """A program that knows systemd's memory pressure alone, by libsystemd's own sd_event, gives back what malloc keeps."""
    s.daemon()
    top = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    found = subprocess.run(["sh", os.path.join(top, "tests/libsystemd254.sh"), os.path.join(s.store, "libsystemd254")],
                           capture_output=True, text=True, check=False)
    check("there is a libsystemd of 254", found.returncode == 0, found.stderr)
    program = [os.path.join(s.build, "fake-pressed"), found.stdout.strip()]
    for more in ({}, {"MEMORY_PRESSURE_WRITE": "aGVsbG8="}):  # what it is to write first, as systemd would have it
        run = s.run("env", *(f"{key}={value}" for key, value in more.items()), *program, limit="200M")
        wait_until("it waits", lambda run=run: "waits" in run.out(), detail=run.explain)
        wait_until("it holds what it does not use", lambda run=run: (run.status() or {}).get("used_bytes", 0) > 60 * MIB, detail=run.explain)
        s.must("trim", run.name)
        wait_until("it was told, and trims", lambda run=run: "trimmed" in run.out(), detail=run.explain)
        wait_until("and is small", lambda run=run: run.status()["used_bytes"] < 16 * MIB, detail=run.explain)
        s.must("kill", run.name)
        run.wait()


RETRYING = "[policy batch]\nretry = 2, limit x1.5\n"


@scenario("cgroup")
def is_started_again_by_itself(s):
    """`retry = 2, limit x1.5`: ended by its checkpoint, a job goes on with more room, on the same streams, till it is done."""
    s.daemon(RETRYING)
    script = write(s, "willing.py", WILLING)
    run = s.run(PYTHON, script, limit="60M", options=("--policy", "batch", "--name", "again"))
    status = run.wait(90)
    same("it finishes", (status, run.out()), (0, "finished\n"))
    events = [event for event in s.events() if event["name"] == "again"]
    same("twice, each time with more room", [event["limit_bytes"] >> 20 for event in events
                                             if (event["action"], event["outcome"]) == ("retry", "started")], [90, 135])
    check("it says so", "started again, 1 of 2, with a limit of 90 MiB" in run.err() and "2 of 2" in run.err(), run.err())
    wait_until("listed no more", lambda: s.jobs() == [])


@scenario("cgroup")
def is_started_again_late(s):
    """Also where the daemon has no processor for a second when the job ends."""
    daemon = s.daemon(RETRYING)
    slow = "import atexit, time\natexit.register(time.sleep, 1)\n"
    run = s.run(PYTHON, write(s, "willing.py", slow + WILLING), limit="60M", options=("--policy", "batch", "--name", "again"))
    run.wait_event("interrupt", "started", 60)
    daemon.send_signal(signal.SIGSTOP)
    time.sleep(2.5)
    daemon.send_signal(signal.SIGCONT)
    same("it finishes", (run.wait(90), run.out()), (0, "finished\n"))


@scenario("cgroup")
def detached_is_started_again_by_itself(s):
    """The same where nobody waits for it: the daemon's helper does it as its owner, in its directory, with the client that
    was installed with it."""
    usr, build = os.path.join(s.directory, "usr"), s.build
    for directory, program in (("sbin", "headroomd"), ("bin", "headroom")):
        os.makedirs(os.path.join(usr, directory))
        shutil.copy(os.path.join(build, program), os.path.join(usr, directory))
    shutil.copytree(os.path.join(build, "python"), os.path.join(usr, "lib/headroom/python"))
    s.build = os.path.join(usr, "sbin")
    s.daemon(RETRYING, wait=False)
    s.build = build
    wait_until("the daemon answers", lambda: s.client("status")[0] == 0, detail=s.log)
    script = write(s, "willing.py", WILLING)
    there = os.path.join(s.work, "there")
    os.mkdir(there)
    os.chmod(there, 0o777)
    home = pwd.getpwuid(os.getuid()).pw_dir  # the helper's only word for where records are
    whose = open("/etc/passwd", encoding="utf-8")
    fcntl.flock(whose, fcntl.LOCK_EX)  # another run of these tests has the same home, and a j1 too
    s.must("run", "--detach", "--limit", "60M", "--policy", "batch", "--name", "again", "--", PYTHON, script, cwd=there,
           env=s.environment(HOME=home))

    def finished():
        return [name for name in os.listdir(there) if "finished" in read_text(os.path.join(there, name), "")]

    wait_until("it finishes", finished, 90, s.log)
    wait_until("it has ended", lambda: not s.jobs())
    ends = [event["limit_bytes"] >> 20 for event in s.events() if event["name"] == "again" and event["action"] == "end"]
    same("twice, each time with more room", ends, [60, 90, 135])
    s.client("status", env=s.environment(HOME=home))  # which finds that j3 ended otherwise than saved
    left = [job for job in ("j1", "j2", "j3") if os.path.exists(os.path.join(home, ".local/state/headroom/jobs", job))]
    same("no record is left", left, [])


@scenario("cgroup")
def not_started_again(s):
    """Not beyond what the administrator allows, not more often than its policy says, and not where its owner ended it."""
    s.daemon("[policy batch]\nretry = 5, limit x2\nlimit_max = 70M\n")
    script = write(s, "willing.py", WILLING)
    run = s.run(PYTHON, script, limit="60M", options=("--policy", "batch", "--name", "capped"))
    check("it is ended", run.wait(90) in (1, 75, 130), run.explain())
    check("once, up to the cap, then refused", "1 of 5, with a limit of 70 MiB" in run.err() and
          "no more than 70 MiB" in run.err() and "headroom resume" in run.err(), run.err())
    wait_until("it is listed", lambda: [job["stage"] for job in s.jobs()] == ["saved"])
    held = s.run(PYTHON, script, limit="60M", options=("--name", "hers"))
    held.wait_held()
    held.wait_event("checkpoint", "proven")
    s.must("interrupt", held.name)
    check("her word is the last", held.wait(60) != 0 and "started again" not in held.err(), held.err())


@scenario("cgroup", "process")
def false_proofs(s):
    """A checkpoint function that raises, or names an old or empty file, has not saved: told, and the job is held."""
    s.daemon()
    old = write(s, "old.txt", "from yesterday")
    os.utime(old, (1, 1))
    write(s, "empty.txt", "")
    for number, body in enumerate(("raise ValueError('no room on the disk')", f"return {old!r}", "return 'empty.txt'",
                                   "return 'nowhere.txt'")):
        text = WILLING.replace('    with headroom.saving("saved.txt") as path:\n'
                               '        open(path, "w").write(str(len(frames)))\n    return "saved.txt"', "    " + body)
        check("the function is another", body in text)
        run = s.run(PYTHON, write(s, f"false{number}.py", text), limit="80M", options=("--policy", "default"))
        run.wait_held()
        run.wait_event("checkpoint", "failed")
        same(body, outcomes(s, run, "checkpoint")[-1:], ["failed"])
        s.must("kill", run.name)
        run.wait()
    check("it says why", "no room on the disk" in str(s.told(None)), s.told(None))


@scenario("cgroup")
def speaks_systemds_protocol(s):
    """A program that knows systemd's memory-pressure protocol alone, in either form, reads that it should trim."""
    s.daemon()
    code = """
import os, select, socket, sys, time
peer = socket.socket(socket.AF_UNIX)
peer.connect(os.environ["MEMORY_PRESSURE_WATCH"])
if len(sys.argv) > 1:
    peer.send(b"some 200000 2000000\\0")
held = []
for number in range(60):
    held.append(bytearray(b"x") * (1 << 20))
    if select.select([peer], [], [], 0.04)[0]:
        print("trims", len(peer.recv(4096)) > 0, "MEMORY_PRESSURE_WRITE" in os.environ, flush=True)
        held.clear()
        break
time.sleep(0.5)
"""
    for words in ((), ("writes",)):
        run = s.run(PYTHON, "-c", code, *words, limit="50M", options=("--no-python-hook",),
                    env=s.environment(MEMORY_PRESSURE_WRITE="c29tZQ=="))
        run.check_unharmed(run.wait())
        same("it trimmed", run.out(), "trims True False\n")


@scenario("cgroup")
def strangers_and_floods(s):
    """Who is in no job is turned away; a job that floods the socket is slowed, and others are served meanwhile."""
    s.daemon()
    knock = ("import socket, sys\npeer = socket.socket(socket.AF_UNIX)\npeer.settimeout(5)\npeer.connect(sys.argv[1])\n"
             "try:\n    print(peer.recv(10))\nexcept ConnectionResetError:\n    print(b'')\n")
    path = os.path.join(os.path.dirname(s.socket), "job")
    out = s.popen([PYTHON, "-c", knock, path], stdout=-1, text=True).communicate(timeout=20)[0]
    same("turned away", out, "b''\n")
    flood = """
import os, socket, time
until = time.monotonic() + 6
while time.monotonic() < until:
    peer = socket.socket(socket.AF_UNIX)
    peer.settimeout(1)
    try:
        peer.connect(os.environ["MEMORY_PRESSURE_WATCH"])
        peer.sendall(b"hello headroom/1 trim\\n")
        while time.monotonic() < until:
            peer.sendall(b"trimmed 5\\n" * 500)
    except OSError:
        pass
"""
    flooder = s.run(PYTHON, "-c", flood, limit="100M", options=("--no-python-hook",))
    flooder.wait_watched()
    pid = s.daemons[-1].pid

    def ticks():
        return sum(map(int, read_text(f"/proc/{pid}/stat").rpartition(")")[2].split()[11:13]))
    time.sleep(0.5)
    before, began = ticks(), time.monotonic()
    time.sleep(3)
    busy = (ticks() - before) / os.sysconf("SC_CLK_TCK") / (time.monotonic() - began)
    check("the flood costs the daemon little", busy < 0.2, f"{busy:.0%} of a core")
    other = s.run(PYTHON, write(s, "garbage.py", GARBAGE), limit="72M")
    other.check_unharmed(other.wait())
    flooder.wait()


@scenario("cgroup", "process")
def many_processes_answer(s):
    """Each process of a pool gives back its own garbage, by fork and by spawn."""
    s.daemon()
    code = """
import gc, multiprocessing, time
class Node:
    pass
def work(number):
    gc.disable()
    for _ in range(60):
        node = Node()
        node.itself, node.data = node, bytearray(b"x") * (1 << 20)
        del node
        time.sleep(0.03)
if __name__ == "__main__":
    for way in ("fork", "spawn"):
        workers = [multiprocessing.get_context(way).Process(target=work, args=(n,)) for n in range(3)]
        [worker.start() for worker in workers]
        [worker.join() for worker in workers]
        print(way, [worker.exitcode for worker in workers], flush=True)
"""
    run = s.run(PYTHON, write(s, "pool.py", code), limit="120M")
    run.check_unharmed(run.wait(90))
    same("its output", run.out(), "fork [0, 0, 0]\nspawn [0, 0, 0]\n")
    check("not held", "freeze" not in run.actions(), run.explain())


@scenario("cgroup")
def hook_survives_a_restart(s):
    """After a restart of the daemon the hook comes back by itself, and the script still lives by its trims."""
    daemon = s.daemon()
    script = write(s, "later.py", GARBAGE.replace("for number in range(200)", "time.sleep(6)\nfor number in range(200)"))
    run = s.run(PYTHON, script, limit="72M")
    run.wait_watched()
    time.sleep(1)  # it greets the daemon after 0.2 s, and looks for another one 1 s and 3 s after it has lost that
    daemon.kill()
    daemon.wait()
    s.daemon()
    run.check_unharmed(run.wait())
    check("it was asked, and gave back", "done" in outcomes(s, run, "trim"), run.explain())
    check("not held", "freeze" not in run.actions(), run.explain())


@scenario("cgroup")
def trim_by_hand(s):
    """`headroom trim` asks at once, and the answer comes while the main thread is in one long call."""
    s.daemon()
    code = GARBAGE.replace("for number in range(200)", "for number in range(40)").replace(
        'print("finished")', "import hashlib\nuntil = time.monotonic() + 4\nbig = bytes(200 << 20)\nopen('there', 'w').close()\n"
        "while time.monotonic() < until: hashlib.sha512(big)\n")
    run = s.run(PYTHON, write(s, "busy.py", code), limit="500M")
    wait_until("it is busy", lambda: os.path.exists(os.path.join(s.work, "there")), detail=run.err)
    began = time.monotonic()
    s.must("trim", run.name)
    done = run.wait_event("trim", "done")
    check("within a second", time.monotonic() - began < 2, time.monotonic() - began)
    check("it gave back what was garbage", "gave back 4" in done["reason"] or "gave back 3" in done["reason"], done)
    run.wait()


# 100 MiB of its own, 40 in /dev/shm, 30 of a file that it only reads; no module that would answer anybody.
THREE_KINDS = """
import mmap, os, time
own = bytearray(b"x") * (100 << 20)
shared = open("/dev/shm/headroom-three-%d" % os.getpid(), "w+b")
os.unlink(shared.name)
os.truncate(shared.fileno(), 40 << 20)
memory = mmap.mmap(shared.fileno(), 40 << 20)
memory.write(b"y" * (40 << 20))
with open("data", "wb") as out:
    out.write(b"z" * (30 << 20))
data = mmap.mmap(os.open("data", os.O_RDONLY), 30 << 20, prot=mmap.PROT_READ)
sum(data[at] for at in range(0, 30 << 20, 4096))
open("there", "w").close()
time.sleep(60)
"""


def parts(s, job):
    """What `why` shows by the kernel's word: bytes by kind, and the processes in their order."""
    rows = json.loads(s.must("why", job, "--json"))
    return ({row["name"]: row["bytes"] for row in rows if row["kind"] == "mapping"},
            [row for row in rows if row["kind"] == "process"])


@scenario("cgroup", "process")
def kinds_of_any_program(s):
    """Of a program that answers nobody `why` shows heap, shared memory and mapped files at their sizes, held or not."""
    s.daemon()
    run = s.run(PYTHON, "-c", THREE_KINDS, limit="500M", options=("--no-python-hook",))
    wait_until("it has all", lambda: os.path.exists(os.path.join(s.work, "there")), detail=run.err)
    kind = subprocess.run(["stat", "-f", "-c", "%T", s.work], stdout=subprocess.PIPE, text=True, check=True).stdout
    in_memory = kind.strip() == "tmpfs"
    wanted = {"heap and anonymous memory": 100, "shared memory": 70 if in_memory else 40,
              **({} if in_memory else {"files mapped": 30})}
    for state in ("running", "held"):
        if state == "held":
            s.must("hold", run.name)
            run.wait_held()
        kinds, processes = parts(s, run.name)
        for name, size in wanted.items():
            check(f"{state}: {name}", abs(kinds.get(name, 0) - size * MIB) < size * MIB // 10, kinds)
        check(f"{state}: the rest is small", 0 < kinds["program and libraries"] < 20 * MIB and
              0 < kinds["stacks"] < 4 * MIB and "not told apart" not in kinds, kinds)
        same(f"{state}: one process is no list", processes, [])
    out = s.must("why", run.name)
    check("for people too", "mapping  heap and anonymous memory  10" in out, out)
    if not s.user:
        status, out, err = s.client("why", run.name, user=65534)
        check("not to others", status == 5 and "heap" not in out + err, (status, out, err))
    s.must("kill", run.name)
    run.wait()


@scenario("cgroup", "process")
def shared_pages_count_once(s):
    """Four workers that share 60 MiB with their parent are shown with about 60 MiB in all, each with its part."""
    s.daemon()
    there = os.path.join(s.work, "there")
    run = s.program("pool", "--to", "60", "--children", "4", "--rest", "60", "--reached", there, limit="500M",
                    options=("--no-python-hook",))
    wait_until("they are there", lambda: os.path.exists(there), detail=run.err)
    status = run.status()
    wait_until("all of them are seen", lambda: len(parts(s, run.name)[1]) == 5, detail=lambda: parts(s, run.name))
    kinds, processes = parts(s, run.name)
    check("in all", 60 * MIB <= kinds["heap and anonymous memory"] < 85 * MIB, kinds)
    same("their sum is that of the kinds", sum(row["bytes"] for row in processes), sum(kinds.values()))
    same("which ones", {row["pid"] for row in processes}, set(s.pids(status)))
    check("each its part", all(10 * MIB < row["bytes"] < 25 * MIB for row in processes), processes)
    check("largest first", processes == sorted(processes, key=lambda row: -row["bytes"]), processes)
    s.must("kill", run.name)
    run.wait()


@scenario("cgroup", "process")
def many_processes_and_bad_names(s):
    """The largest sixteen processes are listed, the others summed up; a name that would harm a terminal is escaped."""
    s.daemon()
    there = os.path.join(s.work, "there")
    code = """
import ctypes, os, sys, time
for number in range(20):
    if os.fork() == 0:
        ctypes.CDLL(None).prctl(15, b") R \\x1b[31m\\n;\\x07", 0, 0, 0)
        kept = bytearray(b"x") * ((1 + number // 10) << 20)
        open(sys.argv[1] + str(number), "w").close()
        time.sleep(60)
        os._exit(0)
time.sleep(60)
"""
    run = s.run(PYTHON, "-c", code, there, limit="500M", options=("--no-python-hook",))
    wait_until("they are there", lambda: all(os.path.exists(there + str(number)) for number in range(20)),
               detail=run.err)
    # The tree's members are looked for from time to time.
    wait_until("all are seen", lambda: [row["name"] for row in parts(s, run.name)[1][-1:]] == ["5 others"],
               detail=lambda: parts(s, run.name))
    kinds, processes = parts(s, run.name)
    same("rows", len(processes), 17)
    same("the last is many", processes[-1]["pid"], None)
    same("nothing is left out", sum(row["bytes"] for row in processes), sum(kinds.values()))
    out = s.must("why", run.name)
    check("escaped", "R \\x1b[31m\\x0a;\\x07" in out and "\x1b" not in out and "\x07" not in out, out)
    s.must("kill", run.name)
    run.wait()
