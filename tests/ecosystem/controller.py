#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""The collection on a controller with another ansible-core: controller.py 2.16

Built here, installed from the tarball beside the dependencies that the ansible package of that core has, and used from there: the syntax of all
playbooks, the unit tests of what runs on a controller, and a play against this machine.
"""

from __future__ import annotations

import pathlib
import shutil
import sys

from places import CACHE, SHARED, TOP, clean, environment, interpreter, run, skip

# ansible-core: the Pythons that it runs on, and the release of the ansible package that is tested with it.
CORES = {"2.16": (("3.12", "3.11", "3.10"), "ansible>=9,<10"), "2.21": (("3.13", "3.14", "3.12"), "ansible>=14,<15")}
TESTS = ("tests/unit/plugins/plugin_utils", "tests/unit/test_templates.py", "tests/unit/test_contract.py")


def programs_of(core: str) -> pathlib.Path:
    """The directory with the programs of an ansible-core."""
    pythons, package = CORES[core]
    python = interpreter(*pythons)
    if not python:
        skip(f"ansible-core {core} needs Python {' or '.join(sorted(pythons))}, which this machine has not")
    return environment(f"core-{core}", python, package, f"ansible-core=={core}.*", "pytest>=8", "hypothesis")


def install(core: str, home: pathlib.Path) -> tuple[pathlib.Path, dict[str, str]]:
    """Build the collection and install it from the tarball, below a new directory that is somebody's home.

    :returns: the directory with the programs, and the environment in which they find it.
    """
    programs, tree = programs_of(core), home / "collections"
    shutil.rmtree(home, ignore_errors=True)
    tree.mkdir(parents=True)
    environ = clean(HOME=str(home), PATH=f"{programs}:/usr/sbin:/usr/bin:/sbin:/bin", ANSIBLE_COLLECTIONS_PATH=str(tree), PYTHONPATH=str(tree))
    galaxy = (programs / "ansible-galaxy", "collection")
    run(*galaxy, "build", "--output-path", home, TOP, cwd=home, env=environ)
    (tarball,) = home.glob("*.tar.gz")
    run(*galaxy, "install", "--offline", tarball, "-p", tree, cwd=home, env=environ)
    return programs, environ


def main(core: str) -> int:
    home = CACHE / f"core-{core}"
    programs, environ = install(core, home)
    (home / "hosts").write_text(f"localhost ansible_connection=local ansible_python_interpreter={programs}/python\n")

    def call(program: str, *words: object) -> None:
        run(programs / program, *words, cwd=home, env=environ)

    playbooks = sorted(f"drydock.dockerd.{path.stem}" for path in TOP.glob("playbooks/*.yml"))
    call("ansible-playbook", "-i", "hosts", "--syntax-check", *playbooks)
    call("ansible-playbook", "-i", "hosts", "--check", pathlib.Path(__file__).with_name("play.yml"))
    call("python", "-m", "pytest", "-q", "-c", TOP / "pyproject.toml", "--rootdir", TOP, *(TOP / test for test in TESTS))
    print((SHARED / f"core-{core}/ready").read_text().replace("\n", " "))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
