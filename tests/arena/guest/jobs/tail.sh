#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# tail.sh STATE MIB: tail(1) on a line without an end, of MIB: it must keep all of it, and can't save. It has
# finished if it gives back the whole line.
bytes=$(head -c "$2M" /dev/zero | tr '\0' x | tail -n 1 | wc -c)
[ "$bytes" = $(($2 << 20)) ] && echo "{\"word\": \"finished\", \"why\": null, \"mib\": $2}" >"$1"
