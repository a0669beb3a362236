# Goal: who is nobody's job is never touched, be it a service or a process in the owner's own login, while
# jobs beside it are held, given room, interrupted and killed.
# Time limit: 400 s
need_headroom

start_bystander
start_bystander as_login ana
# answer COMMAND WANTED: holds a job, answers, and judges what it leaves.
answer() {
	rm -f "$work/state"
	start_job grow 400M grow.py --rate 60 --to 460 --state "$work/state"
	wait_for 60 held grow
	# shellcheck disable=SC2086 # a list of words
	headroom $1
	is "$1" "$(end_of grow) $(cat "$work/state" 2>&1)" "$2"
}
answer "resume grow --limit 800M" '0 finished 460 MiB'
answer "interrupt grow" '* saved [1-9]* MiB'
answer "kill grow" '137 *No such file*'
is "the bystanders are untouched" "$(judge_bystanders)" $'untouched\nuntouched'
