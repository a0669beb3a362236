#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
The client against fake-daemon: what it asks, prints and returns, and how `run` behaves in a terminal, a
pipe and a script. Each scenario begins with its goal. usage: test-client.py HEADROOM FAKE_DAEMON [SCENARIO...]
"""

import json
import os
import pty
import re
import resource
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True

from screen import Screen

CLIENT, FAKE = (os.path.abspath(path) for path in sys.argv[1:3])
EXIT = {"usage": 2, "unreachable": 3, "no job": 4, "not permitted": 5}


def check(what, is_so, detail=""):
    if not is_so:
        raise AssertionError(f"{what}: {detail!r}")


def same(what, got, wanted):
    check(what, got == wanted, f"got {got!r}, wanted {wanted!r}")


def wait_until(what, condition, seconds=10):
    until = time.monotonic() + seconds
    while not condition():
        check(what, time.monotonic() < until, "did not come to pass")
        time.sleep(0.01)


class Fake:
    """A fake daemon on a socket of its own, in a directory of its own."""

    def __init__(self, directory):
        self.directory = directory
        self.socket = os.path.join(directory, "bus")
        self.calls = []
        self.process = None
        self.start()

    def start(self):
        self.process = subprocess.Popen([FAKE, self.socket], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.read_until_done()

    def stop(self):
        if self.process:
            self.process.stdin.close()
            self.process.wait(10)
            self.process.stdout.close()
            self.process = None

    def read_until_done(self):
        for line in self.process.stdout:
            if line == "done\n":
                return
            self.calls.append(line.rstrip("\n"))
        raise AssertionError("the fake daemon has ended")

    def tell(self, *words):
        self.process.stdin.write("\t".join(str(word) for word in words) + "\n")
        self.process.stdin.flush()
        self.read_until_done()

    def event(self, job, stage, previous, action, outcome, reason, hint="", used=380 << 20, limit=400 << 20):
        self.tell("event", job, "name", stage, previous, used, limit, action, outcome, reason, hint)

    def called(self, pattern):
        self.tell("refuse")  # whatever it was asked so far stands before this one's "done"
        return [line for line in self.calls if re.search(pattern, line)]

    def wait_for(self, pattern, count=1):
        wait_until(pattern, lambda: len(self.called(pattern)) >= count)

    def environment(self, **more):
        environment = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
        environment.update({"HEADROOM_SOCKET": self.socket, "HOME": self.directory, "TERM": "xterm", "TZ": "UTC", **more})
        return environment

    def popen(self, *words, **options):
        options.setdefault("stdout", subprocess.PIPE)
        options.setdefault("stderr", subprocess.PIPE)
        options.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.Popen([CLIENT, *words], env=self.environment(), cwd=self.directory, text=True,
                                **options)

    def client(self, *words, **options):
        process = self.popen(*words, **options)
        out, err = process.communicate(timeout=20)
        return process.returncode, out, err

    def shell(self, script, **options):
        return subprocess.run(["sh", "-c", script], env=self.environment(H=CLIENT), cwd=self.directory,
                              text=True, capture_output=True, timeout=20, **options)


class Terminal:
    """A program on a terminal of its own, typed at and read from."""

    def __init__(self, fake, words, **environment):
        self.text = ""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(fake.directory)
            os.execve(words[0], words, fake.environment(H=CLIENT, PS1="ready> ", **environment))

    def read(self, seconds=0.05):
        while select.select([self.fd], [], [], seconds)[0]:
            try:
                data = os.read(self.fd, 65536)
            except OSError:  # EIO: nobody has it open any more
                return False
            if not data:
                return False
            self.text += data.decode(errors="replace")
        return True

    def expect(self, pattern, seconds=10):
        until = time.monotonic() + seconds
        while not (found := re.search(pattern, self.text)):
            check(pattern, time.monotonic() < until, self.text)
            self.read()
        self.text = self.text[found.end():]
        return found

    def type(self, text):
        os.write(self.fd, text.encode())

    def wait(self):
        until = time.monotonic() + 10
        while True:
            self.read()
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                os.close(self.fd)
                return os.waitstatus_to_exitcode(status)
            check("ends", time.monotonic() < until, self.text)


class Seen(Terminal):
    """A terminal whose screen is looked at."""

    def __init__(self, fake, words, **environment):
        self.screen = Screen(24, 80)
        super().__init__(fake, words, **environment)

    def see(self, pattern):
        def found():
            before = len(self.text)
            self.read()
            self.screen.feed(self.text[before:])
            return re.search(pattern, self.screen.text(), re.M)
        try:
            wait_until(pattern, found)
        except AssertionError as error:
            raise AssertionError(f"{error}:\n{self.screen.text()}") from None


STATUS_KEYS = ["job", "name", "user", "uid", "kind", "cgroup", "unit", "leader_pid", "stage", "frozen",
               "used_bytes", "cache_bytes", "limit_bytes", "limit_source", "own_limit_bytes", "headroom_bytes",
               "growth_bytes_per_second",
               "seconds_to_limit", "peak_bytes", "policy", "reason"]
SHELL = ["/bin/bash", "--norc", "--noprofile", "-i"]

# ---- verbs ----


def exit_statuses(fake):
    """Each kind of failure has its own status, and says what to do on stderr alone."""
    cases = [
        ("unknown verb", ["statsu"], 2, "did you mean headroom status"),
        ("a verb of its own making", ["drill-bomb"], 2, "unknown verb"),
        ("an id as verb", ["j17"], 2, "headroom status j17"),
        ("unknown option", ["run", "--limti", "8G", "true"], 2, "did you mean --limit"),
        ("option of another verb", ["status", "--follow"], 2, "unknown option --follow"),
        ("short option", ["status", "-j"], 2, "options are long"),
        ("value missing", ["run", "--limit"], 2, "--limit wants SIZE"),
        ("value too much", ["--json=1"], 2, "takes no value"),
        ("word missing", ["hold"], 2, "usage: headroom hold JOB"),
        ("word too many", ["hold", "a", "b"], 2, "usage: headroom hold JOB"),
        ("empty word", ["kill", ""], 2, "empty"),
        ("bare number", ["run", "--limit", "6", "true"], 2, "did you mean 6G"),
        ("no size", ["limit", "j1", "lots"], 2, "not a size"),
        ("size too large", ["limit", "j1", "999999999999T"], 2, "too large"),
        ("bad name", ["run", "--name", "j17", "true"], 2, "name j17"),
        ("bad method", ["run", "--checkpoint", "magic", "true"], 2, "checkpoint magic"),
        ("nothing to run", ["run"], 2, "usage: headroom run"),
        ("no such job", ["resume", "nobody"], 4, "no job nobody"),
        ("bad policy verb", ["policy", "drop"], 2, "policy knows no drop"),
        ("bad policy words", ["policy", "show"], 2, "usage: headroom policy show NAME"),
        ("unknown policy", ["policy", "show", "mine"], 2, "no policy mine"),
        ("bad text", ["hold", b"\xff\xfe"], 2, "UTF-8"),
    ]
    for name, words, status, text in cases:
        got, out, err = fake.client(*words)
        same(name, got, status)
        check(name, text in err and err.startswith("headroom: "), err)
        same(name + " on stdout", out, "")
    fake.tell("job", "work", "ok", 1, 2, "")
    for error, status in [("NotPermitted", 5), ("Refused", 1), ("Failed", 1), ("Invalid", 2)]:
        fake.tell("refuse", "org.headroom.Error." + error, "no: because")
        got, out, err = fake.client("hold", "work")
        same(error, (got, out, err), (status, "", "headroom: no: because\n"))
    fake.tell("refuse")
    fake.tell("job", "work", "ok", 1, 2, "")
    got, out, err = fake.client("hold", "work")
    same("ambiguous", got, 2)
    check("ambiguous lists both", "j1 (work)" in err and "j2 (work)" in err, err)


def unreachable(fake):
    """Without a daemon each verb says which sockets were tried and what to type; doctor finds it."""
    fake.stop()
    status, out, err = fake.client("status")
    same("status", (status, out), (3, ""))
    check("says what to type", fake.socket in err and "start it with: headroomd" in err, err)
    status, out, err = fake.client("run", "true")
    same("run", status, 125)
    check("says --unwatched", "--unwatched" in err, err)
    same("run --unwatched", fake.client("run", "--unwatched", "--", "sh", "-c", "exit 9")[0], 9)
    status, out, _ = fake.client("doctor", "--json")
    same("doctor", (status, json.loads(out)[0]["item"]), (3, "daemon"))
    same("long path", fake.client("status", "--socket", "/x" * 100)[0], 3)
    deaf = socket.socket(socket.AF_UNIX)
    deaf.bind(fake.socket + ".deaf")
    deaf.listen()
    status, _, err = fake.client("status", "--socket", fake.socket + ".deaf")
    check("deaf", status == 3 and "does not answer" in err, err)
    deaf.accept()[0].close()
    threading.Thread(target=lambda: deaf.accept()[0].sendall(b"\0nonsense\r\n" * 99), daemon=True).start()
    same("nonsense", fake.client("status", "--socket", fake.socket + ".deaf")[0], 3)
    deaf.close()


def unreachable_hints(fake):
    """What is said to start a daemon with makes one where the client looks, whatever it was told of sockets."""
    fake.stop()
    bare = {"PATH": os.environ["PATH"]}
    user = "" if os.getuid() == 0 else " --user"
    odd = os.path.join(fake.directory, "a b/bus")
    system = not os.path.exists("/run/headroom/bus")
    cases = [
        ("named", {"HEADROOM_SOCKET": fake.socket}, [], f"headroomd{user} --socket {fake.socket} &", True),
        ("odd name", {"HEADROOM_SOCKET": odd}, [], f"headroomd{user} --socket '{odd}' &", True),
        ("option", {"HEADROOM_SOCKET": odd}, ["--socket", "x/(1)/bus"], f"headroomd{user} --socket 'x/(1)/bus' &", False),
        ("of a login", {"XDG_RUNTIME_DIR": fake.directory}, [], f"or headroomd{user} &", False),
        ("of no login", {}, [], "headroomd --user --socket \"$HEADROOM_SOCKET\" &" if user else "or headroomd &", False),
    ]
    for name, environment, words, text, unset in cases if system else cases[:3]:
        done = subprocess.run([CLIENT, "status", *words], env={**bare, **environment}, cwd=fake.directory, text=True,
                              capture_output=True, check=False)
        same(name, done.returncode, 3)
        check(name, text in done.stderr and ("unset HEADROOM_SOCKET" in done.stderr) == unset, done.stderr)


def no_more_connections(fake):
    """A daemon that is full of this user's connections is tried again: in silence at first, and not for ever."""
    fake.tell("full", 4)
    same("soon", fake.client("run", "echo", "in"), (0, "in\n", ""))
    fake.tell("full", 11)
    status, out, err = fake.client("run", "echo", "in")
    same("later", (status, out), (0, "in\n"))
    check("later, said once", err.count("no more connections") == 1 and err.count("\n") == 1, err)
    fake.tell("full", 10000)
    begin = time.monotonic()
    status, _, err = fake.client("status")
    check("never", status == 3 and 4 < time.monotonic() - begin < 10, (status, time.monotonic() - begin))
    check("never, said", "too many" in err and "try again" in err and "start it" not in err, err)


def status_views(fake):
    """status: totals without jobs, a table for people, an array with the contract's keys for programs."""
    same("none, JSON", json.loads(fake.client("status", "--json")[1]), [])
    check("none, text", "3 jobs" in fake.client()[1], "totals")
    fake.tell("job", "analysis", "hold", 388 << 20, 400 << 20, "held at 97.0 % \x1b[31m")
    fake.tell("job", "free", "ok", 5, (1 << 64) - 1, "")
    status, out, _ = fake.client("--json")
    jobs = json.loads(out)
    same("keys", list(jobs[0]), STATUS_KEYS)
    nulls = [jobs[1][key] for key in ("limit_bytes", "headroom_bytes", "seconds_to_limit")]
    same("no limit", nulls, [None] * 3)
    same("headroom", (jobs[0]["headroom_bytes"], jobs[0]["seconds_to_limit"]), (12 << 20, 13))
    check("the reason is whole", jobs[0]["reason"].endswith("\x1b[31m"), jobs[0])
    out = fake.client("status")[1]
    heading = r"^JOB +NAME +USER +STAGE +USED +LIMIT +% +LEFT +POLICY +REASON$"
    check("the table", re.search(heading, out, re.M), out)
    check("escaped, plain", "\x1b" not in out and "\\x1b[31m" in out, out)
    out = fake.client("status", "analysis")[1]
    check("one in detail", re.search(r"^headroom: +12 MiB$", out, re.M), out)
    same("one, JSON", len(json.loads(fake.client("status", "j1", "--json")[1])), 1)
    terminal = Terminal(fake, [CLIENT, "status"])
    same("on a terminal", terminal.wait(), 0)
    check("coloured", "\x1b[1;31mhold\x1b[0m" in terminal.text, terminal.text)
    terminal = Terminal(fake, [CLIENT, "status"], NO_COLOR="1")
    terminal.wait()
    check("NO_COLOR", "\x1b" not in terminal.text, terminal.text)
    with open("/dev/full", "w", encoding="ascii") as full:
        status, _, err = fake.client("status", stdout=full)
    same("disk full", status, 1)
    check("disk full", "can't write" in err, err)


def limits(fake):
    """limit shows or sets; what was accepted is echoed in full on stderr."""
    fake.tell("job", "work", "ok", 1 << 20, 4 << 30, "")
    check("shows", "4 GiB" in fake.client("limit", "work")[1], "shows")
    same("sets", fake.client("limit", "work", "8GB"),
         (0, "its limit is set\n", "headroom: limit 8GB = 8000000000 bytes\n"))
    same("asked", fake.called("SetLimit"), ["SetLimit job=work limit=8000000000"])
    same("JSON", json.loads(fake.client("limit", "j1", "max", "--json")[1])[0]["own_limit_bytes"], None)
    with open("/proc/meminfo", encoding="ascii") as meminfo:
        total = int(meminfo.readline().split()[1]) * 1024
    err = fake.client("limit", "j1", "50%")[2]
    same("of the host", int(re.search(r"(\d+) bytes", err).group(1)) // 4096, total // 2 // 4096)
    same("resume", fake.client("resume", "work", "--limit=1.5G")[:2], (0, "it goes on\n"))
    check("resume asked", "Resume job=work limit=1610612736" in fake.called("Resume"), fake.calls)


def deeds(fake):
    """The verbs on one job pass its word on and print the daemon's sentence; attach prints the id alone."""
    fake.tell("job", "work", "ok", 1, 2, "")
    for verb in ("detach", "trim", "checkpoint", "hold", "interrupt", "kill"):
        same(verb, fake.client(verb, "work"), (0, "it is done\n", ""))
        check(verb, f"Act job=work verb={verb}" in fake.called("Act"), fake.calls)
    same("JSON", json.loads(fake.client("kill", "work", "--json")[1]),
         [{"job": "work", "verb": "kill", "message": "it is done"}])
    same("attach", fake.client("attach", "4711", "--name", "old"),
         (0, "j2\n", "headroom: is watched from now on\n"))
    same("policies", fake.client("policy", "list")[1], "default\nbatch\n")
    same("policies, JSON", json.loads(fake.client("policy", "list", "--json")[1]),
         [{"policy": "default"}, {"policy": "batch"}])
    check("show", "notice = 70%" in fake.client("policy", "show", "default")[1], "show")
    same("show, JSON", json.loads(fake.client("policy", "show", "default", "--json")[1])[1],
         {"policy": "default", "key": "hold", "value": "97%"})
    same("set", fake.client("policy", "set", "work", "batch")[:2], (0, "its policy is set\n"))
    out = fake.client("doctor")[1]
    check("doctor", "boot with psi=1" in out, out)


def metrics(fake):
    """metrics: the daemon's text as it is, in either format; its samples as objects; 3 without a daemon."""
    text = '# TYPE headroom_jobs gauge\nheadroom_jobs{stage="ok"} 2\n'
    same("text", fake.client("metrics"), (0, text + "headroom_wakeups_total 7\n", ""))
    same("OpenMetrics", fake.client("metrics", "--openmetrics"), (0, text + "# EOF\n", ""))
    same("JSON", json.loads(fake.client("metrics", "--json")[1]),
         [{"metric": "headroom_jobs", "labels": 'stage="ok"', "value": 2},
          {"metric": "headroom_wakeups_total", "labels": "", "value": 7}])
    fake.stop()
    same("no daemon", fake.client("metrics")[:2], (3, ""))


def drill(fake):
    """drill: what is no limit is refused before anything begins; 1 where nothing stops its job; 3 without a daemon."""
    for words, wanted in ((("--limit", "4"), "4G"), (("--limit", "1M"), "16M to 4G"), (("--limit", "max"), "16M to 4G")):
        status, out, err = fake.client("drill", *words)
        check(words, (status, out) == (2, "") and wanted in err, err)
    status, out, err = fake.client("drill", "--limit", "16M", "--json")
    same("nobody stops it", (status, json.loads(out)[0]["outcome"]), (1, "unhindered"))
    check("what to type", "fill_rate" in json.loads(out)[0]["remedy"], out)
    fake.stop()
    same("no daemon", fake.client("drill")[:2], (3, ""))


def top_once(fake):
    """top without a terminal that it can draw on shows what status shows, once, and ends."""
    fake.tell("job", "work", "hold", 388 << 20, 400 << 20, "held at 97.0 %")
    same("in a pipe", fake.client("top"), fake.client("status"))
    same("JSON", fake.client("top", "--json"), fake.client("status", "--json"))
    for term in ("TERM=dumb", "TERM=no-such-terminal", "TERM="):
        terminal = Terminal(fake, ["/bin/sh", "-c", term + ' exec "$H" top'])
        same(term, terminal.wait(), 0)
        check(term, "388 MiB" in terminal.text and "?:help" not in terminal.text, terminal.text)
    fake.stop()
    terminal = Terminal(fake, [CLIENT, "top"])
    same("no daemon", terminal.wait(), 3)
    check("says what to type", "start it with: headroomd" in terminal.text, terminal.text)


def top_keys(fake):
    """top's keys ask for what they say, of the selected job; what was answered, or why not, is shown."""
    fake.tell("job", "first", "notice", 388 << 20, 400 << 20, "first's reason")
    fake.tell("job", "second", "ok", 1 << 20, 400 << 20, "second's reason")
    terminal = Seen(fake, [CLIENT, "top"])
    terminal.see("2 jobs, 0 held")
    terminal.see("^>j1 +first +notice .* 97% ")
    terminal.see("^ j2 +second +ok .* 0% ")
    terminal.see("^j1 first: first's reason$")
    for key, verb in (("h", "hold"), ("t", "trim"), ("c", "checkpoint")):
        terminal.type(key)
        fake.wait_for(f"^Act job=j1 verb={verb}$")
        terminal.see(f"^{verb} j1: it is done$")
    terminal.type("j")
    terminal.see("^j2 second: second's reason$")
    terminal.type("r12\r")
    terminal.see("did you mean 12G")
    terminal.type("r8G\x1b")
    terminal.see("^not resumed$")
    terminal.type("r")
    terminal.see("resume j2 second; new limit")
    terminal.type("3G\x7f\x7f2G\r")
    terminal.see("^resume j2: it goes on$")
    same("with a limit", fake.called("^Resume"), ["Resume job=j2 limit=2147483648"])
    fake.tell("refuse", "org.headroom.Error.Refused", "it is not held")
    terminal.type("r\r")
    terminal.see("^resume j2: it is not held$")
    same("without", fake.called("^Resume")[1:], ["Resume job=j2 limit=0"])
    terminal.type("in")
    terminal.see("not interrupted")
    same("asked first", fake.called("verb=interrupt"), [])
    terminal.type("i")
    terminal.see("interrupt j2 second, which ends it. y/n")
    terminal.type("y")
    fake.wait_for("^Act job=j2 verb=interrupt$")
    same("nothing else", len(fake.called("^Resume")), 2)
    fake.tell("refuse", "org.headroom.Error.NotPermitted", "no: because")
    terminal.type("h")
    terminal.see("^hold j2: no: because$")
    fake.tell("refuse")
    terminal.type("/fir\r")
    terminal.see("filter fir: 1")
    terminal.type("?")
    terminal.see("any key goes back")
    terminal.type("q")  # which goes back
    terminal.type("q")
    same("quits", terminal.wait(), 0)


def top_lasts(fake):
    """top goes on while the daemon is away, says so, and shows it when it is back."""
    terminal = Seen(fake, [CLIENT, "top"], NO_COLOR="1")
    terminal.see("start one with: headroom run")
    fake.tell("job", "work", "hold", 388 << 20, 400 << 20, "reason \x1b[31m")
    terminal.see("^>j1 +work +hold .* held ")
    terminal.see(r"reason \?\[31m")
    check("NO_COLOR", not re.search("\x1b\\[[0-9;]*3[0-9]m", terminal.text), terminal.text)
    fake.stop()
    terminal.see("NO DAEMON")
    terminal.see("the daemon is gone")
    terminal.type("h")
    terminal.see("not done")
    fake.start()
    fake.tell("job", "other", "ok", 1 << 20, 400 << 20, "")
    terminal.see("^>j1 +other +ok ")
    fake.process.send_signal(signal.SIGSTOP)  # one that does not answer keeps no key waiting
    time.sleep(1.2)
    begin = time.monotonic()
    terminal.type("sq")
    same("quits", terminal.wait(), 0)
    check("soon", time.monotonic() - begin < 3, time.monotonic() - begin)
    fake.process.send_signal(signal.SIGCONT)


def policy_check(fake):
    """policy check reads a file by itself, without a daemon, and names file, line, key, value and range."""
    fake.stop()
    good, bad = (os.path.join(fake.directory, name) for name in ("good.conf", "bad.conf"))
    with open(good, "w", encoding="ascii") as file:
        file.write("[policy mine]\nnotice = 60%\n")
    with open(bad, "w", encoding="ascii") as file:
        file.write("[policy mine]\nnotice = 600\n")
    status, out, err = fake.client("policy", "check", good)
    same("good", (status, err), (0, ""))
    check("good", "is good" in out, out)
    same("good, JSON", json.loads(fake.client("policy", "check", good, "--json")[1]), [])
    status, out, err = fake.client("policy", "check", bad)
    same("bad", (status, out), (1, ""))
    check("bad", "bad.conf:2: error:" in err, err)
    same("bad, JSON", json.loads(fake.client("policy", "check", bad, "--json")[1])[0]["line"], 2)
    status, _, err = fake.client("policy", "check", "/no/such")
    check("missing", status == 1 and "/no/such" in err, err)


def help_texts(fake):
    """Help goes to stdout with status 0, for the whole and for each verb; nothing else is in it."""
    status, out, err = fake.client("--help")
    same("help", (status, err), (0, ""))
    verbs = re.findall(r"^  ([a-z]+) ", out, re.M)
    check("the verbs", {"run", "status", "doctor", "metrics", "drill"} <= set(verbs) and "drill-bomb" not in out, out)
    for verb in verbs:
        status, text, err = fake.client(verb, "--help")
        check(verb, status == 0 and text.startswith(f"usage: headroom {verb}") and not err, text)
        same(verb, fake.client("help", verb)[1], text)
    same("the job's own --help", fake.client("run", "printf", "%s\n", "--help")[1], "--help\n")
    check("version", re.match(r"headroom \d", fake.client("--version")[1]), "version")


def events(fake):
    """events: lines for people, an array for programs; --follow goes on over a restart, none twice or lost."""
    same("none", json.loads(fake.client("events", "--json")[1]), [])
    fake.event("j1", "trim", "notice", "trim", "done", "80.1 % of 400 MiB")
    out = fake.client("events")[1]
    line = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d +j1 +name +notice→trim +trim +done +80.1 % of 400 MiB$"
    check("line", re.match(line, out), out)
    event = json.loads(fake.client("events", "--json")[1])[0]
    check("keys", {"time", "job", "stage", "previous_stage", "reason", "used_bytes", "limit_bytes", "action",
                   "outcome"} <= set(event), event)
    check("time", re.fullmatch(r"[-0-9]{10}T[:0-9]{8}\.\d{6}Z", event["time"]), event)
    process = fake.popen("events", "--follow", "--json")
    lines = [json.loads(process.stdout.readline())["stage"]]
    fake.event("j1", "hold", "trim", "freeze", "done", "97.0 %")
    lines.append(json.loads(process.stdout.readline())["stage"])
    same("one object a line", lines, ["trim", "hold"])
    fake.tell("drop")
    check("gone", "is gone" in process.stderr.readline(), "gone")
    fake.event("j1", "interrupt", "hold", "interrupt", "done", "while away")
    same("what was missed", json.loads(process.stdout.readline())["stage"], "interrupt")
    check("back", "is back" in process.stderr.readline(), "back")
    fake.event("j1", "ok", "interrupt", "end", "done", "ended")
    same("goes on", json.loads(process.stdout.readline())["stage"], "ok")
    process.send_signal(signal.SIGINT)
    same("ctrl-C", process.wait(10), -signal.SIGINT)
    same("its stdout is empty", process.stdout.read(), "")
    process.stdout.close()
    process.stderr.close()


def record_lines(path):
    with open(path, encoding="utf-8") as file:
        text = file.read()
    check("whole lines", text.endswith("\n"), text)
    return text.splitlines()


def record(fake):
    """record: a line for each moment in which something changed, over a restart, until ctrl-C or the job's end."""
    fake.tell("job", "work\x1b[2J", "ok", 1000, 8 << 30, "")
    path = os.path.join(fake.directory, "out.txt")
    process = fake.popen("record", "j1", "--output", path, "--interval", "20ms")
    check("says so", "recording j1" in process.stderr.readline(), "first line")
    wait_until("begun", lambda: len(record_lines(path)) == 3)
    time.sleep(1)
    fake.tell("use", "j1", 5000)
    wait_until("a step", lambda: any(line.endswith(" 5000 4096") for line in record_lines(path)))
    fake.event("j1", "notice", "ok", "notice", "done", "70 %")
    same("a new limit", fake.client("limit", "j1", "16G")[0], 0)
    wait_until("its stage and limit", lambda: " limit 17179869184" in record_lines(path)[-1])
    fake.tell("drop")
    check("gone", "is gone" in process.stderr.readline(), "gone")
    check("back", "is back" in process.stderr.readline(), "back")
    fake.tell("use", "j1", 7000)
    wait_until("goes on", lambda: any(line.endswith(" 7000 4096") for line in record_lines(path)))
    process.send_signal(signal.SIGINT)
    same("ctrl-C", process.wait(10), 0)
    said = process.stderr.read()
    check("what it came to", "runs on; " in said and path in said, said)
    lines = record_lines(path)
    check("the job", re.match(r"# headroom record: j1 \(work\\x1b\[2J\), \d{4}-", lines[0]), lines[0])
    same("limit", lines[1], "# limit 8589934592")
    moments = [[int(word) for word in line.split()] for line in lines if not line.startswith("#")]
    same("what changed, alone", [m[1] for m in moments], [1000, 1000, 5000, 5000, 7000] + [7000] * (len(moments) - 5))
    check("at most the last moment after that", len(moments) <= 6, moments)
    check("in order", all(a[0] < b[0] for a, b in zip(moments, moments[1:])), moments)
    check("no slope where it stood still", moments[2][0] - moments[1][0] < moments[1][0] > 500000, moments)
    check("stage", re.fullmatch(r"# at \d+ stage notice", next(l for l in lines if "stage" in l)), lines)
    check("the end", re.fullmatch(r"# what stopped \d+", lines[-1]), lines[-1])

    same("exists", fake.client("record", "j1", "--output", path)[0], 1)
    same("is as it was", record_lines(path), lines)
    process = fake.popen("record", "j1", "--interval=10ms")
    process.stdout.readline()
    fake.tell("forget", "j1")
    same("the job ends", process.wait(10), 0)
    check("has ended", process.stdout.read().splitlines()[-1].startswith("# what ended "), "end")
    check("says so", "j1 (work\\x1b[2J) has ended" in process.stderr.read(), "end")
    process.stdout.close()
    process.stderr.close()


def record_refused(fake):
    """record: what can't be done is said at once, leaves no file, and a full disk ends it with what was written."""
    fake.tell("job", "work", "ok", 1000, 8 << 30, "")
    path = os.path.join(fake.directory, "out.txt")
    for name, words, status, text in [
            ("no such job", ["wrok", "--output", path], 4, "did you mean work"),
            ("no directory", ["work", "--output", path + "/x/y"], 1, "can't be written: No such file"),
            ("a directory", ["work", "--output", fake.directory], 1, "can't be written: Is a directory"),
            ("too often", ["work", "--interval", "1ms"], 2, "from 10ms to 1h"),
            ("no unit", ["work", "--interval", "10"], 2, "from 10ms to 1h"),
            ("json", ["work", "--json"], 2, "takes no --json"),
            ("full at once", ["work", "--output", "/dev/full"], 1, "No space left on device")]:
        got, out, err = fake.client("record", *words)
        check(name, got == status and text in err and not out, (got, out, err))
        check(name + ": no file", not os.path.exists(path))

    def no_room():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (150, 150))

    # What was begun of a line is taken away again.
    process = fake.popen("record", "work", "--output", path, "--interval", "10ms", preexec_fn=no_room)
    process.stderr.readline()
    for used in range(500):
        fake.tell("use", "work", 123456789000 + used)
        time.sleep(0.02)
        if process.poll() is not None:
            break
    same("full", process.wait(10), 1)
    said = process.stderr.read()
    check("full is said", "can't be written any longer: File too large; it holds " in said, said)
    lines = record_lines(path)
    check("whole", re.fullmatch(r"\d+ 123456789\d{3} 4096", lines[-1]) and len(lines) > 3, lines)
    process.stdout.close()
    process.stderr.close()


# ---- run ----


def ended_jobs(fake):
    """why of an ended job, its page, history and advise: what is asked, and that nothing hostile comes out whole."""
    status, out, err = fake.client("why", "ended")
    same("why", (status, err), (0, ""))
    for wanted in ("j90 (ended): killed by the kernel at its own limit", "at least 399 MiB of 400 MiB",
                   "frames & <b> holds", "headroom run --limit 600M -- python3 '<script>alert(1)</script>.py'",
                   "--policy default", "22:18:20"):
        check(f"why says {wanted}", wanted in out, out)
    check("harmless", "\033" not in out, out)
    story = json.loads(fake.client("why", "j90", "--json")[1])[0]
    same("raw numbers", (story["peak_bytes"], story["limit_bytes"], story["signal"], story["exit_status"]),
         (399 << 20, 400 << 20, 9, None))
    same("curve", [sample["used_bytes"] >> 20 for sample in story["samples"]], [10, 300, 399])
    same("times", (story["start"], story["events"][0]["time"]),
         ("2023-11-14T22:13:20.000000Z", "2023-11-14T22:18:20.000000Z"))
    same("none such", fake.client("why", "j91")[0], EXIT["no job"])
    with open(os.path.join(fake.directory, "page.html.part"), "w+", encoding="utf-8") as waits:
        same("page", fake.client("why", "ended", "--html", "page.html")[0], 0)
        same("nobody reads along", waits.read(), "")
    with open(os.path.join(fake.directory, "page.html"), encoding="utf-8") as file:
        page = file.read()
    for unwanted in ("<script", "<img", "<b> holds", "<fills>", "\033", "http:", "https:"):
        check(f"the page has no {unwanted}", unwanted not in page, page)
    for wanted in ("&lt;script&gt;", "&quot;&gt;&lt;img", "class=cache", "class=band", ">notice<"):
        check(f"the page has {wanted}", wanted in page, page)
    same("no place", fake.client("why", "ended", "--html", "/nowhere/x")[0], 1)
    same("history", fake.client("history", "--user", "ana", "--name", "ended", "--outcome", "own_limit", "--since",
                                "2023-11-14T22:13:20Z", "--until", "2023-11-15T00:00Z")[0], 0)
    same("asked, page by page until there is none", fake.called("History"),
         [f"History since=1700000000000000 until={until} user=ana name=ended outcome=own_limit"
          for until in ("1700006400000000", "1700000600000000")])
    for words in (("--since", "yesterdy"), ("--since", "2023-02-31"), ("--outcome", "faild"), ("a",)):
        same(words, fake.client("history", *words)[0], EXIT["usage"])
    out = fake.client("advise", "ended")[1]
    check("advise", out.startswith("480 MiB: 1.2 x") and "7 runs, 1 of them cut off; sure: medium" in out, out)
    same("nothing", fake.client("advise", "python3", "it's.py", "--quick")[0], EXIT["no job"])
    same("asked so", fake.called("Advise name=it"), ["Advise name=it_s command=python3 'it'\"'\"'s.py' --quick"])
    status, _, err = fake.client("run", "--limit", "auto", "--", "true")
    same("auto: nothing to go by", (status, "give it a limit" in err, fake.called("Run ")), (125, True, []))
    same("auto", fake.client("run", "--limit", "auto", "--name", "ended", "--", "sh", "-c", "exit 3")[0], 3)
    check("its limit", f"limit={480 << 20} " in fake.called("Run ")[0], fake.calls)
    same("its end is told", fake.called("Ended"), ["Ended job=j1 status=3 signal=0"])


def run_statuses(fake):
    """run returns the job's own status, and says why where there is none."""
    for name, words, status in [("done", ["true"], 0), ("failed", ["sh", "-c", "exit 7"], 7),
                                ("signal", ["sh", "-c", "kill -KILL $$"], 137),
                                ("no command", ["/no/such/command"], 127),
                                ("no program", ["/etc/passwd"], 126)]:
        got, out, err = fake.client("run", "--", *words)
        same(name, (got, out), (status, ""))
        check(name, ("headroom: " in err) == (status in (126, 127)), err)
    fake.tell("refuse", "org.headroom.Error.Refused", "no room")
    same("refused", fake.client("run", "true")[::2], (125, "headroom: true is not started: no room\n"))
    check("waited", len(fake.called("^Run ")) == 6, fake.calls)


def run_request(fake):
    """The daemon is told of the job before it begins: its name, limit, policy, method, fuse, command."""
    status, out, err = fake.client("run", "--limit", "512M", "--policy", "batch", "--checkpoint=signal:USR1",
                                   "--fuse", "sh", "-c", "echo in", "x")
    same("output", (status, out, err), (0, "in\n", "headroom: limit 512M = 536870912 bytes\n"))
    wanted = (r"^Run pid=\d+ name=sh limit=536870912 policy=batch checkpoint=signal:USR1 fuse=1 "
              r"detached=0 command=sh -c 'echo in' x$")
    check("request", re.search(wanted, fake.called("^Run")[0]), fake.calls)
    with open(os.path.join(fake.directory, "my analysis.v2.py"), "w", encoding="ascii") as file:
        file.write("pass")
    for words, name in [(["python3", "-u", "-W", "ignore", "my analysis.v2.py"], "my_analysis.v2"),
                        (["python3", "-m", "this"], "this"), (["python3", "-c", "pass"], "python3"),
                        (["/bin/sh", "-ec", "true"], "sh"), (["env", "true"], "env")]:
        fake.client("run", *words)
        check(name, f" name={name} " in fake.called("^Run")[-1], fake.calls)
    os.symlink("/bin/true", os.path.join(fake.directory, "7up"))
    os.symlink("/bin/true", os.path.join(fake.directory, "j17"))
    for word in ("7up", "j17"):
        fake.client("run", "./" + word)
        check(word, f" name=job-{word} " in fake.called("^Run")[-1], fake.calls)


def run_inherits(fake):
    """The job has the caller's environment, directory, descriptors, signal dispositions; it ignores SIGHUP."""
    script = "import os, signal as s; print(os.getcwd(), os.environ['MINE'], input(), os.read(7, 9), " \
             "s.getsignal(s.SIGHUP), s.getsignal(s.SIGUSR1), s.getsignal(s.SIGTERM), " \
             "s.pthread_sigmask(0, []), sorted(os.listdir('/proc/self/fd')))"
    done = fake.shell('export MINE=1; trap "" USR1; '
                      f'echo hello | $H run python3 -c "{script}" 7<<END\nseven\nEND\n')
    wanted = (r"1 hello b'seven\\n' (1|Handlers.SIG_IGN) (1|Handlers.SIG_IGN) (0|Handlers.SIG_DFL) set\(\) "
              r"\['0', '1', '2', '3', '7'\]")
    check("as is", re.search(wanted, done.stdout), (done.stdout, done.stderr))
    done = fake.shell("$H run -- grep SigIgn /proc/self/status; grep SigIgn /proc/self/status")
    ignored = [int(line.split()[1], 16) for line in done.stdout.splitlines()]
    same("SIGPIPE as it was", (ignored[0] ^ ignored[1]), 1 << (signal.SIGHUP - 1))


def run_in_pipes(fake):
    """In a pipe, the job's reader and writer are its own: SIGPIPE and the end of file come as without run."""
    done = fake.shell("$H run -- yes | head -1")
    same("reader leaves", (done.stdout, done.stderr, done.returncode), ("y\n", "", 0))
    done = fake.shell("yes | $H run -- head -1; echo $?")
    same("writer is stopped", (done.stdout, done.stderr), ("y\n0\n", ""))
    begin = time.monotonic()
    done = fake.shell("$H run -- sh -c 'exec >/dev/null; sleep 3' | (cat; date +%s.%N >mark); "
                      "cat mark; date +%s.%N")
    mark, end = (float(line) for line in done.stdout.split())
    check("a closed pipe is closed", end - mark > 1 and time.monotonic() - begin > 2.5, done)
    done = fake.shell("$H run -- ls /proc/self/fd <&- 2>&-")
    same("closed descriptors stay closed", done.stdout, "0\n1\n")  # ls itself opens 0
    done = fake.shell("set -e; $H run -- true; x=$($H run -- echo text); $H run -- false; echo not here")
    same("set -e", (done.stdout, done.returncode), ("", 1))
    begin = time.monotonic()
    fake.client("run", "--", "sh", "-c", "sleep 5 >/dev/null 2>&1 & exit 3")
    check("a descendant does not keep it", time.monotonic() - begin < 3, "waited")


def run_signals(fake):
    """What is sent to the client alone reaches the job once; what is sent to the group is not sent again."""
    script = "trap 'echo got INT' INT; trap 'echo got TERM' TERM; trap 'echo got USR1' USR1; " \
             "trap 'echo got USR2; exit 3' USR2; echo begun; while :; do sleep 0.01; done"
    for to_group in (False, True):
        process = fake.popen("run", "sh", "-c", script, start_new_session=True)
        same("begun", process.stdout.readline(), "begun\n")
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
            (os.killpg if to_group else os.kill)(process.pid, number)
            same("passed on", process.stdout.readline(), f"got {number.name[3:]}\n")
            time.sleep(0.25)
        os.kill(process.pid, signal.SIGUSR2)
        same("once each", process.communicate(timeout=10)[0], "got USR2\n")
        same("status", process.returncode, 3)
    process = fake.popen("run", "sleep", "60")
    fake.wait_for("Follow", count=3)
    process.terminate()
    process.communicate(timeout=10)
    same("by signal", process.returncode, 143)
    done = fake.shell("timeout -s USR1 1 $H run sh -c \"trap 'echo got' USR1; sleep 1.5; sleep 0.2; exit 0\"")
    same("timeout(1) signals both: once", done.stdout, "got\n")


def run_in_background(fake):
    """`cmd &` in a script: SIGINT came ignored; the job has it reset and a group of its own."""
    done = fake.shell("$H run -- python3 -c 'import os, signal; print(os.getpgrp() == os.getpid(), "
                      "signal.getsignal(signal.SIGINT) is signal.default_int_handler)' & wait $!")
    same("own group", done.stdout, "True True\n")
    done = fake.shell("$H run -- sh -c '>begun; exec sleep 60' & until [ -e begun ]; do sleep 0.05; done; "
                      "kill -INT $!; wait $!; echo $?")
    same("is told", done.stdout, "130\n")


def run_events(fake):
    """Each event is a line on stderr with what to type; status 75 where a job is interrupted and returns 0."""
    process = fake.popen("run", "--name", "ana", "sh", "-c", "read line; exit 0", stdin=subprocess.PIPE)
    fake.wait_for("Follow job=j1")
    fake.event("j1", "ok", "ok", "watch", "done", "is watched")
    fake.event("j2", "hold", "trim", "freeze", "done", "another's")
    fake.event("j1", "hold", "trim", "freeze", "done", "held at 97.0 % of 400 MiB",
               "headroom resume j1 --limit 600M")
    same("line", process.stderr.readline(),
         "headroom: j1 (ana): held at 97.0 % of 400 MiB; headroom resume j1 --limit 600M\n")
    fake.event("j1", "interrupt", "hold", "interrupt", "done", "nobody answered")
    _, err = process.communicate("\n", timeout=10)
    same("status", process.returncode, 75)
    summary = r"ended with status 0 after .*; peak 380 MiB of 400 MiB; it went as far as interrupt"
    check("summary", re.search(summary, err), err)
    for number, outcome, status in [(2, "observed", 0), (3, "passed over", 0), (4, "done", 75)]:
        process = fake.popen("run", "sh", "-c", "read line; exit 0", stdin=subprocess.PIPE)
        fake.wait_for("Follow", count=number)
        fake.event(f"j{number}", "interrupt", "hold", "interrupt", outcome, "reason")
        process.communicate("\n", timeout=10)
        same(outcome, process.returncode, status)
    process = fake.popen("run", "sh", "-c", "read line; exit 6", stdin=subprocess.PIPE)
    fake.wait_for("Follow", count=5)
    fake.event("j5", "interrupt", "hold", "interrupt", "done", "reason")
    process.communicate("\n", timeout=10)
    same("the job's own status", process.returncode, 6)


def run_without_daemon(fake):
    """The daemon may vanish and come back: said once each, the job goes on, what was missed is shown."""
    process = fake.popen("run", "sh", "-c", "read line; exit 5", stdin=subprocess.PIPE)
    fake.wait_for("Follow job=j1")
    fake.tell("drop")
    check("gone", "is gone" in process.stderr.readline(), "gone")
    fake.event("j1", "notice", "ok", "notice", "done", "while away")
    check("back", "is back" in process.stderr.readline(), "back")
    check("missed", "while away" in process.stderr.readline(), "missed")
    same("follows again", len(fake.called("Follow job=j1")), 2)
    fake.stop()
    check("gone again", "is gone" in process.stderr.readline(), "gone")
    time.sleep(1.5)
    fake.calls = []
    fake.start()
    check("forgotten", "headroom attach" in process.stderr.readline(), "a daemon that does not know the job")
    _, err = process.communicate("\n", timeout=10)
    same("status", (process.returncode, err), (5, ""))


def run_detached(fake):
    """--detach: prints the id alone, waits for nothing; own session, empty input, output to a file."""
    done = fake.shell("id=$($H run --detach -- sh -c 'cat; ps -o sid= -p $$; echo pid $$; echo err >&2; sleep 1'); "
                      "echo id $id")
    same("the id", (done.stdout, done.stderr, done.returncode), ("id j1\n", "", 0))
    log = os.path.join(fake.directory, "headroom-j1.log")
    wait_until("output", lambda: os.path.exists(log) and "err" in open(log, encoding="ascii").read())
    session, pid = re.search(r"(\d+)\npid (\d+)\nerr", open(log, encoding="ascii").read()).groups()
    same("own session", session, pid)
    check("told", "detached=1" in fake.called("^Run")[0], fake.calls)
    same("no command", fake.client("run", "--detach", "/no/such")[0], 127)
    done = fake.shell("$H run --detach -- sh -c 'echo here' >f 2>g; until grep -q here f; do sleep 0.05; done; cat f")
    same("a file stays", sorted(done.stdout.split()), ["here", "j3"])
    os.mkdir(os.path.join(fake.directory, "headroom-j4.log"))
    status, _, err = fake.client("run", "--detach", "true")
    check("no log", status == 125 and "headroom-j4.log" in err, err)


def run_subreaper(fake):
    """A job that is watched as a process tree: what escapes from it stays below the client."""
    escape = "import os, time\nif os.fork() == 0:\n if os.fork() == 0:\n  time.sleep(0.5)\n" \
             "  print(os.getppid(), flush=True)\n os._exit(0)\ntime.sleep(1)"
    for kind, below in [("cgroup2", False), ("process", True)]:
        fake.tell("kind", kind)
        process = fake.popen("run", "python3", "-c", escape)
        out = process.communicate(timeout=10)[0]
        same(kind, int(out) == process.pid, below)


# ---- run in a terminal ----


def terminal_line(fake):
    """On a terminal the first line says what is watched; stages are coloured."""
    terminal = Terminal(fake, [CLIENT, "run", "--limit", "8G", "--name", "ana", "sh", "-c", "read line"])
    terminal.expect(r"headroom: j1 \(ana\) is watched, limit 8 GiB \(8589934592 bytes\), policy default\r\n")
    fake.wait_for("Follow")
    fake.event("j1", "trim", "notice", "trim", "done", "80 %")
    terminal.expect(r"\x1b\[1;33mheadroom: j1 \(ana\): 80 %\x1b\[0m\r\n")
    terminal.type("\r")
    same("status", terminal.wait(), 0)


def terminal_ctrl_c(fake):
    """ctrl-C reaches the job once, `finally` runs, and a shell's loop ends."""
    script = "import time\ntry:\n print('begun', flush=True); time.sleep(60)\n" \
             "finally:\n time.sleep(0.5); print('saved')"
    with open(os.path.join(fake.directory, "job.py"), "w", encoding="ascii") as file:
        file.write(script)
    terminal = Terminal(fake, SHELL)
    terminal.expect("ready> ")
    terminal.type("for i in 1 2 3; do $H run -- python3 job.py; done; echo status $?\r")
    terminal.expect("begun")
    terminal.type("\x03")
    terminal.expect("saved")
    terminal.expect("ready> ")
    terminal.type("echo next $?\r")
    terminal.expect("next 130")
    check("the loop ended", "begun" not in terminal.text, terminal.text)
    terminal.type("$H run -- sh -c 'trap \"\" INT; echo begun; sleep 1; echo went on'\r")
    terminal.expect("begun\r\n")
    terminal.type("\x03")
    terminal.expect("went on")
    terminal.type("exit\r")
    terminal.wait()


def terminal_ctrl_z(fake):
    """ctrl-Z stops both, fg continues both, with input; a job that does not stop runs on."""
    terminal = Terminal(fake, SHELL)
    terminal.expect("ready> ")
    terminal.type("$H run -- sh -c 'echo begun; read line; echo got $line'\r")
    terminal.expect("begun\r\n")
    for _ in range(2):
        terminal.type("\x1a")
        terminal.expect("Stopped")
        terminal.expect("ready> ")
        terminal.type("fg\r")
        terminal.expect("read line.*\r\n")
        time.sleep(0.3)
    terminal.type("some words\r")
    terminal.expect("got some words")
    terminal.expect("ready> ")
    terminal.type("$H run -- cat &\r")
    terminal.expect("ready> ")
    terminal.type("until jobs | grep 'Stop''ped'; do sleep 0.05; done\r")
    terminal.expect(r"Stopped[\s\S]*ready> ")
    terminal.type("fg\r")
    time.sleep(0.3)
    terminal.type("echoed\r")
    terminal.expect("echoed\r\nechoed")
    terminal.type("\x04")
    terminal.expect("ready> ")
    terminal.type("$H run -- sh -c 'trap \"\" TSTP; echo begun; sleep 1; echo went on'\r")
    terminal.expect("begun\r\n")
    terminal.type("\x1a")
    terminal.expect("went on")
    check("did not stop", "Stopped" not in terminal.text, terminal.text)
    terminal.type("exit\r")
    terminal.wait()


def terminal_ctrl_z_held(fake):
    """ctrl-Z to a job that is held: run says so and stops alone; the job stops once it goes on; fg continues both."""
    def press(*expected):
        terminal.type("\x1a")
        for text in expected:
            terminal.expect(text)
        terminal.expect("Stopped")
        terminal.expect("ready> ")

    def fg(*expected):
        terminal.type("fg\r")
        terminal.expect("run -- .*\r\n")
        for text in expected:
            terminal.expect(text)

    def hold(job):
        fake.event(job, "hold", "trim", "freeze", "done", "held at 97 %", f"answer: headroom resume {job} --limit 6M")
        terminal.expect("held at 97 %; answer: .*\r\n")

    def go_on(job):
        fake.event(job, "ok", "hold", "thaw", "done", "goes on")
        with open(os.path.join(fake.directory, "go-on"), "w", encoding="ascii"):
            pass

    # Stands for a frozen one: no signal reaches it until it goes on.
    script = "import os, signal as s, time\ns.pthread_sigmask(s.SIG_BLOCK, [s.SIGTSTP])\n" \
             "open('pid', 'w').write(str(os.getpid()))\nprint('begun', flush=True)\n" \
             "while not os.path.exists('go-on'): time.sleep(0.01)\n" \
             "s.pthread_sigmask(s.SIG_UNBLOCK, [s.SIGTSTP])\nprint('done')\n"
    with open(os.path.join(fake.directory, "job.py"), "w", encoding="ascii") as file:
        file.write(script)
    terminal = Terminal(fake, SHELL)
    terminal.expect("ready> ")
    terminal.type("$H run -- python3 job.py\r")
    terminal.expect("begun\r\n")
    hold("j1")
    told = r"is held, and stops once it goes on; answer: headroom resume j1 --limit 6M, then fg.*\r\n"
    press(told)
    fg("is still held; answer: headroom resume j1 --limit 6M")
    press(told)
    fake.stop()  # without a daemon it stays held
    fg("the daemon is gone")
    press(told)
    fake.start()
    with open(os.path.join(fake.directory, "pid"), encoding="ascii") as file:
        stat = f"/proc/{file.read()}/stat"
    go_on("j1")
    wait_until("it stops", lambda: open(stat, encoding="ascii").read().split()[2] == "T")
    fg("done")
    terminal.expect("ready> ")
    os.unlink(os.path.join(fake.directory, "go-on"))
    fake.calls = []
    terminal.type("$H run -- python3 job.py\r")
    terminal.expect("begun\r\n")
    terminal.type("\x1a")  # before anything is known of a hold
    time.sleep(0.2)
    hold("j1")
    terminal.expect("is held, and stops once it goes on")
    terminal.expect("Stopped")
    go_on("j1")
    fg("done")
    terminal.type("exit\r")
    terminal.wait()


def terminal_foreground(fake):
    """A job that took the terminal and was killed leaves it to the shell; a shell works as a job."""
    terminal = Terminal(fake, SHELL)
    terminal.expect("ready> ")
    terminal.type("$H run -- bash --norc --noprofile -i\r")
    terminal.expect("ready> ")
    terminal.type("echo on''ward; sleep 60\r")
    terminal.expect("onward\r\n")
    time.sleep(0.3)
    terminal.type("\x1a")
    terminal.expect("Stopped")
    terminal.type("kill %1; echo inner; kill -KILL $$\r")
    terminal.expect("inner\r\n")
    terminal.expect("ready> ")
    terminal.type("echo $?; cat\r")
    terminal.expect("137")
    time.sleep(0.2)
    terminal.type("readable\r")
    terminal.expect("readable\r\nreadable")
    terminal.type("\x04exit\r")
    terminal.wait()


def terminal_hangs_up(fake):
    """A dropped ssh: the terminal goes, the job ends its work, the client waits for it in silence."""
    mark = os.path.join(fake.directory, "mark")
    terminal = Terminal(fake, SHELL)
    terminal.expect("ready> ")
    terminal.type("$H run -- sh -c 'echo $PPID >ppid; sleep 4; echo done; echo $? >mark'\r")
    fake.wait_for("Follow")
    wait_until("begun", lambda: os.path.exists(os.path.join(fake.directory, "ppid")))
    time.sleep(0.2)
    with open(os.path.join(fake.directory, "ppid"), encoding="ascii") as file:
        client = int(file.read())
    os.close(terminal.fd)
    os.waitpid(terminal.pid, 0)
    fake.event("j1", "hold", "trim", "freeze", "done", "nobody reads this")
    time.sleep(0.3)
    os.kill(client, 0)
    fake.wait_for("Subscribe")  # and no longer claims to show them
    wait_until("the job ends", lambda: os.path.exists(mark))
    wait_until("the client ends", lambda: not os.path.exists(f"/proc/{client}") or
               open(f"/proc/{client}/stat", encoding="ascii").read().split()[2] == "Z")


SCENARIOS = [
    exit_statuses, unreachable, unreachable_hints, no_more_connections, status_views, limits, deeds, metrics, drill, top_once, top_keys, top_lasts, policy_check, help_texts, events,
    record, record_refused,
    ended_jobs,
    run_statuses, run_request, run_inherits, run_in_pipes, run_signals, run_in_background, run_events,
    run_without_daemon, run_detached, run_subreaper, terminal_line, terminal_ctrl_c, terminal_ctrl_z,
    terminal_ctrl_z_held,
    terminal_foreground, terminal_hangs_up,
]


def main():
    failed = 0
    wanted = [s for s in SCENARIOS if not sys.argv[3:] or s.__name__ in sys.argv[3:]]
    for scenario in wanted:
        with tempfile.TemporaryDirectory(prefix="headroom-client.") as directory:
            fake = Fake(directory)
            try:
                scenario(fake)
                print(f"ok - client: {scenario.__name__}")
            except (AssertionError, OSError, ValueError, subprocess.TimeoutExpired) as error:
                failed += 1
                print(f"not ok - client: {scenario.__name__}: {type(error).__name__} {error}")
            finally:
                fake.stop()
        sys.stdout.flush()
    print(f"{len(wanted) - failed} passed, {failed} failed, 0 skipped")
    return failed > 0


sys.exit(main())
