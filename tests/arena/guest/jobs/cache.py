# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reads --file, larger than its limit, --rounds times: page cache alone, a healthy job."""

from kit import MIB, Job, arguments

options = arguments(file="", rounds=4)
with Job(options, peaceful=True) as job:
    for _ in range(options.rounds):
        with open(options.file, "rb", buffering=0) as data:
            while data.read(MIB):
                job.tick()
