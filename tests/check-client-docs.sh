#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# check-client-docs.sh HEADROOM FAKE_DAEMON [DIRECTORY]
#
# Holds man/headroom.1 against what the client does. HEADROOM is the client, FAKE_DAEMON answers it
# (build/tests/daemon/fake-daemon). DIRECTORY is the top of the tree (default: the one that this script is in).
# Exit status: 0, or 1 with what differs.
#
#   - The keys of each JSON object are those of its entry in the section JSON, in that order.
#   - Each verb that --help shows has its section, each option of a verb its entry.
#   - Each page and each help reads at 80 columns.
set -eu

[ $# -eq 2 ] || [ $# -eq 3 ] || { echo "usage: $0 HEADROOM FAKE_DAEMON [DIRECTORY]" >&2; exit 2; }
headroom=$1 fake=$2
top=${3:-$(dirname "$0")/..}
page=$top/man/headroom.1
work=$(mktemp -d)
failed=0
fake_pid=
cleanup()
{
        exec 3>&-
        [ -z "$fake_pid" ] || wait "$fake_pid" || true
        rm -rf "$work"
}
trap cleanup EXIT

mkfifo "$work/words"
"$fake" "$work/bus" < "$work/words" > "$work/said" &
fake_pid=$!
exec 3> "$work/words"
printf 'job\twork\thold\t1\t2\tbecause\nevent\tj1\twork\thold\ttrim\t1\t2\tfreeze\tdone\tbecause\n' >&3
tries=100
until [ "$(grep -c '^done' "$work/said")" -eq 3 ]; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || { echo "$fake: does not answer" >&2; exit 1; }
        sleep 0.1
done
printf '[policy mine]\nnotice = 600\n' > "$work/bad.conf"

# keys COMMAND...: those of the first object that it prints, one to a line.
keys()
{
        HEADROOM_SOCKET=$work/bus "$headroom" "$@" --json 2> /dev/null |
                grep -m 1 '^{' | grep -o '"[a-z_]*": ' | tr -d '": '
}

# documented ENTRY: the words of .Sy below ".It ENTRY" in the section JSON.
documented()
{
        awk -v entry=".It $1" '
                /^\.Sh /  { inside = ($0 == ".Sh JSON") }
                /^\.It /  { mine = ($0 == entry) }
                inside && mine && /^\.Sy / { for (i = 2; i <= NF; i++) if ($i ~ /^[a-z_]+$/) print $i }' "$page"
}

# same_keys ENTRY COMMAND...
same_keys()
{
        entry=$1
        shift
        documented "$entry" > "$work/wanted"
        keys "$@" > "$work/found" || true
        [ -s "$work/found" ] || { echo "headroom $*: prints no object" >&2; failed=1; }
        diff -u --label "man/headroom.1, JSON, $entry" --label "headroom $* --json" "$work/wanted" "$work/found" >&2 || failed=1
}

same_keys 'Cm status' status
same_keys 'Cm limit' limit work
same_keys 'Cm events' events
same_keys 'Cm why' why work
same_keys 'Cm history' history
same_keys 'Cm advise' advise ended
same_keys 'Cm doctor' doctor
same_keys 'Cm metrics' metrics
same_keys 'Cm drill' drill --limit 16M
same_keys 'Cm policy list , policy show' policy show default
same_keys 'Cm policy check' policy check "$work/bad.conf"
same_keys 'the others' hold work

"$headroom" --help | awk 'length > 80 { print "headroom --help: too wide: " $0; wide = 1 } END { exit wide }' >&2 || failed=1
verbs=$("$headroom" --help | sed -n 's/^  \([a-z]*\) .*/\1/p')
[ -n "$verbs" ] || { echo "headroom --help: shows no verbs" >&2; failed=1; }
for verb in $verbs; do
        grep -qx "\.Ss $verb" "$page" || { echo "man/headroom.1: has no section on $verb" >&2; failed=1; }
        "$headroom" "$verb" --help | awk -v verb="$verb" '
                length > 80 { print "headroom " verb " --help: too wide: " $0; wide = 1 }
                END { exit wide }' >&2 || failed=1
        for option in $("$headroom" "$verb" --help | sed -n 's/^  --\([a-z-]*\).*/\1/p'); do
                grep -qE "^\.(It )?Fl -$option( |$)" "$page" ||
                        { echo "man/headroom.1: does not tell of --$option of $verb" >&2; failed=1; }
        done
done

if command -v mandoc > /dev/null; then
        for each in "$top"/man/*.[1-8]; do
                # In ASCII, so that a byte is a column.
                mandoc -T ascii -O width=78 "$each" | sed 's/.\x08//g' | awk -v name="$(basename "$each")" '
                        length > 80 { print "man/" name ": too wide: " $0; wide = 1 }
                        END { exit wide }' >&2 || failed=1
        done
fi

exit $failed
