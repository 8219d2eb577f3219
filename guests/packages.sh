#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Unpacks Debian packages that tests boot from, without installing them: an
# installed Xen or memtest86+ would enter the machine's own boot menu. The
# section "unpacked" of packages.txt lists a name, which is that of the folder
# in OUT, and a pattern; of the packages that fit it the newest is taken. What
# apt does not offer is left out with a line that says so, and its tests are
# skipped.
#
# usage: packages.sh OUT
set -u
list=$(cd "$(dirname "$0")/.." && pwd)/packages.txt
out=${1:?usage: packages.sh OUT}
work=

die() {
	echo "guest: $1" >&2
	exit 1
}

leave() {
	[ -n "$work" ] && rm -rf "$work"
}
trap leave EXIT
trap 'echo "guest: interrupted; run it again" >&2; exit 130' INT TERM HUP

newest() {
	apt-cache pkgnames 2>/dev/null | grep -xE "$1" | sort -V | tail -1
}

# Unpacks package $2 to $out/$1: all of it or nothing.
fetch() {
	work=$(mktemp -d "$out/.work-XXXXXX" 2>/dev/null) ||
		die "cannot write to $out; free some space there"
	echo "guest: downloading $2"
	(cd "$work" && apt-get -q -o APT::Sandbox::User=root \
		-o Acquire::Retries=2 -o Acquire::http::Timeout=30 \
		download "$2" >log 2>&1) ||
		die "cannot download $2 ($(sed -n 's/^[EW]: *//p' "$work/log" |
			head -1 | cut -c1-160)); check the network and run it \
again"
	dpkg-deb -x "$work"/*.deb "$work/new" 2>"$work/log" ||
		die "cannot unpack $2: $(tail -1 "$work/log")"
	mv "$work/new" "$out/$1" || die "cannot make $out/$1"
	rm -rf "$work"
	work=
}

command -v apt-cache >/dev/null && command -v dpkg-deb >/dev/null || exit 0
mkdir -p "$out" 2>/dev/null || die "cannot make $out"
exec 9>"$out/.lock" || die "cannot write to $out"
flock 9
rm -rf "$out"/.work-*
while read -r name pattern; do
	[ -e "$out/$name" ] && continue
	package=$(newest "$pattern")
	if [ -n "$package" ]; then
		fetch "$name" "$package"
	else
		echo "guest: apt offers no $name; its tests are skipped"
	fi
done < <(awk '/^\[/ { on = $1 == "[unpacked]" } on && /^[a-z]/' "$list")
