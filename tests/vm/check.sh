#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# check.sh [--only GLOB] [OPTIONS OF run.sh...]
#
# The virtual machine ring: installs the built tree into a payload, boots a guest with it and runs
# guest/scenarios there (those whose file name fits GLOB). Prints the guest's lines and closes with
# "vm: N passed, N failed, N skipped"; exits 1 if any failed or the guest never came to its end. The result
# lines alone are left in build/vm-results.
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

# shellcheck disable=SC2254 # a pattern, on purpose
fitting=$(for file in "$here"/guest/scenarios/*.sh; do case $(basename "$file" .sh) in $only) echo "$file" ;; esac; done)
[ -n "$fitting" ] || { echo "vm: no scenario fits $only" >&2; exit 2; }

"$here/deps.sh"
payload=$(mktemp -d)
chmod 755 "$payload" # the guest's users read it
trap 'rm -rf "$payload"' EXIT
cp -R "$here/guest/." "$payload"
printf '%s\n' "$only" >"$payload/only"
printf '%s\n' "${CRIU_RUNS:-1}" >"$payload/criu-runs" # 45-criu: how often each kind of job is saved and restored
printf '%s\n' "${GROWING_RUNS:-4}" >"$payload/growing-runs" # 20-growing-job: how often at each pace
printf '%s\n' "${CRASHES:-100}" >"$payload/crashes" # 72-crashes
cp "$top/tests/daemon/workload.py" "$payload/jobs"
if [ ! -f "$top/Makefile" ]; then
	echo "vm: no Makefile: only what needs no headroom can run" >&2
elif [ "$suite" = "$(. /etc/os-release && echo "${VERSION_CODENAME:-}")" ]; then
	make -C "$top" install DESTDIR="$payload/root" prefix=/usr sysconfdir=/etc >&2
else
	mkdir "$payload/source"
	tar -C "$top" --exclude=./build --exclude=./.git -cf - . | tar -C "$payload/source" -xf -
fi

"$here/run.sh" "${options[@]}" -- "$payload" | tee "$payload/console" || true

grep -qx 'vm: done' "$payload/console" ||
	echo 'not ok - guest: never came to its end' | tee -a "$payload/console"
results=$top/build/vm-results
grep -E '^(ok|not ok|skip) - ' "$payload/console" >"$results" || true
count() { grep -c "^$1 - " "$results" || true; }
echo "vm: $(count ok) passed, $(count 'not ok') failed, $(count skip) skipped"
[ "$(count 'not ok')" = 0 ]
