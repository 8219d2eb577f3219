#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Compiles every header alone, with each compiler that is there: it has to
# include what it uses. Freestanding rooms get no system header but the
# compiler's.
set -u
cd "$(dirname "$0")/.." || exit 1

flags="-x c -fsyntax-only -std=gnu17 -D_GNU_SOURCE -Isrc -Itests -Wall
-Wextra -Werror -Wno-unused-parameter -Wno-unused-const-variable
-Wno-unused-function"
freestanding=
hosted=
for room in vm x86 chip virtio device board; do
	[ -d "src/$room" ] || continue
	freestanding="$freestanding $(find "src/$room" -name '*.h' | sort)"
done
for room in engine host disk image net share vnc agent vmm manage firecracker \
	cli; do
	[ -d "src/$room" ] || continue
	hosted="$hosted $(find "src/$room" -name '*.h' | sort)"
done
hosted="$hosted $(find tests/fake -name '*.h' | sort)"

status=0
compilers=0
for cc in gcc clang; do
	command -v "$cc" >/dev/null || continue
	compilers=$((compilers + 1))
	# shellcheck disable=SC2086
	"$cc" $flags -ffreestanding -nostdinc \
		-isystem "$("$cc" -print-file-name=include)" $freestanding ||
		status=1
	# shellcheck disable=SC2086
	"$cc" $flags $hosted || status=1
done
[ "$compilers" -gt 0 ] || { echo "no compiler found" >&2; exit 1; }
# shellcheck disable=SC2086
set -- $freestanding $hosted
echo "$# headers, $compilers compilers"
exit $status
