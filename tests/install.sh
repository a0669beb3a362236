#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Goal: `make install DESTDIR=D prefix=/usr` lays down what the service needs, keeps a changed configuration, and
# `make uninstall` takes it all away again.
set -eu
B=$1
D=$(mktemp -d)
trap 'rm -rf "$D"' EXIT
install() { make --no-print-directory B="$B" DESTDIR="$D" prefix=/usr sysconfdir=/etc "$@" >/dev/null; }
install install
for f in usr/sbin/headroomd usr/bin/headroom usr/lib/systemd/system/headroomd.service usr/lib/systemd/user/headroomd.service \
	etc/headroom/headroom.conf usr/share/dbus-1/system.d/org.headroom.Headroom1.conf usr/share/man/man1/headroom.1 \
	usr/share/man/man5/headroom.conf.5 usr/share/man/man8/headroomd.8 usr/lib/headroom/hooks/mail \
	usr/share/headroom/prometheus/headroom.rules.yml usr/share/headroom/prometheus/headroom-dashboard.json; do
	[ -s "$D/$f" ] || { echo "missing: $f"; exit 1; }
done
if grep -rq '@sbindir@' "$D/usr/lib/systemd"; then echo "a unit was not filled in"; exit 1; fi
echo '# mine' >>"$D/etc/headroom/headroom.conf"
install install
grep -q '# mine' "$D/etc/headroom/headroom.conf" || { echo "a changed configuration was overwritten"; exit 1; }
[ -s "$D/etc/headroom/headroom.conf.new" ] || { echo "the new sample is not beside the changed one"; exit 1; }
install uninstall
left=$(cd "$D" && find . -type f ! -path './etc/headroom/*')
[ -z "$left" ] || { echo "left behind: $left"; exit 1; }
