# SPDX-License-Identifier: LGPL-2.1-or-later
"""Jobs that CRIU saves. A script stands for CRIU here, which does not work on every kernel: what the daemon makes of
its answers is tried; the virtual machine's tests have the real one."""

import os
import signal
import stat

from jobs_kit import NOBODY, Skip, check, read_text, same, scenario, wait_until

FAKE = """#!/bin/sh
words="$*"
word=$1
while [ $# -gt 0 ]; do case $1 in
    --tree) tree=$2 ;;
    --images-dir) images=$2 ;;
    --freeze-cgroup) control=$2 ;;
esac; shift; done
echo "$words" >> @WORK@/criu.calls
part() { echo part > "$images/$1.img"; }
case $word in
check) @CHECK@ ;;
dump) for name in inventory pstree core-$tree mm-$tree pagemap-$tree; do part $name; done
    case $words in *--prev-images-dir*) ln -s ../pre "$images/parent" ;; esac
    @DUMP@ ;;
pre-dump) printf '\\0\\0\\0\\0\\0\\0\\0\\0\\006\\0\\0\\0\\n\\004\\010\\001\\020\\002' > "$images/stats-dump"
    @PREDUMP@ ;;
restore) echo 'Error (criu/r.c:3): 12 exited, status=1' > "$images/restore.log"
    @WHY@
    echo 'Error (criu/r.c:2): Restoring FAILED.' >> "$images/restore.log"; exit 1 ;;
esac
"""


WHOLE = "part inventory; part pages-1; part pagemap-$tree"


def start(s, check_="exit 0", dump="part pages-1", policy="", keep=False, predump=WHOLE, free="0",
          why="echo 'Error (criu/x.c:1): the page is torn' >> \"$images/restore.log\""):
    """A daemon with a CRIU of that kind, and policy `save`."""
    script = s.script("criu", FAKE.replace("@WORK@", s.work).replace("@CHECK@", check_).replace("@DUMP@", dump)
                      .replace("@PREDUMP@", predump).replace("@WHY@", why))
    images = os.path.join(s.directory, "images")
    s.daemon(f"[daemon]\ncriu = {script}\n[policy save]\ncheckpoint_method = criu\ncriu_dir = {images}\ncriu_free = {free}\n"
             f"{'' if keep else 'hold_timeout = 0'}\n{policy}\n")
    wait_until("CRIU was probed", lambda: "being probed" not in s.must("doctor"), detail=s.log)
    return images


def grow(s, rate=40):
    return s.grow("--to", "120", "--rate", str(rate), limit="80M", options=("--policy", "save"))


def calls(s):
    return [line.split()[0] for line in read_text(os.path.join(s.work, "criu.calls"), "").splitlines()]


AHEAD = "criu_predump = yes\nsettle = 1s\nnotice = 40%\ntrim = 50%"


def grow_slowly(s, *words, to=120):
    """So that 5 s are left when half of its limit is used."""
    return s.grow("--to", str(to), "--rate", "6", *words, limit="80M", options=("--policy", "save"))


def told(s, run, *actions):
    return [f"{e['action']} {e['outcome']}" for e in s.events(run.name) if e["action"] in actions]


def run_that_rests(s, words, **options):
    """A Python that has done `words`, and rests for 6 s."""
    code = f"import sys, time; {words}\nprint('rests', file=sys.stderr, flush=True); time.sleep(6)"
    run = s.run("/usr/bin/python3", "-c", code, options=("--policy", "save"), **options)
    wait_until("it rests", lambda: "rests\n" in run.err(), detail=run.explain)
    return run


def goes_on(s, run):
    s.must("resume", run.name, "--limit", "200M")
    run.check_unharmed(run.wait())
    same("it finished", run.result()[0], "finished")


@scenario("cgroup")
def criu_saves_and_ends(s):
    """A job is held, saved by CRIU while it stands still, killed there, and listed as saved; its image is root's alone,
    and one that was damaged, or that CRIU can't restore, is told and kept."""
    images = start(s)
    run = grow(s)
    same("killed where it stood", run.wait(), 137)
    run.end_event()
    done = [e["action"] for e in s.events(run.name) if e["action"] in ("freeze", "checkpoint", "kill", "saved")
            and e["outcome"] != "passed over"]
    same("what was done", done, ["freeze", "checkpoint", "checkpoint", "kill", "saved"])
    check("it is told how to go on", "headroom resume j1" in run.err(), run.err())
    image = os.path.join(images, "j1")
    for path in (images, image, image + "/img"):
        same("whose it is", (os.stat(path).st_uid, stat.S_IMODE(os.stat(path).st_mode)), (0, 0o700))
    words = [line for line in read_text(os.path.join(s.work, "criu.calls")).splitlines() if line.startswith("dump")][0]
    for word in ("--freeze-cgroup", "--leave-running", "--manage-cgroups=ignore"):
        check("as a held job must be dumped", word in words, words)
    saved = [row for row in s.jobs() if row["stage"] == "saved"]
    same("listed", [(row["job"], row["name"]) for row in saved], [("j1", run.name)])
    status, _, err = s.client("resume", "j1", "--limit", "200M")
    check("CRIU's own reason is told", status == 1 and "the page is torn" in err and "kept" in err, (status, err))
    status, _, err = s.client("resume", "j1", "--limit", "10M")
    check("a limit that is too small", status == 2 and "is the least that would do" in err, (status, err))
    with open(image + "/img/pages-1.img", "w", encoding="utf-8"):
        pass
    status, _, err = s.client("resume", "j1", "--limit", "200M")
    check("a damaged image", status == 1 and "damaged: pages-1.img" in err, (status, err))
    same("restored but once", calls(s).count("restore"), 1)


@scenario("cgroup")
def criu_does_not_say_why(s):
    """Where the log of a restore has no reason, the first of what became of its processes is told."""
    start(s, why="")
    run = grow(s)
    same("saved", run.wait(), 137)
    run.end_event()
    status, _, err = s.client("resume", "j1", "--limit", "200M")
    check("told", status == 1 and "12 exited, status=1; its image is kept" in err, (status, err))


@scenario("cgroup")
def criu_half_an_image(s):
    """CRIU ends with 0 but a part is missing: that is no image, and the job is left to its owner."""
    images = start(s, dump=":", keep=True)
    run = grow(s)
    run.wait_held()
    event = s.wait_event(run.name, "checkpoint", "failed")
    check("told", "left out a part" in event["reason"], event)
    wait_until("nothing is left", lambda: os.listdir(images) == [], detail=lambda: os.listdir(images))
    goes_on(s, run)


@scenario("cgroup")
def criu_fails(s):
    """CRIU fails, as on a full disk: its reason is told, nothing counts as saved, the job goes on."""
    images = start(s, dump="echo '(0.1) Error (criu/i.c:2): No space left on device' > \"$images/dump.log\"; exit 1",
                   keep=True)
    run = grow(s)
    run.wait_held()
    event = s.wait_event(run.name, "checkpoint", "failed")
    check("told", "No space left on device" in event["reason"], event)
    wait_until("nothing is left", lambda: os.listdir(images) == [], detail=lambda: os.listdir(images))
    goes_on(s, run)


@scenario("cgroup")
def criu_does_not_work(s):
    """`criu check` fails: who asks for it is told so, and with a policy that names it another stage is taken."""
    start(s, check_="echo 'Error (criu/k.c:1): this kernel is too new' >&2; exit 1", keep=True)
    check("doctor", "this kernel is too new" in s.must("doctor"), s.must("doctor"))
    status, _, err = s.client("run", "--checkpoint", "criu", "--", "true")
    check("run", status != 0 and "this kernel is too new" in err, (status, err))
    run = grow(s, rate=15)  # the way from its checkpoint level to its hold level takes 370 ms
    run.wait_held()
    passed = [e for e in s.events(run.name) if e["action"] == "checkpoint" and e["outcome"] == "passed over"]
    check("passed over with the reason", passed and "this kernel is too new" in passed[0]["reason"], passed)
    goes_on(s, run)


@scenario("cgroup", "process")
def criu_no_such_image(s):
    """Where there is no CRIU, an id that was mistyped is no such job all the same."""
    s.daemon("[daemon]\ncriu = /nowhere/criu\n")
    status, out, err = s.client("resume", "j99")
    same("no such job", (status, out), (4, ""))
    check("said", 'There is no job "j99"' in err and "CRIU" not in err, err)


@scenario("cgroup")
def criu_is_not_let_near(s):
    """What CRIU can't take (a pipe to another program, a socket that it serves, a network connection) is found out
    before CRIU is called."""
    start(s, keep=True)
    code = {
        "pipe": "",
        "serves": "import socket; a = socket.socket(socket.AF_UNIX); a.bind('sock'); a.listen()",
        "network": "import socket; a = socket.create_server(('127.0.0.1', 0))",
        "deleted": "import os; a = open('gone', 'w'); os.unlink('gone')",
        "another program": "a = open('/proc/1/stat')",
        "a thread": "import threading; t = threading.Thread(target=threading.Event().wait, daemon=True); t.start(); "
                    "a = open('/proc/self/task/%d/stat' % t.native_id)",
    }
    os.chown(s.work, 1000, 1000)
    for what, words in code.items():
        read, write = os.pipe()
        more = {"stdout": write} if what == "pipe" else {}
        run = run_that_rests(s, words, **more)
        os.close(write)
        s.client("checkpoint", run.name)
        event = s.wait_event(run.name, "checkpoint", "failed")
        check(what, {"deleted": "a deleted file", "serves": "serves a socket"}.get(what, what) in event["reason"], event)
        same("and it goes on", run.wait(), 0)
        os.close(read)
    check("CRIU was not called", "dump" not in calls(s), calls(s))


# It serves a socket, which CRIU refuses, and knows how to save itself.
WILLING = """
import socket, sys, time
import headroom
served = socket.socket(socket.AF_UNIX)
served.bind(sys.argv[1])
served.listen()
data = []
@headroom.checkpoint
def save():
    with headroom.saving("saved.txt") as path:
        with open(path, "w") as out:
            out.write(str(len(data)))
for number in range(120):
    data.append(bytearray(b"x") * (1 << 20))
    time.sleep(0.1)
print("finished")
"""


@scenario("cgroup")
def criu_is_told_of_in_time(s):
    """What CRIU can't take is found out soon after the start, while the job runs; its own code saves it instead, if it
    has some, else it is held."""
    start(s, keep=True)
    read, write = os.pipe()
    run = s.run("/usr/bin/python3", "-c", "import time; time.sleep(9)", options=("--policy", "save"), stdout=write)
    os.close(write)
    event = s.wait_event(run.name, "checkpoint", "passed over", seconds=20)
    check("why, what to do, and what comes instead", "pipe to a program outside" in event["reason"] and
          "--detach" in event["reason"] and "it is held at its limit and its owner asked" in event["reason"], event)
    check("status has it", "pipe to a program outside" in run.status()["reason"], run.status())
    same("and it goes on", run.wait(), 0)
    os.close(read)
    run = s.run("/usr/bin/python3", s.script("willing.py", WILLING), os.path.join(s.work, "served"), limit="100M",
                options=("--policy", "save"))
    event = s.wait_event(run.name, "checkpoint", "proven", seconds=30)
    same("what was done", told(s, run, "checkpoint"),
         ["checkpoint passed over", "checkpoint started", "checkpoint proven"])
    reasons = [e["reason"] for e in s.events(run.name) if e["action"] == "checkpoint"]
    check("and how", "serves a socket; if that stays so, its own code" in reasons[0] and "by channel" in reasons[1], reasons)
    run.wait_held()
    s.must("resume", run.name, "--limit", "300M")
    same("it finished", (run.wait(), run.out()), (0, "finished\n"))
    sleeper = s.popen(["/usr/bin/sleep", "30"])
    s.must("attach", str(sleeper.pid), "--name", "found", "--limit", "100M", "--policy", "save")
    event = s.wait_event("found", "checkpoint", "passed over", seconds=20)
    check("one that was found", event["reason"] == "CRIU takes only what stands in a cgroup of its own that can be "
          "frozen, and it does not; it is held at its limit and its owner asked", event)
    status, _, err = s.client("checkpoint", "found")
    check("nor when it is asked for", status == 1 and "CRIU takes only" in err, (status, err))
    check("CRIU was not called", "dump" not in calls(s), calls(s))


@scenario("cgroup")
def criu_takes_its_proc_files(s):
    """A job that was reading of itself in /proc when it was held: those files are there again with its processes, and are
    not missed before."""
    start(s, keep=True)
    run = run_that_rests(s, "a = open('/proc/self/stat')")
    s.must("checkpoint", run.name)
    s.wait_event(run.name, "checkpoint", "proven")
    same("it goes on to its end", run.wait(), 0)
    run.end_event()
    status, _, err = s.client("resume", "j1")
    check("CRIU was asked for it", status == 1 and "the page is torn" in err, (status, err))


@scenario("cgroup")
def criu_deleted_in_tmp(s):
    """A deleted file in /tmp, which CRIU would make anew and change by name: not where its owner could lay a link that
    root follows."""
    if read_text("/proc/sys/fs/protected_symlinks").strip() != "0":
        raise Skip("the kernel protects links here (sysctl fs.protected_symlinks)")
    start(s, keep=True)
    run = run_that_rests(s, "import tempfile, os; a = tempfile.TemporaryFile(dir='/tmp'); "
                         "b = tempfile.NamedTemporaryFile(dir='/tmp'); os.unlink(b.name)", user=NOBODY)
    s.client("checkpoint", run.name)
    event = s.wait_event(run.name, "checkpoint", "failed")
    check("said", "fs.protected_symlinks" in event["reason"], event)
    check("CRIU was not called", "dump" not in calls(s), calls(s))


@scenario("cgroup")
def criu_is_not_disturbed(s):
    """While CRIU is at a job nothing else is done to it, but to end it; a daemon that dies then leaves both alone, and the next one
    waits for the end of it."""
    go = os.path.join(s.work, "go")
    images = start(s, dump=f"while [ ! -e {go} ]; do sleep 0.1; done; part pages-1", keep=True)
    run = grow(s)
    run.wait_held()
    s.wait_event(run.name, "checkpoint", "started")
    wait_until("CRIU is at it", lambda: "dump" in calls(s), detail=s.log)
    for words in (("resume",), ("interrupt",), ("limit", "300M")):
        status, _, err = s.client(words[0], run.name, *words[1:])
        check(words[0], status == 1 and "must not be disturbed" in err, (status, err))
    s.daemons[-1].send_signal(signal.SIGKILL)
    s.daemons.pop().wait()
    config = read_text(s.config)
    s.daemon(config)
    with open(go, "w", encoding="ascii"):
        pass
    event = s.wait_event(run.name, "checkpoint", "proven")
    check("the new daemon knows of the image", os.path.exists(os.path.join(images, "j1", "manifest")), event)
    goes_on(s, run)


@scenario("cgroup")
def criu_writes_ahead(s):
    """With criu_predump, memory is written ahead at the trim level while the job runs; the dump writes what changed since,
    and both are the image."""
    images = start(s, policy=AHEAD)
    run = grow_slowly(s)
    event = s.wait_event(run.name, "predump", "done", seconds=60)
    check("how much, and for how long it stood still", "written ahead in" in event["reason"] and
          "stood still for 3 us" in event["reason"], event)
    check("it is not listed as saved", not any(row["stage"] == "saved" for row in s.jobs()), s.jobs())
    same("killed where it stood", run.wait(), 137)
    run.end_event()
    same("what was done", told(s, run, "predump", "freeze", "checkpoint", "saved"),
         ["predump started", "predump done", "checkpoint passed over", "freeze done", "checkpoint started",
          "checkpoint proven", "saved done"])
    words = [line for line in read_text(os.path.join(s.work, "criu.calls")).splitlines() if "dump" in line]
    check("as a job that runs must be", "--freeze-cgroup" in words[0] and "--track-mem" in words[0], words)
    check("and the dump after it", "--track-mem --prev-images-dir ../pre" in words[1], words)
    same("nothing else is left", os.listdir(images), ["j1"])
    status, _, err = s.client("resume", "j1", "--limit", "200M")
    check("CRIU has all of it", status == 1 and "the page is torn" in err, (status, err))
    os.truncate(images + "/j1/pre/pages-1.img", 1)
    status, _, err = s.client("resume", "j1", "--limit", "200M")
    check("a damaged image", status == 1 and "pre/pages-1.img is not as it was written" in err, (status, err))


@scenario("cgroup")
def criu_writes_ahead_in_vain(s):
    """A job that is given room, and one that ends by itself, leave nothing behind; another dump does not use what was
    written ahead of the first."""
    images = start(s, policy=AHEAD, keep=True)
    run = grow_slowly(s, to=90)
    s.wait_event(run.name, "predump", "done", seconds=60)
    same("it waits for the dump", os.listdir(images), [".j1.pre"])
    s.must("limit", run.name, "400M")
    s.wait_event(run.name, "predump", "removed", seconds=60)
    wait_until("it is gone", lambda: os.listdir(images) == [])
    run.check_unharmed(run.wait())

    run = grow_slowly(s, to=60)
    s.wait_event(run.name, "predump", "done", seconds=60)
    run.check_unharmed(run.wait())
    wait_until("nothing is left of it", lambda: os.listdir(images) == [])

    run = grow_slowly(s)
    s.wait_event(run.name, "predump", "done", seconds=60)
    for n in (1, 2):
        s.must("checkpoint", run.name)
        wait_until("saved", lambda: told(s, run, "checkpoint").count("checkpoint proven") == n, detail=s.log)
        wait_until("it goes on", lambda: told(s, run, "thaw").count("thaw done") == n, detail=s.log)
    dumps = [line for line in read_text(os.path.join(s.work, "criu.calls")).splitlines() if line.startswith("dump")]
    same("which used it", ["--prev-images-dir" in line for line in dumps], [True, False])
    run.wait_held()
    goes_on(s, run)


@scenario("cgroup")
def criu_writes_ahead_and_fails(s):
    """Writing ahead that fails, or that can't be done, costs nothing: it is told, and all is dumped later."""
    images = start(s, policy=AHEAD, predump="part inventory; echo 'Error (criu/x.c:1): no such luck' > $images/dump.log; exit 1")
    run = grow_slowly(s)
    event = s.wait_event(run.name, "predump", "failed", seconds=60)
    check("why", "no such luck" in event["reason"], event)
    same("saved all the same", run.wait(), 137)
    same("and whole", (os.listdir(images), os.path.exists(images + "/j1/pre")), (["j1"], False))
    dumps = [line for line in read_text(os.path.join(s.work, "criu.calls")).splitlines() if line.startswith("dump")]
    check("without it", len(dumps) == 1 and "--track-mem" not in dumps[0], dumps)


@scenario("cgroup")
def criu_has_no_room_to_write_ahead(s):
    """What must stay free is respected by both, and the job is left to its owner."""
    start(s, policy=AHEAD, keep=True, free="60T")
    run = grow_slowly(s)
    event = s.wait_event(run.name, "predump", "failed", seconds=60)
    check("both are counted", "no room in" in event["reason"] and "with the dump after it" in event["reason"], event)
    run.wait_held()
    event = s.wait_event(run.name, "checkpoint", "failed")
    check("the dump alone", "no room in" in event["reason"] and "after it" not in event["reason"], event)
    same("CRIU was not called", [call for call in calls(s) if "dump" in call], [])
    goes_on(s, run)


@scenario("cgroup")
def criu_can_not_write_ahead(s):
    """A kernel that doesn't tell what has changed: doctor says so, and the job is told."""
    start(s, policy=AHEAD, check_='case $words in *mem_dirty_track*) exit 1 ;; esac')
    check("doctor", "does not track changes of memory" in s.must("doctor"), s.must("doctor"))
    run = grow_slowly(s)
    event = s.wait_event(run.name, "predump", "passed over", seconds=60)
    check("why", "does not track changes of memory" in event["reason"], event)
    same("saved all the same", run.wait(), 137)


@scenario("cgroup")
def criu_has_the_job(s):
    """While CRIU has a running job to see what it has, the job is not frozen, for CRIU would never get out of it; when CRIU
    only writes any more, it is. A daemon that dies meanwhile changes nothing of that."""
    for dies in (False, True):
        seen = os.path.join(s.work, f"seen-{dies}")
        part = f"echo now > {seen}; part inventory; part pages-1; sleep 4; part pagemap-$tree; sleep 4"
        images = start(s, policy=AHEAD, keep=True, predump=part)
        run = grow_slowly(s, "--rest", "3", to=70)  # else it ends when CRIU lets go of it
        wait_until("CRIU has it", lambda: os.path.exists(seen), seconds=60, detail=s.log)
        if dies:
            s.daemons[-1].send_signal(signal.SIGKILL)
            s.daemons.pop().wait()
            s.daemon(read_text(s.config))
        status = run.status()
        listed = os.path.join(images, f".{status['job']}.pre", "img", f"pagemap-{status['leader_pid']}.img")
        s.client("hold", run.name)
        wait_until("it is held", lambda: "freeze done" in told(s, run, "freeze"), seconds=20, detail=s.log)
        check("but not before CRIU had let go of it", os.path.exists(listed), os.listdir(images))
        check("while CRIU still wrote", dies or "predump done" not in told(s, run, "predump"), told(s, run, "predump"))
        s.must("checkpoint", run.name)
        event = s.wait_event(run.name, "checkpoint", "proven", seconds=30)
        check("and the dump waits for that, and uses it", "written ahead" in event["reason"], event)
        s.must("resume", run.name, "--limit", "200M")
        run.check_unharmed(run.wait())
        s.daemons[-1].send_signal(signal.SIGTERM)
        s.daemons.pop().wait()


@scenario("cgroup")
def criu_hangs(s):
    """A CRIU that never lets go of a job is told, and the job can be ended under it, written ahead or held."""
    frozen = 'echo 1 > "$control/cgroup.freeze" || echo FROZEN > "$control/freezer.state"'
    for word in ("predump", "dump"):
        start(s, policy=AHEAD, keep=True,
              **{word: f"part inventory; {frozen if word == 'predump' else ':'}; echo now > {s.work}/{word}; exec sleep 600"})
        run = grow_slowly(s)
        wait_until("CRIU has it", lambda: os.path.exists(os.path.join(s.work, word)), seconds=60, detail=s.log)
        if word == "predump":
            stuck = s.wait_event(run.name, "predump", "stuck", seconds=60)
            check("what to type", f"headroom kill {stuck['job']}" in stuck["reason"], stuck)
            check("a hold waits, and that is said", "as soon as CRIU lets go" in s.must("hold", run.name), s.log())
        else:
            status, _, err = s.client("resume", run.name, "--limit", "200M")
            check("not let go", status == 1 and "being saved by CRIU" in err and "headroom kill" in err, (status, err))
        s.must("kill", run.name)
        same("ended", run.wait(20), 137)
        s.daemons[-1].send_signal(signal.SIGTERM)
        s.daemons.pop().wait()


@scenario("cgroup")
def criu_never_begins(s):
    """A job that grows to its hold level while CRIU has not got hold of it yet is held, and dumped whole."""
    images = start(s, policy=AHEAD, keep=True, predump="exec sleep 600")
    run = grow_slowly(s)
    event = s.wait_event(run.name, "predump", "failed", seconds=60)
    check("why", "before CRIU had begun" in event["reason"], event)
    run.wait_held()
    event = s.wait_event(run.name, "checkpoint", "proven", seconds=30)
    same("what is left", os.listdir(images), ["j1"])
    goes_on(s, run)
