#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# old.sh DIRECTORY: the Python side under the oldest Python 3 that Debian still has, 3.9 (the syntax of 3.8 is looked at
# under any), and 2.7, which must run as ever. Both are fetched into DIRECTORY. Prints lines as run.py does.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
sh "$here/../fetch.sh" bullseye "$1" python3.9-minimal libpython3.9-minimal libpython3.9-stdlib python2.7-minimal \
	libpython2.7-minimal libpython2.7-stdlib libffi7 libssl1.1 libmpdec3
root=$(cd "$1/root" && pwd)
LD_LIBRARY_PATH=$(dirname "$(find "$root" -name 'libffi.so.7' | head -n 1)")
export LD_LIBRARY_PATH HEADROOM_OLD_PYTHONS="$root/usr/bin/python2.7" # which Startup asks for
# What needs numpy, or measures time, is left to this machine's own.
exec "$root/usr/bin/python3.9" "$here/run.py" test_hook.Startup test_hook.Processes test_hook.Cost.test_memory test_trim_gives \
	test_checkpoint
