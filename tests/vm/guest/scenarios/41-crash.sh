# Goal: kill -9 of the daemon, with one job held and one running: the service comes back by itself, knows both
# jobs, the held one is still held and finishes after `resume --limit`, the running one was not disturbed.
need_headroom

kills=$(oom_kills)
start_job steady 300M plateau.py --percent 40 --limit 300 --stay 60 --state "$work/steady"
start_job grow 400M grow.py --rate 40 --to 500 --state "$work/grow"
wait_for 90 held grow
wait_for 30 known steady
cgroup=$(field grow cgroup) ids="$(field grow job) $(field steady job)"

old=$(service_pid)
kill -KILL "$old"
check "held without a daemon" grep -qx 'frozen 1' "/sys/fs/cgroup$cgroup/cgroup.events"
check "the daemon comes back" wait_for 60 service_is_new "$old"
is "it knows both jobs" "$(field grow job) $(field steady job)" "$ids"
is "it holds the one" "$(field grow stage) $(field grow frozen)" 'hold true'
is "it leaves the other alone" "$(field steady frozen)" false
check "still frozen" grep -qx 'frozen 1' "/sys/fs/cgroup$cgroup/cgroup.events"

headroom resume grow --limit 800M
is "the held one finishes" "$(end_of grow) $(cat "$work/grow")" '0 finished 500 MiB'
is "the running one finishes" "$(end_of steady) $(cat "$work/steady")" '0 finished at 4? %, frozen 0 times'
is "the kernel killed none" "$(oom_kills)" "$kills"
