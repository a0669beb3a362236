#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Figures, measured on this machine: bench.sh BUILD_DIR [idle] [sample] [jobs] [brake] [peace] [pace] [record] [cost]
# (all of them without a name). cost is not of this machine: it compares with others' watchdogs in a virtual one (cost.sh).
#
# Prints a table: figure | measured | goal | how to measure it alone; the same stands in BUILD_DIR/bench/results.txt.
# Sizes and counts hold anywhere; what is timed is a ratio of two things timed side by side, or CPU time as a share of
# a core. Nothing is asserted. What this machine can't do is left out with its reason. A private daemon does the work;
# it, the jobs and their cgroups are gone at the end, also after ctrl-C.
# HR_BENCH_JOBS (1000), HR_BENCH_REST (45 s until all are at rest), HR_BENCH_RUNS (5, of brake and pace) and HR_BENCH_PAIRS
# (4, of peace), of HR_BENCH_ROUNDS (40) each, and HR_BENCH_RECORDS (1000000 ended jobs) make it shorter for a try.
# shellcheck disable=SC2010,SC2017,SC2046,SC2086,SC3045 # lists of words are split on purpose; dash has ulimit -n and -H
set -u
B=$(cd "${1:?BUILD_DIR}" && pwd) || exit 1
shift
parts=${*:-idle sample jobs brake peace pace record cost}
jobs=${HR_BENCH_JOBS:-1000} rest=${HR_BENCH_REST:-45} runs=${HR_BENCH_RUNS:-5} pairs=${HR_BENCH_PAIRS:-4}
python=/usr/bin/python3
D=$(mktemp -d) || exit 1
rows=$D/rows
daemon='' groups=''
PATH=$B:$PATH
export PATH HEADROOM_SOCKET="$D/run/bus" LC_ALL=C.UTF-8
unset NOTIFY_SOCKET

# ---- cleaning up ----

members() { # every process in our cgroups
	[ -z "$groups" ] || find $groups -name cgroup.procs -exec cat {} + 2>/dev/null | sort -u
}
leaders() {
	headroom status --json 2>/dev/null | sed -n 's/.*"leader_pid": \([1-9][0-9]*\).*/\1/p'
}
end_jobs() {
	# One after the other: the helper has a bounded number of children, which remove the groups.
	list=$(leaders)
	[ -z "$list" ] || kill -KILL $list 2>/dev/null
	list=$(members)
	[ -z "$list" ] || kill -KILL $list 2>/dev/null
	wait_for 20 no_jobs
}
no_jobs() { [ -z "$(leaders)" ]; }
stop_daemon() {
	[ -n "$daemon" ] || return 0
	end_jobs
	kill "$daemon" 2>/dev/null
	wait "$daemon" 2>/dev/null
	daemon=''
}
cleanup() {
	trap - EXIT
	trap '' INT TERM HUP
	stop_daemon
	for group in $groups; do
		find "$group" -depth -type d -exec rmdir {} + 2>/dev/null
	done
	rm -rf "$D"
}
trap cleanup EXIT
trap 'cleanup; exit 130' INT TERM HUP

# ---- telling ----

say() { printf 'bench: %s\n' "$*" >&2; }
row() { printf '%s|%s|%s|%s\n' "$@" >>"$rows"; } # FIGURE MEASURED GOAL HOW
left_out() { row "$1" "left out: $2" '' ''; }

# wait_for SECONDS COMMAND...
wait_for() {
	tries=$(($1 * 10))
	shift
	until "$@"; do
		tries=$((tries - 1))
		[ "$tries" -gt 0 ] || return 1
		sleep 0.1
	done
}

# ---- the machine ----

memory='' unified='' version=0
while read -r _ path kind options _; do
	case $kind in
	cgroup2)
		unified=$path
		case " $(cat "$path/cgroup.controllers") " in *' memory '*) memory=$path version=2 ;; esac
		;;
	cgroup) case ,$options, in *,memory,*) memory=$path version=1 ;; esac ;;
	esac
done </proc/mounts
usage_file=memory.current
[ "$version" = 2 ] || usage_file=memory.usage_in_bytes

# Where no systemd makes scopes the jobs go below our own group; one for the bench, so that nothing is left behind.
make_groups() {
	[ "$version" != 0 ] && [ ! -d /run/systemd/system ] || return 0
	leaf=headroom-bench-$$
	own=$(sed -n "$([ "$version" = 1 ] && echo 's/^[0-9]*:\([^:]*,\)*memory\(,[^:]*\)*://p' || echo 's/^0:://p')" /proc/self/cgroup)
	mkdir "$memory${own%/}/$leaf" 2>/dev/null || return 0
	groups=$memory${own%/}/$leaf
	[ "$version" = 1 ] && [ -n "$unified" ] || return 0
	own=$(sed -n 's/^0:://p' /proc/self/cgroup)
	mkdir "$unified${own%/}/$leaf" 2>/dev/null && groups="$groups $unified${own%/}/$leaf"
}

start_daemon() {
	mkdir -p "$D/run"
	printf '%s\n' "$@" >"$D/headroom.conf"
	user=
	[ "$(id -u)" = 0 ] || user=--user
	headroomd $user --socket "$D/run/bus" --config "$D/headroom.conf" >"$D/log" 2>&1 </dev/null &
	daemon=$!
	if ! wait_for 10 test -S "$D/run/bus"; then
		say "headroomd did not start"
		cat "$D/log" >&2
		exit 1
	fi
	helper=$(cat "/proc/$daemon/task/$daemon/children")
	helper=${helper%% *}
}
run_job() { # OPTIONS... -- COMMAND...: a detached job in our groups
	(
		for group in $groups; do echo 0 >"$group/cgroup.procs" || exit 1; done
		cd "$D" && exec headroom run --detach "$@" </dev/null >>"$D/ids" 2>>"$D/errors"
	)
}
start_sleepers() { # FIRST LAST
	(
		for group in $groups; do echo 0 >"$group/cgroup.procs" || exit 1; done
		cd "$D" || exit 1
		i=$1
		while [ "$i" -le "$2" ]; do
			headroom run --detach --limit 64M --name "n$i" -- sleep 1800 </dev/null >>"$D/ids" 2>>"$D/errors" || exit 1
			i=$((i + 1))
		done
	)
}

memory_of() { awk -v key="$2:" '$1 == key { print $2 }' "/proc/$1/status"; } # PID KEY, in KiB
mib() { awk -v kib="$1" 'BEGIN { printf "%.2f MiB", kib / 1024 }'; }
field() { headroom status "$1" --json | $python -c 'import json, sys; print(json.load(sys.stdin)[0][sys.argv[1]])' "$2"; } # JOB KEY
wakeups() { cat /proc/"$daemon"/task/*/status | awk '/^voluntary_ctxt_switches/ { n += $2 } END { print n }'; }
cpu_nsec() { cat /proc/"$daemon"/task/*/schedstat | awk '{ n += $1 } END { printf "%.0f\n", n }'; }
eventfds() { ls -l "/proc/$daemon/fd" | grep -c 'eventfd'; }
control_of() { # JOB: the directory of its cgroup that freezes and tells its end, or nothing
	control=$(sed -n 's/^0:://p' "/proc/$(field "$1" leader_pid)/cgroup")
	[ -n "$control" ] && [ -w "$unified$control/cgroup.freeze" ] && echo "$control"
}
calls() { # the calls of a strace -c table on stdin, by name, "pread64 1218, epoll_wait 19"
	awk '$NF ~ /^[a-z_0-9]+$/ && $4 ~ /^[0-9]+$/ && $NF != "total" { print $4, $NF }' | sort -rn |
		awk '{ printf "%s%s %d", n++ ? ", " : "", $2, $1 }'
}

# ---- the figures ----

idle() {
	say "without jobs: 20 s to settle, then 30 s"
	start_daemon ''
	sleep 20
	row "headroomd without jobs, VmRSS" "$(mib "$(memory_of "$daemon" VmRSS)")" "6 MiB" "grep VmRSS /proc/PID/status"
	row "  of it anonymous" "$(mib "$(memory_of "$daemon" RssAnon)")" "1.5 MiB" "grep RssAnon /proc/PID/status"
	row "its helper, VmRSS" "$(mib "$(memory_of "$helper" VmRSS)")" "" "grep VmRSS /proc/HELPER/status"
	row "  of it anonymous" "$(mib "$(memory_of "$helper" RssAnon)")" "" ""
	before=$(wakeups)
	sleep 30
	row "wake-ups without jobs, all threads" "$(($(wakeups) - before)) in 30 s" "3 in 30 s" \
		"voluntary_ctxt_switches in /proc/PID/task/*/status, twice"
	stop_daemon
}

sample() {
	say "one look at one job"
	start_daemon ''
	what="one look at a job, against a bare pread"
	if ! run_job --limit 64M --name sampled -- sleep 1800 || [ "$(field sampled kind)" = process ]; then
		left_out "$what" "no cgroup for a job here: $(tail -n 1 "$D/errors")"
	else
		group=$(field sampled cgroup) control=$(control_of sampled)
		if result=$(sample_program "$group" "$control" 2>&1); then
			set -- $result
			row "$what" "$1 times ($2 ns, $3 ns)" "1.5 times" "tests/bench/sample GROUP CONTROL"
		else
			left_out "$what" "$result"
		fi
		if command -v strace >/dev/null; then
			for n in 0 1000; do
				strace -c -o "$D/strace$n" "$B/tests/bench/sample" "$group" "$control" $n
			done
			row "  its system calls" "$(awk '$NF != "total" && $4 ~ /^[0-9]+$/ { n[$NF] += FILENAME ~ /1000$/ ? $4 : -$4 }
				END { for (name in n) if (n[name]) printf "%s %.2f ", name, n[name] / 1000 }' "$D/strace0" "$D/strace1000")" \
				"pread64 1" "strace -c tests/bench/sample GROUP CONTROL 1000"
		else
			left_out "  its system calls" "no strace"
		fi
	fi
	stop_daemon
}
sample_program() { "$B/tests/bench/sample" "$@"; }

jobs() {
	what="$jobs jobs at rest"
	ulimit -n 65536 2>/dev/null || ulimit -n "$(ulimit -Hn)"
	if [ "$(ulimit -n)" -lt $((jobs * 8 + 100)) ]; then
		left_out "$what" "only $(ulimit -n) descriptors are allowed"
		return
	fi
	# Few events are kept, so that what is bounded is full long before the jobs are counted.
	start_daemon '[daemon]' 'events_kept = 16'
	without=$(eventfds)
	first=$((jobs * 3 / 10))
	say "$jobs jobs are started"
	if ! start_sleepers 1 1 || [ "$(field n1 kind)" = process ]; then
		left_out "$what" "no cgroup for a job here: $(tail -n 1 "$D/errors")"
		stop_daemon
		return
	fi
	start_sleepers 2 "$first"
	before=$(memory_of "$daemon" VmRSS)
	start_sleepers $((first + 1)) "$jobs" || say "not all were started: $(tail -n 1 "$D/errors")"
	after=$(memory_of "$daemon" VmRSS)
	row "memory for each further job, VmRSS" \
		"$(awk -v kib=$((after - before)) -v n=$((jobs - first)) 'BEGIN { printf "%.2f KiB", kib / n }')" "4 KiB" \
		"VmRSS after $first and after $jobs jobs"
	row "  headroomd with $jobs jobs, VmRSS" "$(mib "$after")" "" ""
	status_of_all

	say "$rest s until all are at rest, then 30 s and 10 s more"
	sleep "$rest"
	if [ "$version" = 1 ]; then
		armed=$(($(eventfds) - without))
	else
		armed=$(headroom status --json | sed -n 's|.*"cgroup": "\([^"]*\)".*|'"$memory"'\1/memory.high|p' | xargs cat | grep -vc max)
	fi
	row "  tripwires armed" "$armed" "$jobs" "$([ "$version" = 1 ] && echo 'the eventfds in ls -l /proc/PID/fd' || echo "memory.high of each group")"
	start=$(cpu_nsec) woken=$(wakeups)
	sleep 30
	row "CPU time with $jobs jobs at rest" \
		"$(awk -v nsec="$(($(cpu_nsec) - start))" 'BEGIN { printf "%.2f %% of a core", nsec / 30e7 }')" "0.5 %" \
		"/proc/PID/task/*/schedstat, twice"
	row "  wake-ups, all threads" "$(($(wakeups) - woken)) in 30 s" "" ""
	if command -v strace >/dev/null; then
		timeout 10 strace -c -f -o "$D/strace" -p "$daemon" 2>/dev/null
		row "  system calls" "$(calls <"$D/strace") in 10 s" "" "timeout 10 strace -c -f -p PID"
	else
		left_out "  system calls" "no strace"
	fi
	say "the jobs are ended"
	stop_daemon
}

status_of_all() {
	for how in '' --json; do
		row "headroom status${how:+ }$how with $jobs jobs" "$($python - $how <<'PYTHON'
import statistics, subprocess, sys, time
def run():
    start = time.monotonic()
    subprocess.run(["headroom", "status", *sys.argv[1:]], stdout=subprocess.DEVNULL, check=True)
    return time.monotonic() - start
print(f"{1000 * statistics.median(run() for _ in range(20)):.0f} ms")
PYTHON
		)" "50 ms" "time headroom status${how:+ }$how; the median of 20"
		if command -v valgrind >/dev/null; then
			row "  instructions of the client" \
				"$(valgrind --tool=callgrind --callgrind-out-file=/dev/null headroom status $how 2>&1 >/dev/null |
					awk '/Collected/ { printf "%.1f million", $NF / 1e6 }')" "" "valgrind --tool=callgrind headroom status${how:+ }$how"
		else
			left_out "  instructions of the client" "no valgrind"
		fi
	done
}

fill='import os, sys, time
while not os.path.exists(sys.argv[1]):
    time.sleep(0.01)
x = b"x" * (int(sys.argv[2]) << 20)
time.sleep(60)'
limit='' # MiB, of a job that outgrows it, or does not

# For a machine with less than 3 GiB left, a smaller one.
choose_limit() {
	available=$(($(awk '/MemAvailable/ { print $2 }' /proc/meminfo) >> 10))
	limit=1024
	[ "$available" -ge 3072 ] || limit=$((available / 4))
	level=$((limit * 1048576 / 100 * 97)) # the hold of policy default
	[ "$available" -ge 1024 ]
}

# NAME POLICY: fills a job at full speed; prints by how many MiB it was past the level once it was frozen, or "lost".
past_level() {
	rm -f "$D/go"
	run_job --limit "${limit}M" --policy "$2" --name "$1" -- $python -c "$fill" "$D/go" $((limit * 117 / 100)) || return 1
	control=$(control_of "$1") group=$(field "$1" cgroup)
	[ -n "$control" ] || return 1
	sleep 2 # it is at rest
	if [ "$2" = observe ]; then
		timeout 60 "$B/tests/bench/brake" "$memory$group/$usage_file" "$unified$control" "$level" >"$D/used" 2>/dev/null &
		looping=$!
		sleep 0.2
		: >"$D/go"
		wait "$looping"
		cat "$D/used" >>"$D/loops"
	else
		: >"$D/go"
		wait_for 60 stopped_or_gone "$unified$control"
		used_of "$memory$group" >"$D/used" 2>/dev/null
		wait_for 5 frozen_took "$1" >>"$D/frozen"
	fi
	sleep 0.5 # one that met its limit is ended by now
	if is_frozen "$unified$control"; then
		awk -v level="$level" '{ printf "%.1f\n", ($1 - level) / 1048576 }' "$D/used"
		# The loop's freeze is not the daemon's to undo. SIGKILL ends a frozen job of the unified hierarchy.
		kill -KILL $(cat "$unified$control/cgroup.procs")
	else
		echo lost
	fi
}
# GROUP: the bytes that it uses, by its files, as the daemon counts them: the loop's level has cache in it, ours has not.
used_of() {
	awk -v v1="$([ "$usage_file" = memory.current ] || echo 1)" 'FILENAME ~ /memory.stat$/ {
			name = $1
			if (v1 ? name ~ /^total_(in)?active_file$/ : name ~ /^((in)?active_file|slab_reclaimable)$/) used -= $2
			next
		}
		FILENAME ~ /kmem/ { used -= $1; next }
		{ used += $1 }
		END { printf "%.0f\n", used }' "$1/$usage_file" "$1/memory.stat" $(ls "$1"/memory.kmem.usage_in_bytes 2>/dev/null)
}
# JOB: the microseconds from the look that decided it until it stood still
frozen_took() {
	headroom events "$1" --json | $python -c 'import json, sys
took = [e["took_microseconds"] for e in json.load(sys.stdin) if e["action"] == "frozen"]
print(took[-1]) if took else sys.exit(1)'
}
is_frozen() { grep -q 'frozen 1' "$1/cgroup.events" 2>/dev/null; }
stopped_or_gone() { ! grep -q 'populated 1' "$1/cgroup.events" 2>/dev/null || is_frozen "$1"; }
middle() { # FILE [COLUMN]: the median of the numbers
	grep -v lost "$1" | awk -v column="${2:-1}" '{ print $column }' | sort -n |
		awk '{ value[NR] = $1 } END { if (NR) print value[int((NR + 1) / 2)] }'
}
verdict() { # FILE: lines of past_level
	awk -v lost="$(grep -c lost "$1")" -v runs="$runs" -v room=$((limit * 3 / 100)) -v middle="$(middle "$1")" \
		'BEGIN { if (middle != "") printf "%s MiB of %d, ", middle, room; printf "%d of %d kept", runs - lost, runs }'
}

brake() {
	what="past the hold level when frozen, at full speed"
	if ! choose_limit; then
		left_out "$what" "needs 1 GiB of memory"
		return
	fi
	say "a job at full speed is braked, $runs times by headroomd and $runs times by a bare loop"
	start_daemon ''
	: >"$D/ours" && : >"$D/bare" && : >"$D/loops" && : >"$D/frozen"
	for i in $(seq "$runs"); do
		if ! past_level "o$i" default >>"$D/ours" || ! past_level "b$i" observe >>"$D/bare"; then
			left_out "$what" "no cgroup that can be frozen here: $(tail -n 1 "$D/errors")"
			stop_daemon
			return
		fi
	done
	row "$what" "$(verdict "$D/ours")" "1 % of the limit" "the median; limit $limit MiB, hold at 97 %"
	row "  a loop without a pause" "$(verdict "$D/bare")" "" "tests/bench/brake USAGE_FILE CONTROL_DIRECTORY LEVEL_BYTES"
	row "  from wake-up to frozen, against the loop's" "$(awk -v ours="$(middle "$D/frozen")" -v nsec="$(middle "$D/loops" 2)" \
		'BEGIN { if (ours == "" || nsec == "") print "not to be told"
			else printf "%.2f times (%.1f ms, %.1f ms)", ours * 1000 / nsec, ours / 1e3, nsec / 1e6 }')" "3 times" \
		"headroom events JOB --json: took_microseconds; the loop from the read that saw the level"
	# Both by the same ruler: how far the job came, at the pace that the loop saw.
	row "  from the level to frozen, against the loop's" "$(awk -v ours="$(middle "$D/ours")" -v bare="$(middle "$D/bare")" \
		-v nsec="$(middle "$D/loops" 2)" -v pace="$(middle "$D/loops" 3)" 'BEGIN {
			if (ours == "" || bare == "" || pace <= 0) { print "not to be told"; exit }
			if (bare > 0 && ours > 0) printf "%.2f times ", ours / bare
			printf "(%.1f ms, %.1f ms; the loop from its own wake-up %.1f ms) at %.0f MiB/s", ours * 1048576e3 / pace,
				bare * 1048576e3 / pace, nsec / 1e6, pace / 1048576 }')" "3 times" "the overshoot, divided by the pace"
	stop_daemon
}

# KIND BYTES ROUNDS: two workers, each with a limit, the second in a cgroup made in the same way, which nobody watches any
# longer; they work by turns. Their times are appended to $D/KIND.watched and $D/KIND.bare.
turns=0
work() {
	turns=$((turns + 1))
	rm -f "$D/go" "$D/took0" "$D/took1"
	truncate -s 0 "$D/turn"
	truncate -s 4 "$D/turn"
	for me in 0 1; do
		run_job --limit "${limit}M" --name "w$turns.$me" -- \
			"$B/tests/bench/worker" "$1" "$2" "$3" "$D/go" "$D/took$me" "$D/data$me" "$D/turn" $me || return 1
	done
	bare=$((turns % 2)) # who begins changes
	headroom detach "w$turns.$bare" >/dev/null || return 1
	sleep 2 # they have filled, the tripwire is set
	: >"$D/go"
	wait_for 180 test -s "$D/took0" || return 1
	wait_for 180 test -s "$D/took1" || return 1
	# The first rounds, in which caches fill, are left out.
	tail -n +4 "$D/took$bare" >>"$D/$1.bare"
	tail -n +4 "$D/took$((1 - bare))" >>"$D/$1.watched"
}
slower() { # KIND COLUMN: how much slower the watched ones were than the bare ones beside them
	$python - "$D/$1.watched" "$D/$1.bare" "$2" <<'PYTHON'
import statistics, sys
watched, bare = ([float(line.split()[int(sys.argv[3])]) for line in open(name)] for name in sys.argv[1:3])
more = sorted(100 * (a / b - 1) for a, b in zip(watched, bare))
n = len(more)
# The interval that holds the true median in at least 95 of 100 cases, by counting signs alone.
from math import comb
out, tail = 0, 0.0
while out < n // 2 and tail + comb(n, out) / 2**n <= 0.025:
    tail += comb(n, out) / 2**n
    out += 1
low, high = more[max(out - 1, 0)], more[n - 1 - max(out - 1, 0)]
print(f"{statistics.median(more):+.2f} % ({low:+.1f} to {high:+.1f}), {statistics.median(bare) / 1e6:.0f} ms")
PYTHON
}

peace() {
	choose_limit
	limit=$((limit / 2))
	start_daemon ''
	for kind in room cache; do
		what="a job that stays below 70 %, slower by"
		goal="1 %" bytes=$((limit * 1048576 / 100 * 62)) rounds=${HR_BENCH_ROUNDS:-40}
		[ $kind = room ] || what="a job on file cache up to its limit, slower by"
		[ $kind = room ] || goal="3 %" bytes=$((limit * 1048576 / 100 * 93))
		say "$kind: $pairs pairs of jobs, watched and not, $rounds rounds by turns"
		for i in $(seq "$pairs"); do
			if ! work $kind $bytes "$rounds"; then
				left_out "$what" "it did not come to its end: $(tail -n 1 "$D/errors")"
				break
			fi
		done
		[ -s "$D/$kind.watched" ] || continue
		row "$what" "$(slower $kind 0)" "$goal" \
			"the median of $(wc -l <"$D/$kind.bare") pairs of rounds, and between what it lies, 95 %; worker $kind, limit $limit MiB"
		row "  without its waits for a processor" "$(slower $kind 1)" "" "so told, since others may run here as well"
		row "  its own CPU time" "$(slower $kind 2)" "" ""
	done
	stop_daemon
}

all_cpu_nsec() { cat /proc/"$daemon"/task/*/schedstat /proc/"$helper"/task/*/schedstat | awk '{ n += $1 } END { printf "%.0f\n", n }'; }

# What the daemon and its helper use while one job fills memory at full speed, to 68 % of its limit, and up to the freeze.
pace() {
	choose_limit
	[ "$available" -lt 12288 ] || limit=4096
	say "CPU time of the daemon while one job fills memory at full speed, $runs times"
	start_daemon ''
	: >"$D/pace"
	for i in $(seq "$runs"); do
		rm -f "$D/go" "$D/took"
		run_job --limit "${limit}M" --name "f$i" -- "$B/tests/bench/worker" fill $((limit * 1048576 / 100 * 68)) 1 "$D/go" "$D/took" || break
		sleep 3
		start=$(all_cpu_nsec)
		: >"$D/go"
		wait_for 120 test -s "$D/took" || break
		echo "$(($(all_cpu_nsec) - start)) $(cat "$D/took")" >>"$D/pace"
		sleep 1.5
	done
	row "CPU of headroomd, one job growing at full speed" "$(awk -v limit="$limit" '{ printf "%.2f %.2f\n", 100 * $1 / $2, $2 / 1e9 }' "$D/pace" |
		sort -n | awk '{ share[NR] = $1; took[NR] = $2 } END { if (NR) printf "%s %% of a core (%s s of growth)", share[int((NR + 1) / 2)], took[int((NR + 1) / 2)] }')" \
		"2 %" "the median; schedstat of daemon and helper, while a worker fills to 68 % of $limit MiB"
	stop_daemon
}

# The whole commands, over 90 days of record. The last 24 hours are what "today" is at most: a 90th of it for root, and of
# that a 1000th for each of its 1000 users.
record() {
	records=${HR_BENCH_RECORDS:-1000000}
	say "$records ended jobs are put on record"
	start_daemon '' # which makes the file
	stop_daemon
	if ! $python "$(dirname "$0")/record-fill.py" "$D/run" "$records"; then
		left_out "commands with $records jobs on record" "they can't be put there"
		return
	fi
	start_daemon '[daemon]' 'record_size = 64G' 'record_age = 400d'
	chmod 711 "$D"
	asked "headroom --version" "" --version
	asked "headroom status, which asks the daemon, and no record" "" status
	asked "headroom why, $records jobs on record" "100 ms" why "j$((records / 2))"
	asked "headroom advise" "300 ms" advise -- python3 analyse-500.py --all
	asked "headroom history --since 24h" "100 ms" history --since 24h
	asked "headroom history --since 24h --json" "100 ms" history --since 24h --json
	[ "$(id -u)" != 0 ] || as=1500 asked "  by one of 1000 users" "100 ms" history --since 24h --json
	stop_daemon
}
asked() { # FIGURE GOAL ARGUMENTS...
	figure=$1 goal=$2
	shift 2
	row "$figure" "$(as=${as:-} $python - "$@" <<'PYTHON'
import os, resource, statistics, subprocess, sys, time
user = int(os.environ["as"] or os.getuid())
groups = {"extra_groups": []} if user != os.getuid() else {}
def run():
    start = time.monotonic()
    out = subprocess.run(["headroom", *sys.argv[1:]], stdout=subprocess.PIPE, check=True, user=user, **groups).stdout
    return 1000 * (time.monotonic() - start), out.count(b"\n")
took, lines = zip(*(run() for _ in range(20)))
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(f"{statistics.median(took):.0f} ms, at most {max(took):.0f}; {lines[0]} lines, {(used.ru_utime + used.ru_stime) * 50:.0f} ms of its own CPU")
PYTHON
	)" "$goal" "time headroom $*; the median of 20"
}

# ---- all of it ----

make_groups
: >"$rows"
for part in $parts; do
	case $part in
	idle | sample | jobs | brake | peace | pace | record) $part ;;
	cost) ;;
	*)
		say "$part: takes idle, sample, jobs, brake, peace, pace, record, cost"
		exit 2
		;;
	esac
done
mkdir -p "$B/bench"
[ ! -s "$rows" ] || {
	echo "$(headroomd --version), $(uname -sr), $(nproc) processors, memory by cgroup v$version, $(date -u +%F)"
	echo
	{
		printf 'figure|measured|goal|how to measure it alone\n'
		cat "$rows"
	} | awk -F'|' '{ for (i = 1; i <= NF; i++) { cell[NR, i] = $i; if (length($i) > width[i]) width[i] = length($i) } }
		END { for (r = 1; r <= NR; r++) {
			line = sprintf("%-*s | %-*s | %-*s | %s", width[1], cell[r, 1], width[2], cell[r, 2], width[3], cell[r, 3], cell[r, 4])
			sub(/[ |]+$/, "", line); print line } }'
} | tee "$B/bench/results.txt"

case " $parts " in *' cost '*)
	echo
	cleanup # the machine is the guest's now
	bash "$(dirname "$0")/cost.sh" "$B"
	;;
esac
