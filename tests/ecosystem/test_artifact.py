# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""The collection as users get it: built, installed from the tarball into an empty place, and called from there by its full names."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import re
import subprocess
import sys
import tarfile
import typing as t

import pytest
import yaml
from places import TOP, clean, files

# All that may be in the tarball. Whatever is needed at run time lies in the last four.
AT_THE_TOP = {"CHANGELOG.md", "CODE_OF_CONDUCT.md", "CONTRIBUTING.md", "LICENSE", "MAINTAINERS.md", "README.md", "REUSE.toml"}
DIRECTORIES = {"LICENSES", "changelogs", "docs", "meta", "playbooks", "plugins", "roles"}
SUFFIXES = {".py", ".yml", ".j2", ".css", ".js", ".md", ".rst", ".txt", ".svg", ".png", ".json", ".toml", ".yaml"}
MADE_BY_THE_BUILD = {"MANIFEST.json", "FILES.json"}


@dataclasses.dataclass(frozen=True)
class Installed:
    """The collection in an empty place, and how to run Ansible there."""

    home: pathlib.Path
    directory: pathlib.Path

    def run(self, *words: str) -> str:
        """What a command says, which has to succeed; only this copy can be found."""
        environment = clean(
            HOME=str(self.home), ANSIBLE_COLLECTIONS_PATH=str(self.directory.parents[2]), ANSIBLE_NOCOLOR="1", ANSIBLE_LOCALHOST_WARNING="False"
        )
        done = subprocess.run(words, cwd=self.home, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}\n{done.stderr}"
        return done.stdout


def names(kind: str) -> list[str]:
    """The full names of all that has documentation of a kind."""
    found = {"module": "plugins/modules/*.py", "filter": "plugins/filter/*.yml", "role": "roles/*", "playbook": "playbooks/*.yml"}[kind]
    return sorted(f"drydock.dockerd.{path.stem}" for path in TOP.glob(found))


@pytest.fixture(scope="session")
def tarball(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    output = tmp_path_factory.mktemp("built")
    subprocess.run(["ansible-galaxy", "collection", "build", "--output-path", str(output), str(TOP)], check=True, capture_output=True)
    (built,) = output.iterdir()
    return built


@pytest.fixture(scope="session")
def installed(tarball: pathlib.Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    home = tmp_path_factory.mktemp("installed")
    (home / "hosts").write_text(f"localhost ansible_connection=local ansible_python_interpreter={sys.executable}\n")
    place = Installed(home, home / "collections/ansible_collections/drydock/dockerd")
    place.run("ansible-galaxy", "collection", "install", "--offline", str(tarball), "-p", str(home / "collections"))
    return place


def test_the_tarball_has_what_it_should_and_nothing_else(tarball: pathlib.Path) -> None:
    """No tests, no scenarios, no caches, no files of tools; and all that is meant for users, as it is in git."""
    with tarfile.open(tarball) as archive:
        found = {member.name for member in archive if not member.isdir()}
    wanted = {name for name in files() if name in AT_THE_TOP or name.split("/")[0] in DIRECTORIES}
    assert found - MADE_BY_THE_BUILD == {name for name in wanted if not name.startswith("changelogs/fragments/")}
    strange = [name for name in found if name != "LICENSE" and pathlib.PurePath(name).suffix not in SUFFIXES]
    assert strange == []
    assert tarball.stat().st_size < 2**20 * 20


def test_the_tarball_has_the_version_and_the_dependencies_of_galaxy_yml(tarball: pathlib.Path) -> None:
    wanted = yaml.safe_load((TOP / "galaxy.yml").read_text())
    with tarfile.open(tarball) as archive:
        manifest = json.load(t.cast(t.IO[bytes], archive.extractfile("MANIFEST.json")))["collection_info"]
    assert (manifest["version"], manifest["dependencies"]) == (wanted["version"], wanted["dependencies"])
    assert tarball.name == f"drydock-dockerd-{wanted['version']}.tar.gz"


def test_what_is_installed_is_what_was_built(installed: Installed) -> None:
    output = installed.run("ansible-galaxy", "collection", "verify", "--offline", "drydock.dockerd", "-p", str(installed.home / "collections"))
    assert "Successfully verified that checksums" in output


def test_playbooks_are_found_by_their_full_names(installed: Installed) -> None:
    """Their syntax is right, and each play has tasks, with nothing but what was installed."""
    output = installed.run("ansible-playbook", "-i", "hosts", "--list-tasks", *names("playbook"))
    assert len(re.findall(r"^playbook: ", output, re.M)) == len(names("playbook"))
    _head, *plays = re.split(r"^  play #\d+", output, flags=re.M)
    assert len(plays) >= len(names("playbook"))
    assert [play for play in plays if not re.search(r"^      \S.*TAGS: ", play, re.M)] == []


def test_a_play_runs_from_there(installed: Installed) -> None:
    """Modules, action plugins, templates, roles and filters are found, and nothing of the checkout is needed."""
    play = installed.home / "play.yml"
    play.write_text(pathlib.Path(__file__).with_name(play.name).read_text())
    output = installed.run("ansible-playbook", "-i", "hosts", "--check", play.name)
    assert re.search(r"localhost +: ok=[1-9]\d* +changed=0 +unreachable=0 +failed=0 +skipped=\d+ +rescued=1 ", output)


@pytest.mark.parametrize("kind", ["module", "filter", "role"])
def test_documentation_is_found_by_full_name(installed: Installed, kind: str) -> None:
    documents = json.loads(installed.run("ansible-doc", "--json", "-t", kind, *names(kind)))
    assert sorted(documents) == names(kind)
    for name, document in documents.items():
        about = document["entry_points"]["main"] if kind == "role" else document["doc"]
        assert about["short_description"], name
        place = document["path"] if kind == "role" else about["filename"]
        assert place.startswith(str(installed.directory)), name
