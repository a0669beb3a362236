# Goal: `why` names the right ending of a job, to a program and in words, for each way in which one can end: by
# itself, by a MemoryError, by Headroom, by the kernel for its own limit, for a limit above it and for the
# host, by somebody's signal, and while no daemon ran.
# Time limit: 900 s
need_headroom

# told JOB KEY...: of its record, one word each; strings bare.
told() {
	headroom why "$1" --json 2>/dev/null | python3 -c '
import json, sys
row = json.load(sys.stdin)[0]
print(*(row[key] if isinstance(row[key], str) else json.dumps(row[key]) for key in sys.argv[1:]))' "${@:2}" 2>/dev/null || true
}

# shellcheck disable=SC2053 # a pattern, on purpose
ends_as() { [[ $(told "$1" outcome exit_status signal) == $2 ]]; }

# is_told TEXT JOB OUTCOME STATUS SIGNAL SENTENCE: what its record says, and the first lines that a person reads.
is_told() {
	local text=$1 job=$2 wanted="$3 $4 $5" said
	wait_for 60 ends_as "$job" "$wanted" || true
	is "$text" "$(told "$job" outcome exit_status signal)" "$wanted"
	said=$(headroom why "$job" 2>&1) || true
	is "$text, in words" "$(head -n 4 <<<"$said")" "$6"
}

# begin NAME LIMIT OPTIONS... -- COMMAND...: `headroom run` in a login of ana, in the background.
begin() {
	local name=$1 limit=$2
	shift 2
	[ "$limit" = none ] || set -- --limit "$limit" "$@"
	in_background "$name" as_login ana headroom run --name "$name" "$@"
}
leader() { field "$1" leader_pid; }

# --- by itself

begin good 200M -- true
is_told "by itself" good finished 0 null '*: finished*'
begin bad 200M -- sh -c 'exit 3'
is_told "by itself, with a status" bad failed 3 null '*: failed with status 3*By itself*'

cat >"$work/greedy.py" <<'END'
import sys, time
keep = []
while True:
    keep.append(bytearray(b"x") * (4 << 20))
    time.sleep(float(sys.argv[1]))
END
chmod 755 "$work/greedy.py"
kills=$(oom_kills)
begin fused 200M --fuse -- python3 "$work/greedy.py" 0.02
is_told "MemoryError, by the fuse" fused memory_error 1 null "*: ended by a MemoryError*Headroom's fuse refused*"
is "it said so itself" "$(told fused memory_error_said fuse_armed reason)" 'true true *MemoryError at greedy.py line 4'
begin own none -- sh -c "ulimit -v 300000; exec python3 $work/greedy.py 0"
is_told "MemoryError, by a limit of hers" own memory_error 1 null "*: ended by a MemoryError*It was not Headroom's fuse*"
begin divides 200M --fuse -- python3 -c 'import time; time.sleep(2); 1 / 0'
is_told "another error under a fuse" divides failed 1 null '*: failed with status 1*'

# --- by Headroom

begin stopped 200M -- sleep 1000
wait_for 30 known stopped
headroom interrupt stopped
is_told "interrupted" stopped interrupted null 2 '*: interrupted by Headroom*'
begin batch 200M --policy batch -- python3 "$work/greedy.py" 0.05
is_told "interrupted before its limit" batch interrupted '*' '*' '*: interrupted by Headroom*'
begin ours 200M -- sleep 1000
wait_for 30 known ours
headroom kill ours
is_told "killed" ours killed null 9 '*: killed by Headroom*'
is "up to here the kernel killed none" "$(oom_kills)" "$kills"

# --- by the kernel

begin wall 200M --policy observe -- python3 "$work/greedy.py" 0
is_told "at its own limit" wall own_limit null 9 '*: killed by the kernel at its own limit*200 MiB*'
end_of wall >/dev/null # which has said all by then
is "and run says so" "$(cat "$work/wall.err")" "*OOM killer struck 1 *"

cat >/run/systemd/system/vmendings.slice <<'END'
[Slice]
MemoryMax=300M
MemorySwapMax=0
END
systemctl daemon-reload
in_background above systemd-run --quiet --collect --pipe --wait --slice=vmendings -p OOMPolicy=continue \
	headroom run --name above --policy observe -- python3 "$work/greedy.py" 0
is_told "at a limit above it" above host_full null 9 '*: killed by the kernel: the host, or a limit above it, was full*'
in_background below systemd-run --quiet --collect --pipe --wait --slice=vmendings -p OOMPolicy=continue \
	headroom run --name below --limit 500M --policy observe -- python3 "$work/greedy.py" 0
is_told "at a limit above it that is less than its own" below host_full null 9 '*: killed by the kernel: the host*'

install -d /etc/headroom/headroom.conf.d
printf '[host]\nguard = no\n' >/etc/headroom/headroom.conf.d/vm-endings.conf
systemctl restart headroomd
wait_for 60 service_answers
kills=$(oom_kills)
begin host none --policy observe -- sh -c "echo 900 >/proc/self/oom_score_adj; exec python3 $work/greedy.py 0"
is_told "with the host full" host host_full null 9 '*: killed by the kernel: the host*'
check "the kernel did it" test "$(oom_kills)" -gt "$kills"
rm /etc/headroom/headroom.conf.d/vm-endings.conf
systemctl restart headroomd
wait_for 60 service_answers

# --- by somebody

for number in 15 9; do
	begin "shot$number" 200M -- sleep 1000
	wait_for 30 known "shot$number"
	kill -"$number" "$(leader "shot$number")"
	is_told "by signal $number" "shot$number" signal null "$number" "*: ended by somebody's signal $number (SIG*"
done

# --- unseen

# Both end between the stop and the start: the second first, for the start comes when the first has ended.
begin away 200M -- sleep 40
as_login ana headroom run --detach --name later -- sh -c 'sleep 30; exit 4' >/dev/null
wait_for 30 known away
wait_for 30 known later
systemctl stop headroomd
check "it ends without a daemon" wait_for 90 ended away
systemctl start headroomd
wait_for 60 service_answers
is_told "while headroomd was down" away unseen null null '*: ended while headroomd was down*'
is_told "the same, of a detached one: its keeper tells" later failed 4 null '*: failed with status 4*'
is "and that nobody saw it" "$(told later reason)" 'ended while headroomd was down*'

begin crashed 200M -- sh -c 'sleep 10; exit 6'
wait_for 30 known crashed
old=$(service_pid)
kill -KILL "$old"
check "the daemon comes back" wait_for 60 service_is_new "$old"
is_told "over a crash" crashed failed 6 null '*: failed with status 6*'

# --- without a run

printf '[match vm]\nunit = vm-end*.service\npolicy = observe\n' >/etc/headroom/headroom.conf.d/vm-endings.conf
kill -HUP "$(service_pid)"
# serve UNIT COMMAND OUTCOME STATUS SIGNAL SENTENCE: systemd makes one $ of two.
serve() {
	systemd-run --quiet --unit="$1" sh -c "sleep 8; $2"
	check "$1 is found" wait_for 30 known "$1.service"
	is_told "a service, $2" "$1.service" "$3" "$4" "$5" "$6"
}
serve vm-end-five 'exit 5' failed 5 null '*: failed with status 5*'
serve vm-end-shot 'kill -KILL $$$$' signal null 9 "*: ended by somebody's signal 9 (SIGKILL)*"
systemd-run --quiet --collect --unit=vm-end-forgotten sh -c 'sleep 8; exit 5'
check "vm-end-forgotten is found" wait_for 30 known vm-end-forgotten.service
is_told "a service that systemd has forgotten" vm-end-forgotten.service ended null null '*: ended, nobody told how*is not known*'
systemctl reset-failed
