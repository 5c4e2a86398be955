#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors
#
# Remove a lab instance of this checkout and its disk, or without a name all of them; prints what was removed.
#
#   molecule/lab/remove.sh [NAME]
set -eu
prefix=$("$(dirname "$0")/prefix.sh")
containers=$(docker ps --all --quiet --filter "label=drydock-lab=$prefix" ${1:+--filter "name=^$1\$"})
# A test that was cut off may leave files that nobody can remove.
for container in $containers; do
    docker exec "$container" sh -c 'lsattr -a -R /var/lib/docker* 2>/dev/null | grep "^[^ ]*[ia][^ ]* /" | cut -d " " -f 2- | xargs -d "\n" -r chattr -ia' 2>/dev/null || true
done
# shellcheck disable=SC2086  # a list of names
[ -z "$containers" ] || docker rm --force --volumes $containers
volumes=$(docker volume ls --quiet --filter "label=drydock-lab=$prefix" ${1:+--filter "name=^$1-lib\$"})
# shellcheck disable=SC2086  # a list of names
[ -z "$volumes" ] || docker volume rm --force $volumes
