# Goal: a job that fits is left in peace: it rises to 95 % of its limit, at two paces, stays, finishes, and was
# not frozen for a moment (the job itself would notice).
# Time limit: 400 s
need_headroom

for rate in 20 100; do
	name=fits-$rate
	start_job "$name" 400M plateau.py --percent 95 --limit 400 --rate "$rate" --stay 30 --state "$work/$name"
	wait_for 90 test -e "$work/$name.up"
	id=$(field "$name" job)
	is "at $rate MB/s: it ends well" "$(end_of "$name")" 0
	is "at $rate MB/s: it finishes, never frozen" "$(cat "$work/$name")" 'finished at 9[56] %, frozen 0 times'
	is "at $rate MB/s: not held, interrupted or killed" "$(stages_of "$id" | grep -E '^(hold|interrupt|kill) ')" ''
done
