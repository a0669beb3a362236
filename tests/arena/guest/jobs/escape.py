# SPDX-License-Identifier: LGPL-2.1-or-later
"""Its work is done by a child that has escaped it: double fork, a session of its own, only a pipe left between them.
That one grows at --rate MB/s to --to MiB."""

import os
import sys
import time

from kit import MIB, Job, arguments

options = arguments(to=0, rate=20.0)
ends, told = os.pipe()
if os.fork():
    os.close(told)
    try:
        os.wait()
        os.read(ends, 1)  # its end, when the last who holds the other one is gone
    except KeyboardInterrupt:
        os.read(ends, 1)
    sys.exit(0)
os.setsid()
if os.fork():
    os._exit(0)
with Job(options) as job:
    while job.bytes < options.to * MIB:
        job.keep(MIB)
        time.sleep(MIB / (options.rate * 1e6))
