# Goal: a job held over a restart of the service stays held, is known to the new daemon under the same id,
# and finishes after `resume --limit`; the client that waits for it passes its status on.
need_headroom

kills=$(oom_kills)
start_job grow 400M grow.py --rate 20 --to 500 --state "$work/grow"
wait_for 90 held grow
id=$(field grow job) cgroup=$(field grow cgroup)

old=$(service_pid)
systemctl restart headroomd
check "the new daemon answers" wait_for 60 service_is_new "$old"
is "the job kept its id" "$(field grow job)" "$id"
is "the new daemon holds it" "$(field grow stage) $(field grow frozen)" 'hold true'
check "the kernel says frozen" grep -qx 'frozen 1' "/sys/fs/cgroup$cgroup/cgroup.events"

headroom resume grow --limit 800M
is "the client passes its status on" "$(end_of grow)" 0
is "it finishes" "$(cat "$work/grow")" 'finished 500 MiB'
is "the kernel killed none" "$(oom_kills)" "$kills"
