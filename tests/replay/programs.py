#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""programs.py record [NAME...]   runs the programs (all of them), each in a cgroup of its own, and records them
programs.py run NAME          runs one, here, without a limit
programs.py list              their names, and what they are

What test-foresight judges the forecast by: real programs, recorded into recorded/NAME.txt (see README), four at a time,
in about half an hour. Recording takes root, a memory controller of either version, and of Debian g++, perl, mawk,
nodejs, git, zstd, jq, r-base-core, default-jdk-headless, python3-pandas and python3-matplotlib; what isn't there is
left out or fails, and is said. Where a program has a limit, its cgroup gets it, and the kernel kills it there; the
others end by themselves or are stopped after their time.

Every third of the first 43 is held back, and so are all after them: the forecast is never tuned on it. The share
follows from the place in the table, so new programs go to its end. Those after the 43 were chosen, with their limits
and paces, before any of them was recorded; they stay, whatever they show. What may be mended in one is what keeps it
from living its life at all: it fails, ends too soon, or never comes to its limit. (Five were: one
failed on a turn that came late, two ended within seconds, one came nowhere near its limit, and g++ crawled at its limit
without being killed; it is smaller, and fits now.)
"""

import concurrent.futures
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import record  # noqa: E402

MB = 1000000
PERIOD = 0.05
HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAMS = []


def program(title, limit=0, seconds=90, needs="", begins=0, repeats=0, step=0):
    """
    Registers a program, a function. limit in MB; 0: none. begins: the second in which its growth does. repeats: from
    that second on it does the same again and again. step: how many seconds a turn of its loop takes on the average,
    each of which keeps more; of the whole job, where several processes do.
    """
    def register(function):
        marks = {"begins": begins * 10 ** 6, "repeats": repeats * 10 ** 6, "step": round(step * 10 ** 6)}
        PROGRAMS.append((function.__name__.replace("_", "-"), title, limit * MB, seconds, needs, marks, function))
        return function
    return register


def take(megabytes):
    """Memory with every page touched."""
    return bytearray(b"x") * int(megabytes * MB)


def write_big(megabytes):
    with open("big", "wb") as out:
        for _ in range(megabytes // 10):
            out.write(take(10))


def work(seconds):
    """On the processor, without memory."""
    until, x = time.monotonic() + seconds, 1
    while time.monotonic() < until:
        for _ in range(1000):
            x = x * 1103515245 % 2147483648
    return x


def shared_directory(work_directory):
    """On a tmpfs, of the program that works there; who records it removes it."""
    return "/dev/shm/" + os.path.basename(os.path.abspath(work_directory))


def make_csv(path, rows, seed=1):
    chance = random.Random(seed)
    with open(path, "w", encoding="ascii") as out:
        out.write("id,group,value,text\n")
        for i in range(rows):
            out.write(f"{i},{i % 97},{chance.random():.6f},name-{chance.randrange(10 ** 6)}\n")


# ---- the programs, in their order ----


@program("numpy: files of 16 MB read one by one into a list", limit=450, step=2.3)
def numpy_files():
    import numpy
    numpy.save("one.npy", numpy.ones(2 * MB))
    kept = []
    while True:
        kept.append(numpy.load("one.npy") * 1.5)
        work(1.5)
        time.sleep(0.7)


@program("numpy: products of matrices, the same room again and again", seconds=60, repeats=5)
def numpy_matrix():
    import numpy
    a = numpy.random.rand(1500, 1500)
    for _ in range(60):
        b = a @ a
        a = b / b.max()
        time.sleep(0.5)


@program("pandas: CSV files concatenated to one frame, which is made anew each time", limit=400, step=2)
def pandas_concat():
    import pandas
    make_csv("part.csv", 150000)
    whole = pandas.DataFrame()
    while True:
        whole = pandas.concat([whole, pandas.read_csv("part.csv")], ignore_index=True)
        time.sleep(1.5)


@program("pandas: the same CSV file read, grouped and dropped, many times", seconds=70, repeats=10)
def pandas_groups():
    import pandas
    make_csv("part.csv", 300000)
    for _ in range(25):
        frame = pandas.read_csv("part.csv")
        frame.groupby("group").value.mean()
        frame.sort_values("text")
        del frame
        time.sleep(1)


@program("sort: 250 MB of text in memory", seconds=90)
def sort_memory():
    make_csv("a.csv", 1200000)
    os.execvp("sh", ["sh", "-c", "cat a.csv a.csv a.csv a.csv a.csv | LC_ALL=C sort -S 600M -t, -k4 > /dev/null"])


@program("gcc -O2: a C file of 9000 functions", seconds=120, needs="gcc")
def gcc_large():
    with open("large.c", "w", encoding="ascii") as out:
        for i in range(9000):
            out.write(f"int f{i}(int *a, int n) {{ int s = {i}; for (int k = 0; k < n; k++) s += a[k] * {i % 17};"
                      f" if (s % 3 == {i % 3}) s ^= n; switch (s & 7) {{ case 1: return s * 3; case 2: return s - n;"
                      f" case 5: return s >> 2; }} return s; }}\n")
    os.execvp("gcc", ["gcc", "-O2", "-c", "large.c", "-o", "/dev/null"])


@program("multiprocessing: a pool of 4 that makes and drops 30 MB a task", seconds=60, repeats=15)
def fork_pool():
    import multiprocessing
    with multiprocessing.Pool(4) as pool:
        pool.map(pool_task, range(140), chunksize=1)


def pool_task(n):
    data = take(10 + n * 7 % 30)
    work(0.3)
    time.sleep(0.8)
    return len(data)


@program("a notebook: cells of one to three seconds, then somebody thinks; a frame is kept and made anew", seconds=150,
         repeats=30)
def notebook():
    chance, kept = random.Random(3), {}
    for cell in range(14):
        kept[cell % 3] = take(20 + chance.randrange(60))
        scratch = take(chance.randrange(60))
        work(1 + chance.random() * 2)
        del scratch
        time.sleep(4 + chance.random() * 8)


@program("a notebook: each cell keeps its result, up to the limit", limit=500, seconds=240, step=7)
def notebook_keeps():
    chance, kept = random.Random(4), []
    while True:
        kept.append(take(15 + chance.randrange(25)))
        scratch = take(chance.randrange(20))
        work(1 + chance.random())
        del scratch
        time.sleep(3 + chance.random() * 5)


@program("files of 20 MB each five seconds, all kept", limit=420, seconds=180, step=5)
def stairs_even():
    kept = []
    while True:
        kept.append(take(20))
        time.sleep(5)


@program("files of 4 to 40 MB after rests of one to six seconds, all kept", limit=500, seconds=180, step=4)
def stairs_uneven():
    chance, kept = random.Random(5), []
    while True:
        for _ in range(chance.randrange(1, 10)):
            kept.append(take(4))
            time.sleep(0.05)
        time.sleep(1 + chance.random() * 5)


@program("a server: batches of up to 80 MB, answered and dropped", seconds=120, repeats=5)
def sawtooth():
    chance = random.Random(6)
    while True:
        batch = []
        for _ in range(chance.randrange(4, 16)):
            batch.append(take(5))
            time.sleep(0.15)
        time.sleep(0.5)
        batch.clear()
        time.sleep(chance.random())


@program("a server that keeps 2 MB of each batch of 60 MB", limit=260, seconds=240, step=1.8)
def sawtooth_leak():
    kept = []
    while True:
        batch = []
        for _ in range(12):
            batch.append(take(5))
            time.sleep(0.1)
        kept.append(take(2))
        batch.clear()
        time.sleep(0.6)


@program("a leak of small objects, 1 MB a second", limit=160, seconds=240, step=0.05)
def slow_leak():
    kept, start = [], time.monotonic()
    while True:
        wanted = (time.monotonic() - start) * MB
        while len(kept) * 1024 < wanted:
            kept.append(bytes(991))
        time.sleep(0.05)


@program("loads 300 MB in 20 s, then works on them", seconds=110)
def ramp_then_flat():
    kept = []
    for _ in range(100):
        kept.append(take(3))
        time.sleep(0.2)
    for _ in range(80):
        work(0.3)
        time.sleep(0.6)


@program("a leak of 2 MB a second below a noise of 30 MB", limit=300, seconds=240, step=0.2)
def leak_with_noise():
    chance, kept = random.Random(7), []
    while True:
        kept.append(take(0.4))
        scratch = take(chance.random() * 30)
        time.sleep(0.2)
        del scratch


@program("cat: 2 GB of files through a group of 150 MB", limit=150, seconds=90)
def cache_heavy():
    write_big(400)
    with open("/dev/null", "wb") as null:
        kept = take(30)
        for _ in range(6):
            with open("big", "rb") as file:
                while data := file.read(MB):
                    null.write(data)
                    time.sleep(0.01)
    return kept


@program("reads files and keeps a tenth of each, with the cache full", limit=260, seconds=200, step=0.3)
def cache_and_keep():
    write_big(600)
    kept = []
    while True:
        with open("big", "rb") as file:
            while data := file.read(10 * MB):
                kept.append(bytes(data[: MB]))
                time.sleep(0.3)


@program("sqlite3: a table and its index in memory", seconds=120)
def sqlite_memory():
    import sqlite3
    base = sqlite3.connect(":memory:")
    base.execute("create table t (a integer, b text)")
    base.execute("create index i on t (b)")
    chance = random.Random(8)
    for _ in range(150):
        base.executemany("insert into t values (?, ?)", [(i, "%030x" % chance.getrandbits(120)) for i in range(8000)])
        time.sleep(0.15)
    base.execute("select count(distinct substr(b, 1, 5)) from t").fetchall()
    time.sleep(10)


@program("perl: a hash of words that grows", limit=350, seconds=150, needs="perl", step=0.12)
def perl_hash():
    os.execvp("perl", ["perl", "-e", "my %h; my $i = 0; while (1) { for (1..10000) { $h{'word' . $i++} = 'x' x 60 }"
                       " select(undef, undef, undef, 0.12) }"])


@program("make: this project compiled, two at a time", seconds=120, needs="gcc")
def make_project():
    top = os.path.join(HERE, "..", "..")
    os.execvp("make", ["make", "-s", "-j2", "-C", top, "B=" + os.path.abspath("build"), "all"])


@program("xz -6: 60 MB", seconds=80, needs="xz")
def xz_file():
    make_csv("a.csv", 1500000)
    os.execvp("xz", ["xz", "-6", "-T1", "-c", "a.csv"])


@program("awk: a line kept for each key", limit=300, seconds=150, needs="awk", step=0.25)
def awk_keys():
    os.execvp("sh", ["sh", "-c", "i=0; while :; do seq $i $((i + 20000)); i=$((i + 20000)); sleep 0.25; done |"
                     " awk '{ kept[$1] = $1 \" and what belongs to it, which is a little more text\" }'"])


@program("Python: a dict of numbers that doubles its table", limit=420, seconds=150, step=0.2)
def dict_doubles():
    kept, i = {}, 0
    while True:
        for _ in range(15000):
            kept[i] = i * 3 + 1000
            i += 1
        time.sleep(0.2)


@program("json: the same large document parsed again and again", seconds=80, repeats=5)
def json_parse():
    import json
    text = json.dumps([{"id": i, "name": f"name {i}", "list": list(range(8))} for i in range(60000)])
    for _ in range(50):
        found = json.loads(text)
        work(0.4)
        del found
        time.sleep(0.4)


@program("multiprocessing: four workers, each keeps 2 MB of each task", limit=400, seconds=200, step=0.4)
def pool_leaks():
    import multiprocessing
    with multiprocessing.Pool(4) as pool:
        pool.map(pool_leak_task, range(2000), chunksize=1)


POOL_KEPT = []


def pool_leak_task(n):
    POOL_KEPT.append(take(2))
    scratch = take(n * 5 % 9)
    work(0.2)
    time.sleep(1.5)
    return len(scratch)


@program("growth that quickens: pairs of all that was read", limit=500, seconds=150, step=0.6)
def quickens():
    kept, n = [], 0
    while True:
        n += 1
        kept.append(take(0.08 * n))
        time.sleep(0.6)


@program("a cache of results that fills, slower and slower", seconds=150)
def cache_fills():
    chance, kept = random.Random(9), {}
    for _ in range(550):
        for _ in range(4):
            key = int(chance.paretovariate(0.6)) % 400
            if key not in kept:
                kept[key] = take(1)
        time.sleep(0.22)


@program("files written to a tmpfs", limit=300, seconds=150, step=0.8)
def tmpfs_files():
    directory, n = shared_directory("."), 0
    os.mkdir(directory)
    while True:
        n += 1
        with open(f"{directory}/{n}", "wb") as out:
            out.write(take(3))
        time.sleep(0.8)


@program("a file of 400 MB mapped and read in random order", seconds=60)
def mapped_file():
    import mmap
    write_big(400)
    chance, found = random.Random(10), 0
    with open("big", "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        for i in range(60000):
            found += mapped[chance.randrange(len(mapped))]
            if i % 30 == 0:
                time.sleep(0.02)


@program("numpy: load, transform with a copy, reduce; three times", seconds=90)
def numpy_phases():
    import numpy
    for n in (6, 9, 12):
        data = numpy.random.rand(n * MB)
        time.sleep(5)
        copy = numpy.sqrt(data) + 1
        time.sleep(4)
        del data
        copy.sort()
        time.sleep(6)
        del copy
        time.sleep(3)


@program("a minute of rest, then 30 MB a second", limit=500, seconds=120, begins=60, step=0.1)
def late_burst():
    kept = [take(60)]
    time.sleep(60)
    while True:
        kept.append(take(3))
        time.sleep(0.1)


@program("a minute of work, then a leak of 4 MB a second", limit=350, seconds=200, begins=60, step=0.25)
def late_leak():
    kept = [take(60)]
    for _ in range(60):
        scratch = take(15)
        work(0.3)
        del scratch
        time.sleep(0.7)
    while True:
        kept.append(take(1))
        time.sleep(0.25)


@program("http.server, and requests to it", seconds=90, repeats=10)
def http_server():
    import functools
    import http.server
    import threading
    import urllib.request
    with open("page", "wb") as out:
        out.write(take(2))
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=".")
    handler.func.log_message = lambda *words: None
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    chance = random.Random(11)
    while True:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/page") as answer:
            answer.read()
        time.sleep(chance.random() * 0.2)


@program("git: this project cloned and repacked", seconds=60, needs="git")
def git_repack():
    os.execvp("sh", ["sh", "-c", f"git clone -q --no-local {HERE}/../.. c && cd c && for i in 1 2 3 4; do"
                     " git repack -qadf --depth=200 --window=200; git log -p --stat > /dev/null; sleep 1; done"])


@program("memory that breathes: up and down in 40 s", seconds=170, repeats=50)
def breathes():
    import math
    kept, start = [], time.monotonic()
    while True:
        wanted = 60 + 50 * math.sin((time.monotonic() - start) * 2 * math.pi / 40)
        while len(kept) < wanted:
            kept.append(take(1))
        while len(kept) > wanted:
            kept.pop()
        time.sleep(0.2)


@program("training: batches drawn, used and dropped; after each epoch 6 MB of state is kept", limit=200, seconds=300,
         step=7)
def epochs_keep():
    import numpy
    weights, kept = numpy.random.rand(400, 400), []
    while True:
        for _ in range(12):
            batch = numpy.random.rand(4000, 400)
            weights = weights * 0.99 + (batch.T @ batch) / 4000 * 0.01
            time.sleep(0.15)
        kept.append(numpy.random.rand(750000))


@program("training: batches drawn, used and dropped; nothing is kept", seconds=90, repeats=10)
def epochs():
    import numpy
    weights = numpy.random.rand(400, 400)
    for _ in range(400):
        batch = numpy.random.rand(6000, 400)
        weights = weights * 0.99 + (batch.T @ batch) / 6000 * 0.01
        time.sleep(0.15)


@program("large files of 60 MB each eleven seconds, all kept", limit=560, seconds=200, step=11)
def stairs_large():
    import numpy
    numpy.save("one.npy", numpy.ones(60 * MB // 8))
    kept = []
    while True:
        kept.append(numpy.load("one.npy"))
        time.sleep(11)


@program("pandas: frames of a few MB appended to a list, and a sum over all of them now and then", limit=380,
         seconds=200, step=1.2)
def pandas_list():
    import pandas
    make_csv("part.csv", 30000)
    kept = []
    while True:
        kept.append(pandas.read_csv("part.csv"))
        if len(kept) % 10 == 0:
            pandas.concat(kept).value.sum()
        time.sleep(1)


@program("text is built by +=, a new copy each time it moves", limit=400, seconds=200, step=0.6)
def text_grows():
    text, parts = "", []
    while True:
        text += "a line of a report, and another one\n" * 40000
        parts.append(text[-1000:])
        time.sleep(0.6)


@program("node: an array of objects that grows", limit=250, seconds=150, needs="node", step=0.25)
def node_array():
    os.execvp("node", ["node", "--max-old-space-size=4000", "-e", "const kept = [];"
                       " setInterval(() => { for (let i = 0; i < 12000; i++)"
                       " kept.push({n: i, s: 'text ' + i, l: [i, i, i]}) }, 250)"])


@program("node: requests that make and drop objects", seconds=90, needs="node", repeats=10)
def node_churn():
    os.execvp("node", ["node", "-e", "let last = []; setInterval(() => { last = []; for (let i = 0; i < 60000; i++)"
                       " last.push({n: i, s: 'text ' + i}) }, 120)"])


# ---- those that were chosen when the forecast was done: by their list, before any was recorded, to judge it by ----

TUNED_BY_THIRDS = len(PROGRAMS)


def turns(seconds, uneven=0.0, seed=1):
    """A turn of a loop each so many seconds on the average, as long as its work takes less; uneven: give or take that
    part."""
    chance, due = random.Random(seed), time.monotonic()
    while True:
        yield
        now = time.monotonic()
        due = max(due + seconds * (1 + uneven * (2 * chance.random() - 1)), now)
        time.sleep(due - now)


def shell(command):
    os.execvp("sh", ["sh", "-c", command])


def write(path, text):
    with open(path, "w", encoding="ascii") as out:
        out.write(text)


@program("csv: files of uneven size read one by one into a list of rows", limit=350, seconds=200, step=1.2)
def csv_rows():
    import csv
    chance, rows = random.Random(20), []
    for i, count in enumerate((10000, 18000, 28000, 40000)):
        make_csv(f"{i}.csv", count, i)
    for _ in turns(1.2, 0.5):
        with open(f"{chance.randrange(4)}.csv", encoding="ascii") as file:
            rows += csv.reader(file)


@program("a cache of 150 results, the oldest evicted", seconds=90, repeats=30)
def lru_evicts():
    import collections
    chance, kept = random.Random(21), collections.OrderedDict()
    for _ in turns(0.15, 0.5):
        key = int(chance.paretovariate(0.4)) % 2000
        kept[key] = kept.pop(key, None) or take(0.3 + 1.4 * chance.random())
        if len(kept) > 150:
            kept.popitem(last=False)


@program("json: many documents of uneven size, all kept", limit=320, seconds=200, step=1)
def json_many():
    import json
    chance, kept = random.Random(22), []
    for i, count in enumerate((2500, 5000, 9000, 15000)):
        write(f"{i}.json", json.dumps([{"id": n, "name": f"name {n}", "values": [n / 7, n / 3, n / 2], "on": n % 2 == 0}
                                       for n in range(count)]))
    for _ in turns(1, 0.5):
        with open(f"{chance.randrange(4)}.json", encoding="ascii") as file:
            kept.append(json.load(file))


@program("a dict of lists: events collected for each of 3000 keys", limit=260, seconds=200, step=0.3)
def lists_by_key():
    import collections
    chance, found = random.Random(23), collections.defaultdict(list)
    for _ in turns(0.3):
        for _ in range(12000):
            found[chance.randrange(3000)].append((time.monotonic(), chance.random()))


@program("csv: files read into rows one by one, each dropped before the next", seconds=90, repeats=10)
def batch_frees():
    import csv
    for i, count in enumerate((40000, 70000, 110000)):
        make_csv(f"{i}.csv", count, i)
    for n, _ in enumerate(turns(2.5, 0.4)):
        with open(f"{n * 7 % 3}.csv", encoding="ascii") as file:
            rows = list(csv.reader(file))
        sum(float(row[2]) for row in rows[1:])
        del rows


@program("numpy: what was read is joined to what was there, in a new array each time", limit=340, seconds=200, step=1.3)
def numpy_concatenate():
    import numpy
    chance, whole = random.Random(24), numpy.empty(0)
    for _ in turns(1.3, 0.3):
        whole = numpy.concatenate([whole, numpy.random.rand(chance.randrange(300000, 800000))])


@program("sqlite3: a table in memory that is filled", limit=260, seconds=200, step=0.5)
def sqlite_fills():
    import sqlite3
    base, chance = sqlite3.connect(":memory:"), random.Random(25)
    base.execute("create table t (a integer primary key, b text, c real)")
    for n, _ in enumerate(turns(0.5)):
        base.executemany("insert into t values (?, ?, ?)",
                         [(n * 16000 + i, "%0120x" % chance.getrandbits(400), i / 7) for i in range(16000)])
        base.commit()


@program("perl: lines split and pushed to the lists of a hash", limit=280, seconds=200, needs="perl", step=0.3)
def perl_lists():
    os.execvp("perl", ["perl", "-e", "my %h; my $i = 0; while (1) { for (1..4000) { $i++; push @{$h{$i % 5000}},"
                       " [split /,/, \"$i,some text of it,\" . $i / 7] } select(undef, undef, undef, 0.3) }"])


@program("a session: loads 150 MB, rests, then now and then computes on a copy of a part", seconds=120, repeats=40)
def session_computes():
    import numpy
    kept = [numpy.random.rand(MB) for n, _ in zip(range(19), turns(0.5))]
    time.sleep(25)
    for n, _ in enumerate(turns(10, 0.4)):
        part = numpy.concatenate(kept[:4 + n * 5 % 7])
        part.sort()
        time.sleep(1.5)
        del part


@program("awk: what belongs to a key is joined to one string", limit=240, seconds=200, needs="awk", step=0.3)
def awk_joins():
    shell("i=0; while :; do seq $i $((i + 10000)); i=$((i + 10000)); sleep 0.3; done |"
          " awk '{ k = $1 % 20000; kept[k] = kept[k] \" \" $1 \", and the text of a line that belongs to it, which is"
          " rather long for what it says\" }'")


@program("node: parsed lines kept in a Map", limit=300, seconds=200, needs="node", step=0.25)
def node_map():
    os.execvp("node", ["node", "--max-old-space-size=4000", "-e", "const kept = new Map(); let n = 0;"
                       " setInterval(() => { for (let i = 0; i < 4000; i++) { n++; kept.set('id' + n, JSON.parse("
                       "'{\"id\":' + n + ',\"name\":\"name ' + n + '\",\"values\":[1.5,' + n + ',3]}')) } }, 250)"])


@program("a log is followed: the last 20000 lines and the counts of each hour are kept", seconds=90, repeats=30)
def log_tailer():
    import collections
    chance, last, counts = random.Random(26), collections.deque(maxlen=20000), collections.Counter()
    for n, _ in enumerate(turns(0.1, 0.5)):
        for _ in range(chance.randrange(200)):
            last.append(f"{n} host-{chance.randrange(40)} " + "some words of a message " * chance.randrange(1, 40))
            counts[n // 100, chance.randrange(40)] += 1


@program("sort: of a pipe that does not end", limit=320, seconds=200, step=0.5)
def sort_pipe():
    make_csv("a.csv", 60000)
    shell("while :; do cat a.csv; sleep 0.5; done | LC_ALL=C sort -S 900M -t, -k4 > /dev/null")


@program("multiprocessing: a pool of 3, whose results of 1 to 5 MB the parent keeps", limit=320, seconds=200, step=0.67)
def pool_gathers():
    import multiprocessing
    with multiprocessing.Pool(3) as pool:
        kept = []
        for result in pool.imap_unordered(pool_gathers_task, range(1000)):
            kept.append(result)


def pool_gathers_task(n):
    chance = random.Random(n)
    time.sleep(1 + 2 * chance.random())
    return bytes(take(1 + 4 * chance.random()))


@program("pandas: a large CSV file read in chunks, each summed up and dropped", seconds=80, repeats=15)
def pandas_chunks():
    import pandas
    make_csv("a.csv", 400000)
    pace = turns(1.2, 0.3)
    while True:
        total = None
        for part in pandas.read_csv("a.csv", chunksize=90000):
            sums = part.groupby("group").value.sum()
            total = sums if total is None else total.add(sums, fill_value=0)
            next(pace)


@program("what is downloaded is appended to one bytearray", limit=280, seconds=200, step=0.4)
def bytes_grow():
    chance, whole = random.Random(27), bytearray()
    for _ in turns(0.4, 0.5):
        whole += take(3 * chance.random())


@program("a factorisation of matrices, each larger than the last", limit=280, seconds=200, step=1.8)
def matrix_grows():
    import numpy
    n = 200
    for _ in turns(1.8):
        a = numpy.random.rand(n, n)
        a = a + a.T
        a[numpy.diag_indices(n)] += 2 * n
        lower = numpy.linalg.cholesky(a)
        lower.trace()
        n += 80


@program("a server: sessions of a random size and length, three of ten are never closed", limit=170, seconds=240,
         step=0.8)
def sessions_leak():
    chance, kept = random.Random(28), []
    for n, _ in enumerate(turns(0.25, 0.5)):
        kept = [session for session in kept if session[0] > n]
        until = n + chance.randrange(32) if chance.random() > 0.3 else 10 ** 9
        kept.append((until, take(min(0.3 * chance.paretovariate(1.3), 15))))


@program("zstd --ultra -20 of a pipe", seconds=80, needs="zstd")
def zstd_ultra():
    make_csv("a.csv", 20000)
    shell("i=0; while [ $i -lt 60 ]; do i=$((i + 1)); sed \"s/$/$i/\" a.csv; sleep 0.9; done |"
          " zstd -q --ultra -20 > /dev/null")


@program("two ramps: 120 MB in 20 s, forty seconds of work, then 4 MB a second", limit=320, seconds=240, begins=60,
         step=0.5)
def two_ramps():
    kept = []
    for _, _ in zip(range(60), turns(1 / 3)):
        kept.append(take(2))
    for _, _ in zip(range(40), turns(1)):
        work(0.3)
    for _ in turns(0.5):
        kept.append(take(2))


@program("results of a function remembered without a bound; most calls repeat", limit=280, seconds=240, step=0.36)
def memo_slows():
    import functools
    chance, result = random.Random(29), functools.cache(lambda key: take(1))
    for _ in turns(0.2):
        for _ in range(4):
            result(int(chance.paretovariate(0.5)))


@program("lines are told from those that were seen, by a set of them", limit=260, seconds=200, step=0.25)
def seen_set():
    seen, n = set(), 0
    for _ in turns(0.25):
        for _ in range(8000):
            n += 1
            seen.add("a line that is %024x" % (n * 0x9E3779B97F4A7C15))


@program("git: a repository of 80 generated commits, repacked with gc now and then", seconds=90, needs="git")
def git_gc():
    make_csv("a.csv", 30000)
    shell("git init -q g && cd g && git config user.name n && git config user.email e && i=0 &&"
          " while [ $i -lt 80 ]; do i=$((i + 1)); sed \"s/name-$i/other-$i/\" ../a.csv > $((i % 9)).csv; git add .;"
          " git commit -q -m $i; sleep 0.5; [ $((i % 20)) -ne 0 ] || git gc -q --aggressive --prune=now; done")


@program("numpy: an array made for all files at once and filled from one after the other", limit=340, seconds=200,
         step=1)
def array_filled():
    import numpy
    chance, whole, n = random.Random(30), numpy.zeros(100 * MB), 0
    for _ in turns(1, 0.5):
        part = numpy.random.rand(chance.randrange(300000, 1000000))
        whole[n:n + part.size] = part
        n += part.size


@program("a queue between a thread that reads and a slower one that works", limit=200, seconds=240, step=0.43)
def queue_grows():
    import queue
    import threading
    waiting = queue.Queue()

    def works():
        for _ in turns(0.13, 0.5, 2):
            waiting.get()

    threading.Thread(target=works, daemon=True).start()
    for _ in turns(0.1, 0.5):
        waiting.put(take(1))


@program("numpy: a window of the last 120 readings, and its spectrum", seconds=90, repeats=40)
def rolling_window():
    import collections
    import numpy
    window = collections.deque(maxlen=120)
    for n, _ in enumerate(turns(0.2, 0.3)):
        window.append(numpy.random.rand(60000))
        if n % 10 == 9:
            numpy.abs(numpy.fft.rfft(numpy.concatenate(window))).max()


@program("xml: elements looked at as they come, none cleared", limit=320, seconds=200, step=0.6)
def xml_keeps():
    import xml.etree.ElementTree
    parser, n = xml.etree.ElementTree.XMLPullParser(), 0
    parser.feed("<rows>")
    for _ in turns(0.6, 0.3):
        for _ in range(5000):
            n += 1
            parser.feed(f'<row id="{n}"><name>name {n}</name><value>{n / 7}</value></row>')
        for _ in parser.read_events():
            pass


@program("jq: a stream of objects slurped", limit=300, seconds=200, needs="jq", step=0.4)
def jq_slurps():
    import json
    write("a.json", "".join(json.dumps({"id": n, "name": f"name {n}", "on": n % 2 == 0}) + "\n" for n in range(3000)))
    shell("while :; do cat a.json; sleep 0.4; done | jq -s length")


@program("R: models fitted, summed up and dropped", seconds=90, needs="Rscript", repeats=15)
def r_bootstrap():
    os.execvp("Rscript", ["Rscript", "--vanilla", "-e", "set.seed(1); n <- 60000;"
                          " d <- data.frame(x = rnorm(n), y = rnorm(n)); found <- c(); repeat {"
                          " m <- lm(y ~ x, d[sample(nrow(d), replace = TRUE), ]);"
                          " found <- c(found, coef(m)[2]); Sys.sleep(0.7) }"])


@program("R: a frame grows by rbind, file by file", limit=300, seconds=240, needs="Rscript", step=1.5)
def r_rbind():
    make_csv("part.csv", 70000)
    os.execvp("Rscript", ["Rscript", "--vanilla", "-e", "whole <- NULL; repeat {"
                          " whole <- rbind(whole, read.csv('part.csv')); Sys.sleep(1.3) }"])


@program("R: fitted models kept in a list, each with its data", limit=380, seconds=240, needs="Rscript", step=1.5)
def r_models():
    os.execvp("Rscript", ["Rscript", "--vanilla", "-e", "set.seed(1); kept <- list(); repeat {"
                          " n <- sample(24000:90000, 1); kept[[length(kept) + 1]] <- lm(y ~ x,"
                          " data.frame(x = rnorm(n), y = rnorm(n))); Sys.sleep(1.4) }"])


JAVA = """
import java.util.*;
public class Job {
    public static void main(String[] words) throws Exception {
        Map<String, double[]> kept = new HashMap<>();
        for (long n = 0;; ) {
            if (words.length > 0) kept = new HashMap<>();
            for (int i = 0; i < 10000; i++, n++) kept.put("id " + n, new double[] {n, n / 7.0, n / 3.0});
            Thread.sleep(250);
        }
    }
}
"""


@program("java: a HashMap of what was read", limit=360, seconds=240, needs="javac", step=0.25)
def java_map():
    write("Job.java", JAVA)
    os.execvp("java", ["java", "-Xmx2g", "Job.java"])


@program("java: requests that make and drop objects", seconds=90, needs="javac", repeats=30)
def java_requests():
    write("Job.java", JAVA)
    os.execvp("java", ["java", "-Xmx2g", "Job.java", "drop"])


@program("matplotlib: a figure for each file, none closed", limit=280, seconds=240, step=1)
def figures_kept():
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot
    import numpy
    for _ in turns(1, 0.3):
        figure, axes = matplotlib.pyplot.subplots(figsize=(8, 6))
        axes.plot(numpy.random.rand(500))
        figure.savefig("out.png")


@program("g++ -O1: a file of 200 templates", limit=1000, seconds=150, needs="g++")
def gxx_templates():
    write("large.cc", "#include <map>\n#include <string>\n#include <vector>\n" + "".join(
        f"struct S{i} {{ int a[{i + 1}]; bool operator<(const S{i} &o) const {{ return a[0] < o.a[0]; }} }};\n"
        f"int f{i}(std::map<S{i}, std::vector<std::string>> &m, const S{i} &k)"
        f" {{ m[k].push_back(\"x\"); return m.size(); }}\n" for i in range(200)))
    os.execvp("g++", ["g++", "-O1", "-c", "large.cc", "-o", "/dev/null"])


# ---- recording ----


def is_held_back(number):
    return number % 3 == 2 or number >= TUNED_BY_THIRDS


def own_group():
    """Where the memory controller lets us make a group, and its version."""
    for line in open("/proc/self/cgroup", encoding="ascii"):
        number, controllers, path = line.strip().split(":", 2)
        if "memory" in controllers.split(","):
            return "/sys/fs/cgroup/memory" + path.rstrip("/"), 1
        if number == "0" and os.path.exists(f"/sys/fs/cgroup{path}/memory.current"):
            return "/sys/fs/cgroup" + path.rstrip("/"), 2
    sys.exit("programs.py: no memory controller is to be had here")


def make_group(name, limit):
    parent, version = own_group()
    group = f"{parent}/headroom-record-{os.getpid()}-{name}"
    os.mkdir(group)
    if limit:
        knob = "memory.limit_in_bytes" if version == 1 else "memory.max"
        with open(f"{group}/{knob}", "w", encoding="ascii") as file:
            file.write(str(limit))
    return group


def end_group(group):
    while True:
        with open(f"{group}/cgroup.procs", encoding="ascii") as file:
            pids = file.read().split()
        if not pids:
            break
        for pid in pids:
            try:
                os.kill(int(pid), 9)
            except ProcessLookupError:
                pass
        time.sleep(0.05)
    os.rmdir(group)


def was_killed(group):
    path, word = f"{group}/memory.oom_control", "oom_kill "
    if not os.path.exists(path):
        path = f"{group}/memory.events"
    with open(path, encoding="ascii") as file:
        return any(line.startswith(word) and int(line.split()[1]) > 0 for line in file)


def thin(points):
    """To 0.3 % of the most that was used, or, of what moves a lot, as far as 300 points go."""
    tolerance, cache = 0.003 * max(p[1] for p in points), 0.1 * max(p[2] for p in points) + MB
    while len(kept := record.thin(points, tolerance, cache)) > 300:
        tolerance *= 1.3
        cache *= 1.3
    return kept


def record_one(number):
    name, title, limit, seconds, needs, marks, _ = PROGRAMS[number]
    if needs and subprocess.run(["sh", "-c", f"command -v {needs}"], stdout=subprocess.DEVNULL, check=False).returncode:
        return f"{name}: left out, {needs} is not here"
    group = make_group(name, limit)
    points, what = [], "ended"
    with tempfile.TemporaryDirectory(prefix="headroom-record-") as work_directory:
        def enter():
            with open(f"{group}/cgroup.procs", "w", encoding="ascii") as file:
                file.write(str(os.getpid()))

        start = time.monotonic()
        child = subprocess.Popen([sys.executable, os.path.abspath(__file__), "run", name], cwd=work_directory,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=enter)
        due = start
        while child.poll() is None and not was_killed(group):
            used, cache = record.read_cgroup(group)
            now = time.monotonic()
            if child.poll() is None and not was_killed(group):
                points.append((round((now - start) * 1e6), used, cache))
            if now > start + seconds:
                what = "stopped"
                break
            due = max(due + PERIOD, now)
            time.sleep(max(due - time.monotonic(), 0))
        if was_killed(group):
            what = f"killed {round((time.monotonic() - start) * 1e6)}"
        child.kill()
        child.wait()
        shutil.rmtree(shared_directory(work_directory), ignore_errors=True)  # its pages are the group's
        end_group(group)
    failed = what == "ended" and child.returncode != 0
    if len(points) < 100 or failed:
        return f"{name}: failed, exit status {child.returncode} after {len(points)} samples"
    peak = max(p[1] for p in points)
    kept = thin(points)
    with open(f"{HERE}/recorded/{name}.txt", "w", encoding="ascii") as out:
        out.write(f"# {title}\n# recorded: {len(points)} samples in {points[-1][0] / 1e6:.1f} s, {len(kept)} kept\n")
        out.write(f"# share {'held-back' if is_held_back(number) else 'tuned'}\n# what {what}\n")
        out.writelines(f"# {word} {usec}\n" for word, usec in marks.items() if usec)
        out.write(f"# limit {limit or 'none'}\n")
        out.writelines("%d %d %d\n" % point for point in kept)
    return f"{name}: {what}, peak {peak / MB:.0f} MB, {len(kept)} points"


def main():
    verb, names = (sys.argv[1:2] or ["help"])[0], sys.argv[2:]
    known = [entry[0] for entry in PROGRAMS]
    if any(name not in known for name in names):
        sys.exit("programs.py: no such program; programs.py list")
    if verb == "list":
        for number, entry in enumerate(PROGRAMS):
            print(f"{entry[0]:18}{'held back' if is_held_back(number) else '':11}{entry[1]}")
    elif verb == "run" and len(names) == 1:
        sys.setswitchinterval(0.1)
        PROGRAMS[known.index(names[0])][6]()
    elif verb == "record":
        os.makedirs(f"{HERE}/recorded", exist_ok=True)
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            wanted = [known.index(name) for name in names] or range(len(PROGRAMS))
            for said in pool.map(record_one, wanted):
                print(said, flush=True)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
