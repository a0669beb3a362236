# Time limit: 3000 s
# Goal: a job that can't save itself is held at its limit, saved by CRIU, ended, and goes on from its image with
# more room to the right result: numpy, several processes, files. What CRIU can't take is left as it was, with the
# reason; half an image, a full disk, a file that was exchanged and a job that still lives are told apart from a
# job that was saved. An image can be gone on from again and again. With criu_predump the dump of the held job
# writes what has changed since trim. CRIU_RUNS (in the environment of check.sh, or 1) says how often each kind is
# run.
need_headroom
runs=$(cat /payload/criu-runs 2>/dev/null || echo 2)
kills=$(oom_kills)

cat >/etc/headroom/headroom.conf.d/vm-criu.conf <<'C'
[policy save]
checkpoint_method = criu
hold_timeout = 0
criu_free = 64M

[policy ahead]
checkpoint_method = criu
hold_timeout = 0
criu_free = 64M
criu_predump = yes

[policy keep]
checkpoint_method = criu
criu_free = 64M

[policy cramped]
checkpoint_method = criu
hold_timeout = 0
criu_dir = /var/tmp/cramped
criu_free = 0

[policy greedy]
checkpoint_method = criu
criu_free = 2T
C
systemctl reload headroomd
images=/var/lib/headroom/images

# start KIND NAME POLICY LIMIT TO [OPTION...]: in the background, from a login of ana.
start() {
	in_background "$2" as_login ana headroom run --name "$2" --limit "$4" --policy "$3" -- \
		python3 $jobs/restored.py --kind "$1" --to "$5" --pause "${pause:-0.1}" --state "$work/$2" "${@:6}"
}
# told ACTION OUTCOME ID: an event that says so.
told() {
	headroom events --json | python3 -c '
import json, sys
for row in json.load(sys.stdin):
    if row["job"] == sys.argv[3] and row["action"] == sys.argv[1] and row["outcome"] == sys.argv[2]:
        print(row["reason"])' "$1" "$2" "$3" | grep .
}
check "criu is probed" wait_for 60 sh -c 'headroom doctor | grep -q "criu check says good"'

kinds=(numpy processes files)
declare -A ids

# --- memory that is written ahead ---------------------------------------------------------------------------------
right=0 wanted=0
for run in $(seq $((runs < 4 ? 1 : 2))); do
	for kind in "${kinds[@]}"; do
		name=ahead-$kind$run wanted=$((wanted + 1))
		pause=0.8 start "$kind" "$name" ahead 200M 150 --at-once 60
		wait_for 60 known "$name"
		ids[$name]=$(field "$name" job)
	done
	for kind in "${kinds[@]}"; do
		name=ahead-$kind$run id=${ids[ahead-$kind$run]}
		[ "$(end_of "$name")" = 137 ] || not_ok "$name is ended" "$(cat "$work/$name.err")"
		check "$name: memory is written ahead" told predump "done" "$id"
		headroom events --json | python3 -c '
import json, sys
for row in json.load(sys.stdin):
    if row["job"] == sys.argv[1] and row["action"] == "predump":
        print("#", row["outcome"], row["reason"])' "$id"
		[ -e "$images/$id/img/parent" ] || not_ok "$name: the dump knows of it" "$(ls "$images/$id/img" | tr '\n' ' ')"
		said=$(as_login ana headroom resume "$id" --limit 400M --rm 2>&1) || not_ok "$name goes on" "$said"
	done
	for kind in "${kinds[@]}"; do
		name=ahead-$kind$run
		wait_for 120 test -e "$work/$name" || true
		got=$(cat "$work/$name" 2>/dev/null || echo nothing)
		if [ "$got" = right ]; then right=$((right + 1)); else not_ok "$name" "$got"; fi
	done
done
is "restored from both they end with the right result" "$right" "$wanted"
declare -A pages
for policy in save ahead; do # side by side, a job that has much and changes little
	name=big-$policy
	pause=0.6 start numpy "$name" $policy 300M 120 --at-once 200
	wait_for 60 known "$name"
	id=$(field "$name" job)
	end_of "$name" >/dev/null
	pages[$policy]=$(cat "$images/$id"/img/pages-*.img | wc -c)
	[ $policy = save ] || echo "# $policy: $(told predump "done" "$id" | cut -d ';' -f 1)"
	echo "# $policy: the dump wrote $((pages[$policy] >> 10)) KiB of pages: $(told checkpoint proven "$id" | cut -d ';' -f 1)"
	as_login ana headroom resume "$id" --limit 500M --rm
	wait_for 120 test -e "$work/$name" || true
	is "$name ends rightly" "$(cat "$work/$name")" right
done
check "the dump wrote less than three quarters" [ $((pages[ahead] * 4)) -lt $((pages[save] * 3)) ]
pause=1 start processes turns ahead 200M 60 --at-once 100
wait_for 60 known turns
id=$(field turns job)
check "another is being written ahead" wait_for 90 told predump started "$id"
headroom hold turns >/dev/null
check "a hold that comes meanwhile takes its turn" wait_for 30 held turns
headroom checkpoint turns >/dev/null
check "and the dump waits for both" wait_for 60 told checkpoint proven "$id"
headroom resume turns --limit 400M >/dev/null
is "it goes on to its end" "$(end_of turns) $(cat "$work/turns")" '0 right'
pause=2 start numpy vain ahead 150M 50 --at-once 60
wait_for 60 known vain
id=$(field vain job)
check "one that ends by itself is written ahead as well" wait_for 90 told predump "done" "$id"
is "it ends" "$(end_of vain) $(cat "$work/vain")" '0 right'
check "and leaves nothing" wait_for 10 sh -c "! ls -A $images | grep pre"

# --- saved, ended, restored, finished -------------------------------------------------------------------
right=0 wanted=0 first=
for run in $(seq "$runs"); do
	pause=0.1
	[ "$run" != 1 ] || pause=0.6 # what is restored first is looked at while it runs
	for kind in "${kinds[@]}"; do
		name=$kind$run wanted=$((wanted + 1))
		start "$kind" "$name" save 90M 120
		wait_for 60 known "$name"
		ids[$name]=$(field "$name" job)
	done
	for kind in "${kinds[@]}"; do
		name=$kind$run id=${ids[$kind$run]}
		status=$(end_of "$name")
		[ "$status" = 137 ] || not_ok "$name is ended" "status $status"
		said=$(as_login ana headroom resume "$id" --limit 300M 2>&1) || {
			not_ok "$name goes on" "$said"
			{ tail -n 25 "$images/$id/img/restore.log" 2>&1 || true; } | cut -c1-200 | sed 's/^/# /'
			continue
		}
		[ -z "$first" ] || continue
		first=$id
		is "it is told that it goes on" "$said" "*$id goes on as j* ($name), limit 300 MiB; its image is kept*"
		is "it is watched" "$(field "$name" own_limit_bytes) $(field "$name" user)" '314572800 ana'
		leader=$(field "$name" leader_pid)
		is "its processes are its owner's" "$(ps -o user= -p "$leader")" ana
		is "without a capability" "$(awk '/^CapPrm/ { print $2 }' "/proc/$leader/status")" 0000000000000000
		is "nor a filter of ours" "$(awk '/^Seccomp:/ { print $2 }' "/proc/$leader/status")" 0
		check "it is in its owner's slice" grep -q "user-1000.slice/headroom-$(field "$name" job).scope/job" "/proc/$leader/cgroup"
		is "a second resume is refused" "$(as_login ana headroom resume "$id" --limit 300M 2>&1)" '*process number * is in use*'
	done
	for kind in "${kinds[@]}"; do
		name=$kind$run
		wait_for 120 test -e "$work/$name" || true
		got=$(cat "$work/$name" 2>/dev/null || echo nothing)
		if [ "$got" = right ]; then right=$((right + 1)); else not_ok "$name" "$got"; fi
		[ "$run" = 1 ] || rm -rf "${images:?}/${ids[$name]}"
	done
	echo "# restored with the right result: $right of $wanted"
done
pause=0.1
is "restored jobs end with the right result" "$right" "$wanted"
is "the kernel's killer had nothing to do" $(($(oom_kills) - kills)) 0

# --- again and again, from the same images, at the same time ---------------------------------------------------
right=0
is "a file that the first went on to write is told of, with what to type" \
	"$(as_login ana headroom resume "${ids[files1]}" --limit 300M 2>&1)" "*was changed since*truncate -s * $work/files1.log*"
size=$(awk '$1 == "len" && /files1.log$/ { print $3 }' "$images/${ids[files1]}/files")
for run in $(seq "$runs"); do
	truncate -s "$size" "$work/files1.log"
	for kind in "${kinds[@]}"; do
		rm -f "$work/${kind}1"
		in_background "again-$kind" as_login ana headroom resume "${ids[${kind}1]}" --limit 300M
	done
	for kind in "${kinds[@]}"; do
		if [ "$(end_of "again-$kind")" != 0 ]; then
			not_ok "$kind again, $run" "$(cat "$work/again-$kind.err")"
			{ tail -n 25 "$images/${ids[${kind}1]}/img/restore.log" 2>&1 || true; } | cut -c1-200 | sed 's/^/# /'
		elif wait_for 120 test -e "$work/${kind}1" && [ "$(cat "$work/${kind}1")" = right ]; then
			right=$((right + 1))
		fi
	done
done
is "an image serves again, whenever what went on from it has ended" "$right" $((runs * ${#kinds[@]}))

# --- who may do what --------------------------------------------------------------------------------------
is "images are root's alone" "$(stat -c '%U %a' $images $images/"$first" $images/"$first"/img)" $'root 700\nroot 700\nroot 700'
check "its owner can't read them" as_login ana sh -c "! ls $images"
useradd -m bert 2>/dev/null || true
is "to others it is not there" "$(as_login bert headroom resume "$first" 2>&1 || true)" '*there is no saved image of*'
is "it is listed as saved" "$(as_login ana headroom --json | tr -d ' \n')" "*\"stage\":\"saved\"*"
is "too small a limit is refused, with what would do" "$(as_login ana headroom resume "$first" --limit 20M 2>&1 || true)" '*is the least that would do*'

# --- half an image ------------------------------------------------------------------------------------------
page=$images/$first/img/pages-1.img
truncate -s -4096 "$page"
is "a damaged image is refused" "$(as_login ana headroom resume "$first" --limit 300M 2>&1 || true)" '*is damaged: pages-1.img*'
rm -rf "${images:?}/$first"
is "one that is gone is no job" "$(as_login ana headroom resume "$first" 2>&1 || true)" '*there is no saved image of*'

# --- while it lives, and a held job that waits for its owner ------------------------------------------------
start files waits keep 90M 120
wait_for 90 held waits
id=$(field waits job)
check "it is saved while it is held" wait_for 90 told checkpoint proven "$id"
check "it stands still again" wait_for 10 held waits
is "resume from the image is refused while it lives" "$(busctl --system call org.headroom.Headroom1 /org/headroom/Headroom1 org.headroom.Headroom1 Restore sbtb "$id" false 0 false 2>&1)" '*runs; it can go on from its image only when it has ended*'
headroom kill waits
is "killed, it is saved" "$(end_of waits)" 137
# A file of the same name that is another's: root opens it, the job must not get it.
cp -p "$work/waits.log" /var/tmp/other && mv "$work/waits.log" "$work/waits.kept" && ln -s /var/tmp/other "$work/waits.log"
is "a file that was exchanged is found out" "$(as_login ana headroom resume "$id" --limit 300M 2>&1 || true)" '*waits.log is not the file that the job had open*'
mv "$work/waits.kept" "$work/waits.log"
as_login ana headroom resume "$id" --limit 300M --rm
check "with --rm its image goes" test ! -e "$images/$id"
check "and it finishes" wait_for 90 test -e "$work/waits"
is "rightly" "$(cat "$work/waits")" right

# --- what is asked for while it runs ---------------------------------------------------------------------------
pause=0.6 start files asked keep 400M 100
wait_for 60 known asked
id=$(field asked job)
wait_for 60 sh -c "[ \$(wc -l <$work/asked.log) -gt 5 ]"
as_login ana headroom checkpoint asked
check "a running job is saved when asked" wait_for 60 told checkpoint proven "$id"
is "and goes on to its end" "$(end_of asked) $(cat "$work/asked")" '0 right'

# --- what CRIU can't take ----------------------------------------------------------------------------------------
in_background net as_login ana headroom run --name net --limit 400M --policy keep -- python3 -c '
import socket, time
a = socket.create_server(("127.0.0.1", 0)); b = socket.create_connection(a.getsockname()); c = a.accept()
print("connected", flush=True)
time.sleep(20)'
wait_for 60 known net
id=$(field net job)
wait_for 60 grep -q connected "$work/net.out"
as_login ana headroom checkpoint net
check "a network connection is told of" wait_for 30 told checkpoint failed "$id"
is "before anything was done" "$(told checkpoint failed "$id")" '*network connection*'
is "and that job goes on" "$(end_of net)" 0
in_background piped as_login ana sh -c 'headroom run --name piped --limit 400M --policy keep -- sh -c "sleep 20; echo right" | cat'
wait_for 60 known piped
id=$(field piped job)
as_login ana headroom checkpoint piped
check "a pipe to another program is told of" wait_for 30 told checkpoint failed "$id"
is "and that job goes on too" "$(end_of piped) $(cat "$work/piped.out")" '0 right'

# --- a full disk ---------------------------------------------------------------------------------------------------
mkdir -m 700 -p /var/tmp/cramped
truncate -s 64M /var/tmp/cramped.img
mkfs.ext4 -q /var/tmp/cramped.img
mount -o loop /var/tmp/cramped.img /var/tmp/cramped
chmod 700 /var/tmp/cramped
start numpy full cramped 90M 120
wait_for 60 known full
id=$(field full job)
end_of full >/dev/null
is "no room is told before" "$(told checkpoint failed "$id")" '*no room in /var/tmp/cramped*'
check "and it is not saved" sh -c "! test -e /var/tmp/cramped/$id"
start numpy greedy greedy 90M 120
wait_for 90 held greedy
check "criu_free is respected" wait_for 30 told checkpoint failed "$(field greedy job)"
headroom resume greedy --limit 400M
is "and the job goes on with more room" "$(end_of greedy) $(cat "$work/greedy")" '0 right'
umount /var/tmp/cramped

# --- the daemon goes while CRIU is at work ---------------------------------------------------------------------------
start numpy crash keep 90M 120
wait_for 90 held crash
id=$(field crash job) old=$(service_pid)
kill -9 "$old"
check "the new daemon answers" wait_for 60 service_is_new "$old"
sleep 20
check "the job was not lost" held crash
headroom resume crash --limit 400M
is "it finishes" "$(end_of crash) $(cat "$work/crash")" '0 right'
