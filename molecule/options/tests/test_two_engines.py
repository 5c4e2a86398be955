# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""What takes long and is no matter of the engine: on the oldest one and the newest."""

from __future__ import annotations

import json
import os
import pathlib
import typing as t

import pytest
import yaml
from changing import ask, assert_one_change, in_file, pid
from running import assert_all_is_there, run_playbook, snapshot

HOSTS = ("bullseye", "forky")
SHORT_HOSTS = ("forky",)


@pytest.mark.extra
def test_a_plugin_that_is_not_there_never_reaches_a_reload(host: t.Any, before: dict[str, t.Any]) -> None:
    """It would end dockerd. One that nobody knows is refused; a start with one that does not answer fails, and everything comes back."""
    files, wanted = host.check_output("lab-host configuration"), {"debug": False, "labels": ["zone=b"], "authorization-plugins": ["no-such-gate"]}
    assert "[not-there]" in ask(host, wanted).message
    host.check_output("mkdir -p /etc/docker/plugins && echo unix:///run/no-such-gate.sock >/etc/docker/plugins/no-such-gate.spec")
    play = ask(host, wanted)
    host.check_output("rm -r /etc/docker/plugins")
    assert play.failed
    assert "no-such-gate" in play.message
    assert "1 of 1 container runs again." in play.message
    assert host.check_output("lab-host configuration") == files
    assert_all_is_there(snapshot(host), before)


def test_from_the_most_used_role_in_one_play(host: t.Any, tmp_path: pathlib.Path) -> None:
    """The play of the page, on a host whose file that role has written, in its form."""
    page = (pathlib.Path(os.environ["MOLECULE_PROJECT_DIRECTORY"]) / "docs" / "from-geerlingguy-docker.md").read_text()
    block = page.split("```yaml\n")[1].split("```")[0]
    (play,) = yaml.safe_load(block)
    assert not ask(host, {}).failed
    host.check_output("printf %s >/etc/docker/daemon.json", json.dumps(play["vars"]["docker_daemon_options"], indent=4, sort_keys=True))
    host.check_output("systemctl restart docker")
    file, running = host.file("/etc/docker/daemon.json").content_string, pid(host)
    (tmp_path / "page.yml").write_text(block)
    for _turn in range(2):
        played = run_playbook(host, str(tmp_path / "page"), {}, group="docker_hosts")
        assert (played.failed, played.changed) == (False, 0), played.message
    assert (host.file("/etc/docker/daemon.json").content_string, pid(host)) == (file, running)
    # From now on a key that is taken out of the dictionary is taken out of the file.
    assert_one_change(ask(host, {"storage-driver": "overlay2"}))
    assert in_file(host) == {"storage-driver": "overlay2"}
