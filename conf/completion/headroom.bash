# SPDX-License-Identifier: LGPL-2.1-or-later
# Completion for headroom in bash. Verbs and options are those of --help, jobs and policies those of the daemon.

_headroom_ask() { timeout 2 headroom "$@" 2>/dev/null; }
_headroom_verbs() { _headroom_ask --help | sed -n 's/^  \([a-z]\{2,\}\)  .*/\1/p'; }
_headroom_options() { _headroom_ask ${1:+"$1"} --help | sed -n 's/^  \(--[a-z-]*\).*/\1/p'; }
_headroom_jobs() {
	_headroom_ask status --json | sed -n 's/.*"job": "\([^"]*\)".*"name": "\([^"]*\)".*/\1 \2/p'
}
_headroom_policies() { _headroom_ask policy list; }

_headroom() {
	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} verb='' i
	local -a said=() # after the verb, without options and their values
	COMPREPLY=()
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		--) # what follows is the job's own command
			[[ $verb == run || $verb == advise ]] && { _headroom_command $((i + 1)); return; } ;;
		--socket | --name | --limit | --policy | --checkpoint | --output | --interval | --since | --until | --user | --outcome | --html) ((i++)) ;;
		-*) ;;
		*) if [[ ! $verb ]]; then verb=${COMP_WORDS[i]}; elif [[ $verb == run || $verb == advise ]]; then
			_headroom_command "$i"
			return
		else said+=("${COMP_WORDS[i]}"); fi ;;
		esac
	done
	local choices=''
	case $before in
	--policy) choices=$(_headroom_policies) ;;
	--checkpoint) choices='channel criu signal:USR1 signal:B:USR1 hook:/ none' ;;
	--interval) choices='100ms 1s 10s 1min' ;;
	--limit) choices='80% max'; [[ $verb == run ]] && choices+=' auto' ;;
	--since | --until) choices='today yesterday 1h 1d 7d' ;;
	--outcome) choices='finished failed memory_error interrupted killed own_limit host_full signal ended unseen detached' ;;
	--user)
		mapfile -t COMPREPLY < <(compgen -u -- "$word")
		return
		;;
	--html)
		mapfile -t COMPREPLY < <(compgen -f -- "$word")
		return
		;;
	--name) return ;;
	--socket | --output)
		mapfile -t COMPREPLY < <(compgen -f -- "$word")
		return
		;;
	*)
		if [[ $word == -* ]]; then
			choices=$(_headroom_options "$verb")
		else
			case $verb in
			'') choices=$(_headroom_verbs) ;;
			help) choices=$(_headroom_verbs) ;;
			run | advise)
				mapfile -t COMPREPLY < <(compgen -c -- "$word")
				return
				;;
			policy)
				case ${said[0]-}/${#said[@]} in
				/0) choices='list show set check' ;;
				show/1 | set/2) choices=$(_headroom_policies) ;;
				set/1) choices=$(_headroom_jobs) ;;
				check/1)
					mapfile -t COMPREPLY < <(compgen -f -- "$word")
					return
					;;
				esac
				;;
			attach | doctor | drill | metrics | history) ;;
			limit) if ((${#said[@]})); then choices='80% max'; else choices=$(_headroom_jobs); fi ;;
			*) ((${#said[@]})) || choices=$(_headroom_jobs) ;;
			esac
		fi
		;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$choices" -- "$word")
}

# _headroom_command N: the words from the Nth on are a command of their own.
_headroom_command() {
	if declare -F _command_offset >/dev/null; then
		_command_offset "$1"
	elif ((COMP_CWORD == $1)); then
		mapfile -t COMPREPLY < <(compgen -c -- "${COMP_WORDS[COMP_CWORD]}")
	else
		mapfile -t COMPREPLY < <(compgen -f -- "${COMP_WORDS[COMP_CWORD]}")
	fi
}

complete -o default -F _headroom headroom
