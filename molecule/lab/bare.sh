#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors
#
# Make the lab image of a suite without an engine, and without what our roles need beside it, and print its name.
#
#   molecule/lab/bare.sh trixie
set -eu
suite=$1
here=$(cd "$(dirname "$0")" && pwd)
with=$("$here/image.sh" "$suite")
image="drydock-lab:bare-$suite-$(echo "$with" | cat - "$here/bare.sh" | sha256sum | cut -c1-12)"

there() {
    docker image inspect "$image" >/dev/null 2>&1 && echo "$image"
}
there && exit 0
exec 9>"${XDG_CACHE_HOME:-$HOME/.cache}/drydock-lab/bare-$suite.lock"
flock 9
there && exit 0

# shellcheck disable=SC2016  # the container's own shell
remove='
set -eu
found() { dpkg-query --show --showformat "\${Package}\n" "$@" 2>/dev/null || true; }
DEBIAN_FRONTEND=noninteractive apt-get purge --yes --autoremove --quiet \
    $(found docker.io docker-cli containerd runc rsync python3-cryptography python3-requests python3-docker)
rm -rf /etc/docker /var/lib/docker /var/lib/containerd
'
container=$(docker create "$with" sh -c "$remove")
trap 'docker rm --force "$container" >/dev/null' EXIT
docker start --attach "$container" >&2
docker commit --change 'CMD ["/init.sh"]' "$container" "$image" >/dev/null
echo "$image"
