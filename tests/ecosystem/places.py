# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""What the checks of the collection as an artifact share: a copy of the checkout, virtual environments, and the word SKIP."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
import shutil
import subprocess
import sys
import typing as t

TOP = pathlib.Path(__file__).resolve().parents[2]
CACHE = TOP / ".cache" / "ecosystem"
# What is the same for every checkout is made once for all of them.
SHARED = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "drydock-lab" / "ecosystem"
# tests/run.py takes this end for SKIP, and the last line of the output for the reason.
SKIPPED = 77


def run(*words: object, **options: t.Any) -> None:
    """Run a command in sight; end with its status when it fails."""
    command = [str(word) for word in words]
    print("$", " ".join(command), flush=True)
    rc = subprocess.run(command, check=False, **options).returncode
    if rc:
        sys.exit(f"{command[0]} ended with {rc}")


def skip(reason: str) -> t.NoReturn:
    """End without having tested anything, and say why."""
    print(reason)
    sys.exit(SKIPPED)


def files() -> list[str]:
    """What is in the checkout: all files that git has or would take."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=TOP, capture_output=True, text=True, check=True).stdout
    return sorted(name for name in listed.split("\0") if name and (TOP / name).exists())


def copy(destination: pathlib.Path, takes: t.Callable[[str], bool]) -> pathlib.Path:
    """A fresh copy of some of the checkout's files where tools look for a collection; returns its directory."""
    shutil.rmtree(destination, ignore_errors=True)
    directory = destination / "ansible_collections" / "drydock" / "dockerd"
    for name in filter(takes, files()):
        target = directory / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(TOP / name, target, follow_symlinks=False)
    return directory


def interpreter(*versions: str) -> str | None:
    """The first of these Pythons that the machine has, on PATH or as pyenv keeps them, and that can make a virtual environment."""
    for version in versions:
        kept = sorted(pathlib.Path(os.environ.get("PYENV_ROOT", pathlib.Path.home() / ".pyenv")).glob(f"versions/{version}.*/bin/python{version}"))
        for candidate in [*map(str, reversed(kept)), shutil.which(f"python{version}")]:
            if candidate and not subprocess.run([candidate, "-c", "import ensurepip, venv"], capture_output=True, check=False).returncode:
                return candidate
    return None


@contextlib.contextmanager
def alone(name: str) -> t.Iterator[None]:
    """Let other checkouts wait that want the same of what is shared."""
    SHARED.mkdir(parents=True, exist_ok=True)
    with open(SHARED / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def environment(name: str, python: str, *requirements: str) -> pathlib.Path:
    """The directory of programs of a virtual environment with these packages; kept until they change."""
    home = SHARED / name
    ready = home / "ready"
    wanted = "\n".join((python, *requirements))
    with alone(name):
        if not ready.exists() or ready.read_text() != wanted:
            shutil.rmtree(home, ignore_errors=True)
            run(python, "-m", "venv", home)
            run(home / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements)
            ready.write_text(wanted)
    return home / "bin"


def clean(**changes: str) -> dict[str, str]:
    """The environment without what points at this checkout or at somebody's settings."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "PYTHONPATH", "MOLECULE_"))} | changes


__all__ = ("CACHE", "SHARED", "SKIPPED", "TOP", "alone", "clean", "copy", "environment", "files", "interpreter", "run", "skip")
