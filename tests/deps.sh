#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Names and installs those of the given Debian packages that are lacking, with sudo if not root.
set -eu
lacking=
for package in "$@"; do
	case $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true) in
	installed) ;;
	*) lacking="$lacking $package" ;;
	esac
done
[ -n "$lacking" ] || exit 0
echo "installing:$lacking"
sudo=
[ "$(id -u)" = 0 ] || sudo=sudo
if [ -n "$sudo" ] && ! command -v sudo >/dev/null; then
	echo "not root, and there is no sudo: as root, apt-get install$lacking" >&2
	exit 1
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for try in 1 2; do
	# shellcheck disable=SC2086
	if $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $lacking >"$log" 2>&1; then
		exit 0
	fi
	# The list of packages may be old, or there may be none yet.
	[ "$try" = 2 ] || $sudo apt-get update >>"$log" 2>&1 || true
done
cat "$log" >&2
exit 1
