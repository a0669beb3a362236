# Goal: a limit is never what kills a job: where usage can't be brought below it (cache that is in use), it is refused
# and the old one stays, though what counts as used is far below; where cache can be dropped, it is set.
# Time limit: 240 s
need_headroom

folder=$work/files # on ext4: 1 KiB of slab for each inode
cgroup_of() { echo "/sys/fs/cgroup$(field "$1" cgroup)"; }
mib() { echo $(($(cat "$1") >> 20)); }

start_job files 200M open_files.py "$folder" 12000 "$work/files.ready"
wait_for 120 test -e "$work/files.ready"
cgroup=$(cgroup_of files)
used=$(($(field files used_bytes) >> 20)) usage=$(mib "$cgroup/memory.current")
want=$(((used + usage) / 2 + 1))
check "usage ($usage MiB) is well above what counts as used ($used MiB)" [ "$want" -lt $((usage - 2)) ]
is "a limit of $want MiB between them is refused" "$(headroom limit files ${want}M 2>&1)" '*could not be set*in use*'
is "the old limit stays" "$(mib "$cgroup/memory.max")" 200
is "nothing was killed for it" "$(awk '$1 == "oom_kill" { print $2 }' "$cgroup/memory.events")" 0
is "one above usage is set" "$(headroom limit files $((usage + 16))M 2>&1)" "*limit $((usage + 16)) MiB*"
rm "$work/files.ready"
is "the job ends by itself" "$(end_of files)" 0
rm -r "$folder"

head -c 120M /dev/zero >"$work/data"
sync
echo 3 >/proc/sys/vm/drop_caches # who reads it first is charged for it
in_background reader as_login ana headroom run --name reader --limit 300M -- sh -c "cat $work/data >/dev/null; sleep 100"
wait_for 60 known reader
cgroup=$(cgroup_of reader)
check "its cache fills" wait_for 60 eval '[ "$(mib "$cgroup/memory.current")" -gt 110 ]'
is "a limit below the cache is set" "$(headroom limit reader 64M 2>&1)" '*limit 64 MiB*'
is "nothing was killed for it" "$(awk '$1 == "oom_kill" { print $2 }' "$cgroup/memory.events")" 0
headroom kill reader >/dev/null
is "it ends by the kill" "$(end_of reader)" 137
