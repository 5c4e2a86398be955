# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""The one way to call the C library."""

from __future__ import annotations

import ctypes
import os
import typing as t

_libc = ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: t.Any) -> int:
    """Call a function of the C library.

    :raises OSError: it failed.
    """
    result: int = getattr(_libc, name)(*arguments)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result


__all__ = ("call",)
