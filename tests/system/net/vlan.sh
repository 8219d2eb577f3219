#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# As root in a Debian whose kernel has VLANs: two hosts, which are network
# namespaces joined by a trunk, with a network each that is VLAN 7 of it. Their
# bridges' own addresses have to reach each other, in frames with that tag.
# The machine on each only keeps it there.
#
# usage: vlan.sh, with lodge and the default guest below /build, folders of the
# host below /host
set -eu
host=/host
lodge=/build/lodge
failed() {
	echo "failed: $1"
	exit 1
}

modprobe -a 8021q bridge veth tun
cd "$host"
mkdir -p tmp dev proc sys run var/run var/lib/misc build
for link in bin sbin lib lib64; do
	ln -sfn "usr/$link" "$link"
done
mount --rbind /dev dev
mount -t proc proc proc
mount -t sysfs sys sys
mount -t tmpfs tmp tmp
mount --bind /build build
mkdir /both
mount --rbind "$host" /both

# Commands of the host's programs, in one of the two.
in_one() {
	chroot /both ip netns exec "$@"
}
lodge_in() {
	n=$1
	shift
	in_one "$n" env "XDG_RUNTIME_DIR=/tmp/$n" "XDG_DATA_HOME=/tmp/$n" \
		"$lodge" "$@"
}
vlan_of() {
	in_one "$1" ip -o -d link show type vlan
}
# A network of that VLAN, with a machine on it.
join() {
	lodge_in "$1" net create "$1" --backing bridge --kind isolated \
		--subnet "10.8.$2.0/24" --uplink trunk --vlan "$3" --dhcp off
	lodge_in "$1" run --name "$1" --engine soft --serial none --net \
		"bridge=$1" --kernel /build/guest/default/vmlinux --initrd \
		/build/guest/default/initrd </dev/null >"$host/tmp/$1.log" 2>&1 &
	until vlan_of "$1" | grep -q "id $3 "; do
		sleep 0.2
	done
	bridge=$(in_one "$1" ip -o link show type bridge | cut -d: -f2)
	in_one "$1" ip addr add "10.8.200.$2/24" dev $bridge
}

for n in left right; do
	chroot /both ip netns add $n
	in_one $n ip link set lo up
	mkdir -m 700 "$host/tmp/$n"
done
in_one left ip link add trunk type veth peer name trunk netns right
in_one left ip link set trunk up
in_one right ip link set trunk up
join left 1 7
join right 2 7
in_one left busybox ping -c 3 -W 10 10.8.200.2 || failed "no answer"
vlan_of right | grep -q "802.1Q id 7 " || failed "no VLAN 7"
in_one right ip -s -o link show type vlan | awk '
	{ exit !(/RX:/ && $0 ~ /[1-9]/) }' || failed "nothing was tagged"

# Killed, the next command mends: nothing of it is there.
for n in left right; do
	chroot /both pkill -9 -f "lodge.* --name $n " || :
	lodge_in $n net list >/dev/null
	until [ -z "$(vlan_of $n)" ]; do
		sleep 0.2
		lodge_in $n net list >/dev/null
	done
done
echo "vlan works"
