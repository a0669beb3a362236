# SPDX-License-Identifier: LGPL-2.1-or-later
"""Grows in /dev/shm, in a file of its own, at --rate MB/s to --to MiB; when it has saved, it takes the file away."""

import os
import time

from kit import MIB, Job, arguments

options = arguments(to=0, rate=20.0, file="")
try:
    with Job(options) as job, open(options.file, "wb", buffering=0) as out:
        block = b"x" * MIB
        while job.bytes < options.to * MIB:
            out.write(block)
            job.bytes += MIB
            time.sleep(MIB / (options.rate * 1e6))
finally:
    os.unlink(options.file)
