#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# iperf3's tests against a server: iperf.sh TEST[,TEST...] ADDRESS:PORT. A line
# of each, as the benchmark program prints them: what the receiver has got.
set -u
for test in $(echo "$1" | tr , ' '); do
	case $test in
	iperf_put) words= ;;
	iperf_get) words=-R ;;
	iperf_udp) words="-u -b 0 -l 1400" ;;
	*) echo "iperf.sh: $test: no such test" >&2; exit 2 ;;
	esac
	# shellcheck disable=SC2086
	iperf3 -c "${2%:*}" -p "${2#*:}" -t 1 -f k $words >/tmp/iperf.$$ 2>&1
	awk -v test="$test" '
		/receiver/ {
			for (i = 2; i <= NF; i++)
				if ($i == "Kbits/sec")
					rate = $(i - 1) * 1000 / 8 / 1048576
		}
		END {
			if (rate > 0)
				printf "bench %s %.3f MiB/s\n", test, rate
			exit !(rate > 0)
		}' /tmp/iperf.$$ || sed 's/^/iperf.sh: /' /tmp/iperf.$$ >&2
	rm -f /tmp/iperf.$$
done
