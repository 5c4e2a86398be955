# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""What the scenarios' tests share: pictures of a host before and now, and its journal when a test fails."""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import typing as t

import forked  # noqa: F401  before a test imports anything of a collection
import pytest


@pytest.fixture
def before(host: t.Any) -> dict[str, t.Any]:
    """The picture that was taken when the host was filled."""
    return json.loads(host.file("/var/lib/lab/before.json").content_string)


@pytest.fixture
def now(host: t.Any) -> dict[str, t.Any]:
    """The picture of this moment."""
    return json.loads(host.check_output("lab-host snapshot"))


@pytest.fixture
def api_over_tcp(host: t.Any) -> t.Callable[[str], t.Any]:
    """Ask the host's daemon over plain TCP from outside of it."""
    name = host.ansible.get_variables()["ansible_host"]
    address = subprocess.check_output(["docker", "inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", name], text=True).strip()

    def ask(path: str) -> t.Any:
        connection = http.client.HTTPConnection(address, 2375, timeout=10)
        connection.request("GET", path)
        return json.load(connection.getresponse())

    return ask


def as_it_was(picture: dict[str, t.Any]) -> dict[str, tuple[str, str]]:
    """Containers by name with id and state."""
    return {name: (one["id"], one["state"]) for name, one in picture["containers"].items()}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A module that has HOSTS is about these; testinfra's own word for that is overruled by the option that Molecule gives.

    What is marked 'extra' is left to 'make test-all', with 'but' on all hosts but these, and so are all hosts but those of SHORT_HOSTS in a
    module that has them.
    """
    items[:] = [item for item in items if _is_on(item, "HOSTS")]
    if os.environ.get("LAB_SHORT"):
        items[:] = [item for item in items if _is_on(item, "SHORT_HOSTS")]
        items[:] = [item for item in items if all(_has_host(item, one.kwargs.get("but", ())) for one in item.iter_markers("extra"))]


def _is_on(item: pytest.Item, which: str) -> bool:
    """Whether a test is on one of the hosts that its module names."""
    hosts = getattr(item.module, which, None)
    return hosts is None or _has_host(item, hosts)


def _has_host(item: pytest.Item, hosts: t.Iterable[str]) -> bool:
    return any(re.search(rf"//{host}[-\]]", item.name) for host in hosts)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> t.Iterator[None]:
    """What the daemon said beside a failed test."""
    report = (yield).get_result()
    host = getattr(item, "funcargs", {}).get("host")
    if report.when == "call" and report.failed and host is not None:
        words = host.run("journalctl --unit docker.service --no-pager --lines 60 || tail --lines 60 /var/log/docker.log").stdout
        report.sections.append(("words of dockerd", words))
