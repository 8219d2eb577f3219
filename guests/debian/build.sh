#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Makes a disk image of Debian out of the distribution's packages: systemd, an
# ssh server, cloud-init for the first boot, a root file system that grows with
# its disk, GRUB for BIOS and UEFI. It leaves in OUT, a folder that is there,
#
#   disk.raw     the disk, sparse: GPT with a BIOS boot partition, an EFI
#                system partition and the root file system (ext4) at the end
#   kernel       for direct boot: the uncompressed kernel of the image
#   initrd       and its initramfs
#   facts        lines of NAME=VALUE: system, version, append
#
# Needs no block devices and no privileges: mmdebstrap unpacks the packages,
# as root or in a user namespace, and disk.sh makes the disk of what it left.
# Whoever starts this clears OUT away when it fails.
#
# With LODGE_AGENT=FILE the guest's agent is put into it.
#
# usage: build.sh OUT BYTES SUITE [PACKAGE,...]
set -u
here=$(cd "$(dirname "$0")" && pwd)
out=${1:?usage: build.sh OUT BYTES SUITE [PACKAGE,...]}
bytes=${2:?}
suite=${3:?}
more=${4:-}
need_mib=2048
work= apart=

# grub-cloud-amd64 keeps the boot loaders of both kinds of firmware new when
# GRUB's packages are upgraded.
packages="apt-utils bash-completion ca-certificates cloud-guest-utils \
cloud-init curl dbus e2fsprogs fdisk grub-cloud-amd64 iproute2 iputils-ping \
kmod less libpam-systemd linux-image-cloud-amd64 lsb-release man-db nano \
openssh-server procps sudo systemd-resolved systemd-sysv systemd-timesyncd \
udev vim-tiny wget zstd"

say() {
	echo "image: $1"
}

die() {
	echo "image: $1" >&2
	exit 1
}

# What is mounted there is not ours.
leave() {
	[ -n "$work" ] && rm -rf --one-file-system "$work"
}
trap leave EXIT
# mmdebstrap with all that it has started, in a session or namespace of its own.
stop() {
	trap '' INT TERM HUP
	if [ -s "$work/pid" ]; then
		if [ -n "$apart" ]; then
			kill -KILL "$(cat "$work/pid")"
		else
			kill -TERM -- "-$(cat "$work/pid")"
		fi
	else
		kill $(jobs -p)
	fi 2>/dev/null
	wait
	echo "image: stopped; nothing is left of it" >&2
	exit 130
}
trap stop INT TERM HUP

# Why a step failed, when the disk is full; else the reason given.
because() {
	local folder free
	for folder in "$out" "${TMPDIR:-/tmp}"; do
		free=$(df -Pk "$folder" 2>/dev/null | awk 'END { print $4 }')
		[ "${free:-1024}" -lt 1024 ] || continue
		echo "no space left in $folder; free $need_mib MiB and try again"
		return
	done
	echo "$1"
}

check_tools() {
	local tool missing=
	for tool in mmdebstrap:mmdebstrap sfdisk:fdisk mke2fs:e2fsprogs \
		mformat:mtools python3:python3; do
		PATH=$PATH:/usr/sbin:/sbin command -v "${tool%:*}" >/dev/null ||
			missing="$missing ${tool#*:}"
	done
	[ -z "$missing" ] ||
		die "packages are missing; as root, type: apt-get install$missing"
}

# The host's own sources of this suite, when it is a Debian, so that a mirror
# that was chosen for it is used; else Debian's. A line for sources.list each.
sources() {
	local keys=/usr/share/keyrings/debian-archive-keyring.gpg
	local site=http://deb.debian.org
	[ -e "$keys" ] || die "Debian's keys are missing; as root, type: \
apt-get install debian-archive-keyring"
	apt-get indextargets --format \
		'$(ORIGIN) $(REPO_URI) $(RELEASE) $(COMPONENT)' \
		'Created-By: Packages' 2>/dev/null |
		awk -v suite="$suite" -v keys="$keys" '
		$1 == "Debian" && index($3 "-", suite "-") == 1 {
			print "deb [signed-by=" keys "] " $2, $3, $4 }' |
		sort -u >"$work/sources.list"
	grep -q " $suite main\$" "$work/sources.list" && return
	cat >"$work/sources.list" <<-END
	deb [signed-by=$keys] $site/debian $suite main
	deb [signed-by=$keys] $site/debian $suite-updates main
	deb [signed-by=$keys] $site/debian-security $suite-security main
	END
}

# mmdebstrap's words, as lines of ours.
progress() {
	while read -r line; do
		case $line in
		*"running apt-get update"*)
			say "asking for Debian's list of packages" ;;
		*"downloading packages"*)
			say "downloading packages" ;;
		*"extracting archives"*)
			say "unpacking the base system" ;;
		*"installing remaining"*)
			say "installing packages" ;;
		"image: "*)
			echo "$line" ;;
		esac
	done
}

# What went wrong in the run that wrote $work/log, in one line.
reason() {
	{ grep -h -B1 '^disk: ' "$work/log" | tac | tr '\n' ' ' | grep . ||
		grep -hE '^(E: [^a]|Err:)' "$work/log" ||
		grep -h '^E: ' "$work/log"; } | head -1 |
		sed -E 's/^(E|disk): *//; s/  */ /g' | cut -c1-200
}

# The agent, as a part of the system: LODGE_AGENT names the program.
add_agent() {
	local to=$work/files/usr/local/sbin
	if [ -x "${LODGE_AGENT:-}" ]; then
		mkdir -p "$to" && cp "$LODGE_AGENT" "$to/lodge-agent"
	else
		rm -f "$work/files/etc/systemd/system/lodge-agent.service"
	fi
}

bootstrap() {
	local include
	include=$(echo $packages | tr ' ' ,)${more:+,$more}
	# Packages and disk.sh write to open files, so that in a namespace no
	# path to OUT is needed; opened anew there, they have to be writable.
	: >"$out/disk.raw" >"$out/kernel" >"$out/initrd" >"$out/facts"
	chmod 666 "$out/disk.raw" "$out/kernel" "$out/initrd" "$out/facts"
	LC_ALL=C TMPDIR=$work setsid sh -c 'echo $$ >"$TMPDIR/pid"; exec "$@"' \
		sh $apart mmdebstrap --mode=auto --variant=minbase \
		--include="$include" --format=null \
		--aptopt='Acquire::Retries "2"' \
		--aptopt='Acquire::http::Timeout "30"' \
		--aptopt='APT::Install-Recommends "false"' \
		--dpkgopt=force-unsafe-io \
		--essential-hook="$work/disk.sh before \"\$1\"" \
		--customize-hook="$work/disk.sh make \"\$1\" $bytes" \
		"$suite" - "$work/sources.list" 33<>"$out/disk.raw" \
		34>"$out/kernel" 35>"$out/initrd" 36>"$out/facts" \
		</dev/null 2>&1 | tee "$work/log" | progress
	[ "${PIPESTATUS[0]}" = 0 ]
}

# As root the steps get mounts and processes of their own, which are gone with the
# first of them; other users' mmdebstrap makes itself a namespace.
stay_apart() {
	local words="unshare --mount --mount-proc --pid --fork --kill-child"
	[ "$(id -u)" = 0 ] && $words true 2>/dev/null && apart=$words
}

[ "$(uname -m)" = x86_64 ] || die "this host is no x86-64 computer"
check_tools
PATH=$PATH:/usr/sbin:/sbin
# Open to the namespace's users, as mmdebstrap wants its folder to be.
work=$(mktemp -d) && chmod 755 "$work" && cp "$here"/disk.sh "$work/" &&
	cp -r "$here/files" "$work/files" && mkdir "$work/view" && add_agent &&
	chmod -R go+rX "$work" ||
	die "$(because "cannot write to ${TMPDIR:-/tmp}")"
sources
stay_apart
bootstrap &
wait $! || die "$(because "cannot install Debian: $(reason)")"
chmod 644 "$out"/*
# Where it cannot be unpacked it starts as it is, a little later.
if python3 "$here/../extract_vmlinux.py" "$out/kernel" "$out/vmlinux" \
	2>/dev/null; then
	mv "$out/vmlinux" "$out/kernel" || die "$(because "cannot write to $out")"
fi
