# Goal: the daemon never waits. A job at full speed under its own limit is held before it, goes on when it is
# given more room, and finishes, while: the host is out of memory, disks are full, disks stall, journald is
# gone, or does not read, the bus is gone, or does not answer, 200 processes compete for the cores; one at a
# time, and together. The daemon lives through all of it and does not flood the journal.
# Time limit: 900 s
need_headroom

# What follows must not hang on the disks that are filled and frozen: reports come after each trial, and what
# a trial writes is in memory.
mount -t tmpfs -o size=64M tmpfs "$work"
chown ana "$work"
renice -n -20 $$ >/dev/null # who measures is not what is measured

# Small disks of their own for the daemon's state and the journal.
journald="systemd-journald.socket systemd-journald-dev-log.socket systemd-journald-audit.socket systemd-journald.service"
disks="/var/lib/headroom /var/log/journal"
make_disk() {
	local image=/var/tmp/disk-$((number += 1))
	fallocate -l "$2" "$image"
	mkfs.ext4 -q -F -O ^has_journal "$image"
	mkdir -p "$1"
	mount -o loop "$image" "$1"
}
number=0
systemctl stop headroomd
make_disk /var/lib/headroom 8M
chmod 700 /var/lib/headroom
# shellcheck disable=SC2086 # a list of words
systemctl stop $journald
make_disk /var/log/journal 48M
# shellcheck disable=SC2086
systemctl start $journald
# The job is judged by its own limit here; that a full host has its own ladder is 60-host-guard's.
mkdir -p /etc/headroom/headroom.conf.d
printf '[host]\nguard = no\n' >/etc/headroom/headroom.conf.d/vm-hardship.conf
# The bus as the daemon sees it, by way of a relay: without the bus itself the guest's runner would not know
# that this scenario still runs.
relay=/run/scenario-bus
start_relay() {
	systemd-run --quiet --collect --unit=scenario-relay python3 $jobs/bus_relay.py $relay
	wait_for 20 test -S $relay
}
start_relay
mkdir -p /run/systemd/system/headroomd.service.d
printf '[Service]\nEnvironment=DBUS_SYSTEM_BUS_ADDRESS=unix:path=%s\n' $relay >/run/systemd/system/headroomd.service.d/bus.conf
systemctl daemon-reload
systemctl start headroomd
on_the_bus() { busctl status org.headroom.Headroom1; }
check "the daemon is on the bus, by way of the relay" wait_for 20 on_the_bus

# --- the afflictions: begin_X, end_X; an end may come without its beginning ------------------------------

killed_since() { [ "$(oom_kills)" -gt "$1" ]; }
begin_memory() {
	local before
	before=$(oom_kills)
	systemd-run --quiet --collect --unit=scenario-hog -p OOMScoreAdjust=1000 -p Restart=always \
		-p RestartSec=100ms -p Nice=-15 -p StartLimitIntervalSec=0 -p RuntimeMaxSec=150 tail /dev/zero
	wait_for 60 killed_since "$before"
}
end_memory() { systemctl stop scenario-hog; }

begin_full() {
	local folder size count
	for folder in / $disks; do
		for size in 256M 16M 1M 64K 4K; do
			count=0
			while fallocate -l $size "$folder/filler-$size-$count"; do count=$((count + 1)); done
		done
	done
	! head -c 64K /dev/zero >/var/filler-probe
}
end_full() { rm -f /filler-* /var/filler-* /var/lib/headroom/filler-* /var/log/journal/filler-*; }

# Writes stall for everybody, reads (4 KB a second) for the daemon and what it starts.
begin_stall() {
	local folder
	sync
	for folder in $disks; do fsfreeze -f "$folder"; done
	systemctl set-property --runtime headroomd.service IOReadIOPSMax="/dev/vda 2" IOReadBandwidthMax="/dev/vda 4K"
	systemd-cat -t scenario echo "journald waits for its disk"
	echo 3 >/proc/sys/vm/drop_caches
	touch /var/lib/headroom/probe & # who writes waits in the kernel: no signal reaches it
	sleep 1
	wait_for 20 grep -q riops=2 /sys/fs/cgroup/system.slice/headroomd.service/io.max && kill -0 $!
}
end_stall() {
	local folder
	for folder in $disks; do fsfreeze -u "$folder"; done
	systemctl set-property --runtime headroomd.service IOReadIOPSMax= IOReadBandwidthMax=
}

# shellcheck disable=SC2086 # a list of words
begin_journal_gone() {
	systemctl stop $journald
	! systemctl is-active systemd-journald.service
}
# shellcheck disable=SC2086
end_journal_gone() { systemctl start $journald; }

# Stopped, and its socket full: whoever writes to it waits.
begin_journal_stopped() {
	systemctl kill --signal=STOP systemd-journald
	python3 - <<'END'
import socket
sockets, sent = [], 1
while sent:
    sockets.append(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
    sockets[-1].setblocking(False)
    sent = 0
    try:
        sockets[-1].connect("/run/systemd/journal/socket")
        while True:
            sockets[-1].send(b"MESSAGE=filler\nSYSLOG_IDENTIFIER=scenario\n")
            sent += 1
    except BlockingIOError:
        pass
END
}
end_journal_stopped() { systemctl kill --signal=CONT systemd-journald; }

begin_bus_gone() {
	systemctl stop scenario-relay
	rm $relay
	! on_the_bus
}
end_bus_gone() { start_relay; }

begin_bus_hangs() {
	systemctl kill --signal=STOP dbus.service
	! timeout 5 busctl --timeout=2 list
}
end_bus_hangs() { systemctl kill --signal=CONT dbus.service; }

# The job must come forward among them, or it would not be a fast one.
begin_busy() {
	systemd-run --quiet --collect --unit=scenario-busy -p TasksMax=infinity -p RuntimeMaxSec=150 \
		bash -c 'for i in $(seq 200); do while :; do :; done & done; wait'
	wait_for 60 eval '[ "$(systemctl show -p TasksCurrent --value scenario-busy)" -ge 200 ]'
	xargs renice -n -20 -p <"$cgroup/cgroup.procs"
}
end_busy() { systemctl kill --signal=KILL scenario-busy; }

# Long enough for the daemon to notice, and to want to say, that its bus is gone.
begin_rest() { sleep 35; }
end_rest() { :; }

afflictions=()
mend() {
	local i
	for ((i = ${#afflictions[@]} - 1; i >= 0; i--)); do "end_${afflictions[i]}" || true; done >/dev/null 2>&1
	afflictions=()
}
# However it ends, the guest is whole afterwards, and the journal tells what happened.
# shellcheck disable=SC2086
leave() {
	mend
	rm -f /etc/headroom/headroom.conf.d/vm-hardship.conf
	rm -r /run/systemd/system/headroomd.service.d
	systemctl daemon-reload
	systemctl stop headroomd scenario-relay $journald
	cp -a /var/log/journal "$work/journal"
	umount $disks
	find "$work/journal" -name '*.journal' -exec sh -c \
		'cp "$1" "/var/log/journal/$(basename "$(dirname "$1")")/hardship-${1##*/}"' sh {} \;
	systemctl start $journald
	systemctl start headroomd
} >/dev/null 2>&1
trap leave EXIT

# --- the trials -----------------------------------------------------------------------------------------

stands_frozen() { grep -qx 'frozen 1' "$cgroup/cgroup.events"; }
seconds_now() { awk '{ print $1 }' /proc/uptime; }
since_then() { awk -v then="$1" '{ printf "%.1f", $1 - then }' /proc/uptime; }
journal_lines() { journalctl -q -u headroomd -o cat | wc -l; }
cpu_ticks() { awk '{ sub(/.*\) /, ""); print $12 + $13 }' "/proc/$1/stat"; }

# What each thread of the daemon waits for.
threads_of() {
	local task
	for task in /proc/"$1"/task/*; do
		echo "$(cat "$task/comm"): $(awk '{ sub(/.*\) /, ""); print $1 }' "$task/stat"), in $(awk '{ printf "%s ", $2 }' "$task/stack" | cut -c1-200)"
	done
}

# trial NAME RATE AFFLICTION...: the job waits for its cue while the afflictions begin.
trial() {
	local name=$1 rate=$2 pid lines ticks affliction not_begun="" start held="not held" took used kills said within
	shift 2
	start_job "$name" 200M on_cue.py "$work/$name.cue" $jobs/grow.py --rate "$rate" --to 230 --state "$work/$name"
	if ! wait_for 60 test -e "$work/$name.cue.ready" || ! wait_for 30 known "$name"; then
		not_ok "$name: the job starts" "not within 60 s (said: $(tail -n 3 "$work/$name.err"))"
		return
	fi
	cgroup=/sys/fs/cgroup$(field "$name" cgroup) pid=$(service_pid) lines=$(journal_lines) ticks=$(cpu_ticks "$(service_pid)")
	for affliction in "$@"; do
		afflictions+=("$affliction")
		(set +e; trap - ERR; "begin_$affliction") >>"$work/begin-$name" 2>&1 || not_begun+=" $affliction"
	done

	start=$(seconds_now)
	touch "$work/$name.cue"
	if wait_for 90 stands_frozen; then held=held; fi
	took=$(since_then "$start")
	used=$(($(cat "$cgroup/memory.current" || echo 0) >> 20))
	kills=$(awk '$1 == "oom_kill" { print $2 }' "$cgroup/memory.events" || echo gone)
	ticks=$(($(cpu_ticks "$pid" || echo 0) - ticks))
	start=$(seconds_now)
	said=$(timeout 60 headroom resume "$name" --limit 320M 2>&1) || said="status $?: $said"
	wait_for 60 test -s "$work/$name" || threads_of "$pid" >"$work/threads"
	echo "# $name: $held after $took s at $used MiB, the daemon's CPU $ticks/100 s; finished $(since_then "$start") s after resume${said:+ (${said//$'\n'/ | })}" >"$work/line"
	within=$(cat "$work/$name" 2>&1) || true
	mend
	cat "$work/line"
	[ ! -s "$work/threads" ] || sed 's/^/# /' "$work/threads"
	rm -f "$work/threads"

	is "$name: it is so" "${not_begun:-begun}" begun
	is "$name: held before its limit" "$held, $kills OOM kills" "held, 0 OOM kills"
	is "$name: finishes when it has room" "$within" 'finished 23? MiB'
	[ -s "$work/$name" ] || headroom resume "$name" --limit 320M >/dev/null 2>&1 || threads_of "$pid" | sed 's/^/# mended, and still no answer: /'
	is "$name: keeps its work in any case" "$(end_of "$name") $(cat "$work/$name" 2>&1)" '0 finished 23? MiB'
	is "$name: the daemon lives" "$(service_pid)" "$pid"
	check "$name: and answers" wait_for 20 service_answers
	wait_for 5 eval "[ \$(journal_lines) -gt $lines ]" || true
	lines=$(($(journal_lines) - lines))
	check "$name: $lines lines in the journal" [ "$lines" -lt 40 ]
}

trial nothing 0
trial memory 0 memory
trial full 20 full
trial stall 0 stall
trial journal-gone 0 journal_gone
trial journal-stopped 20 journal_stopped
trial bus-gone 0 bus_gone
trial bus-hangs 0 bus_hangs
trial busy 0 busy
trial journal-and-bus 0 journal_stopped bus_gone rest
trial together 0 full stall journal_stopped bus_gone memory busy
