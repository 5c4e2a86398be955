# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

from __future__ import annotations

import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils._engine.timestamps import seconds
from ansible_collections.drydock.dockerd.plugins.module_utils._errors import DrydockError


@pytest.mark.parametrize(
    ("moment", "expected"),
    [("1970-01-01T00:00:10Z", 10), ("1970-01-01T00:00:10.123456789Z", 10.123456789), ("1970-01-01T02:00:00.5+02:00", 0.5), ("1969-12-31T23:00:00-01:00", 0)],
)
def test_moments_of_the_engine(moment, expected):
    assert seconds(moment) == pytest.approx(expected)


def test_moment_that_is_none():
    with pytest.raises(DrydockError):
        seconds("yesterday")
