#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Build the documentation's site, offline; a warning is an error. It is .cache/site/build/html/index.html then."""

from __future__ import annotations

import os
import shutil
import sys

from places import TOP, run

SITE = TOP / ".cache/site"
# What antsibull-docs makes of a collection looks references up on the web, which nobody wants in a test; other collections are not built.
CONFIGURATION = """
project = title = html_short_title = "drydock.dockerd"
copyright = "drydock.dockerd contributors"
intersphinx_mapping = {}
nitpicky = False
suppress_warnings = ["ref.ref", "ref.any"]
"""


def main() -> int:
    shutil.rmtree(SITE, ignore_errors=True)
    SITE.mkdir(parents=True)
    # antsibull-docs wants that nobody else can write there.
    os.umask(0o022)
    SITE.chmod(0o700)
    run("antsibull-docs", "sphinx-init", "--use-current", "--squash-hierarchy", "--dest-dir", SITE, "drydock.dockerd")
    with open(SITE / "conf.py", "a", encoding="utf-8") as stream:
        stream.write(CONFIGURATION)
    source = SITE / "rst"
    source.mkdir(exist_ok=True)
    words = ("--config-file", "antsibull-docs.cfg", "collection", "--cleanup", "everything", "--use-current", "--squash-hierarchy", "--dest-dir", source)
    run("antsibull-docs", *words, "drydock.dockerd", cwd=SITE)
    (source / "docsite").mkdir(exist_ok=True)
    for picture in [*TOP.glob("docs/*.svg"), *TOP.glob("docs/docsite/rst/*.svg")]:
        for place in (source, source / "docsite"):
            shutil.copy(picture, place / picture.name)
    run("sphinx-build", "-M", "html", source, SITE / "build", "-q", "-c", SITE, "-W", "--keep-going", "-j", "auto")
    pages = sorted(path.stem for path in (SITE / "build/html").rglob("*.html"))
    missing = {path.stem for path in TOP.glob("docs/docsite/rst/*.rst")} - {page.rpartition("/")[2] for page in pages}
    print(f"{len(pages)} pages")
    if missing:
        print("not built:", *sorted(missing))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
