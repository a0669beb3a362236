# SPDX-License-Identifier: LGPL-2.1-or-later
"""Writes --to MiB, more than its limit, through a shared mapping of --file on disk: pages that are dirty until the
kernel has written them, and then droppable: harmless."""

import mmap
import os

from kit import MIB, Job, arguments

options = arguments(to=0, file="")
with Job(options, peaceful=True) as job, open(options.file, "w+b") as file:
    file.truncate(options.to * MIB)
    data = mmap.mmap(file.fileno(), options.to * MIB)
    for at in range(0, len(data), mmap.PAGESIZE):
        data[at] = 1
        if at % (256 * mmap.PAGESIZE) == 0:
            job.tick()
    os.unlink(options.file)
