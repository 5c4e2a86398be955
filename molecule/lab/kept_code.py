# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Keep what Python compiles each time anew: the modules that Ansible sends in an archive, and the plugins that it loads from collections.

Python loads it when it starts (kept_code.pth), on the hosts of tests/run.py and in the virtual environment, where it does something for tests/run.py
only: 'make bench' measures what others have. Without it each of some ten thousand
commands would compile the same files. Only the time differs: what is kept is found by all of the source and by Python's version.
"""

import _imp
import builtins
import marshal
import os
import sys
from importlib.util import MAGIC_NUMBER

KEPT = os.path.join(sys.prefix, "kept-code")
VERSION = int.from_bytes(MAGIC_NUMBER, "little")
# Less is compiled as fast as it is read.
SHORT = 2000

really_compile = builtins.compile


def compile(source, filename, mode, flags=0, dont_inherit=False, optimize=-1, **more):
    """What builtins.compile gives; of a whole file in text from what was kept, if it was."""
    if not isinstance(source, (str, bytes)) or len(source) < SHORT or (mode, flags, optimize, more) != ("exec", 0, -1, {}):
        return really_compile(source, filename, mode, flags, dont_inherit, optimize, **more)
    data = source.encode("utf-8", "surrogatepass") if isinstance(source, str) else source
    # As Python names what belongs to a source: of 8 bytes, keyed.
    path = os.path.join(KEPT, f"{_imp.source_hash(VERSION, data).hex()}-{len(data)}-{sys.flags.optimize}")
    try:
        with open(path, "rb") as stream:
            code = marshal.load(stream)
        _imp._fix_co_filename(code, os.fsdecode(filename))
        return code
    except (OSError, EOFError, ValueError):
        pass
    code = really_compile(source, filename, mode, flags, dont_inherit, optimize)
    part = f"{path}.{os.getpid()}"
    try:
        os.makedirs(KEPT, exist_ok=True)
        with open(part, "wb") as stream:
            marshal.dump(code, stream)
        os.rename(part, path)
    except OSError:
        # Nowhere to keep it: a full disk, another user.
        pass
    return code


if sys.prefix == sys.base_prefix or "DRYDOCK_REPORTS" in os.environ:
    builtins.compile = compile
