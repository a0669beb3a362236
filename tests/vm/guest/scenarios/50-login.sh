# Goal: a job started from a login lives in its owner's user-UID.slice, outside of the session and of the user's
# manager, and so survives the end of the login: a dropped terminal, and a `run --detach` followed by a logout.
need_headroom

dropped_job="headroom run --name dropped --limit 400M -- python3 $jobs/plateau.py
	--percent 50 --limit 400 --stay 60 --state $work/dropped"
in_background terminal as_login ana script -qec "${dropped_job//$'\n'/ }" /dev/null
wait_for 60 test -e "$work/dropped.up"
cgroup=$(field dropped cgroup)
is "it is in its owner's slice" "$cgroup" '/user.slice/user-1000.slice/*'
is "not in the session" "${cgroup/session-/SESSION}" "$cgroup"
is "nor in the user's manager" "${cgroup/user@/MANAGER}" "$cgroup"

pkill -KILL -x script
wait_for 30 ended terminal
is "run --detach prints the id" "$(as_login ana headroom run --detach --name later --limit 400M -- python3 \
	$jobs/plateau.py --percent 50 --limit 400 --stay 40 --state "$work/later")" 'j[1-9]*'
sleep 20 # logind stops a user's manager 10 s after the last session
check "the dropped job is there" known dropped
check "the detached job is there" known later
check "the dropped job finishes" wait_for 120 grep -q '^finished at 50 %, frozen 0 times' "$work/dropped"
check "the detached job finishes" wait_for 120 grep -q '^finished at 50 %, frozen 0 times' "$work/later"
