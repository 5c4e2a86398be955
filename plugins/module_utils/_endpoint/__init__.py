# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""A daemon as a client sees it, on this machine or another: connections, diagnoses, containers.

Nouns: Remote (a daemon behind tcp), Attempt (one connection), Diagnosis. It imports _engine and _errors only, so that modules which need
nothing else stay small.
"""
