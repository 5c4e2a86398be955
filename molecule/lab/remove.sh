#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors
#
# Remove all lab instances of this checkout and their disks.
set -eu
prefix=$("$(dirname "$0")/prefix.sh")
containers=$(docker ps --all --quiet --filter "label=drydock-lab=$prefix")
[ -z "$containers" ] || docker rm --force --volumes $containers
volumes=$(docker volume ls --quiet --filter "label=drydock-lab=$prefix")
[ -z "$volumes" ] || docker volume rm --force $volumes
