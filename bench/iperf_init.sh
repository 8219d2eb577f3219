#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Process 1 of a guest: drivers, its card's address, and iperf3 as the kernel's
# command line says: serve=PORT, or bench=TESTS peer=ADDRESS:PORT; the end.
mount -t proc proc /proc
mount -t devtmpfs dev /dev
mount -t sysfs sys /sys
mkdir -p /tmp
for name in $(cat /lib/modules/order); do
	[ ! -e "/lib/modules/$name.ko" ] || insmod "/lib/modules/$name.ko"
done
address=10.0.2.15
for word in $(cat /proc/cmdline); do
	case $word in
	address=*) address=${word#*=} ;;
	peer=*) peer=${word#*=} ;;
	serve=*) serve=${word#*=} ;;
	bench=*) tests=${word#*=} ;;
	esac
done
for i in $(seq 100); do
	[ ! -e /sys/class/net/eth0 ] || break
	sleep 0.1
done
ip address add 127.0.0.1/8 dev lo
ip link set lo up
ip address add "$address/24" dev eth0
ip link set eth0 up
if [ "${serve:-}" ]; then
	echo "serving $serve"
	iperf3 -s -p "$serve" >/dev/null
else
	sh /iperf.sh "$tests" "$peer"
fi
poweroff -f
