# SPDX-License-Identifier: LGPL-2.1-or-later
"""Fills --to MiB, then forks --children workers that read all of it, over and over for --rest seconds: shared pages,
of which a sum of RSS sees --children times as many."""

import os
import time

from kit import MIB, Job, arguments

options = arguments(to=0, children=10, rest=4.0)
with Job(options, peaceful=True) as job:
    for _ in range(options.to):
        job.keep(MIB)
    workers = []
    for _ in range(options.children):
        pid = os.fork()
        if pid == 0:
            leave = time.monotonic() + options.rest
            while time.monotonic() < leave:
                job.intact()
                time.sleep(0.2)
            os._exit(0)
        workers.append(pid)
    ends = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in workers]
    job.touched += [f"a worker ended with {end}" for end in ends if end]
