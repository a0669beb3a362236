# SPDX-License-Identifier: LGPL-2.1-or-later
"""Reads files of --step MiB one by one and keeps each, --rest seconds of work after each: a staircase to --to MiB."""

from kit import MIB, Job, arguments

options = arguments(to=0, step=8, rest=0.5)
with Job(options) as job:
    while job.bytes < options.to * MIB:
        job.keep(options.step * MIB)
        job.rest(options.rest)
