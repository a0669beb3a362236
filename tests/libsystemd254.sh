#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# libsystemd254.sh DIRECTORY: prints the path of a libsystemd of 254 or later, whose sd_event knows memory pressure:
# this machine's own, else that of its suite's backports, below DIRECTORY. Exit status: 0, or 1 with what failed.
set -eu
own=$(ldconfig -p 2>/dev/null | awk '$1 == "libsystemd.so.0" { print $NF; exit }')
if [ -n "$own" ] && grep -q sd_event_add_memory_pressure "$own"; then
	echo "$own"
	exit 0
fi
sh "$(dirname "$0")/fetch.sh" "$(. /etc/os-release && echo "$VERSION_CODENAME")-backports" "$1" libsystemd0
find "$1/root" -name 'libsystemd.so.0' | grep .
