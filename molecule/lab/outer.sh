#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors
#
# Make sure that a Docker answers that can run the lab. One that answers already is used as it is; where none does and we are
# root on Debian or Ubuntu, docker.io is installed and its daemon started.
set -eu

docker info >/dev/null 2>&1 && exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "No Docker answers. Start one (as a user who may use it), or run this as root on Debian or Ubuntu." >&2
    exit 1
fi
if ! command -v dockerd >/dev/null || ! command -v docker >/dev/null; then
    echo "installing docker.io" >&2
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends docker.io iptables ca-certificates >/dev/null
    command -v docker >/dev/null || DEBIAN_FRONTEND=noninteractive apt-get install -y -qq docker-cli >/dev/null
fi
if [ -d /run/systemd/system ]; then
    systemctl start docker
elif ! docker info >/dev/null 2>&1; then
    echo "starting dockerd (log: /var/log/drydock-lab-dockerd.log)" >&2
    setsid dockerd >/var/log/drydock-lab-dockerd.log 2>&1 </dev/null &
fi
for _ in $(seq 60); do
    docker info >/dev/null 2>&1 && exit 0
    sleep 1
done
echo "dockerd does not answer after 60 s; see its log" >&2
exit 1
