# SPDX-License-Identifier: LGPL-2.1-or-later
"""on_cue.py CUE SCRIPT ARG...: writes CUE.ready, waits for the file CUE, then becomes SCRIPT.

Script and numpy are in memory by then: nothing has to come from a disk that is full or stalls.
"""

import os
import sys
import time

import numpy  # noqa: F401  for the script

cue = sys.argv[1]
sys.argv = sys.argv[2:]
with open(sys.argv[0]) as source:
    code = compile(source.read(), sys.argv[0], "exec")

open(cue + ".ready", "w").close()
while not os.path.exists(cue):
    time.sleep(0.02)
exec(code, {"__name__": "__main__", "__file__": sys.argv[0]})
