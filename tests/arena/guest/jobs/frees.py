# SPDX-License-Identifier: LGPL-2.1-or-later
"""Rises to 85 % of --limit MiB, frees nearly all and comes back to half of it: a job that fits."""

from kit import MIB, Job, arguments

options = arguments(limit=0, rate=20.0)
with Job(options, peaceful=True) as job:
    job.rise(options.limit * MIB * 85 // 100, options.rate)
    job.drop()
    job.rest(1)
    job.rise(options.limit * MIB * 50 // 100, options.rate)
