#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Process 1 of a guest: drivers, fio with the job /fio.job on its disks, the
# end. What fio says is on the console.
mount -t proc proc /proc
mount -t devtmpfs dev /dev
mount -t sysfs sys /sys
for name in $(cat /lib/modules/order); do
	[ ! -e "/lib/modules/$name.ko" ] || insmod "/lib/modules/$name.ko"
done
for disk in $(sed -n 's/^filename=//p' /fio.job | sort -u); do
	for i in $(seq 100); do
		[ ! -b "$disk" ] || break
		sleep 0.1
	done
done
fio --output-format=terse --terse-version=3 /fio.job
echo "fio: status $?"
poweroff -f
