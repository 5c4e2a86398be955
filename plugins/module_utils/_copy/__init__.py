# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Copying a tree that changes meanwhile, and knowing at the end that nothing is missing. Knows no daemon.

Nouns: Copier (one tree into another, in passes), Listing (a tree as the kernel describes it). It imports _host and _errors only.
"""
