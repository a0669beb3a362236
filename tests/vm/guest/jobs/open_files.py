# SPDX-License-Identifier: LGPL-2.1-or-later
"""Keeps COUNT empty files open: their inodes are slab_reclaimable, which counts as cache, and can't be dropped.
usage: open_files.py FOLDER COUNT READY; ends when READY is gone."""

import os
import resource
import sys
import time

folder, count, ready = sys.argv[1], int(sys.argv[2]), sys.argv[3]
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
os.makedirs(folder)
kept = [os.open(f"{folder}/{number}", os.O_CREAT | os.O_RDONLY) for number in range(count)]
open(ready, "w", encoding="ascii").close()
while os.path.exists(ready):
    time.sleep(0.1)
