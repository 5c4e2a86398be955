# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""What is asked of processes that may be gone, and of whoever runs this."""

from __future__ import annotations

import os

import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils._errors import DrydockError
from ansible_collections.drydock.dockerd.plugins.module_utils._host.host import Host
from ansible_collections.drydock.dockerd.plugins.module_utils._host.processes import command_line


def test_command_line_of_a_process_that_is_gone_is_empty():
    assert command_line(1 << 30) == []
    assert command_line(os.getpid())


@pytest.mark.parametrize(("user", "name"), [(1, "daemon"), ((1 << 31) - 2, str((1 << 31) - 2))])
def test_who_is_not_root_is_told_of_become(user, name):
    Host(user=lambda: 0).needs_root()
    with pytest.raises(DrydockError, match=rf"User '{name}' may not do this.*Set become: true.*\[no-become\]"):
        Host(user=lambda: user).needs_root()
