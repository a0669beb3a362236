# Goal: `systemctl stop headroomd` leaves no job frozen: a held job is let go with the fuse armed and keeps its
# work, a running one goes on.
need_headroom

kills=$(oom_kills)
start_job steady 300M plateau.py --percent 40 --limit 300 --stay 60 --state "$work/steady"
start_job grow 400M grow.py --rate 40 --to 500 --state "$work/grow"
wait_for 90 held grow

systemctl stop headroomd
is "no cgroup stays frozen" "$(frozen_cgroups)" ''
is "no process stays stopped" "$(stopped_processes)" ''
check "the held job keeps its work" wait_for 60 grep -qE '^(saved|finished) [1-9]' "$work/grow"
check "the running job finishes" wait_for 120 grep -q '^finished' "$work/steady"
is "the kernel killed none" "$(oom_kills)" "$kills"
