#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors
#
# Print where the tree lies in which this checkout is found as a collection: outside of it, so that no tool walks in circles.
set -eu
echo "${XDG_CACHE_HOME:-$HOME/.cache}/drydock-lab/$("$(dirname "$0")/../molecule/lab/prefix.sh")"
