#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Installs the packages of packages.txt that are missing: itself when root,
# through sudo when that is there, and else it prints the command to type.
# When nothing changed since it last looked it is done in some milliseconds.
#
# usage: setup.sh SECTION ...     sections of packages.txt
set -u
cd "$(dirname "$0")/.." || exit 1
list=packages.txt
stamp=${BUILD:-build}/.setup-$(IFS=-; echo "$*")
status=/var/lib/dpkg/status
[ $# -gt 0 ] || { echo "usage: setup.sh SECTION ..." >&2; exit 2; }

die() {
	echo "setup: $1" >&2
	exit 1
}

# Nothing was installed or removed since all of this very list were there.
[ "$stamp" -nt "$status" ] && [ "$stamp" -nt "$list" ] && exit 0

wanted() {
	local section=" $* "
	awk -v wanted="$section" '
		/^\[/ { name = substr($0, 2, length($0) - 2)
			on = index(wanted, " " name " ") }
		on && /^[a-z0-9]/ { print $1 }' "$list" | sort -u
}

missing() {
	local present
	present=$(dpkg-query -W -f='${Package} ${db:Status-Status}\n' \
		"${packages[@]}" 2>/dev/null |
		awk '$2 == "installed" { print $1 }')
	printf '%s\n' "${packages[@]}" | grep -vxF "${present:-/}"
}

remember() {
	mkdir -p "$(dirname "$stamp")" 2>/dev/null && : 2>/dev/null >"$stamp"
	exit 0
}

command -v dpkg-query >/dev/null || die "this is no Debian or Ubuntu; \
install what $list names ($*) by hand and call the programs of the Makefile"
mapfile -t packages < <(wanted "$@")
[ ${#packages[@]} -gt 0 ] || die "$list has no section $*"
mapfile -t packages_missing < <(missing)
[ ${#packages_missing[@]} -gt 0 ] || remember

as_root=()
if [ "$(id -u)" != 0 ]; then
	if ! command -v sudo >/dev/null || ! { sudo -n true 2>/dev/null ||
		[ -t 0 ]; }; then
		die "packages are missing; as root, type: apt-get install -y \
${packages_missing[*]}"
	fi
	as_root=(sudo)
	echo "setup: sudo is used to install packages"
fi

log=$(mktemp) || die "cannot write to ${TMPDIR:-/tmp}; free some space there"
trap 'rm -f "$log"' EXIT
trap 'echo "setup: interrupted; run it again" >&2; exit 130' INT TERM HUP

# apt-get, its words in the log and its progress in one changing line (on a
# terminal) or a line for each tenth package.
apt() {
	local terminal=0
	[ -t 1 ] && terminal=1
	LC_ALL=C "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
		NEEDRESTART_SUSPEND=1 apt-get -y -q -o Acquire::Retries=2 \
		-o Acquire::http::Timeout=30 -o DPkg::Lock::Timeout=300 \
		"$@" 2>&1 </dev/null | tee "$log" |
		awk -v terminal=$terminal '
		/ newly installed,/ { total = $1 + $3 }
		/^Get:/ { note("downloading " (total ? $5 : $2), ++got) }
		/^Setting up / { note("installing " $3, ++done) }
		function note(what, n) {
			if (terminal)
				printf "\rsetup: %d%s %-50.50s", n,
					total ? "/" total : "", what
			else if (total && n % 10 == 0)
				printf "setup: %d/%d %s\n", n, total, what
			fflush()
		}
		END { if (terminal && got + done) printf "\r%70s\r", "" }'
	return "${PIPESTATUS[0]}"
}

# What apt was unhappy about, in one line.
reason() {
	{ grep -h 'Failed to fetch' "$log" || grep -hE '^[EW]:' "$log"; } |
		head -1 | sed 's/^[EW]: *//; s/  */ /g' | cut -c1-200
}

known() {
	local name
	for name in "${packages_missing[@]}"; do
		LC_ALL=C apt-cache policy "$name" 2>/dev/null |
			grep -q 'Candidate: [0-9]' || return 1
	done
}

echo "setup: installing ${#packages_missing[@]} packages:" \
	"${packages_missing[*]}"
updated=
if ! known; then
	echo "setup: fetching apt's package lists"
	apt update
	updated=yes
	if ! known; then
		grep -q 'Failed to fetch' "$log" &&
			die "apt cannot reach its servers ($(reason)); check \
the network and run it again"
		die "apt does not offer all of: ${packages_missing[*]}; check \
/etc/apt/sources.list and run it again"
	fi
fi
if ! apt --no-install-recommends install "${packages_missing[@]}"; then
	# The lists may be older than the archive.
	[ -z "$updated" ] && echo "setup: fetching apt's package lists" &&
		apt update
	apt --no-install-recommends install "${packages_missing[@]}" ||
		die "apt-get failed: $(reason); mend that and run it again"
fi
mapfile -t packages_missing < <(missing)
[ ${#packages_missing[@]} -eq 0 ] ||
	die "still missing after apt-get: ${packages_missing[*]}"
echo "setup: done"
remember
