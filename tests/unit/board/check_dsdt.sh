#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: check_dsdt.sh TEST-PROGRAM IASL
# ACPICA's own tools must read our DSDT and translate it back without a word.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
"$1" "$dir/dsdt.aml"
cd "$dir"
if ! "$2" -d dsdt.aml >log 2>&1 || grep -iE 'error|warning' log dsdt.dsl; then
	cat log
	exit 1
fi
"$2" dsdt.dsl >log 2>&1 || { cat log; exit 1; }
grep -q '0 Errors, 0 Warnings, 0 Remarks' log || { cat log; exit 1; }
