#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Installs what the virtual machine ring needs and this machine lacks, by apt, with sudo when not root.
set -eu

# Debian package and a command that it brings.
needs='
qemu-system-x86 qemu-system-x86_64
qemu-utils qemu-img
mmdebstrap mmdebstrap
e2fsprogs mkfs.ext4
util-linux mkswap
fakeroot fakeroot
uidmap newuidmap
'

PATH=$PATH:/usr/sbin:/sbin
missing=$(echo "$needs" | while read -r package program; do
	[ -z "$package" ] || command -v "$program" >/dev/null || echo "$package"
done)
[ -n "$missing" ] || exit 0

echo "vm: installing what the virtual machine ring needs:" "$(echo "$missing" | tr '\n' ' ')" >&2
sudo=
[ "$(id -u)" = 0 ] || sudo=sudo
$sudo apt-get update -q >&2
# shellcheck disable=SC2086 # a list of words
$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing >&2
