#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# check-completion.sh BUILD: what bash offers after some words, with the real client and a stand-in for its daemon; and
# what zsh offers, where it is installed. Exit status 0, or 1 with what differs.
set -u
build=$(cd "$1" && pwd)
top=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
failed=0
fake=
cleanup() {
	exec 3>&-
	[ -z "$fake" ] || wait "$fake"
	rm -rf "$work"
}
trap cleanup EXIT
mkfifo "$work/words"
"$build/tests/daemon/fake-daemon" "$work/bus" <"$work/words" >"$work/said" &
fake=$!
exec 3>"$work/words"
printf 'job\tanalyse\tok\t1\t2\tbecause\n' >&3
until grep -q '^done' "$work/said"; do sleep 0.1; done
export HEADROOM_SOCKET=$work/bus PATH=$build:$PATH

. "$top/conf/completion/headroom.bash"

# offers WANTED WORD...: WANTED must be among what is offered for the last word; with a "!" before it, must not be.
offers() {
	local wanted=$1 not=
	shift
	[ "${wanted#!}" = "$wanted" ] || { not=1 wanted=${wanted#!}; }
	COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
	_headroom
	local found=
	[[ " ${COMPREPLY[*]} " != *" $wanted "* ]] || found=1
	[ "${found:-0}" != "${not:-0}" ] || {
		echo "after \"$*\": ${not:+not }$wanted was wanted, got: ${COMPREPLY[*]}"
		failed=1
	}
}
offers resume headroom re
offers status headroom ''
offers --json headroom --
offers --limit headroom run --l
offers --no-python-hook headroom run --no
offers '!--limit' headroom status --
offers --openmetrics headroom metrics --o
offers '!j1' headroom metrics ''
offers --limit headroom drill --l
offers '!j1' headroom drill ''
offers j1 headroom resume ''
offers analyse headroom why a
offers '!j1' headroom resume j1 ''
offers j1 headroom resume --limit 8G ''
offers analyse headroom --json resume --limit 8G a
offers '!j1' headroom resume --limit 8G j1 ''
offers '!j1' headroom resume --limit ''
offers max headroom limit j1 ''
offers j1 headroom policy set ''
offers j1 headroom policy --json set ''
offers '!j1' headroom policy set j1 ''
offers default headroom policy set j1 ''
offers default headroom policy show ''
offers default headroom run --policy ''
offers default headroom run --limit 1G --policy d
offers list headroom policy ''
offers channel headroom run --checkpoint c
offers auto headroom run --limit a
offers '!auto' headroom attach --limit a
offers own_limit headroom history --outcome own
offers yesterday headroom history --since y
offers --html headroom why --
offers run headroom help ''
offers --output headroom record j1 --o
offers 1s headroom record j1 --interval ''
offers sleep headroom run --limit 1G -- sle
offers sleep headroom run --limit 1G sle
offers '!status' headroom run --limit 1G -- stat
offers sleep headroom run -- sle
offers sleep headroom advise sle
offers sleep headroom advise -- sle
offers sleep headroom run --policy default --name a -- sle
for word in "$top"/conf/completion/*; do
	[ "${word##*/}" = _headroom ] || bash -n "$word" || failed=1
done
if command -v zsh >/dev/null; then
	zsh -n "$top/conf/completion/_headroom" || failed=1
	zsh -fc "fpath=($top/conf/completion \$fpath); autoload -U compinit; compinit -u -d $work/dump; [[ \$_comps[headroom] = _headroom ]]" || {
		echo "zsh does not take _headroom for headroom"
		failed=1
	}
	# The same with zsh's own, whose functions are stood in for: they print what they would offer.
	cat >"$work/zsh" <<'END'
compadd() { print -l -- $@ }
_describe() { print -l -- ${${(P)2}%%:*} }
_command_names() { print command }
_files() { print file }
_users() { print user }
_normal() { print "command of $words[1], word $CURRENT" }
words=("${@[2,-1]}") CURRENT=$(($# - 1))
set --
source $functions_file
END
	zsh_offers() { # WANTED WORD...
		local wanted=$1 not= found= got
		shift
		[ "${wanted#!}" = "$wanted" ] || { not=1 wanted=${wanted#!}; }
		got=$(functions_file="$top/conf/completion/_headroom" zsh -f "$work/zsh" - "$@")
		! grep -qxF -e "$wanted" <<<"$got" || found=1
		[ "${found:-0}" != "${not:-0}" ] || {
			echo "zsh, after \"$*\": ${not:+not }$wanted was wanted, got: $got"
			failed=1
		}
	}
	zsh_offers resume headroom ''
	zsh_offers --limit headroom run --
	zsh_offers j1 headroom resume ''
	zsh_offers j1 headroom resume --limit 8G ''
	zsh_offers '!j1' headroom resume --limit 8G j1 ''
	zsh_offers '!j1' headroom metrics ''
	zsh_offers max headroom limit j1 ''
	zsh_offers auto headroom run --limit ''
	zsh_offers list headroom policy ''
	zsh_offers j1 headroom policy set ''
	zsh_offers default headroom policy --json set j1 ''
	zsh_offers default headroom run --limit 1G --policy ''
	zsh_offers command headroom run --limit 1G ''
	zsh_offers command headroom advise ''
	zsh_offers 'command of sleep, word 2' headroom run --limit 1G sleep ''
	zsh_offers 'command of sle, word 1' headroom run --limit 1G -- sle
	zsh_offers 'command of python3, word 2' headroom advise -- python3 ''
fi
exit $failed
