#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""The checks that Galaxy makes of an uploaded collection, on the tarball, in an environment of its own: its libraries are older than the linters'.

What it would run a second time, ansible-test and ansible-lint, are parts of their own.
"""

from __future__ import annotations

import json
import os
import shutil
import sys

from places import CACHE, TOP, clean, environment, interpreter, run, skip

PYTHONS = ("3.12", "3.11")
SETTINGS = """\
[galaxy-importer]
RUN_ANSIBLE_TEST = False
RUN_ANSIBLE_LINT = False
RUN_FLAKE8 = False
CHECK_CHANGELOG = True
CHECK_REQUIRED_TAGS = True
REQUIRE_V1_OR_GREATER = False
"""


def main() -> int:
    python = interpreter(*PYTHONS)
    if not python:
        skip(f"galaxy-importer needs Python {' or '.join(sorted(PYTHONS))}, which this machine has not")
    programs = environment("galaxy-importer", python, "galaxy-importer>=0.4.44", "ansible-core")
    home = CACHE / "importer"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    (home / "settings.cfg").write_text(SETTINGS)
    environ = clean(HOME=str(home), PATH=f"{programs}:{os.environ['PATH']}", GALAXY_IMPORTER_CONFIG=str(home / "settings.cfg"))
    run(programs / "ansible-galaxy", "collection", "build", "--output-path", home, TOP, env=environ)
    (tarball,) = home.glob("*.tar.gz")
    run(programs / "python", "-m", "galaxy_importer.main", tarball.name, cwd=home, env=environ)
    result = json.loads((home / "importer_result.json").read_text())
    contents = sorted((content["content_type"], content["name"]) for content in result["contents"])
    print(*contents, sep="\n")
    modules = {path.stem for path in TOP.glob("plugins/modules/*.py")}
    roles = {path.name for path in TOP.glob("roles/*")}
    missing = ({("module", name) for name in modules} | {("role", name) for name in roles}) - set(contents)
    if missing or result["metadata"]["name"] != "dockerd":
        print("Galaxy would not find:", *sorted(missing))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
