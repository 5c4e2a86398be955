# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""The steps of a transaction: a class each, with what it does beside how that is undone.

Nouns: Step (one of them), Context (what the steps of one transaction share). table.py has them all; their order is a table of package _plan.
"""
