#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# stress.sh STATE MIB: stress-ng's vm worker over MIB, each page written and checked; it can't save. --oomable: a
# worker that was killed is not started anew, which would hide it.
stress-ng --vm 1 --vm-bytes "$2M" --vm-keep --vm-ops 200 --vm-method write64 --oomable --temp-path /tmp --metrics-brief >"$1.log" 2>&1 &&
	! grep -qiE 'killed|out of memory|OOM' "$1.log" &&
	echo "{\"word\": \"finished\", \"why\": null, \"mib\": $2}" >"$1"
