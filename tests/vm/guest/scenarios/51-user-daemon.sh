# Goal: `headroomd --user` under the user's manager, without the system's service: it watches, holds and lets go
# a job of its user, and `run` says beforehand that without lingering the job dies with the last login.
need_headroom

in_background login as_login ana sleep 280
wait_for 30 test -S /run/user/1000/bus
is "it refuses where the system's daemon serves the user" \
	"$(as_login ana timeout 20 /usr/sbin/headroomd --user >/dev/null 2>&1; echo $?)" '[1-9]'

systemctl stop headroomd
check "the user's service starts" as_login ana systemctl --user start headroomd
export HEADROOM_SOCKET=/run/user/1000/headroom/bus # root asks the user's daemon from here on
wait_for 30 test -S $HEADROOM_SOCKET

kills=$(oom_kills)
start_job grow 400M grow.py --rate 40 --to 500 --state "$work/grow"
wait_for 90 held grow
is "its cgroup is the user manager's" "$(field grow cgroup)" '/user.slice/user-1000.slice/user@1000.service/*'
check "run has told about lingering" grep -q 'loginctl enable-linger' "$work/grow.err"
check "the owner gives more room" as_login ana headroom resume grow --limit 800M
is "it finishes" "$(end_of grow) $(cat "$work/grow")" '0 finished 500 MiB'
is "the kernel killed none" "$(oom_kills)" "$kills"
