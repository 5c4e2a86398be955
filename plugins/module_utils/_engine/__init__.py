# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""The Docker Engine by its own terms: its API, its options, what it has, its packages.

Nouns: Engine (the API), Ask (what one owner wants of daemon.json), Container and Inventory (what a daemon has). It imports _host and _errors only;
the plugins of the controller may import it.
"""
