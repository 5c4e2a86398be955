#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors
#
# Create one instance, a container with a real init and a real dockerd inside, and wait until both answer.
#
#   molecule/lab/create.sh NAME IMAGE DISK_SIZE [powercut]
#
# Its /var/lib is a volume, since overlay on overlay does not work. Not --privileged: that asks for more than some machines can
# give. (By the client, not by a module: systempaths=unconfined is the client's own word.) With 'powercut' the volume holds images of its
# disks instead, see powercut.sh; a second call, when the instance is gone, boots from what is in the volume.
set -eu
name=$1 image=$2 disk=$3 mode=${4:-}
here=$(cd "$(dirname "$0")" && pwd)
prefix=$("$here/prefix.sh")
case $mode in
    powercut) place=/disks first=/powercut.sh ;;
    *) place=/var/lib first=/init.sh ;;
esac

docker volume create --label "drydock-lab=$prefix" "$name-lib" >/dev/null
docker create --name "$name" --hostname "${name##*-}" --label "drydock-lab=$prefix" \
    --volume "$name-lib:$place" --tmpfs /run --tmpfs /tmp --env "LAB_NAME=$name" --env "LAB_DISK=$disk" --stop-signal SIGRTMIN+3 \
    --cap-add ALL --cap-drop SYS_RESOURCE --device-cgroup-rule 'a *:* rwm' --cgroupns private \
    --security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined \
    "$image" "$first" >/dev/null
# The programs that fill it and look at it.
tar --create --directory "$here" --mode 0755 --owner 0 --group 0 --transform 's/^\(host\|neighbour\)\.py$/lab-\1/' host.py neighbour.py compare.py | docker cp - "$name:/usr/local/bin" >/dev/null 2>&1
[ "$first" = /init.sh ] || docker cp "$here$first" "$name:$first" >/dev/null 2>&1
docker start "$name" >/dev/null
for _ in $(seq 120); do
    case $(docker exec "$name" /init.sh state 2>/dev/null || true) in
        running | degraded)
            docker exec "$name" sh -c 'command -v dockerd' >/dev/null || exit 0
            exec docker exec "$name" docker info --format 'docker {{.ServerVersion}}'
            ;;
    esac
    sleep 0.5
done
echo "$name does not come up" >&2
exit 1
