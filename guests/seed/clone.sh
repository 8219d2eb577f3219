# SPDX-License-Identifier: Apache-2.0
#
# For a clone that cloud-init sets up: what it must not share with the machine
# that it was made of, and what cloud-init leaves as it is. That is the number
# by which systemd and D-Bus know the machine, and of which DHCP clients make
# theirs. Host keys cloud-init makes itself for each new instance. A line before
# this text sets $identity; cloud-init runs it with each boot.
known=/var/lib/lodge/identity
id=/etc/machine-id

[ "$(cat "$known" 2>/dev/null)" != "$identity" ] || exit 0
if [ -s "$id" ] && ! mountpoint -q "$id"; then
	tr -d - </proc/sys/kernel/random/uuid >"$id.new" &&
		chmod 444 "$id.new" && mv "$id.new" "$id"
	[ ! -f /var/lib/dbus/machine-id ] || [ -L /var/lib/dbus/machine-id ] ||
		cp "$id" /var/lib/dbus/machine-id
	! command -v systemctl >/dev/null ||
		systemctl --no-block try-restart systemd-networkd
fi
# Last and durable: what was cut short is done again.
mkdir -p "${known%/*}" && echo "$identity" >"$known.new" &&
	sync "$known.new" && mv "$known.new" "$known"
