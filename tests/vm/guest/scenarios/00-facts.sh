# Goal: the ring itself works. The guest is what the other scenarios take for granted: systemd as PID 1,
# unified cgroup v2 with the memory controller, PSI, a kernel that OOM-kills above memory.max, a freezer,
# login sessions with their own scope. Needs no headroom.

is "PID 1 is systemd" "$(ps -o comm= -p 1)" systemd
is "the cgroup tree is unified" "$(stat -f -c %T /sys/fs/cgroup)" cgroup2fs
is "the memory controller is there" " $(cat /sys/fs/cgroup/cgroup.controllers) " '* memory *'
check "pressure is told" grep -q '^full .*total=' /proc/pressure/memory
check "the system is up" systemctl is-system-running --wait

is "a login has its own scope" "$(as_login ana cat /proc/self/cgroup)" '0::/user.slice/user-1000.slice/session-*.scope'
is "a login has a user manager" "$(as_login ana systemctl --user is-active default.target)" active
is "a login passes statuses and words on" "$(as_login ana sh -c 'echo "$1"; exit 3' sh 'two  words'; echo $?)" \
	$'two  words\n3'
is "ana does not linger" "$(as_login ana loginctl show-user ana -p Linger)" Linger=no

before=$(oom_kills)
status=0
under 200 python3 $jobs/grow.py --to 400 --state "$work/killed" || status=$?
is "a job above its memory.max is killed" "$status" '[1-9]*'
is "its kill is counted" "$(($(oom_kills) - before))" 1
check "and its work is lost" test ! -e "$work/killed"

start_bystander
cgroup=/sys/fs/cgroup$(systemctl show -p ControlGroup --value "bystander-$scenario")
echo 1 >"$cgroup/cgroup.freeze"
check "cgroup.freeze freezes" wait_for 10 grep -qx 'frozen 1' "$cgroup/cgroup.events"
is "and is found" "$(frozen_cgroups)" "$cgroup/cgroup.events"
sleep 4
echo 0 >"$cgroup/cgroup.freeze"
wait_for 10 grep -qx 'frozen 0' "$cgroup/cgroup.events"
is "a bystander tells what was done to it" "$(judge_bystanders)" \
	'was frozen or thawed 1 times; paused for @([4-9]|[1-9][0-9]).* s'
