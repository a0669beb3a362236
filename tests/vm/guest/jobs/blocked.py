# SPDX-License-Identifier: LGPL-2.1-or-later
"""blocked.py FILE SCRIPT ARG...: becomes SCRIPT, with a second thread that writes FILE meanwhile.

On a frozen file system that thread waits in the kernel, uninterruptibly: it can't be frozen either.
"""

import sys
import threading

path = sys.argv[1]
sys.argv = sys.argv[2:]


def write():
    with open(path, "w") as out:
        out.write("x" * 65536)


threading.Thread(target=write).start()
with open(sys.argv[0]) as source:
    exec(compile(source.read(), sys.argv[0], "exec"), {"__name__": "__main__", "__file__": sys.argv[0]})
