# Goal: kill -9 of the daemon at random moments, 100 times, while jobs of each kind are at any stage: each time the
# service comes back and knows every one of them; each is finished in the end, none frozen and forgotten, none killed.
# Time limit: 2400 s
need_headroom
kills=$(oom_kills)

install -d /etc/headroom/headroom.conf.d
printf '[match vm]\nunit = vm-matched*.service\npolicy = default\nlimit = 90M\nlimit_max = 1G\n' >/etc/headroom/headroom.conf.d/vm-crashes.conf
systemctl reload headroomd
crashes=$(cat /payload/crashes)
if python3 -B /payload/crashes.py "$crashes" "$work" 2>"$work/crashes.err"; then
	ok "every job finishes, after $crashes crashes"
else
	not_ok "every job finishes" "$(tail -n 5 "$work/crashes.err")"
fi
is "none is left frozen" "$(frozen_cgroups)$(stopped_processes)" ''
is "the kernel killed none" "$(oom_kills)" "$kills"
