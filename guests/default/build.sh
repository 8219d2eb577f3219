#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Makes the default guest, once: Debian's cloud kernel (Ubuntu: the one for
# virtual machines) out of its package, which is not installed, and an
# initramfs of busybox with a shell on the console. It leaves in OUT
#
#   vmlinux      the uncompressed kernel, which starts sooner
#   vmlinuz      the kernel as packaged (bzImage)
#   initrd       the initramfs
#   initrd-root  another: it loads a disk's driver and goes on to the system
#                on the root device
#   modules/     kvm, kvm-amd, kvm-intel, irqbypass, for tests of engines;
#                drivers that the guest loads, and their order; others that
#                tests load
#   version      the package that the kernel came from
#
# All or nothing: the work is done in a folder beside OUT, renamed at the end.
# Run again, it makes a new initramfs when its sources changed and keeps the
# kernel.
#
# With "drivers" it makes a guest with a driver for each device of a PC in the
# same way: from the distribution's ordinary kernel, for tests and benchmarks.
# Its drivers are loaded by `/etc/drivers $(cat /lib/modules/order)`.
#
# AGENT names the program lodge-agent, which goes into the initramfs.
#
# usage: [AGENT=FILE] build.sh OUT [drivers]
set -u
here=$(cd "$(dirname "$0")" && pwd)
guests=$(dirname "$here")
out=${1:?usage: build.sh OUT [drivers]}
kind=${2:-default}
parent=$(dirname "$out")
work=
agent=$(realpath -qe "${AGENT:-}")
need_mib=150

# In the order of loading. Some kernels have some of them built in.
drivers="button evdev virtio_ring virtio virtio_pci_legacy_dev \
virtio_pci_modern_dev virtio_pci virtio_blk virtio-rng virtio_console \
virtio_balloon vsock vmw_vsock_virtio_transport_common \
vmw_vsock_virtio_transport failover net_failover virtio_net fuse virtiofs"
# Of these, what a root device wants.
root_drivers="virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev \
virtio_pci virtio_blk"
# For tests, likewise: disks and CDs on IDE.
tested="scsi_common scsi_mod crct10dif_common crc-t10dif crc64 crc64-rocksoft \
crc64_rocksoft_generic t10-pi cdrom libata ata_piix sd_mod sr_mod"
packages="linux-image-cloud-amd64 linux-image-virtual linux-image-generic \
linux-image-amd64"
if [ "$kind" = drivers ]; then
	need_mib=300
	packages="linux-image-amd64 linux-image-generic"
	drivers="$drivers $tested libahci ahci nvme-core nvme crc16 mbcache \
jbd2 crc32c_generic ext4 usb-common usbcore xhci-hcd xhci-pci-renesas \
xhci-pci hid usbhid hid-generic e1000"
	tested="isofs floppy"
fi
wanted="irqbypass kvm kvm-amd kvm-intel $drivers $tested"

die() {
	echo "guest: $1" >&2
	exit 1
}

leave() {
	[ -n "$work" ] && rm -rf "$work"
}
trap leave EXIT
trap 'echo "guest: interrupted; run it again" >&2; exit 130' INT TERM HUP

say() {
	echo "guest: $1"
}

# Why a step failed, when the disk is full; else the reason given.
because() {
	local free
	free=$(df -Pk "$parent" 2>/dev/null | awk 'END { print $4 }')
	if [ "${free:-1024}" -lt 1024 ]; then
		echo "no space left in $parent; free $need_mib MiB and run it again"
	else
		echo "$1"
	fi
}

# Whether a kernel is there with all the modules that are wanted today.
kernel_kept() {
	[ -s "$out/vmlinux" ] && [ -s "$out/version" ] &&
		[ "$(cat "$out/modules/wanted" 2>/dev/null)" = "$wanted" ]
}

fresh() {
	local source
	[ -s "$out/initrd" ] && [ -s "$out/initrd-root" ] && kernel_kept ||
		return 1
	for source in "$guests"/*.py "$here/build.sh" "$here/to_root" \
		"$busybox" $agent; do
		[ "$source" -nt "$out/initrd" ] && return 1
	done
	[ -z "$(find "$here/root" -newer "$out/initrd" -print -quit)" ]
}

# The name of the package with a kernel behind the distribution's name for
# "the newest one": linux-image-cloud-amd64 -> linux-image-6.1.0-1-cloud-amd64
kernel_package() {
	local name
	for name in $packages; do
		LC_ALL=C apt-cache depends "$name" 2>/dev/null |
			awk '$1 == "Depends:" && $2 ~ /^linux-image-.*[0-9]/ {
				print $2; exit }' | grep . && return
	done
}

# Downloads the package $1 into the current folder; apt's words go to "log".
download() {
	apt-get -q -o APT::Sandbox::User=root -o Acquire::Retries=2 \
		-o Acquire::http::Timeout=30 download "$1" >log 2>&1
}

update() {
	if [ "$(id -u)" = 0 ]; then
		apt-get -q update >log 2>&1
	elif command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true; } \
		2>/dev/null; then
		sudo apt-get -q update >log 2>&1
	fi
}

# What apt gave as its reason, in one line.
apt_reason() {
	sed -n 's/^[EW]: *//p' log | head -1 | cut -c1-160
}

fetch_kernel() {
	local package
	package=$(kernel_package)
	if [ -z "$package" ]; then
		say "asking apt for its list of packages"
		update
		package=$(kernel_package)
	fi
	[ -n "$package" ] || die "apt knows no kernel package; type \
'apt-get update' as root and run it again"
	say "downloading $package"
	if ! download "$package"; then
		update # the list was older than the archive
		package=$(kernel_package)
		download "$package" ||
			die "$(because "cannot download $package ($(apt_reason)); \
check the network and run it again")"
	fi
	say "unpacking the kernel"
	set -- linux-image-*.deb
	# tar minds the modules that are not there, we do not.
	# shellcheck disable=SC2046
	dpkg-deb --fsys-tarfile "$1" |
		tar -x --wildcards './boot/vmlinuz-*' \
			$(printf './lib/modules/*/%s.ko* ' $wanted) >log 2>&1
	mv boot/vmlinuz-* new/vmlinuz ||
		die "$(because "$package holds no kernel")"
	mkdir new/modules
	echo "$wanted" >new/modules/wanted
	find lib -name '*.ko*' -exec mv {} new/modules/ \;
	python3 "$guests/extract_vmlinux.py" new/vmlinuz new/vmlinux 2>log ||
		die "$(because "$(tail -1 log)")"
	echo "${1%.deb}" >new/version || die "$(because "cannot write $out")"
}

# Kernel modules that the guest wants, as arguments for make_initrd.py. Packed
# ones are unpacked: insmod of busybox takes plain files.
module_arguments() {
	local name packed
	echo "$drivers" >new/modules/order
	echo "--file=new/modules/order:/lib/modules/order"
	for name in $drivers; do
		packed=$(find new/modules -name "$name.ko.*" | head -1)
		case $packed in
		*.zst) zstd -dq --rm "$packed" ;;
		*.xz) xz -d "$packed" ;;
		esac
		[ -e "new/modules/$name.ko" ] &&
			echo "--file=new/modules/$name.ko:/lib/modules/$name.ko"
	done
	[ -z "$agent" ] || echo "--file=$agent:/sbin/lodge-agent"
}

# The same for what goes on to a root device.
root_arguments() {
	local name
	echo "$root_drivers" >root_order
	echo "--file=root_order:/lib/modules/order"
	for name in $root_drivers; do
		[ -e "new/modules/$name.ko" ] &&
			echo "--file=new/modules/$name.ko:/lib/modules/$name.ko"
	done
	echo "--file=$here/root/etc/drivers:/etc/drivers"
	echo "--file=$here/to_root:/init"
}

busybox=$(command -v /bin/busybox || command -v busybox) ||
	die "busybox is missing; install the package busybox-static"
fresh && exit 0
mkdir -p "$parent" 2>/dev/null || die "$(because "cannot make $parent")"
parent=$(cd "$parent" && pwd) || die "cannot enter $(dirname "$out")"
out=$parent/$(basename "$out")

# One at a time; what a killed run left is cleared away by the next.
exec 9>"$parent/.lock" ||
	die "cannot write to $parent"
flock 9
fresh && exit 0
rm -rf "$parent"/.work-*
[ -e "$out" ] || mv "$out.old" "$out" 2>/dev/null
rm -rf "$out.old"
work=$(mktemp -d "$parent/.work-XXXXXX" 2>/dev/null) ||
	die "$(because "cannot write to $parent")"
cd "$work" || die "cannot enter $work"
mkdir new || die "$(because "cannot write to $parent")"

if kernel_kept; then
	cp -a --reflink=auto "$out/." new/ 2>log ||
		die "$(because "cannot copy $out")"
else
	fetch_kernel
fi
say "making the initramfs"
mapfile -t modules < <(module_arguments)
python3 "$guests/make_initrd.py" new/initrd --busybox "$busybox" \
	--tree "$here/root" "${modules[@]}" 2>log ||
	die "$(because "cannot make the initramfs: $(tail -1 log)")"
mapfile -t modules < <(root_arguments)
python3 "$guests/make_initrd.py" new/initrd-root --busybox "$busybox" \
	"${modules[@]}" 2>log ||
	die "$(because "cannot make the initramfs: $(tail -1 log)")"
rm -rf "$out.old"
[ -e "$out" ] && mv "$out" "$out.old"
mv new "$out" || die "$(because "cannot make $out")"
rm -rf "$out.old"
say "ready in $out"
