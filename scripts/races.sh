#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Runs the unit tests of a build that has the thread sanitizer.
# usage: races.sh BUILD [arguments for meson test]
set -euo pipefail
build=$1
shift
# Left out: one that is traced by its parent, where the sanitizer's own thread is
# in the way; guests of KVM, whose memory the test reads while they write it; one
# that counts a process's memory; the threads of one draw from the same numbers.
without='engine/(rewrite-host|kvm.*)|host/process_use|disk/losses'
mapfile -t names < <(meson test -C "$build" --no-rebuild --list --suite unit |
	sed -n 's#.* / ##p' | grep -vxE "$without")
# Where its shadow of memory lies nothing else may be: no random addresses.
exec setarch -R meson test -C "$build" --no-rebuild --print-errorlogs \
	--timeout-multiplier 20 "$@" "${names[@]}"
