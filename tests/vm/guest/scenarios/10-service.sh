# Goal: the service as installed is up, answers root and an ordinary user, is well protected and silent, and
# the command line keeps its contract of exit statuses.
need_headroom

check "the service is active" systemctl is-active headroomd
is "it is protected from the OOM killer" "$(systemctl show -p OOMScoreAdjust --value headroomd)" -900
check "the socket is there" test -S /run/headroom/bus
is "no job: an empty array" "$(headroom status --json | tr -d '[:space:]')" '[]'
check "ana may ask as well" as_login ana headroom status --json
check "the shipped configuration is good" headroomd --check-config
check "doctor finds nothing wrong" headroom doctor

# status_of COMMAND...: its exit status.
status_of() {
	local status=0
	"$@" >"$work/said" 2>&1 || status=$?
	echo $status
}
is "run passes the job's status on" "$(status_of as_login ana headroom run -- sh -c 'exit 7')" 7
is "run tells a signal as 128 + n" "$(status_of as_login ana headroom run -- sh -c 'kill -KILL $$')" 137
is "run: no such command" "$(status_of headroom run -- /no/such/command)" 127
is "usage" "$(status_of headroom run --limit 400 -- true)" 2
is "a bare number is refused with a hint" "$(cat "$work/said")" '*400M*'
is "no such job" "$(status_of headroom resume nobody)" 4

in_background roots headroom run --name roots -- sleep 100
wait_for 20 known roots
is "not ana's job" "$(status_of as_login ana headroom kill roots)" '[45]'
check "root kills it" headroom kill roots
is "run tells that it was killed" "$(end_of roots)" 137

systemctl stop headroomd
is "no daemon" "$(status_of headroom status)" 3
is "run without a daemon" "$(status_of headroom run -- true)" 125
is "run --unwatched" "$(status_of headroom run --unwatched -- sh -c 'exit 9')" 9
