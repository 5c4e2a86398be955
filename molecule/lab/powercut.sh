#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors
#
# First process of a lab instance that can lose its power: /etc and /var/lib, where all lies that a change of the daemon writes, are an
# ext4 in an image file, as the data partition is. Such a file system can be cut off (lab-fault cut), and a fresh instance boots from
# what had reached its image by then.
set -e
mkdir -p /system

# The instance before this one had the same images: two loop devices of one file would destroy it.
while grep -qsF "/$LAB_NAME" /sys/block/loop*/loop/backing_file; do sleep 0.1; done

[ -e /dev/loop-control ] || mknod /dev/loop-control c 10 237
for n in $(seq 0 63); do
    [ -e "/dev/loop$n" ] || mknod "/dev/loop$n" b 7 "$n"
done

# As little as possible reaches the disk by luck: no early commits of the file system's journal, no flush at a rename.
options=loop,commit=300,noauto_da_alloc
image="/disks/$LAB_NAME-system.img"
if ! [ -e /disks/lab ]; then
    truncate -s "$LAB_DISK" "$image"
    mkfs.ext4 -q "$image"
    mount -o "$options" "$image" /system
    mkdir -p /system/var /etc/systemd/system/mnt-data.mount.d
    printf '[Mount]\nOptions=%s\n' "$options" >/etc/systemd/system/mnt-data.mount.d/options.conf
    # systemd does not mount devices in a container, but to the eye this is a system that is mounted at each boot.
    echo '/dev/system /var/lib ext4 defaults 0 2' >>/etc/fstab
    cp -a /etc /system/etc
    cp -a /var/lib /system/var/lib
    mkdir -p /system/var/lib/lab /disks/lab
    sync
else
    mount -o "$options" "$image" /system
fi
mount --bind /system/etc /etc
mount --bind /system/var/lib /var/lib
# The data partition's own image must not lie on the system's.
mount --bind /disks/lab /var/lib/lab

exec /init.sh
