#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors
#
# Make a repository like https://download.docker.com/linux/debian below /srv/docker, of Debian's packages under Docker's names, with files where Docker's
# are and units as Docker's are.
set -eu
top=/srv/docker/linux/debian
arch=$(dpkg --print-architecture)
version=5:26.1.5-1~debian.13~trixie
work=$(mktemp -d)
mkdir -p "$top/pool" "$top/dists/trixie/stable/binary-$arch"
chmod 755 "$work"
cd "$work"
apt-get download --quiet docker.io docker-cli containerd runc

# laid_out NAME: a package as Docker's own are laid out
laid_out() {
    for program in dockerd docker-proxy; do
        [ ! -e "$1/usr/sbin/$program" ] || mv "$1/usr/sbin/$program" "$1/usr/bin/"
    done
    find "$1" -name docker.service -exec sed -i -e '/^EnvironmentFile=/d' -e 's|^ExecStart=.*|ExecStart=/usr/bin/dockerd -H fd:// --containerd=/run/containerd/containerd.sock|' {} +
    [ ! -e "$1/etc/containerd/config.toml" ] || echo 'disabled_plugins = ["cri"]' >"$1/etc/containerd/config.toml"
}

# renamed NEW OLD OTHER...: one package, with the files of others in it
renamed() {
    new=$1 old=$2
    shift 2
    dpkg-deb --raw-extract "$old"_*.deb "$new"
    for other; do
        dpkg-deb --extract "$other"_*.deb "$new"
    done
    # What it is not to be beside, and what it needs, by Docker's names. Its runc is in containerd.io.
    gone=$(echo "$old" "$@" | sed 's/ /, /g')
    sed -i -e "s/^Package: .*/Package: $new/" -e "s/^Version: .*/Version: $version\nConflicts: $gone\nReplaces: $gone/" \
        -e '/^\(Source\|Conflicts\|Breaks\|Replaces\|Provides\|Recommends\):/d' "$new/DEBIAN/control"
    sed -i '/^Depends:/{
        s/\<runc\>\( ([^)]*)\)\?, //
        s/, runc\>\( ([^)]*)\)\?//
        s/\<docker-cli\>\( ([^)]*)\)\?/docker-ce-cli/
        s/\<containerd\>\( ([^)]*)\)\?/containerd.io/
    }' "$new/DEBIAN/control"
    laid_out "$new"
    dpkg-deb -Znone --build "$new" "$top/pool/${new}_$arch.deb"
}
renamed docker-ce docker.io
renamed docker-ce-cli docker-cli
renamed containerd.io containerd runc

cd "$top"
apt-ftparchive packages pool >"dists/trixie/stable/binary-$arch/Packages"
apt-ftparchive -o APT::FTPArchive::Release::Codename=trixie -o APT::FTPArchive::Release::Components=stable \
    -o APT::FTPArchive::Release::Architectures="$arch" release dists/trixie >"$work/Release"
for name in release other; do
    gpg --batch --quiet --passphrase '' --quick-generate-key "$name@example.org" rsa3072 sign
done
gpg --batch --quiet --local-user release@example.org --clearsign --output dists/trixie/InRelease "$work/Release"
gpg --armor --output /srv/other.asc --export other@example.org
gpg --armor --output "$top/gpg" --export release@example.org
