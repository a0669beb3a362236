# Goal: jobs that were not started with `run`: a unit found by a [match] rule, a unit given to `attach`, and a
# process tree given to `attach` by its pid. Each is held before the limit it was given and keeps its work.
# Time limit: 400 s
need_headroom
kills=$(oom_kills)

install -d /etc/headroom/headroom.conf.d
cat >/etc/headroom/headroom.conf.d/vm-match.conf <<'END'
[match vm]
unit = vm-matched.service
policy = default
limit = 400M
END
kill -HUP "$(service_pid)"
systemd-run --quiet --collect --unit=vm-matched python3 $jobs/grow.py --rate 20 --to 500 --state "$work/matched"
check "a matched unit is found" wait_for 30 known vm-matched.service
limit_becomes "it has the rule's limit" vm-matched.service $((400 << 20))
check "it is held" wait_for 90 held vm-matched.service
headroom resume vm-matched.service --limit 800M
check "it finishes" wait_for 60 grep -qx 'finished 500 MiB' "$work/matched"

systemd-run --quiet --collect --unit=vm-attached python3 $jobs/grow.py --rate 20 --to 500 --state "$work/attached"
check "a unit is attached" headroom attach vm-attached.service --name attached --limit 400M
is "as a cgroup" "$(field attached kind)" cgroup2
check "it is held" wait_for 90 held attached
headroom interrupt attached
check "it keeps its work" wait_for 60 grep -q '^saved' "$work/attached"

python3 $jobs/grow.py --rate 20 --to 500 --state "$work/tree" &
check "a process is attached" headroom attach $! --name tree --limit 400M
is "as a process tree" "$(field tree kind)" process
stage_is_hold() { [ "$(field tree stage)" = hold ]; }
check "it is held" wait_for 90 stage_is_hold
is "by stopping it" "$(stopped_processes | wc -l)" 1
headroom resume tree --limit 800M
check "it finishes" wait_for 60 grep -qx 'finished 500 MiB' "$work/tree"
is "the kernel killed none" "$(oom_kills)" "$kills"
