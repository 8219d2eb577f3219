# SPDX-License-Identifier: Apache-2.0
# Of /proc/PID/smaps: KiB that are not the guest's memory, which is the memfd
# and what the kernel and initrd files are mapped to in it.
/^[0-9a-f]+-[0-9a-f]+ / { guest = /memfd:guest-ram|\/guest\// }
/^Pss:/ && !guest { sum += $2 }
END { print "BEYOND " sum }
