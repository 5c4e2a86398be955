#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors
#
# Everything that 'make demo' and 'make test' need, from nothing: Debian packages, a virtual environment, a Docker that answers,
# and a tree in which this checkout is found as the collection drydock.dockerd.
#
#   setup.sh --images    and begin to build the lab's images
set -eu
cd "$(dirname "$0")/.."

missing=
command -v mmdebstrap >/dev/null || missing="$missing mmdebstrap"
command -v rsync >/dev/null || missing="$missing rsync"
command -v shellcheck >/dev/null || missing="$missing shellcheck"
python3 -c 'import ensurepip, venv' 2>/dev/null || missing="$missing python3-venv"
if [ -n "$missing" ]; then
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "Please install:$missing" >&2
        exit 1
    fi
    echo "installing$missing" >&2
    apt-get update -qq
    # shellcheck disable=SC2086  # a list of names
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi

molecule/lab/outer.sh
# One processor is enough for all that follows; who wants an image waits until it is there, and says what went wrong.
[ "${1:-}" != --images ] || molecule/lab/images.sh >/dev/null 2>&1 </dev/null &

# shellcheck disable=SC3013  # every sh of Debian has it
if ! [ -e .venv/ready ] || [ tests/requirements.txt -nt .venv/ready ]; then
    echo "making the virtual environment .venv" >&2
    python3 -m venv .venv
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --requirement tests/requirements.txt
    # All but the thousands of files in collections, which Ansible compiles each time that it needs one. Some files are examples of what does not compile.
    .venv/bin/python -m compileall -qq -j 2 -x ansible_collections .venv/lib || :
    touch .venv/ready
fi

tree=$(tests/tree.sh)
mkdir -p "$tree/ansible_collections/drydock"
ln -sfn "$(pwd -P)" "$tree/ansible_collections/drydock/dockerd"
