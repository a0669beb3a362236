#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# Rings 1 to 3: builds with gcc and clang, runs every test under ASan and UBSan and once more as it will be
# installed, and the checks of the tree itself. Ends with "check: N passed, N failed, N skipped".
set -u
B=${1:-build}
results=$B/check-results
mkdir -p "$B"
: >"$results"

ok() { echo "ok - $1" | tee -a "$results"; }
not_ok() { echo "not ok - $1: $2" | tee -a "$results"; }
skip() { echo "skip - $1: $2" | tee -a "$results"; }

# step NAME COMMAND...: one check that passes or fails as a whole; its output is shown when it fails.
step() {
	local name=$1 log
	shift
	log=$(mktemp)
	if "$@" >"$log" 2>&1; then ok "$name"; else
		not_ok "$name" "exit status $?"
		sed 's/^/    /' "$log" | tail -n 60
	fi
	rm -f "$log"
}

# lines NAME COMMAND...: a program that prints ok, not ok and skip lines itself; only those count. One that fails without
# saying so, or says nothing, is a failure.
lines() {
	local name=$1 log status counted failed
	shift
	log=$(mktemp)
	"$@" >"$log" 2>&1
	status=$?
	# cmocka's TAP: "ok 3 - name", "ok 3 # SKIP name", "not ok 3 - name"
	sed -nE "s/^(not ok|ok) [0-9]+ # SKIP (.*)/skip - $name: \2/p; t; s/^(not ok|ok) [0-9]+ - (.*)/\1 - $name: \2/p; t; s/^(ok|not ok|skip) - (.*)/\1 - $name: \2/p" \
		"$log" >"$log.lines"
	counted=$(wc -l <"$log.lines")
	failed=$(grep -c '^not ok' "$log.lines")
	cat "$log.lines" >>"$results"
	if [ "$failed" -gt 0 ] || [ "$status" -ne 0 ] || [ "$counted" -eq 0 ]; then
		[ "$failed" -gt 0 ] || not_ok "$name" "exit status $status after $counted results"
		sed 's/^/    /' "$log" | grep -v '^    ok' | tail -n 80
	fi
	grep '^skip' "$log.lines"
	echo "$name: $((counted - failed)) of $counted"
	rm -f "$log" "$log.lines"
}

# ---- builds ----
j=$(nproc)
step "build with gcc" make --no-print-directory -j"$j" B="$B" CC=gcc all tests
step "build with clang, ASan and UBSan" make --no-print-directory -j"$j" B="$B/asan" CC=clang SANITIZE=address,undefined all tests

# ---- the tree itself ----
if command -v clang-format >/dev/null; then
	step "clang-format" clang-format --dry-run -Werror $(git ls-files '*.c' '*.h' 2>/dev/null || find daemon client tests -name '*.[ch]')
fi
for page in man/*.[1-8]; do
	# A page of ours that is not installed yet can't be found by mandoc; everything else is an error.
	lint() { ! mandoc -T lint "$1" | grep -vE 'referenced manual not found|outdated mandoc.db' | grep .; }
	step "mandoc lint $page" lint "$page"
done
headers_alone() {
	local h
	for h in $(find daemon client -name '*.h'); do
		echo "#include \"$h\"" | gcc -std=gnu17 -D_GNU_SOURCE= -Idaemon -I. -Wall -Wextra -Wno-unused-parameter -Werror -fsyntax-only -x c - || return 1
	done
}
step "every header compiles alone" headers_alone
step "think/ is pure" sh tests/purity.sh "$B"
step "manual and sample match the table of keys" bash tests/check-config-docs.sh "$B/tests/unit/test-config"
step "the manual tells what the client does" sh tests/check-client-docs.sh "$B/headroom" "$B/tests/daemon/fake-daemon"
step "metrics and journal know every action" /usr/bin/python3 tests/check-deeds.py
step "completion offers what the client knows" bash tests/check-completion.sh "$B"
step "shipped configuration is good" "$B/headroomd" --config conf/headroom.conf --check-config
step "make install and uninstall leave nothing behind" sh tests/install.sh "$B"

# ---- rings 1 and 2, sanitized; ring 3's C tests ----
export CMOCKA_MESSAGE_OUTPUT=TAP
export ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 UBSAN_OPTIONS=print_stacktrace=1
for t in "$B"/asan/tests/{unit,replay,daemon}/test-*; do
	[ -x "$t" ] && [ ! -d "$t" ] && case $t in *.o | *.d) ;; *) lines "$(basename "$t")" timeout 300 "$t" ;; esac
done

# ---- ring 3: the programs as they are installed ----
lines test-client timeout 600 /usr/bin/python3 tests/daemon/test-client.py "$B/headroom" "$B/tests/daemon/fake-daemon"
lines test-python-3.9 timeout 600 sh tests/python/old.sh "$B/pythons"
lines test-python timeout 600 env HEADROOM_OLD_PYTHONS="$(realpath "$B")/pythons/root/usr/bin/python2.7" /usr/bin/python3 tests/python/run.py
export HEADROOM_PROMETHEUS=$PWD/build/prometheus # its scenarios skip without it
lines test-jobs timeout 1500 /usr/bin/python3 tests/daemon/test-jobs.py "$B" -j 2

passed=$(grep -c '^ok' "$results")
failed=$(grep -c '^not ok' "$results")
skipped=$(grep -c '^skip' "$results")
grep '^not ok' "$results"
echo "check: $passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
