#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
record-fill.py DIRECTORY [COUNT]: as `record DIRECTORY COUNT` fills a record of jobs, but in bulk: DIRECTORY/record.db
must be there and empty (headroomd has made it), its indices are made again after the rows.
"""

import os
import sqlite3
import sys
import time

directory, count = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1000000
DAY = 24 * 3600 * 10**6
db = sqlite3.connect(os.path.join(directory, "record.db"))
indices = db.execute("SELECT name, sql FROM sqlite_schema WHERE type='index' AND sql NOT NULL").fetchall()


def hash_of(text):
    value = 14695981039346656037
    for byte in text.encode():
        value = ((value ^ byte) * 1099511628211) % (1 << 64)
    return value - (1 << 64) if value >= 1 << 63 else value


def jobs():
    commands = [f"python3 analyse-{i}.py --all" for i in range(5000)]
    hashes = [hash_of(command) for command in commands]
    now = time.time_ns() // 1000
    blob = b"\1" + bytes(100)
    for i in range(count):
        start = now - 90 * DAY + 90 * DAY * i // count
        yield (i + 1, f"j{i + 1}", f"analyse-{i % 5000}", commands[i % 5000], hashes[i % 5000], f"user{i % 1000}",
               1000 + i % 1000, "cgroup2", "/user.slice/user-1000.slice/headroom.scope", "headroom.scope", "default", start,
               start + 16 * 10**6, start + 16 * 10**6, 8 << 30, (1024 + i % 4096) << 20, "samples", 0, "finished", 0, 0, 0,
               None, "ended, not by Headroom; peak 2.1 GiB, limit 8 GiB", None, "ok", 0, blob)


def events():
    for number, row in enumerate(jobs(), 1):
        for at, action in ((row[11], "watch"), (row[12], "end")):
            yield (number, at, "ok", "ok", action, "done", "watched as cgroup2, limit 8 GiB, policy default", 1 << 30, 8 << 30)


for name, _ in indices:
    db.execute(f"DROP INDEX {name}")
db.executemany("INSERT INTO jobs VALUES(" + ",".join("?" * 28) + ")", jobs())
db.executemany("INSERT INTO events VALUES(?,?,?,?,?,?,?,?,?)", events())
for _, sql in indices:
    db.execute(sql)
db.commit()
db.close()
