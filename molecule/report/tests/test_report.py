# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""The report of real hosts says what they do, is written again only when there is something to tell, and works in a real browser."""

from __future__ import annotations

import json
import re
import subprocess
import typing as t

import pytest
from browser import Browser
from running import EPHEMERAL, INVENTORY, PLAYBOOKS, connect

PAGE = EPHEMERAL / "report" / "docker.html"
DATA = PAGE.with_suffix(".json")
TITLE = "</title><script>alert(1)</script>"


def play(*options: str, target: str = "lab", **variables: t.Any) -> tuple[int, int, str]:
    """Run the playbook on the lab and on a host that is not there: how it ended, how many tasks changed something, and its output."""
    gone = EPHEMERAL / "gone.json"
    # Nobody listens on that port.
    gone.write_text(json.dumps({"lab": {"hosts": {"gone": {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}}}}))
    words = ["ansible-playbook", "--inventory", str(INVENTORY), "--inventory", str(gone), str(PLAYBOOKS / "report.yml"), *options]
    done = subprocess.run([*words, "--extra-vars", json.dumps({"target": target, **variables})], capture_output=True, text=True, check=False)
    return done.returncode, sum(map(int, re.findall(r"changed=(\d+)", done.stdout))), done.stdout + done.stderr


@pytest.fixture(scope="module")
def first() -> tuple[int, int, str]:
    """The first report, with a survey's empty answer for its host."""
    PAGE.parent.mkdir(exist_ok=True)
    for file in (PAGE, DATA):
        file.unlink(missing_ok=True)
    return play(docker_report_path=str(PAGE), docker_report_host="", docker_report_title=TITLE)


@pytest.fixture(scope="module")
def hosts(first: t.Any) -> dict[str, t.Any]:
    return {one["name"]: one for one in json.loads(DATA.read_text())["hosts"]}


def about(host: dict[str, t.Any]) -> set[tuple[str, str]]:
    return {(one["level"], one["about"]) for one in host["reasons"]}


def test_a_host_that_cannot_be_reached_does_not_prevent_the_report(first: t.Any) -> None:
    ended, changed, output = first
    assert (ended, changed) == (0, 2), output
    assert "4 hosts: 4 need attention." in output
    assert (PAGE.stat().st_mode & 0o777, DATA.stat().st_mode & 0o777) == (0o640, 0o640)


def test_a_second_report_changes_nothing(first: t.Any) -> None:
    before = (PAGE.read_bytes(), DATA.read_bytes())
    ended, changed, output = play(docker_report_path=str(PAGE), docker_report_title=TITLE)
    assert json.loads(DATA.read_text()) == json.loads(before[1])
    assert (ended, changed) == (0, 0), output
    assert (PAGE.read_bytes(), DATA.read_bytes()) == before


def test_it_can_lie_on_another_host_and_its_modes_stay() -> None:
    host = connect("trixie")
    host.check_output("mkdir -p /srv/www")
    ended, changed, output = play("--check", target="trixie", docker_report_path="/srv/www/docker.html", docker_report_host="trixie")
    assert (ended, changed) == (0, 2), output
    assert host.check_output("ls /srv/www") == ""
    assert play(target="trixie", docker_report_path="/srv/www/docker.html", docker_report_host="trixie")[:2] == (0, 2)
    host.check_output("chgrp www-data /srv/www/docker.html && chmod 644 /srv/www/docker.html && rm /srv/www/docker.json")
    assert play(target="trixie", docker_report_path="/srv/www/docker.html", docker_report_host="trixie")[0] == 0
    assert host.check_output("stat -c '%a %G' /srv/www/docker.html /srv/www/docker.json") == "644 www-data\n640 root"


def test_an_open_api_a_move_and_a_hand_edit_are_told(hosts: t.Any) -> None:
    host = hosts["bookworm"]
    safety = {one["address"]: one["safety"] for one in host["listens"]}
    # dockerd listens for both families where it was told 0.0.0.0.
    assert safety == {"unix:///run/docker.sock": "unix", "tcp://127.0.0.1:2374": "plain_local", "tcp://[::]:2375": "plain_open"}
    assert about(host) == {("act", "listen"), ("watch", "listen"), ("watch", "restart"), ("watch", "drift")}
    assert host["pending"] == ["debug: false → true", "log-opts"]
    assert host["drift"] == ["debug, which options asked for: false → true", "log-opts, which options asked for", "/etc/docker/daemon.json was rewritten"]

    move = host["move"]
    assert [(one["source"], one["target"]) for one in move["trees"]] == [("/var/lib/docker", "/mnt/data/docker")]
    assert connect("bookworm").file(move["trees"][0]["kept"]).is_directory
    assert (move["outage"][0]["phase"], move["outage"][-1]["phase"]) == ("stop", "release")
    assert 0 < move["forecast_seconds"] < 60
    # The outage begins within the stop and ends within the release; what is too short to be seen is left out.
    seconds = [one["seconds"] for one in move["outage"]]
    assert sum(seconds[1:-1]) <= move["downtime_seconds"] <= 1.05 * sum(seconds)
    assert host["data_root"]["bytes"] == pytest.approx(int(connect("bookworm").check_output("du -sxB1 /mnt/data/docker").split()[0]), rel=0.2)


def test_certificates_and_containers_that_do_not_stay_up_are_told(hosts: t.Any) -> None:
    host = hosts["trixie"]
    assert {one["address"]: one["safety"] for one in host["listens"]} == {"unix:///run/docker.sock": "unix", "tcp://[::]:2376": "tls"}
    assert [(one["what"], one["days_left"]) for one in host["certificates"]] == [("server", 364), ("ca", 3649)]
    assert {one["name"]: one["trouble"] for one in host["containers"]["troubled"]} == {"flap": "flaps", "gives-up": "given_up", "sick": "unhealthy"}
    assert host["gain"]["target"] == "/mnt/data"
    assert about(host) == {("act", "containers"), ("watch", "containers")}


def test_a_daemon_that_is_down_and_a_host_that_is_gone_are_told(hosts: t.Any) -> None:
    assert (hosts["bullseye"]["state"], hosts["bullseye"]["listens"], about(hosts["bullseye"])) == ("down", [], {("act", "host")})
    assert (hosts["gone"]["state"], about(hosts["gone"])) == ("unreachable", {("act", "host")})


def test_no_secret_is_told(first: t.Any) -> None:
    """The tokens that stand in log-opts, which differ in file and daemon."""
    for word in ("hunter2", "hunter3"):
        assert word not in DATA.read_text() + PAGE.read_text() + first[2]


# In a browser ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chromium() -> t.Iterator[Browser]:
    with Browser() as browser:
        yield browser


@pytest.fixture
def page(chromium: Browser, first: t.Any) -> t.Iterator[Browser]:
    """The page, freshly opened; in the end it has asked for nothing but itself, and nobody complained."""
    chromium.open(PAGE)
    yield chromium
    assert chromium.requests == [PAGE.as_uri()]
    assert chromium.complaints == []


def names(page: Browser) -> list[str]:
    """The hosts that are shown, in their order."""
    return page.ask("[...document.querySelectorAll('tbody')].filter(one => one.offsetHeight).map(one => one.querySelector('.name').textContent)")


def sorted_by(page: Browser) -> list[list[str]]:
    return page.ask("[...document.querySelectorAll('[aria-sort]')].map(one => [one.textContent.trim(), one.getAttribute('aria-sort')])")


def test_the_title_is_text(page: Browser) -> None:
    assert page.ask("document.title") == TITLE
    assert page.ask("document.querySelector('h1').textContent") == TITLE
    assert page.ask("document.scripts.length") == 1


def test_headings_sort_by_mouse_and_by_key(page: Browser) -> None:
    assert sorted_by(page) == [["State", "ascending"]]
    page.ask("document.querySelectorAll('thead button')[0].focus()")
    page.press("Enter", 13)
    assert (names(page), sorted_by(page)) == (["bookworm", "bullseye", "gone", "trixie"], [["Host", "ascending"]])
    page.press("Enter", 13)
    assert (names(page), sorted_by(page)) == (["trixie", "gone", "bullseye", "bookworm"], [["Host", "descending"]])
    # By the number of those in trouble; what is not known comes last.
    page.ask("document.querySelectorAll('thead button')[8].click()")
    assert (names(page)[0], names(page)[-1]) == ("trixie", "gone")


def test_hosts_are_found_by_topic_and_by_words(page: Browser) -> None:
    page.ask("document.querySelector('[data-filter=listen]').click()")
    assert names(page) == ["bookworm"]
    assert page.ask("document.getElementById('shown').textContent") == "1 of 4 hosts shown."
    page.ask("document.querySelector('[data-filter=\"\"]').click()")
    page.ask("document.getElementById('search').focus()")
    page.call("Input.insertText", text="gives-up TLS")
    assert names(page) == ["trixie"]
    assert page.ask("[...document.querySelectorAll('[aria-pressed=true]')].length") == 1


def test_details_open_by_key(page: Browser) -> None:
    page.ask("document.querySelector('summary').focus()")
    page.press("Enter", 13)
    assert page.ask("document.querySelector('details').open") is True


@pytest.mark.parametrize("dark", [False, True])
def test_each_text_can_be_read(page: Browser, dark: bool) -> None:
    """A contrast of 4.5 at least (WCAG 2.1, AA), in light and dark."""
    page.open(PAGE, dark=dark)
    page.ask("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    assert page.ask(CONTRAST) == []


CONTRAST = """(() => {
  const light = text => {
    const parts = text.match(/[\\d.]+/g).map(Number).slice(0, 3).map(c => c / 255).map(c => c <= .03928 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4);
    return .2126 * parts[0] + .7152 * parts[1] + .0722 * parts[2];
  };
  const behind = one => {
    for (; one; one = one.parentElement) {
      const found = getComputedStyle(one).backgroundColor;
      if (!found.endsWith(', 0)')) return found;
    }
  };
  return [...document.querySelectorAll('body *')]
    .filter(one => [...one.childNodes].some(node => node.nodeType === 3 && node.textContent.trim()) && one.offsetHeight && !one.closest('.hidden, script'))
    .map(one => [light(getComputedStyle(one).color), light(behind(one)), one.className, one.textContent])
    .map(([ink, paper, ...rest]) => [(Math.max(ink, paper) + .05) / (Math.min(ink, paper) + .05), ...rest])
    .filter(([contrast]) => contrast < 4.5);
})()"""


def test_a_phone_shows_all_without_scrolling_sideways(page: Browser) -> None:
    page.open(PAGE, 390, 844)
    page.ask("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    assert page.ask("document.documentElement.scrollWidth") == 390
    wide = "one => one.getBoundingClientRect().right > 391 && !one.closest('.hidden, thead')"
    assert page.ask(f"[...document.querySelectorAll('main *, header *')].filter({wide}).map(one => one.outerHTML)") == []
    # There are no headings to press: a list has the same.
    page.ask("order.value = '0 descending'; order.dispatchEvent(new Event('change'))")
    assert names(page) == ["trixie", "gone", "bullseye", "bookworm"]
    assert page.ask("document.getElementById('order').offsetHeight") > 30
    page.picture(EPHEMERAL / "phone.png")


def test_a_wide_window_shows_all_without_scrolling_sideways(page: Browser) -> None:
    assert page.ask("document.documentElement.scrollWidth <= innerWidth")
    assert page.ask("document.querySelector('table').getBoundingClientRect().right <= document.querySelector('main').getBoundingClientRect().right - 24")
    page.picture(EPHEMERAL / "wide.png")


def test_on_paper_everything_is_open(page: Browser) -> None:
    closed = EPHEMERAL / "closed.pdf"
    page.print(closed)
    assert closed.read_bytes().startswith(b"%PDF-")
    # A page that printed only its summary has one sheet.
    assert len(re.findall(rb"/Type\s*/Page\b", closed.read_bytes())) >= 3
    assert page.ask("document.querySelectorAll('details[open]').length") == 0


def test_without_a_script_all_can_be_read(page: Browser) -> None:
    page.call("Emulation.setScriptExecutionDisabled", value=True)
    page.open(PAGE)
    page.call("Emulation.setScriptExecutionDisabled", value=False)
    assert page.ask("[...document.querySelectorAll('.tools')].map(one => getComputedStyle(one).display)") == ["none"]
    assert len(names(page)) == 4
