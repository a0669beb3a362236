#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# image.sh [SUITE]: makes the virtual machine's image for SUITE (bookworm, the default, or trixie) and
# prints its folder, build/vm/HASH, which holds disk.ext4, vmlinuz and initrd.
#
# VM_PACKAGES="NAME:PACKAGE..." in the environment makes another image beside it, called NAME, with those
# packages as well; what they would start at boot is off (root/, vm-customize).
#
# mmdebstrap makes a tree from Debian packages, mkfs.ext4 turns it into a disk: no mount, no root needed.
# The folder is named by a hash of everything that goes in (this file, the packages, root/), so a second call
# finds it and returns at once. It is built under another name and renamed when complete; a lock keeps two
# builds apart, and whoever holds it clears what an interrupted build left behind. A new image replaces the
# suite's old one.
set -euo pipefail

suite=${1:-bookworm}
here=$(cd "$(dirname "$0")" && pwd)
store=$(cd "$here/../.." && pwd)/build/vm
PATH=$PATH:/usr/sbin:/sbin

case $suite in
bookworm) cgroup_library=libcgroup2 ;;
trixie) cgroup_library=libcgroup3 ;;
*) echo "image.sh: unknown suite '$suite' (bookworm or trixie)" >&2; exit 2 ;;
esac

host_suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
packages=(
	systemd systemd-sysv dbus dbus-user-session libpam-systemd udev linux-image-cloud-amd64
	python3 python3-numpy criu procps util-linux strace
	prometheus prometheus-node-exporter
	"$cgroup_library" libinih1 libsqlite3-0
)
# A program built here runs in a guest of the same suite only; in another it is built in the guest.
[ "$suite" = "$host_suite" ] || packages+=(gcc libc6-dev make pkg-config libsystemd-dev libcgroup-dev libinih-dev libsqlite3-dev libncurses-dev)

# A second image has a name of its own, so that neither replaces the other.
name=$suite
if [ -n "${VM_PACKAGES:-}" ]; then
	name=$suite-${VM_PACKAGES%%:*}
	read -ra more <<<"${VM_PACKAGES#*:}"
	packages+=("${more[@]}")
fi

# The mirrors of this machine's own apt, for any suite; none known: mmdebstrap's default.
mirrors() {
	local known part uri
	known=$(apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null) || return 0
	for part in "" -updates -security; do
		uri=$(awk -v release="$host_suite$part" '$1 == release { print $2 }' <<<"$known" | tail -n 1)
		[ -z "$uri" ] || echo "deb $uri $suite$part main"
	done
}

hash=$({ echo "${packages[@]}"; cd "$here" && find image.sh root -type f -print0 | sort -z | xargs -0 sha256sum; } |
	sha256sum | cut -c1-12)
image=$store/$name-$hash
mkdir -p "$store"
exec 9>"$store/lock"
flock 9
rm -rf "$store"/*.partial
if [ -d "$image" ]; then
	echo "$image"
	exit 0
fi
partial=$image.partial
mkdir "$partial"
echo "vm: making the $name image (some minutes, once)" >&2

mapfile -t sources < <(mirrors)
(IFS=,; mmdebstrap --quiet --variant=minbase --format=tar \
	--include="${packages[*]}" \
	--aptopt='Acquire::Check-Valid-Until "false"' \
	--dpkgopt='path-exclude=/usr/share/doc/*' \
	--dpkgopt='path-exclude=/usr/share/man/*' \
	--dpkgopt='path-exclude=/usr/share/locale/*' \
	--customize-hook="sync-in $here/root /" \
	--customize-hook='chroot "$1" sh -eu /usr/local/libexec/vm-customize' \
	"$suite" "$partial/root.tar" "${sources[@]}") >&2

# fakeroot keeps owners and modes on the way from the tar file into the disk.
fakeroot sh -euc '
	cd "$1"
	mkdir tree
	tar -xf root.tar -C tree
	cp tree/boot/vmlinuz-* vmlinuz
	cp tree/boot/initrd.img-* initrd
	truncate -s 4G disk.ext4
	mkfs.ext4 -q -L root -O ^has_journal -d tree disk.ext4
' sh "$partial" >&2
rm -rf "$partial/tree" "$partial/root.tar"
rm -rf "$store/$name"-????????????
mv -T "$partial" "$image"
echo "$image"
