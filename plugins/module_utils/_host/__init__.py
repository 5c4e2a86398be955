# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""The machine, without Docker: commands, processes, files that survive a power cut, mounts.

Nouns: Host (the machine as an argument), Mount. Everybody may import it; it imports _errors only.
"""
