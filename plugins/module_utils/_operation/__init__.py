# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""What the changing modules call: one operation from the lock to the result.

Nouns: Operation (what one module wants to be done). It imports everything below; the modules alone import it.
"""
