#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Builds all libFuzzer targets with clang and runs each for some seconds. What
# they learn stays in BUILD/corpus; an input that breaks something is left in
# BUILD/crash-TARGET-*, and the status is 1.
#
# usage: BUILD=DIR fuzz.sh SECONDS [TARGET ...]
set -eu
export UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
cd "$(dirname "$0")/.."
build=${BUILD:-build-fuzz}
seconds=${1:?usage: fuzz.sh SECONDS [TARGET ...]}
shift
command -v clang >/dev/null || { echo "fuzz: clang is missing" >&2; exit 1; }
if [ ! -e "$build/build.ninja" ]; then
	echo "configuring in $build"
	CC=clang meson setup -Db_lundef=false -Db_sanitize=address,undefined \
		-Dc_args=-fsanitize=fuzzer-no-link "$build" >/dev/null
fi
mapfile -t targets < <(ninja -C "$build" -t targets all |
	sed -n 's|^\(tests/fuzz/fuzz-[a-z0-9_-]*\): .*|\1|p')
ninja -C "$build" "${targets[@]}" tests/fuzz/smoke-state
failed=
for target in "${targets[@]}"; do
	name=${target##*/fuzz-}
	[ $# -eq 0 ] || [[ " $* " == *" $name "* ]] || continue
	corpus=$build/corpus/$name
	mkdir -p "$corpus"
	[ "$name" != state ] ||
		"$build/tests/fuzz/smoke-state" --seed "$corpus/seed"
	if "$build/$target" -max_total_time="$seconds" -print_final_stats=1 \
		-artifact_prefix="$build/crash-$name-" "$corpus" \
		>"$build/$name.log" 2>&1; then
		echo "fuzz: $name: $(awk '/number_of_executed_units/ {
			print $2 " inputs" }' "$build/$name.log")"
	else
		echo "fuzz: $name: FAILED, see $build/$name.log"
		failed="$failed $name"
	fi
done
[ -z "$failed" ]
