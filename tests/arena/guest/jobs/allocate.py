# SPDX-License-Identifier: LGPL-2.1-or-later
"""One allocation of --to MiB, every page of it touched, within one call of C."""

from kit import MIB, Job, arguments

options = arguments(to=0)
with Job(options) as job:
    job.keep(options.to * MIB)
