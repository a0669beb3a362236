# SPDX-License-Identifier: LGPL-2.1-or-later
"""An analysis that keeps all that it makes: --rate MB/s (0: full speed) to --to MiB. It begins when --go is there.
--stubborn: it ignores every signal that can be ignored."""

import os
import signal
import time

from kit import MIB, Job, arguments

options = arguments(rate=0.0, to=0, step=1024, go="", stubborn=False)
while options.go and not os.path.exists(options.go):
    time.sleep(0.1)
with Job(options) as job:
    if options.stubborn:
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}:
            try:
                signal.signal(number, signal.SIG_IGN)
            except (OSError, ValueError):
                pass
    step = options.step << 10
    pause = step / (options.rate * 1e6) if options.rate else 0
    due = time.monotonic()
    while job.bytes < options.to * MIB:
        job.keep(step)
        due = max(due + pause, time.monotonic() - 1)  # after a long hold: no rush to catch up
        time.sleep(max(0, due - time.monotonic()))
