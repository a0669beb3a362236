#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# arena.sh [--rows GLOBS] [--contenders NAMES] [--bindings own,parent,host] [--swap MIBS] [--runs N] [--short]
#          [--here v1,tree|none] [--list]
#
# Every workload under every contender, in the virtual machine of tests/vm: one boot for each size of machine and
# swap setting (plan.py), in each of them all contenders, in the same order, from a clean state for each cell. Then
# Headroom's rows on this machine's own kernel, with cgroup v1 and as process trees (host.py). Prints the table, and leaves
# build/arena/results.jsonl (one object a cell) and build/arena/table.md. Exits 1 if Headroom lost what could be
# kept, or touched what fits.
#
# The default takes about an hour and a half under plain emulation; `--short` less than ten minutes;
# `--contender headroom --runs 20` proves 20 of 20.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
out=$top/build/arena
export VM_PACKAGES="arena:earlyoom systemd-oomd nohang stress-ng"

payload=$(mktemp -d)
chmod 755 "$payload" # the guest's users read it
trap 'rm -rf "$payload"' EXIT

plans=$payload/plans
mkdir "$plans"
python3 "$here/plan.py" "$plans" "$@" >"$plans/boots"
[[ " $* " != *" --list "* ]] || exit 0

"$here/../vm/deps.sh"
mkdir -p "$out"
rm -f "$out"/results.jsonl "$out"/table.md "$out"/lines
cp -R "$here/guest" "$payload/arena"
cp -R "$here/../vm/guest" "$payload/arena/vm"
mv "$payload/arena/vm/guest.py" "$payload/arena"
make -C "$top" install DESTDIR="$payload/arena/vm/root" prefix=/usr sysconfdir=/etc >&2

failed=0
while read -r number memory swap limit; do
	cp "$plans/boot-$number/plan.json" "$payload/arena/plan.json"
	echo "# boot $number: $memory MiB, swap $swap MiB"
	"$here/../vm/run.sh" --memory "$memory" --swap "$swap" --timeout "$limit" -- "$payload/arena" </dev/null |
		tee "$payload/console" | grep --line-buffered -v '^arena: {' || failed=1
	sed -n 's/^arena: {/{/p' "$payload/console" >>"$out/results.jsonl"
done <"$plans/boots"

python3 "$here/host.py" "$top/build" "$@" >>"$out/results.jsonl" || failed=1
echo
python3 "$here/report.py" "$out/results.jsonl" "$out/table.md" "$out/lines" || failed=1
exit $failed
