#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# libsystemd254.sh DIRECTORY: prints the path of a libsystemd of 254 or later, whose sd_event knows memory pressure:
# this machine's own, else that of Debian's backports, fetched into DIRECTORY from this machine's own mirror, and
# used by nobody but who names it. Exit status: 0, or 1 with what failed.
set -eu
dir=$1
own=$(ldconfig -p 2>/dev/null | awk '$1 == "libsystemd.so.0" { print $NF; exit }')
if [ -n "$own" ] && grep -q sd_event_add_memory_pressure "$own"; then
	echo "$own"
	exit 0
fi
found=$(find "$dir" -name 'libsystemd.so.0' 2>/dev/null | head -n 1)
if [ -z "$found" ]; then
	suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
	mirror=$(apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' | awk -v suite="$suite" '$1 == suite { print $2; exit }')
	[ -n "$mirror" ] || { echo "apt knows no mirror of $suite" >&2; exit 1; }
	mkdir -p "$dir/lists" "$dir/cache/archives/partial"
	echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite-backports main" >"$dir/sources.list"
	apt() {
		apt-get -qq -o Dir::Etc::sourcelist="$dir/sources.list" -o Dir::Etc::sourceparts=- -o Dir::State::lists="$dir/lists" \
			-o Dir::Cache="$dir/cache" -o APT::Sandbox::User=root "$@" >&2
	}
	apt update
	(cd "$dir" && apt download libsystemd0 && dpkg-deb -x libsystemd0_*.deb "$dir/root")
	found=$(find "$dir/root" -name 'libsystemd.so.0' | head -n 1)
fi
[ -n "$found" ] || { echo "no libsystemd0 in it" >&2; exit 1; }
echo "$found"
