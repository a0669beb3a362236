# SPDX-License-Identifier: LGPL-2.1-or-later
"""Rises at --rate MB/s to --percent of --limit MiB, stays there for --stay seconds, and finishes: a job that fits."""

from kit import MIB, Job, arguments

options = arguments(limit=0, percent=95.0, rate=20.0, stay=4.0)
with Job(options, peaceful=True) as job:
    job.rise(int(options.limit * MIB * options.percent / 100), options.rate, step=MIB // 4)
    job.rest(options.stay)
