# Goal: none of these costs a job, spins a core or floods the journal: jobs that fork faster than they are frozen
# (a cgroup and a process tree), a clock that jumps while a job is held, a storm of 100,000 memory.events,
# SIGSTOP and SIGCONT to the daemon while a job grows, a thread in D state that never freezes, limits that
# another manager sets on the job's unit, or on the scope that it is in, while it grows.
# Time limit: 900 s
need_headroom

mkdir -p /etc/headroom/headroom.conf.d
printf '[policy clock]\nhold_max = 40s\n' >/etc/headroom/headroom.conf.d/vm-bad-input.conf
systemctl reload headroomd

# As the machine's clock goes on, whatever `date` says; in whole seconds.
uptime_now() { cut -d. -f1 /proc/uptime; }
# until SECONDS COMMAND...: as wait_for, by that clock.
until_true() {
	local end=$(($(uptime_now) + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ "$(uptime_now)" -lt "$end" ] || return 1
		sleep 0.1
	done
}

stands_frozen() { grep -qx 'frozen 1' "$cgroup/cgroup.events"; }
frozen_or_gone() { stands_frozen || [ ! -e "$cgroup/cgroup.events" ]; }
usage_mib() { echo $(($(cat "$cgroup/memory.current") >> 20)); }
above() { [ "$(usage_mib)" -ge "$1" ]; }
events_of() { awk -v key="$1" '$1 == key { print $2 }' "$cgroup/memory.events.local"; }
journal_lines() { journalctl -q -u headroomd -o cat | wc -l; }
cpu_ticks() { awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/$(service_pid)/stat"; }
daemon=$(service_pid)

# begin NAME LIMIT WORKLOAD ARG...: a job that waits for its cue; $cgroup is its.
begin() {
	local name=$1 limit=$2
	shift 2
	in_background "$name" as_login ana headroom run --name "$name" --limit "$limit" "${options[@]}" -- \
		python3 $jobs/on_cue.py "$work/$name.cue" "$@"
	until_true 60 test -e "$work/$name.cue.ready"
	until_true 30 known "$name"
	cgroup=/sys/fs/cgroup$(field "$name" cgroup) lines=$(journal_lines)
	options=()
}
options=()
cue() { touch "$work/$1.cue"; }

# kept NAME RESUME_LIMIT WANTED: held, no OOM kill; given room it finishes.
kept() {
	local name=$1 kills
	until_true 120 frozen_or_gone || true
	kills=$(awk '$1 == "oom_kill" { print $2 }' "$cgroup/memory.events" || echo gone) 2>/dev/null
	is "$name: held before its limit" "$(field "$name" stage), $kills OOM kills" "hold, 0 OOM kills"
	is "$name: is given room" "$(headroom resume "$name" --limit "$2" 2>&1 || echo "status $?")" '*limit*'
	until_true 60 ended "$name" || true
	is "$name: finishes" "$(cat "$work/$name" 2>&1), status $(cat "$work/$name.status" 2>&1)" "$3, status 0"
	quiet "$name"
}
quiet() {
	sleep 1
	lines=$(($(journal_lines) - lines))
	check "$1: $lines lines in the journal" [ "$lines" -lt 40 ]
}

# --- a job that forks faster than it is frozen -----------------------------------------------------------

begin forks 100M $jobs/forks.py --children 200 --hop 2 --state "$work/forks"
cue forks
until_true 60 frozen_or_gone || true
before=$(wc -l <"$cgroup/cgroup.procs") used=$(usage_mib)
sleep 1
now=$(usage_mib) # what those that ended just before it leave behind is freed later
is "forks: stands still, all $before processes of it" "$(wc -l <"$cgroup/cgroup.procs") $((now <= used))" "$before 1"
kept forks 500M 'finished 200 children'

# A process tree: nothing freezes it but SIGSTOP, one by one.
in_background tree systemd-run --quiet --collect --pipe --wait --unit=scenario-tree \
	python3 $jobs/on_cue.py "$work/tree.cue" $jobs/forks.py --children 200 --state "$work/tree"
until_true 60 test -e "$work/tree.cue.ready"
lines=$(journal_lines)
leader=$(systemctl show -p MainPID --value scenario-tree)
headroom attach "$leader" --name tree --limit 100M >"$work/tree.attach" 2>&1 || not_ok "tree: is watched" "$(cat "$work/tree.attach")"
# How many, and how many of them are neither stopped nor dead.
tree_count() { ps --no-headers -o state= -p "$(paste -sd, /sys/fs/cgroup/system.slice/scenario-tree.service/cgroup.procs)" | awk '{ n++; run += /[RSD]/ } END { print n, run + 0 }'; }
tree_held() { [ "$(field tree stage)" = hold ]; }
cue tree
tree_stands() { [[ $(tree_count) == *' 0' ]]; }
until_true 60 tree_held || true
until_true 20 tree_stands || true
sleep 1
before=$(tree_count)
is "tree ($(field tree kind)): held, and nobody of it runs" "$(field tree stage), $before" 'hold, * 0'
sleep 2
is "tree: nor is there anybody new" "$(tree_count)" "$before"
headroom resume tree --limit 500M >"$work/tree.resume" 2>&1 || not_ok "tree: is given room" "$(cat "$work/tree.resume")"
until_true 60 test -s "$work/tree" || true
is "tree: finishes" "$(cat "$work/tree" 2>&1)" 'finished 200 children'
quiet tree
systemctl stop scenario-tree || true

# --- the clock jumps --------------------------------------------------------------------------------------

shifted=0
jump() {
	date -s "@$(($(date +%s) + $1))" >/dev/null
	shifted=$((shifted + $1))
}
trap '[ "$shifted" = 0 ] || jump $((-shifted))' EXIT

start_job steady 200M plateau.py --percent 50 --limit 200 --stay 25 --state "$work/steady"
options=(--policy clock)
begin clock 200M $jobs/grow.py --rate 0 --to 300 --state "$work/clock"
until_true 60 test -e "$work/steady.up"
jump 3600
cue clock
check "clock: held, an hour later" until_true 60 stands_frozen
start=$(uptime_now)
sleep 4
jump -7200
sleep 4
jump 3600
sleep 4
is "clock: held as before, whatever the clock says" "$(field clock stage) $(stands_frozen && echo frozen)" 'hold frozen'
jump 3600
check "clock: its hold ends" until_true 60 test -e "$work/clock"
held_seconds=$(($(uptime_now) - start))
jump $((-shifted))
check "clock: after the 40 s of hold_max ($held_seconds s)" [ "$held_seconds" -ge 37 -a "$held_seconds" -le 60 ]
is "clock: its work is kept" "$(cat "$work/clock" 2>&1)" 'saved [1-9]* MiB'
until_true 60 ended steady || true
is "clock: a job that fits is left alone" "$(cat "$work/steady" 2>&1)" 'finished at * %, frozen 0 times'
quiet clock

# --- 100,000 memory.events --------------------------------------------------------------------------------

# With a protection above its usage, each pass of a reclaim that finds nothing counts one `low`.
begin storm 200M $jobs/grow.py --rate 2 --to 230 --state "$work/storm"
cue storm
echo max >"$cgroup/memory.low"
ticks=$(cpu_ticks) start=$(uptime_now)
storm() {
	while [ "$(events_of low)" -lt 100000 ] && [ $(($(uptime_now) - start)) -lt 150 ]; do
		echo 900M >"${cgroup%/*}/memory.reclaim" || true
	done 2>/dev/null
}
storm &
storm
wait $! || true
seconds=$(($(uptime_now) - start)) ticks=$(($(cpu_ticks) - ticks)) seen=$(events_of low)
echo "# storm: $seen events in $seconds s, the daemon's CPU $ticks/100 s, job at $(usage_mib) MiB"
check "storm: $seen events" [ "$seen" -ge 100000 ]
check "storm: the daemon takes less than a tenth of a core ($ticks/100 s in $seconds s)" [ "$ticks" -lt $((seconds * 10 + 5)) ]
kept storm 400M 'finished 23? MiB'

# --- SIGSTOP and SIGCONT to the daemon itself -------------------------------------------------------------

# At full speed, stopped before it starts: the tripwire alone brakes it.
begin stopped 200M $jobs/grow.py --rate 0 --to 230 --state "$work/stopped"
until_true 20 eval '[ "$(cat "$cgroup/memory.high")" != max ]' || true
echo "# stopped: memory.high $(cat "$cgroup/memory.high")"
kill -STOP "$daemon"
cue stopped
sleep 10
echo "# stopped: $(usage_mib 2>&1) MiB of 200 after 10 s without a daemon"
check "stopped: lives, without a daemon" test -e "$cgroup/cgroup.procs"
kill -CONT "$daemon"
kept stopped 400M 'finished 23? MiB'

# At 40 MB/s, stopped at each part of its way.
begin halting 200M $jobs/grow.py --rate 40 --to 230 --state "$work/halting"
cue halting
for mib in 80 125 165 178; do
	until_true 30 eval "above $mib || frozen_or_gone" || true
	kill -STOP "$daemon"
	sleep 2
	echo "# halting: stopped at $mib, $(usage_mib 2>&1) MiB after 2 s, memory.high $(cat "$cgroup/memory.high" 2>&1)"
	kill -CONT "$daemon"
done
kept halting 400M 'finished 23? MiB'

# --- a thread in D state: the freeze does not come to its end ---------------------------------------------

truncate -s 8M "$work/disk"
mkfs.ext4 -q -F "$work/disk"
mkdir "$work/mount"
mount -o loop "$work/disk" "$work/mount"
chown ana "$work/mount"
trap 'fsfreeze -u "$work/mount" || true; umount "$work/mount" || true' EXIT
begin blocked 200M $jobs/blocked.py "$work/mount/file" $jobs/grow.py --rate 20 --to 230 --state "$work/blocked"
fsfreeze -f "$work/mount"
cue blocked
asked_to_freeze() { grep -qx 1 "$cgroup/cgroup.freeze"; }
check "blocked: is told to freeze" until_true 60 asked_to_freeze
sleep 2
is "blocked: one thread does not obey" "$(cat "$cgroup/cgroup.events")" '*frozen 0*'
used=$(usage_mib) ticks=$(cpu_ticks)
sleep 10
ticks=$(($(cpu_ticks) - ticks))
echo "# blocked: $used MiB, then $(usage_mib); the daemon's CPU $ticks/100 s in 10 s; stage $(field blocked stage)"
check "blocked: the others stand still" [ "$(usage_mib)" -le $((used + 1)) ]
check "blocked: the daemon does not spin ($ticks/100 s of CPU in 10 s)" [ "$ticks" -lt 50 ]
blocked=$cgroup
begin beside 200M $jobs/grow.py --rate 0 --to 230 --state "$work/beside"
cue beside
kept beside 400M 'finished 23? MiB'
cgroup=$blocked
is "blocked: not killed" "$(awk '$1 == "oom_kill" { print $2 }' "$cgroup/memory.events" 2>&1)" 0
headroom resume blocked --limit 400M >"$work/blocked.resume" 2>&1 || not_ok "blocked: is given room" "$(cat "$work/blocked.resume")"
check "blocked: goes on while its thread waits" until_true 30 test -s "$work/blocked"
fsfreeze -u "$work/mount"
until_true 30 ended blocked || true
is "blocked: finishes" "$(cat "$work/blocked" 2>&1), status $(cat "$work/blocked.status" 2>&1)" 'finished 23? MiB, status 0'
umount "$work/mount"
trap - EXIT

# --- another manager sets limits while it grows -----------------------------------------------------------

# Of a foreign unit that is attached: its own limit.
in_background foreign systemd-run --quiet --collect --pipe --wait --unit=scenario-foreign -p MemoryMax=400M \
	-p MemorySwapMax=0 python3 $jobs/on_cue.py "$work/foreign.cue" $jobs/grow.py --rate 20 --to 230 --state "$work/foreign"
until_true 60 test -e "$work/foreign.cue.ready"
headroom attach scenario-foreign.service --name foreign
lines=$(journal_lines) cgroup=/sys/fs/cgroup$(field foreign cgroup)
cue foreign
until_true 30 above 80 || true
systemctl set-property --runtime scenario-foreign.service MemoryMax=150M
kept foreign 400M 'finished 23? MiB'

# Of the scope that holds the job's own cgroup: a limit above its own.
begin scope 300M $jobs/grow.py --rate 20 --to 230 --state "$work/scope"
unit=$(basename "${cgroup%/*}")
cue scope
until_true 30 above 80 || true
systemctl set-property --runtime "$unit" MemoryMax=150M
until_true 60 frozen_or_gone || true
is "scope: held before the limit of $unit" "$(field scope stage), $(awk '$1 == "oom_kill" { print $2 }' "$cgroup/memory.events" 2>/dev/null || echo gone) OOM kills" 'hold, 0 OOM kills'
is "scope: it is named" "$(field scope limit_source)" "*$unit*"
systemctl set-property --runtime "$unit" MemoryMax=infinity 2>/dev/null || true
until_true 60 ended scope || true
is "scope: goes on when there is room again, and finishes" "$(cat "$work/scope" 2>&1)" 'finished 23? MiB'
quiet scope

is "the daemon lives" "$(service_pid)" "$daemon"
check "and answers" service_answers
