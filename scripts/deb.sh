#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Makes the Debian packages of this tree as it is, changes that are not
# committed with it, in OUT; a copy of the tree is built in OUT/tree. GUEST is
# the folder of the default guest, which becomes the package lodge-guest.
#
# usage: deb.sh OUT GUEST
set -u -o pipefail
cd "$(dirname "$0")/.." || exit 1
out=$(realpath -m "${1:?usage: deb.sh OUT GUEST}")
guest=$(realpath -e "${2:?}") || exit 1
log=$out/log

die() {
	echo "deb: $1" >&2
	exit 1
}

tree() {
	local commit
	if git rev-parse -q --verify HEAD >/dev/null 2>&1; then
		commit=$(git stash create)
		git archive --format=tar "${commit:-HEAD}"
	else
		tar -c --exclude='./build*' .
	fi
}

# The sources that the guest's parts were built from.
built_using() {
	local kernel busybox
	kernel=$(cut -d_ -f2 "$guest/version")
	busybox=$(dpkg-query -W -f '${source:Version}' busybox-static)
	echo "linux (= $kernel), busybox (= $busybox)"
}

rm -rf "$out"
mkdir -p "$out/tree" || die "cannot make $out"
tree | tar -x -C "$out/tree" || die "cannot copy the tree to $out"
echo "deb: building in $out/tree"
(cd "$out/tree" && LODGE_GUEST=$guest BUILT_USING=$(built_using) \
	DEB_BUILD_OPTIONS="nocheck noautodbgsym" dpkg-buildpackage -us -uc -b) \
	>"$log" 2>&1 || {
	tail -20 "$log" >&2
	die "failed; all of it is in $log"
}
rm -rf "$out/tree" "$out"/*.buildinfo "$out"/*.changes
ls "$out"/*.deb
