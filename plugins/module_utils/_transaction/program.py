# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

# Private to this collection: no promise is made to other users of it.

"""The worker as one file that Python runs."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import io
import marshal
import os
import re
import typing as t
import zipfile

from .._errors import DrydockError
from .._host import files

# This package here, and in the program.
_OURS, _PACKAGE = __name__.rsplit(".", 2)[0], "drydock_dockerd"
# An import from this package. To parse each file in full takes longer than all the rest; a word too much is no module and does no harm.
_IMPORT = re.compile(r"^ *from (\.[\w.]*) import (\([^)]*\)|.*)$", re.MULTILINE)


def make_program(main: str) -> bytes:
    """The worker as one file that Python runs: what it needs of this package, which needs nothing but the standard library.

    Compiled as well, since a change starts it several times: to run, to recover, to give news.

    :param main: the name of the module whose main() it runs.
    """
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:

        def add(name: str, content: t.Union[str, bytes]) -> None:
            archive.writestr(zipfile.ZipInfo(name), content)

        for path, source in sorted(_sources(main).items()):
            add(path, source)
            add(f"{path}c", _compiled(source, path))
        add(f"{_PACKAGE}/__init__.py", "")
        add("__main__.py", f"from {_PACKAGE}{main[len(_OURS) :]} import main\n\nmain()\n")
    return stream.getvalue()


def _sources(main: str) -> dict[str, str]:
    """The sources of a module, of what it imports, and so on, each by its path in the program."""
    found: dict[str, str] = {}
    seen, ahead = {_OURS}, [main]
    while ahead:
        name = ahead.pop()
        spec = None if name in seen else _spec(name)
        seen.add(name)
        if spec is None:
            continue
        source = spec.loader.get_source(name) if spec.loader else None  # type: ignore[attr-defined]
        if source is None:
            raise DrydockError("module-call", f"The source of {name} cannot be read, so no worker can be made of it.")
        is_package = spec.submodule_search_locations is not None
        found[f"{_PACKAGE}{name[len(_OURS) :].replace('.', '/')}{'/__init__' if is_package else ''}.py"] = source
        ahead += [str(spec.parent), *_imported(source, str(spec.parent))]
    return found


def _spec(name: str) -> importlib.machinery.ModuleSpec | None:
    """Where a module comes from; None of what is no module, but something in one."""
    try:
        return importlib.util.find_spec(name)
    except ModuleNotFoundError:
        return None


def _imported(source: str, package: str) -> t.Iterator[str]:
    """The names that a module takes from this package, with what it takes of each: that may be a module, too."""
    for module, names in _IMPORT.findall(source):
        base = importlib.util.resolve_name(module, package)
        yield base
        yield from (f"{base}.{name}" for name in re.findall(r"\w+", names))


def _compiled(source: str, path: str) -> bytes:
    """What Python takes from a file beside the source (PEP 552, not to be checked). Another Python, after an upgrade of the host, takes the source."""
    code = compile(source, path, "exec", dont_inherit=True)
    return importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little") + importlib.util.source_hash(source.encode()) + marshal.dumps(code)


def write_program(path: str, content: bytes) -> None:
    temporary = path + ".new"
    with open(temporary, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(temporary, path)
    files.sync_directory(os.path.dirname(path))


__all__ = (
    "make_program",
    "write_program",
)
