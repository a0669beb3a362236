#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# check.sh [--only GLOB] [OPTIONS OF run.sh...]
#
# The virtual machine ring: installs the built tree into a payload, boots a guest with it and runs
# guest/scenarios there (those whose file name fits GLOB). Prints the guest's lines and closes with
# "vm: N passed, N failed, N skipped"; exits 1 if any failed or the guest never came to its end.
#
# For a guest of this machine's own suite the binaries built here are installed; for another suite the
# sources travel and are built in the guest.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
suite=bookworm only='*' options=(--timeout 7200)
while [ $# -gt 0 ]; do
	[ $# -ge 2 ] || { sed -n '4s/^# /usage: /p' "$0" >&2; exit 2; }
	case $1 in
	--only) only=$2 ;;
	--suite) suite=$2 ;&
	*) options+=("$1" "$2") ;;
	esac
	shift 2
done

"$here/deps.sh"
payload=$(mktemp -d)
trap 'rm -rf "$payload"' EXIT
cp -R "$here/guest/." "$payload"
printf '%s\n' "$only" >"$payload/only"
if [ ! -f "$top/Makefile" ]; then
	echo "vm: no Makefile: only what needs no headroom can run" >&2
elif [ "$suite" = "$(. /etc/os-release && echo "${VERSION_CODENAME:-}")" ]; then
	make -C "$top" install DESTDIR="$payload/root" prefix=/usr sysconfdir=/etc >&2
else
	mkdir "$payload/source"
	tar -C "$top" --exclude=./build --exclude=./.git -cf - . | tar -C "$payload/source" -xf -
fi

"$here/run.sh" "${options[@]}" -- "$payload" | tee "$payload/console" || true

count() { grep -c "^$1 - " "$payload/console" || true; }
passed=$(count ok) failed=$(count 'not ok') skipped=$(count skip)
if ! grep -qx 'vm: done' "$payload/console"; then
	echo 'not ok - guest: it never came to its end'
	failed=$((failed + 1))
fi
echo "vm: $passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
