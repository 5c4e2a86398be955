# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Observe: fetches what the host really does, and what we noted of it. Changes nothing.

Nouns: State (all that was observed of the daemon), Paths (what lies at the paths that a plan is about), Records (what we keep on the host
between runs), PastMove. It imports _service, _endpoint and what is below.
"""
