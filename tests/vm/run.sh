#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# run.sh [--suite S] [--memory MB] [--swap MB] [--timeout SEC] [--accel ARGS] -- PAYLOAD_DIR
#
# Boots a throwaway copy of the image (image.sh) with PAYLOAD_DIR as a tar file on its second disk. The
# guest unpacks it to /payload, runs /payload/run as root, tells its status on the console and powers off.
# The console goes to stdout and to build/vm/log-*; the exit status is the payload's own (125 if a signal
# ended it), 124 when the time was up, 126 when the guest ended without a status.
#
# Emulation by default: a /dev/kvm may be there and still boot no guest. Where it works, it is many times
# faster: VM_ACCEL='-accel kvm -cpu host', or --accel with the same words.
set -euo pipefail

usage() {
	sed -n '4s/^# /usage: /p' "$0" >&2
	exit 2
}

suite=bookworm memory=1024 swap=0 limit=600
accel=${VM_ACCEL:--accel tcg,thread=multi -cpu max}
while [ $# -gt 0 ]; do
	case $1 in
	--) shift; break ;;
	--suite | --memory | --swap | --timeout | --accel) [ $# -ge 2 ] || usage ;;&
	--suite) suite=$2 ;;
	--memory) memory=$2 ;;
	--swap) swap=$2 ;;
	--timeout) limit=$2 ;;
	--accel) accel=$2 ;;
	*) usage ;;
	esac
	shift 2
done
[ $# = 1 ] || usage
[ -x "$1/run" ] || usage

here=$(cd "$(dirname "$0")" && pwd)
PATH=$PATH:/usr/sbin:/sbin
image=$("$here/image.sh" "$suite")
scratch=$(mktemp -d "$image/../run.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM HUP
log=$(dirname "$image")/log-$suite-$(date +%Y%m%d-%H%M%S)-$$

disk() { printf -- '-drive if=virtio,cache=unsafe,format=%s,file=%s' "$1" "$2"; }
qemu-img create -q -f qcow2 -F raw -b "$image/disk.ext4" "$scratch/root.qcow2"
tar -C "$1" --owner=0 --group=0 -cf "$scratch/payload.tar" .
disks="$(disk qcow2 "$scratch/root.qcow2") $(disk raw "$scratch/payload.tar"),read-only=on"
if [ "$swap" -gt 0 ]; then
	truncate -s "${swap}M" "$scratch/swap"
	chmod 600 "$scratch/swap"
	mkswap -q "$scratch/swap"
	disks="$disks $(disk raw "$scratch/swap")"
fi

echo "vm: $suite, $memory MiB, swap $swap MiB, $limit s at most, log $log" >&2
# loglevel=1: an OOM kill must not be printed into the middle of a result; guest/run shows dmesg on failure.
# shellcheck disable=SC2086 # lists of words
timeout --foreground --kill-after=10 "$limit" qemu-system-x86_64 $accel -m "$memory" -smp 2 \
	-display none -monitor none -serial stdio -no-reboot -nic none $disks \
	-kernel "$image/vmlinuz" -initrd "$image/initrd" \
	-append "root=/dev/vda rw console=ttyS0 psi=1 quiet loglevel=1 mitigations=off systemd.show_status=0 panic=-1" \
	</dev/null | sed -u 's/\r*$//' | tee "$log" || case ${PIPESTATUS[0]} in
124 | 137)
	echo "vm: no end within $limit s: stopped" >&2
	exit 124
	;;
esac

status=$(sed -n 's/^vm: payload status \([0-9]*\)$/\1/p' "$log" | tail -n 1)
[ -n "$status" ] || echo "vm: the guest ended without a status" >&2
exit "${status:-126}"
