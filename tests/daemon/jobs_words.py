# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a person reads: tables on terminals of any width, a held job's times, events of one job, words mistyped."""

import fcntl
import json
import os
import re
import struct
import subprocess
import termios
import time

from jobs_answers import start_nap
from jobs_kit import MIB, PATIENCE, PYTHON, check, same, scenario, wait_until

PACE = re.compile(r"left at this pace|growing")


def on_terminal(s, columns, *words):
    """What the client writes to a terminal of this width, without its colours, in lines."""
    fd, other = os.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = s.popen([os.path.join(s.build, "headroom"), *words], stdout=other, stderr=other)
    os.close(other)
    data = b""
    while True:
        try:
            more = os.read(fd, 65536)
        except OSError:  # EIO: it has ended
            break
        if not more:
            break
        data += more
    os.close(fd)
    same(words, process.wait(PATIENCE), 0)
    s.processes.remove(process)
    return re.sub(r"\x1b\[[0-9;]*m", "", data.decode()).replace("\r", "").splitlines()


def as_one(text):
    """However it was broken, and without numbers, which change from look to look."""
    return re.sub(r"[\s\d.→]", "", text)


def check_lines(what, lines, columns):
    for line in lines:
        wide = len(line) + sum(ord(c) >= 0x2E80 for c in line)  # those of Chinese take two
        check(f"{what} at {columns}: as wide as the terminal", wide <= columns, line)
        check(f"{what} at {columns}: no blanks at the end", line == line.rstrip(), line)
        check(f"{what} at {columns}: no control characters", line.isprintable(), line)


@scenario("cgroup", "process", alone=True)  # doctor looks at whatever cgroups there are
def tables_fit(s):
    """On a terminal of 80, 120, 50 or 20 columns no line is wider, and no reason and no remedy is lost."""
    s.daemon()
    run = start_nap(s, options=("--name", "a-name-that-is-nearly-as-long-as-a-name-of-a-job-may-be"))
    s.must("hold", run.name)
    run.wait_held()
    run.wait_event("frozen")  # the last of its events for now
    items = json.loads(s.must("doctor", "--json"))
    jobs, events = s.jobs(), s.events()
    # Of the terminal something else is said where there is one; what the host has changes from look to look.
    told = {
        "status": (jobs, [job["reason"] for job in jobs]),
        "doctor": (items, [row[key] for row in items if row["item"] not in ("terminal", "host") for key in ("detail", "remedy")]),
        "events": (events, [event["reason"] for event in events]),
    }
    for verb, (rows, texts) in told.items():
        check(f"{verb} says something", any(texts), texts)
        for columns in (120, 80, 50, 20):
            lines = on_terminal(s, columns, verb)
            whole = as_one("".join(lines))
            if columns > 20:
                check_lines(verb, lines, columns)
            for text in texts:
                check(f"{verb} at {columns} has it all", as_one(text) in whole, (text, lines))
        out = s.must(verb).splitlines()
        same(f"{verb}, not a terminal: a line a row", len(out), len(rows) + (verb != "events"))
    lines = on_terminal(s, 80, "doctor")
    check("the remedy is below what is wrong", any(re.match(r" +→ \w", line) for line in lines) or not any(row["remedy"] for row in items), lines)
    lines = on_terminal(s, 80, "status")
    check("the long name is cut", any("…" in line for line in lines) and run.name not in "".join(lines), lines)
    s.must("kill", run.name)
    run.wait()


@scenario("cgroup")
def hostile_names(s):
    """A cgroup with escape codes, wide letters and blanks in its name neither breaks a table nor reaches the terminal."""
    s.daemon()
    group = s.make_group("ev\x1b[31mil 日本語日本語日本語日本語 " + "very " * 20 + "long")
    sleeper = s.popen(["sleep", "60"], group=group)
    s.wait_in_group(sleeper, group)
    job = s.must("attach", group).strip()
    for columns in (120, 80, 50):
        for words in (("status",), ("status", job), ("doctor",), ("events",), ("limit", job)):
            lines = on_terminal(s, columns, *words)
            check_lines(" ".join(words), lines, columns)
        whole = as_one("".join(on_terminal(s, columns, "status", job)))
        check("its whole name, escaped", as_one(r"ev\x1b[31mil 日本語日本語日本語日本語 " + "very " * 20 + "long") in whole, whole)
    s.must("detach", job)
    sleeper.kill()


@scenario("cgroup", "process")
def held_since(s):
    """A held job has a time since when and one until when, and what to type; no pace, no time left."""
    s.daemon()
    run = s.grow("--to", "200", "--rate", "15", limit="80M")
    held = run.wait_held()
    check("its reason has no pace", not PACE.search(held["reason"]), held["reason"])
    same("JSON: never", held["seconds_to_limit"], None)
    for event in s.events(run.name):
        if event["action"] == "freeze" and event["outcome"] == "done":
            check("nor has the event", not PACE.search(event["reason"]), event)
        for text in re.findall(r"growing .*?, (.*?) left at this pace", event["reason"]):
            check("a time as people say it", re.fullmatch(
                r"less than a second|(about|up to) \d+ (s|min)|\d+ (to \d+ )?(s|min)( to \d+ (s|min))?( or more)?", text), text)
    for detail in (s.must("status", run.name), "\n".join(on_terminal(s, 120, "status", run.name))):
        said = dict(re.findall(r"^([a-z ]+): +(.*)$", detail, re.M))
        same("stage", said["stage"], "hold")
        check("since", re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \(.* ago\)$", said["held since"]), said)
        check("until", re.match(r"\d{4}-.* at most \(in (2 d 23 h|3 d)\)$", said["held until"]), said)
        same("pace", said["pace"], "none, it is held")
        check("what to type", f"headroom resume {held['job']} --limit 120M" in said["type next"], said)
        check("limit", said["limit"].startswith("80 MiB") and said["limit"].endswith("% full, its own"), said)
        check("nothing else of time", not {"growth", "time to limit", "at most", "since"} & set(said), said)
    row = next(line for line in s.must("status").splitlines() if run.name in line)
    check("the table too", re.search(r" held +default +since \d{4}.*, at most until \d{4}.*; held just before", row), row)
    s.must("resume", run.name, "--limit", "400M")
    detail = s.must("status", run.name)
    check("goes on", "held" not in re.sub(r"reason: .*", "", detail), detail)
    check("what to type then", re.search(r"^type next: +headroom ", detail, re.M), detail)
    run.check_unharmed(run.wait())


@scenario("cgroup", "process")
def events_of_one_job(s):
    """`events JOB` shows one job's, by id, name and pid, also when it has ended; --follow ends with the job."""
    s.daemon()
    one, other = start_nap(s, options=("--name", "one")), start_nap(s, options=("--name", "other"))
    job = one.wait_watched()
    for word in (job["job"], "one", str(job["leader_pid"])):
        found = json.loads(s.must("events", word, "--json"))
        same(f"{word}: its own", {event["job"] for event in found}, {job["job"]})
        check(f"{word}: all of them", len(found) == len(s.events("one")), found)
        lines = s.must("events", word).splitlines()
        same(f"{word}: as many lines", len(lines), len(found))
    out_path = os.path.join(s.work, "followed")
    with open(out_path, "w", encoding="utf-8") as out:
        follower = s.popen([os.path.join(s.build, "headroom"), "events", "one", "--follow", "--json"], stdout=out)
    wait_until("the first", lambda: os.path.getsize(out_path) > 0)
    s.must("hold", "other")
    s.must("hold", "one")
    s.must("kill", "other")
    s.must("resume", "one")
    check("goes on", follower.poll() is None, follower.returncode)
    s.must("kill", "one")
    same("ends with the job", follower.wait(PATIENCE), 0)
    with open(out_path, encoding="utf-8") as out:
        followed = [json.loads(line) for line in out]
    same("its own alone", {event["job"] for event in followed}, {job["job"]})
    check("from the start to the end", [event["action"] for event in followed][::len(followed) - 1] == ["watch", "end"], followed)
    one.wait()
    other.wait()
    for words in ((job["job"],), ("one",), ("one", "--follow")):
        found = s.must("events", *words, "--json")
        check("when it has ended", '"end"' in found and '"other"' not in found, found)
    status, out, err = s.client("events", "nobody")
    check("no such job", (status, out) == (4, "") and "headroom" in err, (status, out, err))
    twin = [start_nap(s, options=("--name", "twin")) for _ in range(2)]
    status, out, err = s.client("events", "twin")
    check("ambiguous", (status, out) == (2, "") and "could be" in err, (status, out, err))
    for run, event in zip(twin, [e for e in s.events("twin") if e["action"] == "watch"]):
        s.must("kill", event["job"])
        run.wait()


@scenario("cgroup", "process")
def no_such_job(s):
    """Where there is no such job: which was meant, how the one that had the name ended, or what shows the jobs."""
    s.daemon()
    status, _, err = s.client("hold", "work")
    check("no jobs at all", status == 4 and "headroom run" in err, (status, err))
    run = start_nap(s, options=("--name", "analysis"))
    for words in (("hold", "anaylsis"), ("status", "Analysis"), ("limit", "analysi", "1G"), ("resume", "nalysis"),
                  ("policy", "set", "analysiss", "batch"), ("events", "analisis"), ("kill", "annalysis")):
        status, out, err = s.client(*words)
        check(f"{words}: exit 4", (status, out) == (4, ""), (status, out, err))
        check(f"{words}: which was meant", "did you mean analysis (j1)?" in err, err)
    status, _, err = s.client("hold", "j99")
    check("far from any", status == 4 and "did you mean" not in err and "headroom status shows the jobs" in err, err)
    s.must("kill", "analysis")
    run.wait()
    for word in ("analysis", "j1"):
        status, _, err = wait_until("it is gone", lambda w=word: (got := s.client("status", w))[0] == 4 and got)
        check("it has ended", "it has ended" in err and "headroom why j1" in err, err)


@scenario("process")
def mistyped(s):
    """What is no verb is answered with the whole line that may have been meant."""
    s.daemon()
    s.script("x.py", "pass\n")
    cases = [
        ("list", "headroom status?"), ("ps", "headroom status?"), ("ls", "headroom status?"),
        ("stat", "headroom status?"), ("statsu --json", "headroom status --json?"),
        ("pause j1", "headroom hold j1?"), ("continue j1", "headroom resume j1?"),
        ("stop j1", "headroom interrupt j1 or headroom kill j1?"), ("hodl j1", "headroom hold j1?"),
        ("--limit 4G -- sleep 1", "headroom run --limit 4G -- sleep 1?"),
        ("--limit=4G sleep 1", "headroom run --limit=4G sleep 1?"),
        ("--follow", "headroom events --follow?"), ("--limti 4G", "--limit?"),
        ("status --follow", "it belongs to headroom events"),
        ("run --limti=4G true", "--limit?"),
        (f"{PYTHON} x.py", f"headroom run -- {PYTHON} x.py?"),
        ("sleep 1", "headroom run -- sleep 1?"), ("./x.py", "headroom run -- ./x.py?"),
        ("x.py", "headroom run -- x.py?"), ("nosuchprogram", "headroom run -- COMMAND"),
        ("policy lits", "did you mean list?"), ("help pause", "headroom hold?"),
    ]
    for words, meant in cases:
        status, out, err = s.client(*words.split())
        same(words, (status, out), (2, ""))
        check(words, meant in err, err)
    _, _, err = s.client("sleep", "a b", "it's", "")
    check("as a shell takes it back", "headroom run -- sleep 'a b' 'it'\\''s' ''?" in err, err)
    _, _, err = s.client("sleep", *["x" * 50] * 50)
    check("not for ever", len(err) < 500 and " ...?" in err, err)
    bad = os.path.join(s.work, "bad.conf")
    with open(bad, "w", encoding="ascii") as file:
        file.write("[policy a]\nhodl = 97%\njobs_max = 1\n[polcy b]\n")
    status, _, err = s.client("policy", "check", bad)
    check("keys and sections", status == 1 and "hodl: unknown key, did you mean hold?" in err and
          "it belongs to [daemon]" in err and "did you mean policy?" in err, err)


@scenario("process")
def limits_echoed(s):
    """What was accepted for --limit is said in bytes, once; more than the host has is remarked on and taken."""
    s.daemon()
    run = start_nap(s, limit="100M")
    same("once", run.err().count("104857600 bytes"), 1)
    check("no remark", "host" not in run.err(), run.err())
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    above = f"{total // MIB + 1024}M"
    status, _, err = s.client("limit", run.name, above)
    check("taken, with a remark", status == 0 and "more than the memory of this host" in err, (status, err))
    same("set", run.own_limit(), (total // MIB + 1024) * MIB)
    s.must("kill", run.name)
    run.wait()


@scenario("cgroup", "process")
def recorded(s):
    """headroom record: a real job's growth, from where it was begun to the job's end, at no less than 90 % of its peak."""
    s.daemon()
    go = os.path.join(s.work, "go")
    run = s.grow("--go", go, "--to", "60", "--rate", "20", "--rest", "2", limit="200M")
    run.wait_watched()
    recorder = s.popen([os.path.join(s.build, "headroom"), "record", run.name, "--interval", "100ms"],
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    header = [recorder.stdout.readline() for _ in range(3)]
    with open(go, "w", encoding="ascii"):
        pass
    run.check_unharmed(run.wait())
    out, err = recorder.communicate(timeout=20)
    same("its status", recorder.returncode, 0)
    check("header", header[0].startswith("# headroom record: ") and header[1] == f"# limit {200 * MIB}\n", header)
    moments = [[int(word) for word in line.split()] for line in [header[2], *out.splitlines()] if line[0] != "#"]
    check("grows", moments[0][1] < 40 * MIB and max(m[1] for m in moments) >= 0.9 * 60 * MIB, moments)
    check("it saw it grow", len(moments) >= 10, moments)
    check("the end", out.splitlines()[-1].startswith("# what ended ") and "has ended" in err, (out, err))


@scenario("cgroup", "process")
def pace_of_one_that_rests(s):
    """A job that jumped to what it needs, and stays there, is soon shown without a pace, and with no time left to fear."""
    s.daemon()
    run = s.program("nap", "--to", "60", "--rest", "40", limit="200M")
    run.wait_watched()
    wait_until("it is large", lambda: run.status()["used_bytes"] > 55 * MIB)
    wait_until("it has no pace", lambda: run.status()["growth_bytes_per_second"] == 0 and run.status()["seconds_to_limit"] is None,
               25, lambda: str(run.status()))
    s.must("kill", run.name)
    run.wait()
