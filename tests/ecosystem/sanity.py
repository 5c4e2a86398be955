#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""All sanity tests of ansible-test on what is shipped, with the oldest and the newest Python of targets that this machine has, and our own.

ansible-test makes a virtual environment for most tests, and fetches pip for it from a server of its own. Here it finds a file in its cache
that installs the pip that comes with Python, so that a package index is all that has to be reached.
"""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys

import ansible_test
from places import CACHE, SHARED, alone, clean, copy, interpreter

OLDEST, NEWEST = ("3.9", "3.10"), ("3.14", "3.13", "3.12")
GET_PIP = """\
import subprocess, sys
words = [word for word in sys.argv[1:] if word not in ("--no-setuptools", "--no-wheel")]
subprocess.check_call([sys.executable, "-m", "ensurepip", "--default-pip"])
subprocess.check_call([sys.executable, "-m", "pip", "install", "--upgrade", *words])
"""
# What it says when it looked at nothing. A Python that is not there is no fault; which ones were there is printed.
NOT_RUN = ("All targets skipped", "No tests to run", "No sanity tests")
# Shipped is what the build takes. Shell scripts and tests are held against other rules, in parts of their own.
NOT_SHIPPED = (".", "molecule/", "tests/", "Makefile", "conftest.py")
KEPT = ("tests/sanity/", "tests/config.yml")


def main() -> int:
    home = SHARED / "ansible-test"
    cached = home / ".ansible/test/cache"
    cached.mkdir(parents=True, exist_ok=True)
    wanted = (pathlib.Path(ansible_test.__file__).parent / "_internal/python_requirements.py").read_text()
    for version in re.findall(r"pip='([\d.]+)'", wanted):
        (cached / f"get_pip_{version.replace('.', '_')}.py").write_text(GET_PIP)
    directory = copy(CACHE / "sanity", lambda name: name.startswith(KEPT) or not name.startswith(NOT_SHIPPED))
    # ansible-test asks git which files there are; without a repository of its own the copy would be ignored files of the checkout.
    subprocess.run(["git", "init", "--quiet", str(directory)], check=True)
    found = [one for one in (interpreter(*OLDEST), interpreter(*NEWEST)) if one]
    path = ":".join([str(pathlib.Path(sys.prefix) / "bin"), *(str(pathlib.Path(one).parent) for one in found), "/usr/bin", "/bin"])
    with alone("ansible-test"):
        done = subprocess.run(
            ["ansible-test", "sanity", "--color", "no", *sys.argv[1:]],
            cwd=directory,
            env=clean(HOME=str(home), PATH=path, LC_ALL="C.UTF-8"),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
    print(done.stdout)
    skipped = [line for line in done.stdout.splitlines() if any(words in line for words in NOT_RUN)]
    ran = re.findall(r"^Running sanity test \"?([\w-]+)", done.stdout, re.M)
    pythons = sorted(set(re.findall(r'^Running sanity test "import" on Python ([\d.]+)', done.stdout, re.M)))
    print(f"{len(set(ran))} tests; modules are imported with Python {', '.join(pythons)}")
    if skipped or not ran or (not pythons and not sys.argv[1:]):
        print("not everything was run:", *skipped, sep="\n")
        return 1
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
