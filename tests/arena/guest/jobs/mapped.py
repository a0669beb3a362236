# SPDX-License-Identifier: LGPL-2.1-or-later
"""Maps --file, larger than its limit, and reads every page of it --rounds times: harmless."""

import mmap

from kit import Job, arguments

options = arguments(file="", rounds=2)
with Job(options, peaceful=True) as job, open(options.file, "rb") as file:
    data = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    for _ in range(options.rounds):
        for at in range(0, len(data), mmap.PAGESIZE):
            data[at]
            if at % (256 * mmap.PAGESIZE) == 0:
                job.tick()
