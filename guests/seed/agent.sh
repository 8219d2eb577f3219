#cloud-boothook
#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# For images of others, by the seed of `lodge run IMAGE`: the guest's agent,
# which lies on the seed's volume, becomes a service of this system. cloud-init
# runs this with each boot. An agent that the system has otherwise stays.
to=/usr/local/sbin/lodge-agent
unit=/etc/systemd/system/lodge-agent.service
script=/etc/init.d/lodge-agent
ours='# Made by the seed of lodge run.'
view=/run/lodge-seed

for there in "$unit" "$script" /usr/lib/systemd/system/lodge-agent.service; do
	[ ! -e "$there" ] || grep -qF "$ours" "$there" || exit 0
done

seed=/dev/disk/by-label/cidata
[ -e "$seed" ] || seed=$(blkid -L cidata) || exit 0
mkdir -p "$view" "${to%/*}"
mount -t iso9660 -o ro "$seed" "$view" || exit 0
if ! cmp -s "$view/lodge-agent" "$to"; then
	cp "$view/lodge-agent" "$to.new" && chmod 755 "$to.new" &&
		mv "$to.new" "$to"
	! command -v restorecon >/dev/null || restorecon "$to"
fi
umount "$view"
rmdir "$view"
[ -x "$to" ] || exit 0
modprobe -q vmw_vsock_virtio_transport

if [ -d /run/systemd/system ]; then
	[ ! -e "$unit" ] || exit 0
	cat >"$unit" <<-END
	$ours
	[Unit]
	Description=The host's way in (lodge exec, lodge cp)
	DefaultDependencies=no
	After=systemd-remount-fs.service
	Before=shutdown.target
	Conflicts=shutdown.target

	[Service]
	ExecStart=$to
	Restart=always
	RestartSec=5
	# What commands have started goes on without it.
	KillMode=process
	TasksMax=infinity

	[Install]
	WantedBy=sysinit.target
	END
	systemctl daemon-reload
	systemctl enable lodge-agent.service
	# The boot, of which this is a part, is not waited for.
	systemctl start --no-block lodge-agent.service
elif command -v rc-update >/dev/null; then
	[ ! -e "$script" ] || exit 0
	cat >"$script" <<-END
	#!/sbin/openrc-run
	$ours
	description="The host's way in (lodge exec, lodge cp)"
	supervisor=supervise-daemon
	command=$to
	END
	chmod 755 "$script"
	rc-update add lodge-agent default
	rc-service --nodeps lodge-agent start
else
	"$to" </dev/null >/dev/null 2>&1 &
fi
