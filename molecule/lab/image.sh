#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors
#
# Build the lab image of one Debian suite and print its name: a real init, a real dockerd, nothing mocked. 'sysv' is trixie without systemd.
#
#   molecule/lab/image.sh trixie
#
# The packages come from the Debian mirror that this machine's apt already uses, or from mmdebstrap's own choice. The archive is kept in
# ${XDG_CACHE_HOME:-~/.cache}/drydock-lab and named after this recipe, so that a changed recipe builds anew.
set -eu

suite=$1
here=$(cd "$(dirname "$0")" && pwd)
recipe=$(cat "$here/image.sh" "$here/init.sh" | sha256sum | cut -c1-12)
image="drydock-lab:$suite-$recipe"
cache="${XDG_CACHE_HOME:-$HOME/.cache}/drydock-lab"
archive="$cache/$suite-$recipe.tar"

there() {
    docker image inspect "$image" >/dev/null 2>&1 && echo "$image"
}
there && exit 0

# Two scenarios at once may want the same image.
mkdir -p "$cache"
exec 9>"$cache/$suite.lock"
flock 9
there && exit 0

packages="sudo docker.io iptables nftables python3 python3-cryptography python3-docker python3-requests rsync iproute2 procps e2fsprogs acl attr busybox-static ca-certificates"
case $suite in
    bullseye | bookworm) ;;                   # the client is part of docker.io
    *) packages="$packages docker-cli" ;;
esac
# One of them has all file systems that a data root may lie on.
[ "$suite" != trixie ] || packages="$packages xfsprogs btrfs-progs"
# What nobody on a lab host waits for, and for SysV what a container lacks: terminals, and the right to raise limits.
case $suite in
    sysv)
        release=trixie
        packages="$packages sysvinit-core sysv-rc initscripts kmod"
        settle='rm -f "$1"/etc/rcS.d/*hwclock* && sed -i "/getty/d" "$1/etc/inittab" && echo "ulimit() { :; }" >>"$1/etc/default/docker"'
        ;;
    *)
        release=$suite
        packages="$packages systemd systemd-sysv dbus openssh-server"
        settle='chroot "$1" systemctl mask apt-daily.timer apt-daily-upgrade.timer getty.target console-getty.service systemd-logind.service ssh.socket'
        ;;
esac

# The lab must not stop working when a mirror's copy of the testing suite is a few days old.
case $suite in
    forky) valid='--aptopt=Acquire::Check-Valid-Until "false"' ;;
    *) valid='--aptopt=Acquire::Check-Valid-Until "true"' ;;
esac

if ! [ -s "$archive" ]; then
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Origin: Debian' | sort -u | grep -v security | head -n 1)
    echo "building the $suite image (a minute or two, kept in $cache)" >&2
    # shellcheck disable=SC2016  # $1 belongs to the hook's own shell
    mmdebstrap --format=tar --variant=minbase "$valid" --include="$(echo "$packages" | tr ' ' ',')" \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
        --customize-hook="copy-in $here/init.sh /" \
        --customize-hook='chmod 0755 "$1/init.sh"' \
        --customize-hook='rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*' \
        --customize-hook="$settle" \
        "$release" "$archive.part" ${mirror:+"$mirror"} >"$cache/$suite.log" 2>&1 || {
        tail -n 20 "$cache/$suite.log" >&2
        exit 1
    }
    mv "$archive.part" "$archive"
fi

# Only the newest recipe of a suite is worth its space.
find "$cache" -name "$suite-*.tar" ! -name "$suite-$recipe.tar" -delete
docker import -c 'CMD ["/init.sh"]' "$archive" "$image" >/dev/null
echo "$image"
