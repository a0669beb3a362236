# SPDX-License-Identifier: LGPL-2.1-or-later
"""
What the scenarios of test-jobs.py stand on: a Scene is a directory, cgroups and private daemons of its own, with the
real client to ask them; whatever it starts is gone when it closes. `scenario` registers a function as a test.
"""

import json
import os
import pwd
import re
import select
import shutil
import signal
import subprocess
import tempfile
import threading
import time

MIB = 1 << 20
PYTHON = "/usr/bin/python3"
NOBODY = 65534  # an ordinary user without rights to any cgroup
PATIENCE = 40  # seconds for what takes one or two on an idle machine


class Skip(Exception):
    """The scenario can't be played here; the text says why."""


def check(what, is_so, detail=""):
    if not is_so:
        raise AssertionError(f"{what}: {detail!r}" if detail != "" else what)


def same(what, got, wanted):
    check(what, got == wanted, f"got {got!r}, wanted {wanted!r}")


def wait_until(what, condition, seconds=PATIENCE, detail=None):
    """What condition() gives, once it is true."""
    until = time.monotonic() + seconds
    while not (got := condition()):
        check(what, time.monotonic() < until, detail() if detail else f"not within {seconds} s")
        time.sleep(0.03)
    return got


def read_text(path, default=None):
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        if default is None:
            raise
        return default


def is_alive(pid):
    stat = read_text(f"/proc/{pid}/stat", "")
    return stat != "" and stat.rpartition(")")[2].split()[0] not in "ZX"


def rss_of(pid):
    """What it has in memory that is its own, by the kernel's word."""
    found = re.search(r"RssAnon:\s+(\d+)", read_text(f"/proc/{pid}/status", ""))
    return int(found.group(1)) << 10 if found else 0


def state_of(pid):
    return (read_text(f"/proc/{pid}/stat", "").rpartition(")")[2].split() or ["gone"])[0]


# ---- the machine ----


def find_mounts():
    """Where the memory controller is and its version, and the unified hierarchy, of this machine."""
    memory, version, unified = "", 0, ""
    for line in read_text("/proc/mounts").splitlines():
        _, path, kind, options = line.split()[:4]
        if kind == "cgroup" and "memory" in options.split(","):
            memory, version = path, 1
        if kind == "cgroup2":
            unified = path
            if not version and "memory" in read_text(path + "/cgroup.controllers", "").split():
                memory, version = path, 2
    return memory, version, unified


MEMORY, VERSION, UNIFIED = find_mounts()


def own_cgroup(version):
    for line in read_text("/proc/self/cgroup").splitlines():
        number, controllers, path = line.split(":", 2)
        if (version == 2 and number == "0") or (version == 1 and "memory" in controllers.split(",")):
            return path.rstrip("/")
    return ""


def has_room(directory):
    """May groups be made below it, and processes put there?"""
    return os.access(directory, os.W_OK) and os.access(os.path.join(directory, "cgroup.procs"), os.W_OK)


# ---- scenarios ----

SCENARIOS = []


class Scenario:
    def __init__(self, function, kind, alone, background):
        self.name = function.__name__ + (f" [{kind}]" if kind else "")
        self.function, self.kind, self.alone, self.background = function, kind, alone, background


def scenario(*kinds, alone=False, background=False):
    """
    Registers function(scene) for each kind of job: "cgroup" (root's daemon), "process" (an ordinary user's). alone:
    no other scenario runs meanwhile, for it needs the machine's attention; background: started first, waits long.
    """
    def register(function):
        check(f"{function.__name__} says its goal", function.__doc__)
        for kind in kinds:
            SCENARIOS.append(Scenario(function, kind, alone, background))
        return function
    return register


class Scene:
    """A directory, cgroups and daemons for one scenario."""

    count = 0
    store = ""  # where what was fetched is kept
    build = ""  # a directory that anybody may read, with the programs in it
    workload = ""
    lock = threading.Lock()

    def __init__(self, kind):
        with Scene.lock:
            Scene.count += 1
            leaf = f"headroom-test-{os.getpid()}-{Scene.count}"
        self.kind, self.user = kind, NOBODY if kind == "process" and os.getuid() == 0 else None
        self.directory = tempfile.mkdtemp(prefix="headroom-jobs-")
        os.chmod(self.directory, 0o755)
        # As /run is, so that no record waits for a disk.
        shared = "/dev/shm" if os.access("/dev/shm", os.W_OK) else self.directory
        self.runtime = os.path.join(shared, os.path.basename(self.directory) + "-run")
        self.work = os.path.join(self.directory, "work")
        self.socket = os.path.join(self.runtime, "bus")
        self.config = os.path.join(self.directory, "headroom.conf")
        self.cgroups, self.processes, self.daemons, self.mounts, self.runs = [], [], [], [], 0
        for path in (self.runtime, self.work):
            os.mkdir(path)
            if self.user:
                os.chown(path, self.user, self.user)
        if self.kind == "cgroup":
            self.make_cgroups(leaf)

    def make_cgroups(self, leaf):
        if os.getuid() != 0:
            raise Skip("cgroups need root")
        if not VERSION:
            raise Skip("this system accounts no memory by cgroup")
        if os.path.isdir("/run/systemd/system"):
            raise Skip("under systemd only a login gets a cgroup; the virtual machine's tests do that")
        self.memory = own_cgroup(VERSION) + "/" + leaf
        wanted = [MEMORY + self.memory] + ([UNIFIED + own_cgroup(2) + "/" + leaf] if UNIFIED and VERSION == 1 else [])
        for path in wanted:
            if not has_room(os.path.dirname(path)):
                raise Skip(f"no group can be made below {os.path.dirname(path)}")
            os.mkdir(path)
            self.cgroups.append(path)

    def wait_in_group(self, process, group):
        """It is in it: what is started in a group comes there by itself, and moving takes the kernel up to 0.3 s."""
        path = MEMORY + group + "/cgroup.procs"
        wait_until(f"it is in {group}", lambda: str(process.pid) in read_text(path).split())

    def make_group(self, name):
        """A cgroup for somebody else's processes, as a batch system would make one; its path below the mount."""
        path = os.path.join(MEMORY + self.memory, name)
        os.mkdir(path)
        return self.memory + "/" + name

    # -- processes --

    def wrap(self, words, user=None, group=None):
        """words as the scene's user, in the scene's cgroups, or in a group of make_group."""
        user = self.user if user is None else user
        cgroups = [*self.cgroups, MEMORY + group] if group else self.cgroups
        enter = 'while [ "$1" != -- ]; do echo 0 > "$1/cgroup.procs" || exit 99; shift; done; shift; exec "$@"'
        who = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"] if user else []
        return ["sh", "-c", enter, "sh", *cgroups, "--", *who, *words]

    def environment(self, **more):
        kept = {key: value for key, value in os.environ.items()
                if key not in ("NO_COLOR", "NOTIFY_SOCKET", "XDG_RUNTIME_DIR")}
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # all of it open to anybody
        return {**kept, "PATH": path, "HEADROOM_SOCKET": self.socket, "HEADROOM_SCENE": self.directory, "TERM": "xterm",
                "HOME": self.work, "LC_ALL": "C.UTF-8", **more}

    def popen(self, words, user=None, group=None, **options):
        options.setdefault("stdin", subprocess.DEVNULL)
        options.setdefault("cwd", self.work)
        options.setdefault("env", self.environment())
        process = subprocess.Popen(self.wrap(words, user, group), **options)
        self.processes.append(process)
        return process

    # -- the daemon --

    def daemon(self, config="", wait=True, arguments=(), **options):
        """Starts one; its log is daemon.log. Returns it once it answers."""
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(config)
        log = open(os.path.join(self.directory, "daemon.log"), "ab")
        words = [os.path.join(self.build, "headroomd"), "--socket", self.socket, "--config", self.config, *arguments]
        process = self.popen(words + (["--user"] if self.kind == "process" else []), stdout=log, stderr=log,
                             start_new_session=True, **options)
        log.close()
        self.daemons.append(process)
        if wait:
            wait_until("the daemon answers", lambda: process.poll() is not None or self.client("status")[0] == 0,
                       detail=self.log)
            check("the daemon runs", process.poll() is None, self.log())
        return process

    def log(self):
        """The end of its log, and how it ended itself, if it did."""
        ended = [f"headroomd ended with {p.returncode}\n" for p in self.daemons if p.poll() is not None]
        return read_text(os.path.join(self.directory, "daemon.log"), "")[-3000:] + "".join(ended)

    # -- the client --

    def client(self, *words, timeout=PATIENCE, **options):
        """Its exit status, stdout, stderr."""
        process = self.popen([os.path.join(self.build, "headroom"), *words], stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True, **options)
        out, err = process.communicate(timeout=timeout)
        self.processes.remove(process)
        return process.returncode, out, err

    def must(self, *words, **options):
        status, out, err = self.client(*words, **options)
        check(" ".join(words), status == 0, (status, out, err, self.log()))
        return out

    def status(self, job):
        """One job's, or None where there is none of that name."""
        status, out, err = self.client("status", job, "--json")
        if status == 4:
            return None
        check(f"status {job}", status == 0, (status, out, err, self.log()))
        return json.loads(out)[0]

    def own_limit(self, job):
        """Its own limit: status shows the one that binds, which may be the host's."""
        return json.loads(self.must("limit", job, "--json"))[0]["own_limit_bytes"]

    def jobs(self):
        return json.loads(self.must("status", "--json"))

    def events(self, job=None):
        """All of them, or those of the job of that name or id."""
        listed = json.loads(self.must("events", "--json"))
        return [event for event in listed if job in (None, event["name"], event["job"])]

    def told(self, job):
        """In short, for messages: what was done to it and how that ended."""
        return [f"{e['stage']}: {e['action']} {e['outcome']}: {e['reason']}" for e in self.events(job)]

    def wait_event(self, job, action, outcome=None, seconds=PATIENCE):
        def found():
            for event in self.events(job):
                if event["action"] == action and outcome in (None, event["outcome"]):
                    return event
            return None
        return wait_until(f"{job}: {action} {outcome or ''}", found, seconds, lambda: (self.told(job), self.log()))

    def wait_held(self, job, seconds=PATIENCE):
        """Its status once it is held, by Headroom's word and the kernel's."""
        def held():
            status = self.status(job)
            return status and status["frozen"] and status["stage"] == "hold" and status
        status = wait_until(f"{job} is held", held, seconds, lambda: (self.told(job), self.log()))
        check("held: it stands still", self.stands_still(status), self.told(job))
        return status

    def stands_still(self, status):
        """No process of the job uses any time, looked at twice, once every one has had time to stop."""
        def times():
            return {pid: read_text(f"/proc/{pid}/stat", "").rpartition(")")[2].split()[11:13]
                    for pid in self.pids(status)}
        for _ in range(20):
            before = times()
            time.sleep(0.1)
            if before and before == times():
                return True
        return False

    def pids(self, status):
        """Every process of the job."""
        if status["kind"] == "process":
            found, more = [], [status["leader_pid"]]
            while more:
                found += more
                parents = {int(pid): int((read_text(f"/proc/{pid}/stat", "").rpartition(")")[2].split() or [0, 0])[1])
                           for pid in os.listdir("/proc") if pid.isdigit()}
                more = [pid for pid, parent in parents.items() if parent in found and pid not in found]
            return found
        return [int(pid) for pid in read_text(MEMORY + status["cgroup"] + "/cgroup.procs", "").split()]

    def run(self, *command, limit="100M", options=(), **popen):
        """`headroom run` with the command; a Run."""
        return Run(self, command, limit, options, popen)

    def grow(self, *words, limit="100M", options=(), **popen):
        """`headroom run` with workload.py's `grow`, its state in `state` of the Run."""
        return self.program("grow", *words, limit=limit, options=options, **popen)

    def program(self, name, *words, limit="100M", options=(), **popen):
        state = os.path.join(self.work, f"state-{self.runs + 1}")
        run = self.run(PYTHON, self.workload, name, "--state", state, *words, limit=limit,
                       options=options, **popen)
        run.state = state
        return run

    def script(self, name, text, mode=0o755):
        """An executable in the scene's work directory."""
        path = os.path.join(self.work, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, mode)
        return path

    # -- the end --

    def ours(self):
        """Every process that carries the scene's mark, whoever started it."""
        mark, found = self.directory.encode(), []
        for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
            if pid == os.getpid():
                continue
            for file in ("environ", "cmdline"):
                try:
                    with open(f"/proc/{pid}/{file}", "rb") as text:
                        if mark in text.read():
                            found.append(pid)
                            break
                except OSError:
                    pass
        for path in self.cgroups:
            for folder, _, _ in os.walk(path):
                found += [int(pid) for pid in read_text(folder + "/cgroup.procs", "").split()]
        return set(found)

    def close(self):
        """Ends whatever runs, and takes away what was made."""
        until = time.monotonic() + 20
        while (left := self.ours()) and time.monotonic() < until:
            for path in self.cgroups:
                self.thaw_groups(path)
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            for process in self.processes:
                process.poll()
            time.sleep(0.05)
        for process in self.processes:
            process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe:
                    pipe.close()
        for path in self.mounts:
            subprocess.run(["umount", "-l", path], check=False)
        for path in self.cgroups:
            wait_until(f"{path} goes", lambda p=path: self.remove_groups(p), 20)
        shutil.rmtree(self.runtime, ignore_errors=True)
        shutil.rmtree(self.directory, ignore_errors=True)
        check("every process has ended", not left, left)

    @staticmethod
    def thaw_groups(path):
        for folder, _, files in os.walk(path):
            if "cgroup.freeze" in files:
                try:
                    with open(folder + "/cgroup.freeze", "w", encoding="ascii") as file:
                        file.write("0")
                except OSError:  # the daemon has just removed it
                    pass

    @staticmethod
    def remove_groups(path):
        try:
            for folder, _, _ in os.walk(path, topdown=False):
                os.rmdir(folder)
        except OSError:
            return False
        return True


class Run:
    """A `headroom run` under way."""

    def __init__(self, scene, command, limit, options, popen):
        scene.runs += 1
        self.scene, self.state = scene, None
        named = "--name" in options
        self.name = options[options.index("--name") + 1] if named else f"job-n{scene.runs}"
        base = os.path.join(scene.directory, f"out-{scene.runs}")
        self.out_path, self.err_path = base + ".out", base + ".err"
        words = [os.path.join(scene.build, "headroom"), "run", *(() if named else ("--name", self.name)),
                 *(("--limit", limit) if limit else ()), *options, "--", *command]
        with open(self.out_path, "wb") as out, open(self.err_path, "wb") as err:
            popen.setdefault("stdout", out)
            popen.setdefault("stderr", err)
            self.process = scene.popen(words, start_new_session=True, **popen)

    def out(self):
        return read_text(self.out_path, "")

    def err(self):
        return read_text(self.err_path, "")

    def status(self):
        return self.scene.status(self.name)

    def own_limit(self):
        return self.scene.own_limit(self.name)

    def wait_watched(self):
        """Its status once it is watched and its command has begun: until then `run` gives up if the daemon goes."""
        def has_begun(pid):  # before, it is a copy of `run`
            return read_text(f"/proc/{pid}/cmdline", "") != read_text(f"/proc/{self.process.pid}/cmdline", "")

        def watched():
            check(f"{self.name} runs", self.process.poll() is None, (self.process.returncode, self.err(), self.scene.log()))
            status = self.status()
            return status and has_begun(status["leader_pid"]) and status
        return wait_until(f"{self.name} is watched", watched)

    def wait_held(self, seconds=PATIENCE):
        return self.scene.wait_held(self.name, seconds)

    def wait_event(self, action, outcome=None, seconds=PATIENCE):
        return self.scene.wait_event(self.name, action, outcome, seconds)

    def wait(self, seconds=PATIENCE):
        """Its exit status."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} did not end: {self.scene.told(self.name)} {self.err()} {self.scene.log()}") from None

    def result(self):
        """(word, MiB) of its state file; ("nothing", 0) where there is none."""
        words = read_text(self.state, "nothing 0").split()
        return words[0], int(words[1])

    def actions(self, *but):
        """What was done to it, without coming, going, how long a freeze took, and the words in `but`."""
        return [e["action"] for e in self.scene.events(self.name)
                if e["action"] not in ("watch", "end", "frozen", *but)]

    def end_event(self):
        return self.wait_event("end")

    def explain(self):
        return self.scene.told(self.name), self.err(), self.scene.log()

    def check_unharmed(self, status, wanted=0):
        """It ended as it would have alone: its own status, and no kill by the kernel."""
        check(f"{self.name} ended with {wanted}", status == wanted, (status, *self.explain()))
        end = self.end_event()
        check("no OOM kill", end["outcome"] != "lost", end)


class Terminal:
    """A program on a terminal of its own, typed at and read from."""

    def __init__(self, scene, words):
        self.text = ""
        self.fd, other = os.openpty()
        # A new session whose first open terminal becomes its own: setsid --ctty.
        self.process = scene.popen(["setsid", "--ctty", "--wait", *words], stdin=other, stdout=other, stderr=other)
        os.close(other)

    def read(self, seconds=0.05):
        while select.select([self.fd], [], [], seconds)[0]:
            try:
                data = os.read(self.fd, 65536)
            except OSError:  # EIO: nobody has it open any more
                return
            if not data:
                return
            self.text += data.decode(errors="replace")

    def expect(self, pattern, seconds=PATIENCE):
        until = time.monotonic() + seconds
        while not (found := re.search(pattern, self.text)):
            check(pattern, time.monotonic() < until, self.text)
            self.read()
        return found

    def type(self, text):
        os.write(self.fd, text.encode())

    def wait(self, seconds=PATIENCE):
        until = time.monotonic() + seconds
        while self.process.poll() is None:
            self.read()
            check("ends", time.monotonic() < until, self.text)
        self.read()
        os.close(self.fd)
        return self.process.returncode


def user_name(scene):
    return pwd.getpwuid(scene.user if scene.user else os.getuid()).pw_name
