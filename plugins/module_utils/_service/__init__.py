# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""How dockerd is run here: reads, holds, stops and starts it. The one package that knows init systems.

Nouns: Service (what every init system promises), Unit (a service as its files say it). It imports _engine and what is below.
"""
