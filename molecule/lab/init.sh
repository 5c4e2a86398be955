#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors
#
# First process of a lab instance: what a real machine's kernel and initrd would have prepared, then the real init.
set -e

# A cgroup v2 tree of our own, whatever the machine outside uses.
umount -R /sys/fs/cgroup 2>/dev/null || true
mount -t cgroup2 cgroup2 /sys/fs/cgroup

# As on a real machine: mounts propagate (dockerd expects it) and loop devices exist.
mount --make-rshared /
[ -e /dev/loop-control ] || mknod /dev/loop-control c 10 237
for n in $(seq 0 63); do
    [ -e "/dev/loop$n" ] || mknod "/dev/loop$n" b 7 "$n"
done

exec /sbin/init
