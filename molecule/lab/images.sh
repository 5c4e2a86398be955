#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors
#
# Build the lab images of all suites that are not there yet, and print their names.
set -eu
for suite in trixie bookworm sysv forky bullseye; do
    "$(dirname "$0")/image.sh" "$suite"
done
