#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors
#
# Print the prefix of all lab names of this checkout, so that two checkouts can test at once.
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd -P)
echo "drydock-$(printf %s "$top" | sha256sum | cut -c1-6)"
