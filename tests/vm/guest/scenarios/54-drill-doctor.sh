# Goal: `drill` proves itself on cgroup v2 as installed, for root and for an ordinary user, and says what to mend
# where a job is lost; `doctor` finds every sensor and means that this guest has, and names the loss and the
# remedy of each that is taken away.
# Time limit: 600 s
need_headroom

# row ITEM: its state, detail and remedy, by doctor; nothing if there is none.
row() {
	headroom doctor --json | python3 -c '
import json, sys
print(*(" | ".join((r["state"], r["detail"], r["remedy"])) for r in json.load(sys.stdin) if r["item"] == sys.argv[1]))' "$1"
}
restart() {
	systemctl daemon-reload
	systemctl restart headroomd
	wait_for 60 service_answers
}
# shellcheck disable=SC2053 # a pattern, on purpose
fits() { [[ $(row "$1") == $2 ]]; }
# become TEXT ITEM WANTED: some rows need a moment after a start.
become() {
	wait_for 30 fits "$2" "$3" || true
	is "$1" "$(row "$2")" "$3"
}

# --- drill

# judge FILE: of a drill's JSON, in one line.
judge() {
	python3 -c '
import json, sys
r = json.load(sys.stdin)[0]
print("saved", r["saved"], r["outcome"], "warned", r["warning_milliseconds"] > 0, "past", 0 <= r["overshoot_bytes"] < 4 << 20,
      "frozen", 0 < r["freeze_microseconds"] < 2000000, "killed", r["oom_killed"], "resumed", r["resumed"], "mend", r["remedy"] == "")
print("# drill: warned %d ms before, %d bytes past the level of the hold, frozen in %d us" % (
      r["warning_milliseconds"], r["overshoot_bytes"], r["freeze_microseconds"]), file=sys.stderr)' <"$1"
}
good='saved True held warned True past True frozen True killed False resumed True mend True'
for who in root ana; do
	kills=$(oom_kills) status=0
	runuser -l $who -c 'headroom drill --json' >"$work/drill-$who" || status=$?
	is "drill by $who" "$status $(judge "$work/drill-$who")" "0 $good"
	is "drill by $who: the kernel killed none" "$(oom_kills)" "$kills"
	is "drill by $who leaves nothing" "$(headroom status --json | tr -d '[:space:]')" '[]'
done
is "in words" "$(as_login ana headroom drill)" '*saved: it was held*before it was stopped*past the level of the hold*ms after the decision*no OOM kill*'
kills=$(oom_kills) status=0
as_login ana headroom drill --policy observe >"$work/drill-lost" || status=$?
is "a policy that only observes: lost" "$status" 1
is "and what to mend" "$(cat "$work/drill-lost")" '*NOT SAVED: the kernel*its OOM killer struck*policy observe only observes*'
is "the kernel killed the drill's job alone" "$(($(oom_kills) - kills))" 1

# --- doctor: what the guest has

for item in daemon channel bus python memory freezer memory.current memory.high memory.events.local memory.peak \
	memory.reclaim memory.swap.current cgroup.freeze cgroup.kill pressure processes rights systemd fuse realtime \
	mlock files oom_score_adj host helper criu; do
	become "doctor: $item" $item 'ok*'
done
is "doctor: memory is v2's" "$(row memory)" '*cgroup v2 at /sys/fs/cgroup*'
for item in swap metrics matches; do
	is "doctor: $item" "$(row $item)" 'absent |*| optional: *'
done
is "doctor by ana" "$(as_login ana headroom doctor --json | grep -c '"item"')" '[23]?'

# --- doctor: what is taken away

install -d /etc/headroom/headroom.conf.d /run/systemd/system/headroomd.service.d
cat >/etc/headroom/headroom.conf.d/vm-poor.conf <<'END'
[host]
guard = no
END
cat >/run/systemd/system/headroomd.service.d/vm-poor.conf <<'END'
[Service]
LimitNOFILE=300
LimitMEMLOCK=0
OOMScoreAdjust=0
Nice=0
CapabilityBoundingSet=~CAP_SYS_RESOURCE CAP_SYS_NICE CAP_IPC_LOCK
END
criu=$(command -v criu) policy=/usr/share/dbus-1/system.d/org.headroom.Headroom1.conf
mv "$criu" "$criu.away"
mv $policy $policy.away
systemctl reload dbus
restart
is "without guard" "$(row pressure)" 'absent | the host is not guarded | guard = yes*'
become "without criu" criu "absent |*without it: *| optional: apt-get install criu"
is "without descriptors" "$(row files)" 'warning | 300 descriptors; without more: * | LimitNOFILE=65536*'
is "without CAP_SYS_RESOURCE" "$(row fuse)" 'warning | no right*without it: * | CAP_SYS_RESOURCE*'
is "without CAP_SYS_NICE" "$(row realtime)" 'warning | no real-time priority; without it: * | CAP_SYS_NICE*'
is "without MEMLOCK" "$(row mlock)" "warning | memory can't be locked; without it: * | LimitMEMLOCK=64M*"
is "without its score" "$(row oom_score_adj)" 'warning | 0; without less: * | OOMScoreAdjust=-900*'
become "without its place on the bus" bus 'warning | the system bus does not have *; without it: * | make install *reload dbus'
mv $policy.away $policy
systemctl reload dbus
mv "$criu.away" "$criu"
rm -r /run/systemd/system/headroomd.service.d /etc/headroom/headroom.conf.d/vm-poor.conf
restart
for item in pressure criu files fuse realtime mlock oom_score_adj bus; do
	become "given back: $item" $item 'ok*'
done
chmod 700 /usr/lib/headroom
is "without the Python side" "$(as_login ana headroom doctor --json | grep -A3 '"python"' | tr -d '\n')" '*missing*make install*'
chmod 755 /usr/lib/headroom
