# Goal: a job that reads 2 GB of files through a 300 MiB limit is healthy and never warned: page cache is not
# counted as used.
# Time limit: 600 s
need_headroom

make_data "$work/data"
start_job reader 300M cache_reader.py --folder "$work/data" --total 2048 --state "$work/state"
wait_for 60 known reader
id=$(field reader job)
limit_becomes "its limit is the one asked for" reader $((300 << 20))
is "it ends well" "$(end_of reader)" 0
is "it has read everything" "$(cat "$work/state")" 'finished 2048 MiB'
is "it was never warned" "$(stages_of "$id")" ''
