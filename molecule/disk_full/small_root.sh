#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors
#
# Let a small ext4 carry all that a move writes to beside its target: the daemon's configuration, its units, and the journal of changes.
set -eu
systemctl stop docker.socket docker.service
image=/var/lib/lab/$1-small.img
truncate -s 64M "$image"
mkfs.ext4 -q "$image"
mkdir -p /small /etc/docker /var/lib/drydock
mount -o loop "$image" /small
mount --make-private /small
for path in /etc/docker /etc/systemd/system /var/lib/drydock; do
    mkdir -p "/small$path"
    cp -a "$path/." "/small$path"
    mount --bind "/small$path" "$path"
done
echo '{"live-restore": true}' >/etc/docker/daemon.json
systemctl daemon-reload
systemctl start docker.socket docker.service
