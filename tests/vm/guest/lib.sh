# shellcheck shell=bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What scenarios are written with. A scenario is sourced after this file, by a bash that stops at the first
# command that fails (the line is told) and has:
#   $scenario  its name        $work  a folder of its own that `ana` may write        $jobs  the workloads
# It reports by ok, not_ok, skip, check and is; nothing else that it prints counts, but for its end: without
# the line of tell_end it was cut short, whatever its status.

set -Eeuo pipefail
trap 'tell_failure "${BASH_SOURCE[0]-}" $LINENO' ERR
jobs=/payload/jobs
work=/var/tmp/work-$scenario # on disk: /tmp may be memory
install -d -o ana "$work"

ok() { echo "ok - $scenario: $1"; }
not_ok() { echo "not ok - $scenario: $1: $2"; }
skip() { echo "skip - $scenario: $1: $2"; }

# tell_failure FILE LINE: of the command that ends this scenario; in a subshell the caller decides.
tell_failure() {
	[ "$BASH_SUBSHELL" != 0 ] || not_ok "${1##*/} line $2" "failed: $(sed -n "${2}s/^[[:space:]]*//p" "/payload/$1")"
}

# tell_end, has_ended FILE: the last line of a scenario, and whether it stands in what was said.
tell_end() { echo "# $scenario has come to its end"; }
has_ended() { grep -q "# $scenario has come to its end\$" "$1"; }

# check TEXT COMMAND...: ok if the command succeeds.
check() {
	local text=$1 said
	shift
	if said=$("$@" 2>&1); then ok "$text"; else not_ok "$text" "failed: $* ${said:+(said: ${said//$'\n'/ | })}"; fi
}

# is TEXT GOT WANTED: ok if GOT fits the pattern WANTED.
is() {
	# shellcheck disable=SC2053 # a pattern, on purpose
	if [[ $2 == $3 ]]; then ok "$1"; else not_ok "$1" "got '${2//$'\n'/ | }', not '$3'"; fi
}

# wait_for SECONDS COMMAND...: until the command succeeds; fails when the time is up.
wait_for() {
	local end=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ "$SECONDS" -lt "$end" ] || return 1
		sleep 0.2
	done
}

# The kernel's count of processes killed for want of memory, in any cgroup.
oom_kills() { awk '$1 == "oom_kill" { print $2 }' /proc/vmstat; }

# as_login USER COMMAND...: in a login session of USER, as after ssh: own session-N.scope, user manager,
# login environment, home. The session ends with the command.
as_login() {
	local user=$1
	shift
	runuser -l "$user" -c "$(printf '%q ' "$@")"
}

# in_background NAME COMMAND...: leaves NAME.out, NAME.err and, when it has ended, NAME.status in $work.
in_background() {
	local file=$work/$1
	shift
	rm -f "$file.status"
	{
		local status=0
		"$@" >"$file.out" 2>"$file.err" </dev/null || status=$?
		echo $status >"$file.status"
	} &
}

# end_of NAME: waits for a command in the background and prints its exit status.
end_of() {
	if wait_for 150 ended "$1"; then cat "$work/$1.status"; else echo "still running"; fi
}
ended() { [ -s "$work/$1.status" ]; }

# under MIB COMMAND...: in a service with that memory.max and no swap.
under() {
	local limit=$1
	shift
	systemd-run --quiet --collect --pipe --wait -p MemoryMax="${limit}M" -p MemorySwapMax=0 "$@"
}

# make_data FOLDER: files for cache_reader.py, none of them in the page cache, where they would not count for
# the reader.
make_data() {
	mkdir "$1"
	python3 $jobs/cache_reader.py --folder "$1" --make
	sync
	echo 3 >/proc/sys/vm/drop_caches
}

# What stands frozen or stopped right now, one line each.
frozen_cgroups() { find /sys/fs/cgroup -name cgroup.events -exec grep -lx 'frozen 1' {} + || true; }
stopped_processes() { ps -eo pid=,state=,args= | awk '$2 == "T"'; }

# --- a bystander: whoever touches it is found out -------------------------------------------------------

# start_bystander [COMMAND...]: in a service, or started by COMMAND, such as `as_login ana`.
bystanders=0
start_bystander() {
	local report=$work/bystander$((bystanders += 1))
	[ $# != 0 ] || set -- systemd-run --quiet --collect --unit="bystander-$scenario"
	in_background "${report##*/}" "$@" \
		python3 $jobs/bystander.py --hold 100 --until "$work/bystander.stop" --report "$report"
	wait_for 60 test -e "$report.ready"
}

# judge_bystanders [SECONDS]: ends them and prints what each found: `untouched` if it ran to its end, was
# never frozen, signalled, moved or limited, and never paused longer than SECONDS (emulation alone pauses it
# for a part of one).
judge_bystanders() {
	local number
	touch "$work/bystander.stop"
	for number in $(seq $bystanders); do
		wait_for 60 test -e "$work/bystander$number" || true
		python3 $jobs/bystander.py --judge "$work/bystander$number" --pause "${1:-3}"
	done
}

# --- headroom -------------------------------------------------------------------------------------------

have_headroom() { command -v headroom >/dev/null; }

# need_headroom: ends the scenario, skipped, where headroom is not installed.
need_headroom() {
	have_headroom && return
	skip "all" "headroom is not installed in this guest"
	tell_end
	exit 0
}

# start_job NAME LIMIT WORKLOAD ARG...: `headroom run` from a login of ana, in the background. LIMIT may be
# `none`. Its messages go to $work/NAME.err.
start_job() {
	local name=$1 workload=$3 options=(--name "$1")
	[ "$2" = none ] || options+=(--limit "$2")
	shift 3
	in_background "$name" as_login ana headroom run "${options[@]}" -- python3 "$jobs/$workload" "$@"
}

# field JOB KEY: one value of its status, as JSON writes it but strings bare; nothing if there is no such job.
field() {
	headroom status "$1" --json 2>/dev/null | python3 -c '
import json, sys
for row in json.load(sys.stdin):
    value = row[sys.argv[1]]
    print(value if isinstance(value, str) else json.dumps(value))' "$2" 2>/dev/null || true
}

# stages_of ID: the stages above ok that the job with this id was in, one line for each event.
stages_of() {
	headroom events --json | python3 -c '
import json, sys
for row in json.load(sys.stdin):
    if row["job"] == sys.argv[1] and row["stage"] != "ok":
        print(row["stage"], "-", row["reason"])' "$1"
}

known() { [ -n "$(field "$1" job)" ]; }
# Held, and so says the kernel. Called before the job is known too, so an empty answer is a plain no.
held() { [ "$(field "$1" stage)" = hold ] && in_kernel_frozen "$1"; }
in_kernel_frozen() {
	local cgroup
	cgroup=$(field "$1" cgroup)
	[[ $cgroup == /* ]] && grep -qx 'frozen 1' "/sys/fs/cgroup$cgroup/cgroup.events"
}
# limit_in_kernel JOB: the memory.max that binds it, in bytes, whatever limit is the nearest by its status.
limit_in_kernel() { cat "/sys/fs/cgroup$(field "$1" cgroup)/memory.max"; }
limit_is() { [ "$(limit_in_kernel "$1")" = "$2" ]; }
# limit_becomes TEXT JOB BYTES: it is set after the job is known, a foreign unit's by systemd.
limit_becomes() {
	wait_for 20 limit_is "$2" "$3" || true
	is "$1" "$(limit_in_kernel "$2")" "$3"
}
held_or_ended() { held "$1" || ended "$1"; }

# service_pid, service_answers: of the system's daemon.
service_pid() { systemctl show -p MainPID --value headroomd; }
service_answers() { [ "$(service_pid)" != 0 ] && headroom status --json; }
# service_is_new OLD_PID: another daemon has taken over and answers.
service_is_new() { [ "$(service_pid)" != "$1" ] && service_answers; }

# --- for run ---------------------------------------------------------------------------------------------

# show_state SINCE: what one wants to read under a failure.
show_state() {
	{
		for file in "$work"/*.err "$work"/*.out; do
			[ ! -s "$file" ] || { echo "--- $file"; tail -n 20 "$file"; }
		done
		if have_headroom; then
			echo "--- status"; timeout 20 headroom status
			echo "--- events"; timeout 20 headroom events | tail -n 30
			echo "--- journal"; journalctl --no-pager -q -u headroomd --since "$1" -o short-monotonic | tail -n 60
		fi
		echo "--- kernel"; dmesg | grep -iE 'oom-kill:|killed process|segfault|headroom' | tail -n 15
	} 2>&1 | sed 's/^/# /'
}

# reset_guest: the next scenario finds nothing of this one.
reset_guest() {
	local id
	if have_headroom; then
		systemctl start headroomd
		for id in $(timeout 20 headroom status --json | python3 -c 'import json, sys
for row in json.load(sys.stdin): print(row["job"])'); do
			timeout 20 headroom kill "$id"
		done
	fi
	loginctl terminate-user ana
	systemctl kill --signal=KILL "bystander-*.service" "scenario-*.service"
	systemctl reset-failed
	[ ! -d /sys/fs/cgroup/user.slice/user-1000.slice ] ||
		find /sys/fs/cgroup/user.slice/user-1000.slice -name cgroup.kill -exec sh -c 'echo 1 >"$1"' sh {} \;
	rm -rf /etc/headroom/headroom.conf.d/vm-*.conf "$work/data"
	! have_headroom || systemctl reload headroomd # a rule that has gone is forgotten
} >/dev/null 2>&1
