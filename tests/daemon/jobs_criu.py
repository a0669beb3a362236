# SPDX-License-Identifier: LGPL-2.1-or-later
"""Jobs that CRIU saves. A script stands for CRIU here, which does not work on every kernel: what the daemon makes of
its answers is tried; the virtual machine's tests have the real one."""

import os
import signal
import stat
import time

from jobs_kit import NOBODY, Skip, check, read_text, same, scenario, wait_until

FAKE = """#!/bin/sh
words="$*"
word=$1
while [ $# -gt 0 ]; do case $1 in
    --tree) tree=$2 ;;
    --images-dir) images=$2 ;;
esac; shift; done
echo "$words" >> @WORK@/criu.calls
part() { echo part > "$images/$1.img"; }
case $word in
check) @CHECK@ ;;
dump) for name in inventory pstree core-$tree mm-$tree pagemap-$tree; do part $name; done
    @DUMP@ ;;
restore) echo 'Error (criu/x.c:1): the page is torn' > "$images/restore.log"; exit 1 ;;
esac
"""


def start(s, check_="exit 0", dump="part pages-1", policy="", keep=False):
    """A daemon with a CRIU of that kind, and policy `save`."""
    script = s.script("criu", FAKE.replace("@WORK@", s.work).replace("@CHECK@", check_).replace("@DUMP@", dump))
    images = os.path.join(s.directory, "images")
    s.daemon(f"[daemon]\ncriu = {script}\n[policy save]\ncheckpoint_method = criu\ncriu_dir = {images}\ncriu_free = 0\n"
             f"{'' if keep else 'hold_timeout = 0'}\n{policy}\n")
    wait_until("CRIU was probed", lambda: "being probed" not in s.must("doctor"), detail=s.log)
    return images


def grow(s, **options):
    return s.grow("--to", "120", "--rate", "40", limit="80M", options=("--policy", "save"), **options)


def calls(s):
    return [line.split()[0] for line in read_text(os.path.join(s.work, "criu.calls"), "").splitlines()]


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
def criu_half_an_image(s):
    """CRIU ends with 0 but a part is missing: that is no image, and the job is left to its owner."""
    images = start(s, dump=":", keep=True)
    run = grow(s)
    run.wait_held()
    event = s.wait_event(run.name, "checkpoint", "failed")
    check("told", "left out a part" in event["reason"], event)
    same("nothing is left", os.listdir(images), [])
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
    same("nothing is left", os.listdir(images), [])
    goes_on(s, run)


@scenario("cgroup")
def criu_does_not_work(s):
    """`criu check` fails: who asks for it is told so, and with a policy that names it another stage is taken."""
    start(s, check_="echo 'Error (criu/k.c:1): this kernel is too new' >&2; exit 1", keep=True)
    check("doctor", "this kernel is too new" in s.must("doctor"), s.must("doctor"))
    status, _, err = s.client("run", "--checkpoint", "criu", "--", "true")
    check("run", status != 0 and "this kernel is too new" in err, (status, err))
    run = grow(s)
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
    }
    os.chown(s.work, 1000, 1000)
    for what, words in code.items():
        read, write = os.pipe()
        more = {"stdout": write} if what == "pipe" else {}
        run = s.run("/usr/bin/python3", "-c", f"{words}\nimport time; time.sleep(6)", options=("--policy", "save"), **more)
        os.close(write)
        run.wait_watched()
        time.sleep(0.5)
        s.client("checkpoint", run.name)
        event = s.wait_event(run.name, "checkpoint", "failed")
        check(what, {"deleted": "a deleted file", "serves": "serves a socket"}.get(what, what) in event["reason"], event)
        same("and it goes on", run.wait(), 0)
        os.close(read)
    check("CRIU was not called", "dump" not in calls(s), calls(s))


@scenario("cgroup")
def criu_deleted_in_tmp(s):
    """A deleted file in /tmp, which CRIU would make anew and change by name: not where its owner could lay a link that
    root follows."""
    if read_text("/proc/sys/fs/protected_symlinks").strip() != "0":
        raise Skip("the kernel protects links here (sysctl fs.protected_symlinks)")
    start(s, keep=True)
    code = "import tempfile, time; a = tempfile.TemporaryFile(dir='/tmp'); b = tempfile.NamedTemporaryFile(dir='/tmp')"
    code += "; import os; os.unlink(b.name); time.sleep(6)"
    run = s.run("/usr/bin/python3", "-c", code, options=("--policy", "save"), user=NOBODY)
    run.wait_watched()
    time.sleep(0.5)
    s.client("checkpoint", run.name)
    event = s.wait_event(run.name, "checkpoint", "failed")
    check("said", "fs.protected_symlinks" in event["reason"], event)
    check("CRIU was not called", "dump" not in calls(s), calls(s))


@scenario("cgroup")
def criu_is_not_disturbed(s):
    """While CRIU is at a job nothing else is done to it; a daemon that dies then leaves both alone, and the next one
    waits for the end of it."""
    images = start(s, dump="sleep 6; part pages-1", keep=True)
    run = grow(s)
    run.wait_held()
    s.wait_event(run.name, "checkpoint", "started")
    wait_until("CRIU is at it", lambda: "dump" in calls(s), detail=s.log)
    for words in (("kill",), ("resume",), ("interrupt",), ("limit", "300M")):
        status, _, err = s.client(words[0], run.name, *words[1:])
        check(words[0], status == 1 and "must not be disturbed" in err, (status, err))
    s.daemons[-1].send_signal(signal.SIGKILL)
    s.daemons.pop().wait()
    config = read_text(s.config)
    s.daemon(config)
    event = s.wait_event(run.name, "checkpoint", "proven")
    check("the new daemon knows of the image", os.path.exists(os.path.join(images, "j1", "manifest")), event)
    goes_on(s, run)
