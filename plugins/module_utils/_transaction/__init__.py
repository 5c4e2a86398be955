# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Apply a plan step by step, prove the result, undo on any failure; in a worker that outlives the connection.

Nouns: Step (does and undoes one thing), Journal (what was begun), Outcome (what was done). It imports _plan and what is below.
"""
