# Goal: a numpy job under its own 400 MiB limit, without swap, keeps its work: at 20 MB/s and at full speed,
# GROWING_RUNS runs each (in the environment of check.sh, or 4), and the kernel kills none. Each is held before its limit and then, in turn, given more room
# (it must finish) or interrupted (it must have saved). A job that saved and ended by itself kept its work too.
# Time limit: 2400 s
need_headroom

# one_run NAME RATE ANSWER
one_run() {
	local name=$1 rate=$2 answer=$3 kills wanted='saved [1-9]* MiB'
	kills=$(oom_kills)
	start_job "$name" 400M grow.py --rate "$rate" --to 500 --state "$work/$name"
	wait_for 120 held_or_ended "$name" || true
	if held "$name"; then
		case $answer in
		resume) headroom resume "$name" --limit 800M; wanted='finished 500 MiB' ;;
		interrupt) headroom interrupt "$name" ;;
		esac
	else
		answer="not held"
	fi
	wait_for 120 ended "$name" || true
	is "$name at $rate MB/s, $answer: keeps its work" \
		"$(cat "$work/$name" 2>&1), $(($(oom_kills) - kills)) OOM kills" "$wanted, 0 OOM kills"
}

for rate in 20 0; do
	for number in $(seq $(($(cat /payload/growing-runs 2>/dev/null || echo 4) / 2))); do
		one_run "rate$rate-more-$number" "$rate" resume
		one_run "rate$rate-stop-$number" "$rate" interrupt
	done
done

# What the analyst sees in her terminal.
is "she is told how to answer" "$(cat "$work/rate20-more-1.err")" '*headroom resume *--limit*'
