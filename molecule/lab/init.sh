#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors
#
# First process of a lab instance: what a real machine's kernel, initrd and installer would have prepared, then the real init.
#
#   init.sh state    how far the boot has come, in systemd's words: 'running' or 'degraded' at its end
set -e

if [ "${1:-}" = state ]; then
    [ -e /lib/systemd/systemd ] && exec systemctl is-system-running
    # Under SysV the boot is over when nothing of it is left.
    if [ -e /run/utmp ] && [ "$(runlevel)" = "N 2" ] && ! pgrep -f '/etc/init.d/rc |startpar' >/dev/null; then echo running; else echo starting; fi
    exit
fi

# A cgroup v2 tree of our own, whatever the machine outside uses.
umount -R /sys/fs/cgroup 2>/dev/null || true
mount -t cgroup2 cgroup2 /sys/fs/cgroup

# As on a real machine: mounts propagate (dockerd expects it) and loop devices exist.
mount --make-rshared /
[ -e /dev/loop-control ] || mknod /dev/loop-control c 10 237
for n in $(seq 0 63); do
    [ -e "/dev/loop$n" ] || mknod "/dev/loop$n" b 7 "$n"
done

# The second disk, once: an ext4 in an image file that the init mounts on /mnt/data. All instances share the kernel's loop devices,
# and some versions of mount take one whose file has the same name: so the name is this instance's own.
if ! [ -e /var/lib/lab/installed ]; then
    mkdir -p /var/lib/lab /mnt/data
    truncate -s "$LAB_DISK" "/var/lib/lab/$LAB_NAME.img"
    mkfs.ext4 -q "/var/lib/lab/$LAB_NAME.img"
    if ! [ -e /lib/systemd/systemd ]; then
        # The second line keeps docker's init script from mounting cgroups of its own.
        printf '%s\n' "/var/lib/lab/$LAB_NAME.img /mnt/data ext4 loop,nofail 0 0" "cgroup2 /sys/fs/cgroup cgroup2 noauto 0 0" >/etc/fstab
        touch /var/lib/lab/installed
        exec /sbin/init
    fi
    mkdir -p /etc/systemd/system/local-fs.target.wants
    cat >/etc/systemd/system/mnt-data.mount <<UNIT
[Unit]
Description=The data partition

[Mount]
What=/var/lib/lab/$LAB_NAME.img
Where=/mnt/data
Type=ext4
Options=loop
UNIT
    ln -s ../mnt-data.mount /etc/systemd/system/local-fs.target.wants/
    touch /var/lib/lab/installed
fi

exec /sbin/init
