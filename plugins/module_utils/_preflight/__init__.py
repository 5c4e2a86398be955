# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Preflight: everything that can be known to go wrong, before anything is written. Changes nothing.

Nouns: Finding (an error or a warning), Forecast (what a move would take). It imports _transaction and what is below.
"""
