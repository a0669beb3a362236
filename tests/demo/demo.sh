#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# A private daemon and a real job: warned, checkpointed, held, given more room, finished; then the same analysis one
# file at a time inside the small limit, and one that lives by giving back its garbage. Needs no root, no systemd and no bus; leaves nothing behind.
set -eu
B=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
D=$(mktemp -d)
daemon='' run=''
PATH=$B:$PATH
export PATH HEADROOM_SOCKET="$D/bus"

cleanup() {
	trap - EXIT INT TERM
	[ -z "$run" ] || kill "$run" 2>/dev/null || true
	[ -z "$daemon" ] || kill "$daemon" 2>/dev/null || true
	wait 2>/dev/null || true
	rm -rf "$D"
}
trap cleanup EXIT
trap 'cleanup; exit 130' INT TERM

bold='' dim='' plain=''
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
	bold=$(printf '\033[1m') dim=$(printf '\033[2m') plain=$(printf '\033[0m')
fi
say() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
shown() { printf '%s$ %s%s\n' "$dim" "$*" "$plain"; "$@"; }
fail() {
	printf '\ndemo: %s\n' "$*" >&2
	sed 's/^/  headroomd: /' "$D/log" >&2
	exit 1
}
# wait_for SECONDS WHAT COMMAND...
wait_for() {
	seconds=$1 what=$2
	shift 2
	tries=$((seconds * 10))
	until "$@"; do
		tries=$((tries - 1))
		[ $tries -gt 0 ] || fail "$what did not happen within $seconds s"
		sleep 0.1
	done
}
stage_is() { headroom status "$1" --json 2>/dev/null | grep -q "\"stage\": \"$2\""; }

proven() { headroom events | grep -q 'analysis.*checkpoint *proven'; }

user=
[ "$(id -u)" = 0 ] || user=--user
say "1. Data: 24 files of 8 MiB, and a private headroomd."
python3 -c '
import array, sys
for i in range(24):
    with open(f"{sys.argv[1]}/{i:02}.bin", "wb") as f:
        array.array("d", [i + k / 1024 for k in range(1024)] * 1024).tofile(f)' "$(mkdir "$D/data" && echo "$D/data")"
cat >"$D/headroom.conf" <<CONF
[policy demo]
checkpoint_method = signal:USR1
checkpoint_file = $D/result.json.checkpoint
notice_time = 5s
CONF
headroomd $user --socket "$D/bus" --config "$D/headroom.conf" >"$D/log" 2>&1 &
daemon=$!
wait_for 10 "the start of headroomd" test -S "$D/bus"

say "2. An analysis that keeps every file in a list, with room for 128 MiB. It needs about 200."
printf '%s$ headroom run --name analysis --limit 128M --policy demo -- python3 analyse.py all data result.json%s\n' "$dim" "$plain"
headroom run --name analysis --limit 128M --policy demo -- python3 "$here/analyse.py" all "$D/data" "$D/result.json" &
run=$!
wait_for 30 "the hold" stage_is analysis hold
wait_for 10 "the proof of the checkpoint" proven
shown headroom status

say "3. Held just before its limit, not killed. Its checkpoint is safe:"
wait_for 5 "the checkpoint" test -s "$D/result.json.checkpoint"
shown head -c 100 "$D/result.json.checkpoint"
printf ' ...\n'

say "4. It gets more room, goes on where it was, and finishes."
shown headroom resume analysis --limit 320M
wait "$run" || fail "the analysis ended with status $?"
run=
[ -s "$D/result.json" ] || fail "there is no result"

say "5. The same analysis, one file at a time: it stays inside the small limit."
shown headroom run --name careful --limit 128M --policy demo -- python3 "$here/analyse.py" each "$D/data" "$D/careful.json"
cmp "$D/result.json" "$D/careful.json" || fail "the two results differ"
headroom events | grep -q 'careful.*hold' && fail "the careful analysis was held"

say "6. A third way: each file in an object that refers to itself, 200 MiB of garbage that Python has not collected yet.
   The script knows nothing of Headroom. Asked in time, its Python gives the garbage back, and it finishes."
shown headroom run --name garbage --limit 96M -- python3 "$here/analyse.py" cycles "$D/data" "$D/garbage.json"
cmp "$D/result.json" "$D/garbage.json" || fail "the two results differ"
headroom events | grep -q 'garbage.*trim *done' || fail "it gave nothing back"
headroom events | grep -q 'garbage.*freeze' && fail "it was held"

say "What happened, as headroomd tells it:"
shown headroom events

say "Type next:"
cat <<TEXT
  make check                            run the tests
  man -l man/headroom.1                 everything that it can do
  sudo make install prefix=/usr         keep it, and then:
  sudo systemctl daemon-reload && sudo systemctl enable --now headroomd
  headroom run --limit 8G -- python3 yours.py
TEXT
