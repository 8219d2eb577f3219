#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The inside of build.sh, called by mmdebstrap with the image's root folder:
# as root, or as root of a user namespace.
#
#   disk.sh before ROOT        once the base system is there
#   disk.sh make ROOT BYTES    at the end: sets the system up and writes
#
# the disk to descriptor 33, the kernel to 34, the initramfs to 35 and the facts
# to 36 (lower ones mmdebstrap needs itself). What fails is told by a line that begins with "disk: ".
#
# The boot loaders are put in place by hand, since grub-install wants to see
# the disk as a device; it can take over once the system runs from there. The
# first sectors are laid out as grub-bios-setup does it: boot.img's field at
# 0x5c names the sector where core.img begins, and the block list that ends
# core.img's first sector the rest of it (GRUB manual, "BIOS installation",
# and the comments in boot.S and diskboot.S).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$2
disk=/proc/self/fd/33
mib=$((1024 * 1024))
core_lba=2048		# the BIOS boot partition, 3 MiB
esp_mib=4		# the EFI system partition, 124 MiB
root_mib=128		# the root file system, to the end
export PATH="$PATH:/usr/sbin:/sbin"

say() {
	echo "image: $1"
}

# What is being done, for the line that tells of a failure.
step="begin"
leave() {
	[ $? = 0 ] || echo "disk: cannot $step"
}
trap leave EXIT

before() {
	cp -r "$here/files/." "$root/"
}

# What a start need not do: services for volumes that are not there, those
# that the first network card starts (70-lodge-network.rules), work after an
# upgrade that there was none of.
trim() {
	chroot "$root" systemctl -q disable e2scrub_reap.service \
		e2scrub_all.timer systemd-resolved systemd-timesyncd
	echo LANG=C.UTF-8 >"$root/etc/default/locale"
	touch "$root/etc/.updated" "$root/var/.updated"
}

# What mmdebstrap keeps until its end, which comes after the disk: that no
# service starts, and the packages.
clear_up() {
	rm -f "$root/usr/sbin/policy-rc.d"
	[ ! -e "$root/sbin/start-stop-daemon.REAL" ] ||
		mv "$root/sbin/start-stop-daemon.REAL" \
			"$root/sbin/start-stop-daemon"
	rm -rf "$root"/var/cache/apt/archives/*.deb
}

# The settings that depend on the disk, and what a copy must not share.
configure() {
	on_demand=noauto,x-systemd.automount,x-systemd.idle-timeout=60
	cat >"$root/etc/fstab" <<-END
	UUID=$root_uuid / ext4 rw,discard,errors=remount-ro 0 1
	UUID=$esp_uuid /boot/efi vfat $on_demand,umask=0077 0 0
	END
	mkdir -p "$root/boot/efi"
	echo debian >"$root/etc/hostname"
	printf '127.0.0.1\tlocalhost\n127.0.1.1\tdebian\n::1\tlocalhost\n' \
		>"$root/etc/hosts"
	# The package's own settings, but for the pause and the command line.
	sed -i -e 's/^GRUB_TIMEOUT=.*/GRUB_TIMEOUT=1/' \
		-e "s/^GRUB_CMDLINE_LINUX=.*/GRUB_CMDLINE_LINUX=\"$consoles\"/" \
		"$root/etc/default/grub"
	# Turns on what grub-cloud-amd64 does when GRUB is upgraded.
	touch "$root/etc/grub.d/enable_cloud"
	rm -f "$root"/etc/ssh/ssh_host_* "$root/var/lib/dbus/machine-id" \
		"$root/etc/apt/apt.conf.d/99mmdebstrap" \
		"$root/etc/dpkg/dpkg.cfg.d/99mmdebstrap"
	ln -sf ../run/systemd/resolve/stub-resolv.conf "$root/etc/resolv.conf"
	chroot "$root" systemctl -q enable systemd-networkd
	[ ! -e "$root/etc/systemd/system/lodge-agent.service" ] ||
		chroot "$root" systemctl -q enable lodge-agent
	# Made new by the first boot of each copy.
	: >"$root/etc/machine-id"
}

# The menu, until update-grub writes a longer one.
grub_menu() {
	cat <<-END
	serial --speed=115200
	terminal_input console serial
	terminal_output console serial
	set timeout=1
	insmod part_gpt
	insmod ext2
	search --no-floppy --fs-uuid --set=root $root_uuid
	menuentry "Debian GNU/Linux" {
		linux $kernel root=UUID=$root_uuid ro $consoles
		initrd $initrd
	}
	END
}

# What GRUB does before its modules and its menu are at hand.
grub_start() {
	echo "search.fs_uuid $root_uuid root"
	echo "set prefix=(\$root)/boot/grub"
}

# $1 as that many bytes ($2), the lowest first.
little_endian() {
	value=$1
	for _ in $(seq "$2"); do
		# shellcheck disable=SC2059
		printf "\\$(printf %03o $((value & 255)))"
		value=$((value >> 8))
	done
}

# Standard input over the bytes of file $1 from $2 on.
patch_file() {
	dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

install_bios() {
	grub=$root/boot/grub/i386-pc
	mkdir -p "$grub"
	cp "$root"/usr/lib/grub/i386-pc/*.mod "$root"/usr/lib/grub/i386-pc/*.lst \
		"$grub/"
	grub_start >"$grub/load.cfg"
	chroot "$root" grub-mkimage -O i386-pc -p /boot/grub \
		-c /boot/grub/i386-pc/load.cfg \
		-o /boot/grub/i386-pc/core.img \
		biosdisk part_gpt ext2 search_fs_uuid
	sectors=$((($(stat -c %s "$grub/core.img") + 511) / 512))
	cp "$root/usr/lib/grub/i386-pc/boot.img" "$grub/boot.img"
	little_endian $core_lba 8 | patch_file "$grub/boot.img" $((0x5c))
	# A hard disk it is, whatever the BIOS says: no look at the drive.
	printf '\220\220' | patch_file "$grub/boot.img" $((0x66))
	{ little_endian $((core_lba + 1)) 8
		little_endian $((sectors - 1)) 2
		little_endian $((0x820)) 2; } |
		patch_file "$grub/core.img" $((0x1f4))
	dd if="$grub/boot.img" of=$disk bs=1 count=440 conv=notrunc status=none
	dd if="$grub/core.img" of=$disk bs=512 seek=$core_lba conv=notrunc \
		status=none
}

# The removable-media names, so that no variable of the firmware is needed.
install_uefi() {
	mkdir -p "$root/boot/grub/x86_64-efi"
	cp "$root"/usr/lib/grub/x86_64-efi/*.mod \
		"$root"/usr/lib/grub/x86_64-efi/*.lst \
		"$root/boot/grub/x86_64-efi/"
	efi=$root/tmp/efi
	mkdir -p "$efi/EFI/BOOT" "$efi/EFI/debian"
	cp "$root/usr/lib/shim/shimx64.efi.signed" "$efi/EFI/BOOT/BOOTX64.EFI"
	cp "$root/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed" \
		"$efi/EFI/BOOT/grubx64.efi"
	{ grub_start; echo 'configfile $prefix/grub.cfg'; } \
		>"$efi/EFI/debian/grub.cfg"
	esp=$disk@@$((esp_mib * mib))
	export MTOOLS_SKIP_CHECK=1 MTOOLS_NO_VFAT=0
	mformat -i "$esp" -F -T $(((root_mib - esp_mib) * 2048)) -h 64 -s 32 \
		-N "$(echo "$esp_uuid" | tr -d -)" ::
	mcopy -i "$esp" -s "$efi/EFI" ::/
	rm -r "$efi"
}

# Numbers and order as in Debian's own cloud images: the root file system is
# the last, so that it can grow.
partition() {
	sfdisk -q $disk <<-END
	label: gpt
	unit: sectors
	first-lba: 2048
	14: start=2048, size=6144, type=21686148-6449-6E6F-744E-656564454649
	15: start=$((esp_mib * 2048)), size=$(((root_mib - esp_mib) * 2048)), type=U
	1: start=$((root_mib * 2048)), type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709
	END
}

# mke2fs is to see the files that mounts cover, not what is mounted, and an
# empty /tmp: mmdebstrap still needs what it has there.
bare() {
	# shellcheck disable=SC2016
	if unshare -m true 2>/dev/null; then
		unshare -m sh -ec 'mount --bind "$1" "$2"
			mount -t tmpfs -o mode=1777 tmpfs "$2/tmp"
			shift 2
			exec "$@"' \
			bare "$root" "$here/view" "$@" -d "$here/view"
	else
		"$@" -d "$root"
	fi
}

make_files() {
	rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin
	rm -rf "$root"/var/log/*.log "$root"/var/log/apt/*
	bare mke2fs -q -F -t ext4 -L root -U "$root_uuid" \
		-E "offset=$((root_mib * mib)),lazy_itable_init=1,nodiscard" \
		$disk "$(((bytes / mib - root_mib - 1) * 1024))k"
}

make_disk() {
	say "making the disk"
	step="write the partition table"
	truncate -s "$bytes" $disk
	partition >&2
	step="install GRUB for BIOS"
	install_bios
	step="install GRUB for UEFI"
	install_uefi
	grub_menu >"$root/boot/grub/grub.cfg"
	step="make the root file system"
	make_files
}

tell() {
	cat "$root$kernel" >/proc/self/fd/34
	cat "$root$initrd" >/proc/self/fd/35
	. "$root/etc/os-release"
	{ echo "system=$PRETTY_NAME ($(cat "$root/etc/debian_version"))"
		echo "kernel_version=${kernel#/boot/vmlinuz-}"
		echo "append=root=UUID=$root_uuid ro"; } >/proc/self/fd/36
}

case $1 in
before)
	before
	;;
make)
	bytes=$3
	root_uuid=$(cat /proc/sys/kernel/random/uuid)
	esp_uuid=$(head -c 4 /dev/urandom | od -An -tx2 |
		awk '{ print toupper($1 "-" $2) }')
	consoles="console=tty0 console=ttyS0,115200"
	kernel=/$(cd "$root" && ls boot/vmlinuz-* | tail -1)
	initrd=/boot/initrd.img-${kernel#/boot/vmlinuz-}
	step="set the system up"
	configure
	trim
	clear_up
	make_disk
	step="write the kernel"
	tell
	;;
esac
