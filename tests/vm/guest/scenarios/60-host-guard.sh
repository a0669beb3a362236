# Goal: the whole machine runs short, without swap. The watched job that grows, with no limit of its own, goes
# through its ladder and keeps its work; a steady watched job and a bystander are untouched, the machine stays
# usable, and the kernel kills none.
# Time limit: 600 s
need_headroom

start_bystander
for rate in 20 0; do
	kills=$(oom_kills)
	start_job "steady-$rate" none plateau.py --percent 100 --limit 100 --stay 90 --state "$work/steady-$rate"
	wait_for 60 test -e "$work/steady-$rate.up"
	start_job "greedy-$rate" none grow.py --rate "$rate" --to 3000 --state "$work/greedy-$rate"
	wait_for 60 known "greedy-$rate"
	id=$(field "greedy-$rate" job)
	check "at $rate MB/s: the growing job ends" wait_for 240 ended "greedy-$rate"
	is "at $rate MB/s: it keeps its work" "$(cat "$work/greedy-$rate" 2>&1)" 'saved [1-9]* MiB'
	is "at $rate MB/s: its owner learns why" "$(stages_of "$id")" '*host*'
	is "at $rate MB/s: the steady job finishes" "$(end_of "steady-$rate") $(cat "$work/steady-$rate" 2>&1)" \
		'0 finished at *, frozen 0 times'
	is "at $rate MB/s: the kernel killed none" "$(oom_kills)" "$kills"
done
# Without swap the kernel drops even the bystander's program pages: it may pause to read them again.
is "the bystander is untouched" "$(judge_bystanders 20)" untouched
check "a login works" as_login ana true
