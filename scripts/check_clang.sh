#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds all with clang, whose warnings are errors too, and has the processor
# that it compiled run some loops: code that leans on one compiler's order of
# evaluation shows there.
#
# usage: check_clang.sh BUILD
set -eu
cd "$(dirname "$0")/.."
build=${1:?usage: check_clang.sh BUILD}/clang
command -v clang >/dev/null || exit 77
[ -e "$build/build.ninja" ] || CC=clang meson setup -Dbuildtype=debug "$build"
ninja -C "$build"
for test in rewrite-kick rewrite-loop rewrite-last rewrite-called; do
	"$build/tests/unit/engine/test-engine-$test"
done
