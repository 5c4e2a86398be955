# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Plan: from what is and what is asked to steps as data. Pure.

Nouns: Request (what one run wants), Plan (steps, files, moves), Move, DaemonConfig. It imports _observe and what is below.
"""
