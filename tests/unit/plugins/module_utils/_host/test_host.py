# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""What is asked of processes that may be gone."""

from __future__ import annotations

import os

from ansible_collections.drydock.dockerd.plugins.module_utils._host.processes import command_line


def test_command_line_of_a_process_that_is_gone_is_empty():
    assert command_line(1 << 30) == []
    assert command_line(os.getpid())
