# SPDX-License-Identifier: LGPL-2.1-or-later
"""Rises to 93 % of --limit MiB at full speed, frees it at once, --rounds times: a job that fits."""

from kit import MIB, Job, arguments

options = arguments(limit=0, rounds=3)
with Job(options, peaceful=True) as job:
    for _ in range(options.rounds):
        job.rise(options.limit * MIB * 93 // 100, 0)
        job.drop()
        job.rest(0.5)
