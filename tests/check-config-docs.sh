#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# check-config-docs.sh PROGRAM [DIRECTORY]
#
# Holds the manual and the shipped sample against the table of keys. PROGRAM prints them: `PROGRAM keys` what
# hr_config_keys writes, `PROGRAM sample` what hr_config_sample writes; build/tests/test-config does. DIRECTORY is
# the top of the tree (default: the one that this script is in). Exit status: 0, or 1 with what differs.
#
#   - conf/headroom.conf is the sample, byte for byte.
#   - Each key has its entry in man/headroom.conf.5, in its section, with the default and the range of the sample:
#         .Ss [policy NAME], ...
#         .It Ic hold = 97%
#         Takes 0% to 100% or off.
#     and the manual has no entry besides.
set -eu

[ $# -eq 1 ] || [ $# -eq 2 ] || { echo "usage: $0 PROGRAM [DIRECTORY]" >&2; exit 2; }
program=$1
top=${2:-$(dirname "$0")/..}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

"$program" sample > "$work/sample"
"$program" keys > "$work/keys"
[ -s "$work/keys" ] || { echo "$program keys: prints nothing" >&2; exit 1; }

if ! diff -u "$top/conf/headroom.conf" "$work/sample"; then
        echo "conf/headroom.conf: not the sample; write it anew: $program sample > conf/headroom.conf" >&2
        failed=1
fi

# Both as "section.key = default|range", a line for each key.
awk '/^#?\[/   { section = $0; gsub(/[^a-z ]/, "", section); sub(/ .*/, "", section) }
     /^# Takes / { takes = substr($0, 3) }
     /^#[a-z]/ { print section "." substr($0, 2) "|" takes; takes = "" }' \
        "$work/sample" > "$work/wanted"
awk '/^\.Ss /  { section = ""; if ($2 ~ /^\[/) { section = $2; gsub(/[^a-z]/, "", section) } }
     /^\.Sh /  { section = "" }
     entry != "" { print entry "|" $0; entry = "" }
     /^\.It Ic / && section != "" { entry = section "." substr($0, 8) }' \
        "$top/man/headroom.conf.5" > "$work/found"

if ! diff -u "$work/wanted" "$work/found"; then
        echo "man/headroom.conf.5: the lines with - are missing, those with + are wrong" >&2
        failed=1
fi
sed 's/ =.*//' "$work/found" | diff -u "$work/keys" - || failed=1

exit $failed
