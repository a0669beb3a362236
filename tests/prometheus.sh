#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# prometheus.sh DIRECTORY: Prometheus, its promtool, its node exporter and its Python client below DIRECTORY, out of
# Debian's packages. They are unpacked, not installed: that would start them as services. Does nothing where they are
# there already. Exit status: 0, or apt's.
set -eu
mkdir -p "$1"
cd "$1"
[ -e complete ] && exit 0
packages='prometheus prometheus-node-exporter python3-prometheus-client python3-decorator'
# Root's apt leaves its sandbox for a directory that its user can't write to, and says so: that is no error.
# shellcheck disable=SC2086
apt-get download $packages >log 2>&1 || {
	sudo=
	[ "$(id -u)" = 0 ] || sudo=sudo
	$sudo apt-get update >>log 2>&1 || true
	apt-get download $packages >>log 2>&1 || { cat log >&2; exit 1; }
}
for package in *.deb; do dpkg-deb -x "$package" .; done
rm -f -- *.deb
: >complete
