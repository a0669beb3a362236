#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# fetch.sh SUITE DIRECTORY PACKAGE...: unpacks packages of another Debian suite into DIRECTORY/root, without what they
# depend on, from this machine's own mirror and with its keys; installs nothing. What is there already is kept.
set -eu
suite=$1 dir=$2
shift 2
[ ! -e "$dir/complete" ] || exit 0
own=$(. /etc/os-release && echo "$VERSION_CODENAME")
mirror=$(apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' | awk -v suite="$own" '$1 == suite { print $2; exit }')
[ -n "$mirror" ] || { echo "apt knows no mirror of $own" >&2; exit 1; }
mkdir -p "$dir/lists" "$dir/cache/archives/partial"
dir=$(cd "$dir" && pwd)
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >"$dir/sources.list"
apt() {
	apt-get -qq -o Dir::Etc::sourcelist="$dir/sources.list" -o Dir::Etc::sourceparts=- -o Dir::State::lists="$dir/lists" \
		-o Dir::Cache="$dir/cache" -o APT::Sandbox::User=root "$@" >&2
}
apt update
cd "$dir"
apt download "$@"
for package in *.deb; do dpkg-deb -x "$package" root; done
touch complete
