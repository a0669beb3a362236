# Goal: the workloads do what the other scenarios judge headroom by, under the bare kernel. Needs no headroom.

kills=$(oom_kills)

under 800 python3 $jobs/grow.py --to 200 --state "$work/grow"
is "grow.py finishes where there is room" "$(cat "$work/grow")" 'finished 200 MiB'

for signal in TERM INT; do
	# A background command of a script inherits SIGINT ignored.
	env --default-signal=INT python3 $jobs/grow.py --rate 20 --to 300 --state "$work/$signal" 2>/dev/null &
	wait_for 60 sh -c "[ \$(awk '/VmRSS/ { print \$2 }' /proc/$!/status) -gt 80000 ]"
	kill -$signal $!
	wait $! || true
	is "grow.py keeps its work on SIG$signal" "$(cat "$work/$signal")" 'saved [1-9]* MiB'
done

prlimit --data=$((200 << 20)) python3 $jobs/grow.py --to 400 --state "$work/fuse" 2>"$work/fuse.err" || true
is "grow.py keeps its work on MemoryError" "$(cat "$work/fuse")" 'saved [1-9]* MiB'
is "and says why" "$(cat "$work/fuse.err")" '*MemoryError*'

start_bystander
under 400 python3 $jobs/plateau.py --percent 95 --limit 400 --stay 5 --state "$work/plateau"
is "plateau.py stays at 95 % and finishes" "$(cat "$work/plateau")" 'finished at 95 %, frozen 0 times'

make_data "$work/data"
under 300 python3 $jobs/cache_reader.py --folder "$work/data" --total 2048 --state "$work/reader"
is "cache_reader.py reads 2 GB through 300 MiB" "$(cat "$work/reader")" 'finished 2048 MiB'

is "the bystander is untouched" "$(judge_bystanders)" untouched
is "none was killed" "$(oom_kills)" "$kills"
