#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Makes OUT/lodge-VERSION.tar.xz and its .sha256 out of the last commit: the
# same bytes for the same commit, wherever and by whomever it is made.
#
# usage: dist.sh OUT
set -u -o pipefail
cd "$(dirname "$0")/.." || exit 1
out=${1:?usage: dist.sh OUT}

die() {
	echo "dist: $1" >&2
	exit 1
}

git rev-parse -q --verify HEAD >/dev/null 2>&1 ||
	die "this tree is no git repository; make it in one"
[ -z "$(git status --porcelain --untracked-files=no)" ] ||
	echo "dist: changes that are not committed are not in it" >&2
version=$(sed -n "s/^ *version: '\([0-9.]*\)',$/\1/p" meson.build | head -1)
name=lodge-$version
mkdir -p "$out" || die "cannot make $out"
trap 'rm -f "$out/$name.tar.xz.new"' EXIT
git -c tar.umask=0022 archive --format=tar --prefix="$name/" HEAD |
	xz -6 --threads=1 --check=crc64 >"$out/$name.tar.xz.new" ||
	die "cannot write to $out; free some space there"
mv "$out/$name.tar.xz.new" "$out/$name.tar.xz"
(cd "$out" && sha256sum "$name.tar.xz" >"$name.tar.xz.sha256")
echo "dist: $out/$name.tar.xz"
