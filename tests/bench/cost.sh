#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# cost.sh BUILD_DIR [PART...]: what watching costs, in the virtual machine of tests/vm, one boot:
#   cost    memory, CPU time and system calls of Headroom, earlyoom, systemd-oomd and nohang on the same jobs
#           (guest/cost.py)
#   peace, brake, pace    those of bench.sh, there
# All of them without a name. Leaves BUILD_DIR/bench/cost.jsonl, cost.md, cost.svg (report.py), and what bench.sh
# says in the guest in BUILD_DIR/bench/results-vm.txt. HR_COST_JOBS="1 10 100" and
# HR_COST_LONGEST=40 make it shorter for a try.
set -euo pipefail

B=$(cd "${1:?BUILD_DIR}" && pwd)
shift
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
out=$B/bench
# The arena's image: it has the contenders.
export VM_PACKAGES="arena:earlyoom systemd-oomd nohang stress-ng"

[ $# != 0 ] || set -- cost peace brake pace
"$top/tests/vm/deps.sh"
payload=$(mktemp -d)
trap 'rm -rf "$payload"' EXIT
chmod 755 "$payload"
mkdir -p "$out" "$payload/build/tests/bench"
cp "$here"/guest/run "$here"/guest/cost.py "$here"/bench.sh "$top"/tests/vm/guest/guest.py "$payload"
echo "$@" >"$payload/parts"
echo "HR_BENCH_RUNS=${HR_BENCH_RUNS:-3} HR_BENCH_PAIRS=${HR_BENCH_PAIRS:-2} HR_BENCH_ROUNDS=${HR_BENCH_ROUNDS:-20}" >"$payload/environment"
${CC:-gcc} -static -O2 -Wall -Wextra -Werror -D_GNU_SOURCE -o "$payload/herd" "$here/guest/herd.c"
cp "$B/headroomd" "$B/headroom" "$payload/build"
find "$B/tests/bench" -maxdepth 1 -type f -perm /100 -exec cp {} "$payload/build/tests/bench" \;
counts=${HR_COST_JOBS:-1 10 100 1000}
cat >"$payload/plan.json" <<JSON
{"counts": [${counts// /, }], "window": 5, "rest_window": 40, "settle": 4, "falling": [20, 60], "calm": 300, "longest": ${HR_COST_LONGEST:-600},
 "limit_bytes": $((64 << 20))}
JSON
make -C "$top" B="$B" install DESTDIR="$payload/root" prefix=/usr sysconfdir=/etc >&2

status=0
# A thousand jobs under load fill 1.4 GiB: in less than 3 GiB the host's own shortage would be what Headroom works at.
"$top/tests/vm/run.sh" --memory 4096 --timeout 3600 -- "$payload" </dev/null | tee "$payload/console" |
	grep --line-buffered -v '^cost: {' >&2 || status=1
grep -qx 'bench: done' "$payload/console" || status=1
if grep -q '^cost: {' "$payload/console"; then
	sed -n 's/^cost: {/{/p' "$payload/console" >"$out/cost.jsonl"
	python3 "$here/report.py" "$out/cost.jsonl" "$out/cost.md" "$out/cost.svg"
fi
sed -n '/^headroomd .*, Linux/,/^#\|^bench: done/p' "$payload/console" | grep -E '\|' >"$out/results-vm.txt" || true
exit $status
