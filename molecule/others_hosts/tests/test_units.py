# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Units that others made: a restart of ours gives the command line that a plain restart gives, or is refused before anything is touched."""

from __future__ import annotations

import json
import typing as t

import pytest
from others import (
    KEPT,
    assert_well,
    cleared,  # noqa: F401  for each test
)
from running import run_module, run_playbook, snapshot

HOSTS = ("bookworm", "trixie")
SHORT_HOSTS = ("trixie",)
UNITS = "/etc/systemd/system"
DROP_IN = f"{UNITS}/docker.service.d/override.conf"
DOCKERD = "/usr/sbin/dockerd"
RESTART = "systemctl daemon-reload && systemctl reset-failed docker.socket docker.service && systemctl restart docker.socket docker.service"
PING = "timeout 3 python3 -c 'import urllib.request as u; u.urlopen(\"http://127.0.0.1:2375/_ping\")'"
WRAPPER = "/usr/local/sbin/dockerd-wrapper"


def short(cases: dict[str, tuple[t.Any, ...]], *names: str) -> list[t.Any]:
    """The cases with their names; the others than these are left to 'make test-all'."""
    return [pytest.param(*case, id=name, marks=[] if name in names else [pytest.mark.extra]) for name, case in cases.items()]


# What is put on the host, and the command.
LAYOUTS = {
    "specifiers": ("", f"{DOCKERD} -H fd:// --label host=%H --label 'unit=%n, 100%% of %p'"),
    "variables": (
        "printf 'LAB_OPTS=\"--label from=file\" --debug\\nLAB_NAME=two words\\n' >/etc/default/lab",
        f'{DOCKERD} -H fd:// $LAB_OPTS --label=name=${{LAB_NAME}} --label "price=$$5" --label own=${{OWN}}\nEnvironment="OWN=a \\\\x41 b"\n'
        "EnvironmentFile=-/etc/default/%p-none\nEnvironmentFile=/etc/default/la*",
    ),
    "escapes and lines that go on": ("", f"{DOCKERD} -H fd:// \\\n  # in between\n  --label a=\\x41b \\\n  --label 'it\\'s=\"so\"'"),
    "another name": ("", f"@{DOCKERD} docker-of-the-lab -H fd://"),
    "a launcher": ("", f"/usr/bin/env LAB=1 {DOCKERD} -H fd://"),
    "a wrapper": (
        f"printf '#!/bin/sh\\nexec {DOCKERD} --label site=lab \"$@\"\\n' >{WRAPPER} && chmod +x {WRAPPER}",
        f"{WRAPPER} -H fd://",
    ),
    "a drop-in for every service": (
        f"mkdir -p {UNITS}/service.d && printf '[Service]\\nEnvironment=EVERYWHERE=yes\\n' >{UNITS}/service.d/lab.conf",
        f"{DOCKERD} -H fd:// --label everywhere=${{EVERYWHERE}}",
    ),
    "its configuration elsewhere": (
        'mkdir -p /opt/docker/etc && printf \'{"labels": ["its=own"]}\' >/opt/docker/etc/daemon.json',
        f"{DOCKERD} --config-file=/opt/docker/etc/daemon.json -H fd://",
    ),
}


@pytest.fixture
def put(host: t.Any) -> t.Iterator[t.Callable[[str, str], None]]:
    """Lay out a host, and start its daemon so; in the end it is as it was."""

    def lay(command: str, prepare: str = "") -> None:
        host.check_output(
            f"{prepare or ':'}\nmkdir -p {UNITS}/docker.service.d && cat >{DROP_IN} <<'EOF'\n[Service]\nExecStart=\nExecStart={command}\nEOF\n{RESTART}"
        )

    yield lay
    host.check_output(
        f"rm -rf {UNITS}/docker.service.d {UNITS}/service.d /etc/default/lab {WRAPPER} /opt/docker /etc/docker /var/lib/drydock && "
        f"cp -a {KEPT}/etc {KEPT}/var / && {RESTART}"
    )


def command_line(host: t.Any) -> list[str]:
    """The running daemon's words, without the one that a start of ours adds."""
    pid = host.check_output("systemctl show --value --property MainPID docker.service")
    words = host.check_output(f"tr '\\0' '\\n' </proc/{pid}/cmdline").splitlines()
    return [word for word in words if word != "--restart=false"]


def change(host: t.Any, check: bool = False, **settings: t.Any) -> dict[str, t.Any]:
    """Ask for options."""
    return run_module(host, json.dumps({"owner": "options", "settings": settings or {"mtu": 1400}}), module="daemon_config", check=check)


def mtu(host: t.Any) -> str:
    return host.check_output("docker network inspect --format '{{index .Options \"com.docker.network.driver.mtu\"}}' bridge")


@pytest.mark.parametrize(
    ("prepare", "command"),
    short(LAYOUTS, "a wrapper", "its configuration elsewhere"),
)
def test_a_restart_gives_the_command_line_of_a_plain_one(host: t.Any, put: t.Callable[..., None], prepare: str, command: str) -> None:
    put(command, prepare)
    before = snapshot(host)
    words = command_line(host)
    checked = change(host, check=True)
    assert not checked["failed"], checked["msg"]
    result = change(host)
    assert not result["failed"], result["msg"]
    assert (result["applied"], result["plan"]) == ("restart", checked["plan"])
    assert command_line(host) == words
    assert mtu(host) == "1400"
    now = snapshot(host)
    assert now["containers"]["beat"]["state"] == before["containers"]["beat"]["state"]
    again = change(host)
    assert (again["failed"], again["changed"]) == (False, False), again
    host.check_output(RESTART)
    assert command_line(host) == words
    assert_well(host)


SHELLS = {
    "a shell": ("", f"/bin/sh -c 'exec {DOCKERD} -H fd:// --label by=sh'", "starts the daemon by /bin/sh"),
    "a wrapper that passes nothing on": (
        f"printf '#!/bin/sh\\nexec {DOCKERD} -H fd:// --label by=wrapper\\n' >{WRAPPER} && chmod +x {WRAPPER}",
        WRAPPER,
        f"starts the daemon by {WRAPPER}",
    ),
}


@pytest.mark.parametrize(("prepare", "command", "words"), short(SHELLS, "a wrapper that passes nothing on"))
def test_a_command_that_cannot_be_extended_is_refused_before_anything(host: t.Any, put: t.Callable[..., None], prepare: str, command: str, words: str) -> None:
    put(command, prepare)
    pid = host.check_output("pidof -s dockerd")
    for check in (True, False):
        result = change(host, check)
        assert result["failed"], result
        assert words in result["msg"]
        assert result["msg"].endswith("[unit-command]")
    assert host.check_output("pidof -s dockerd") == pid
    assert not host.file("/etc/docker/daemon.json").exists or "1400" not in host.file("/etc/docker/daemon.json").content_string


def test_other_sockets_come_back_with_the_daemon(host: t.Any, put: t.Callable[..., None]) -> None:
    """An open one is refused unless somebody allows it."""
    socket = f"{UNITS}/docker-tcp.socket"
    host.check_output(
        f"printf '[Socket]\\nListenStream=2375\\nService=docker.service\\n[Install]\\nWantedBy=sockets.target\\n' >{socket}\n"
        f"printf '[Path]\\nPathExists=/etc/hostname\\nUnit=docker.service\\n' >{UNITS}/docker-kick.path\n"
        "systemctl daemon-reload && systemctl stop docker.service docker.socket\n"
        "systemctl start docker.socket docker-tcp.socket docker-kick.path docker.service"
    )
    try:
        for check in (True, False):
            result = change(host, check)
            assert result["failed"], result
            assert "docker-tcp.socket lets systemd listen on" in result["msg"]
            assert result["msg"].endswith("[open-api]")
        asked = {"owner": "options", "settings": {"mtu": 1400}, "allow_insecure": True}
        result = run_module(host, json.dumps(asked), module="daemon_config")
        assert not result["failed"], result["msg"]
        assert mtu(host) == "1400"
        assert host.check_output("systemctl is-active docker-tcp.socket docker-kick.path docker.socket").split() == ["active"] * 3
        assert host.run(PING).rc == 0
        assert not run_module(host, json.dumps(asked), module="daemon_config")["changed"]
        # Literally what the refusal says.
        host.check_output("systemctl disable --now docker-tcp.socket && systemctl restart docker")
        assert host.run(PING).rc != 0
        result = change(host, mtu=1390)
        assert not result["failed"], result["msg"]
        assert_well(host)
    finally:
        host.run(f"systemctl disable --now docker-tcp.socket docker-kick.path; rm -f {socket} {UNITS}/docker-kick.path; systemctl daemon-reload")


@pytest.mark.extra
def test_who_depends_on_the_daemon_is_told_and_runs_again(host: t.Any, put: t.Callable[..., None]) -> None:
    host.check_output(
        f"printf '[Unit]\\nPartOf=docker.service\\nAfter=docker.service\\n[Service]\\nExecStart=/bin/sleep infinity\\n' >{UNITS}/app-stack.service\n"
        "systemctl daemon-reload && systemctl start app-stack.service"
    )
    put(f"{DOCKERD} -H fd://")
    checked = change(host, check=True)
    assert [one["sentence"] for one in checked["findings"] if one["id"] == "dependents"] == [
        "app-stack.service depends on the daemon: stopped before it, and started again behind it."
    ]
    result = change(host)
    assert not result["failed"], result["msg"]
    assert "Started again behind the daemon: app-stack.service." in result["msg"]
    assert host.check_output("systemctl is-active app-stack.service") == "active"


def test_a_data_root_that_is_a_flag_moves_and_comes_back(host: t.Any, put: t.Callable[..., None]) -> None:
    before = snapshot(host)
    host.check_output("rm -f /etc/docker/daemon.json")
    put(f"{DOCKERD} --data-root {before['root']} -H fd://")
    arguments = "path=/mnt/data/docker-flag require_persistent_mount=false"
    checked = run_module(host, arguments, check=True)
    assert not checked["failed"], checked["msg"]
    result = run_module(host, arguments)
    assert not result["failed"], result["msg"]
    assert snapshot(host)["root"] == "/mnt/data/docker-flag"
    assert not run_module(host, arguments)["changed"]
    host.check_output(RESTART)
    assert snapshot(host)["root"] == "/mnt/data/docker-flag"
    back = run_module(host, "state=restored require_persistent_mount=false")
    assert not back["failed"], back["msg"]
    assert snapshot(host)["root"] == before["root"]
    assert_well(host)


@pytest.mark.parametrize(
    ("make", "mend", "words"),
    [
        pytest.param("rm -f {0} && mkdir {0}", "rmdir {0}", "is a directory", marks=pytest.mark.extra),
        pytest.param("rm -f {0} && mkfifo {0}", "rm {0}", "is no regular file", marks=pytest.mark.extra),
        pytest.param("rm -f {0} && ln -s /dev/null {0}", "rm {0}", "is no regular file", marks=pytest.mark.extra),
        ("touch {0} && chattr +i {0}", "chattr -i -a {0}", "it is immutable (chattr +i)"),
        pytest.param("touch {0} && chattr +a {0}", "chattr -i -a {0}", "it can only be appended to (chattr +a)", marks=pytest.mark.extra),
        pytest.param("touch {0} && chattr +i $(dirname {0})", "chattr -i -a $(dirname {0})", "is immutable (chattr +i)", marks=pytest.mark.extra),
        ("echo '{{}}' >/run/lab.json; touch {0} && mount --bind /run/lab.json {0}", "umount {0}", "a file is mounted on it"),
    ],
    ids=["a directory", "a pipe", "a link to /dev/null", "immutable", "append-only", "in an immutable directory", "a mount"],
)
def test_a_configuration_file_in_an_odd_form_is_refused_in_check_mode(host: t.Any, put: t.Callable[..., None], make: str, mend: str, words: str) -> None:
    path = "/etc/docker/daemon.json"
    host.check_output("mkdir -p /etc/docker")
    host.check_output(make.format(path))
    try:
        for check in (True, False):
            result = change(host, check)
            assert result["failed"], result
            assert words in result["msg"]
            assert mend.split(" ")[0] in result["msg"]
            assert "drydock" not in host.check_output("ls -A /etc/docker")
    finally:
        host.check_output(mend.format(path))
    result = change(host)
    assert not result["failed"], result["msg"]


def test_what_others_wrote_and_nobody_put_into_force_is_not_put_into_force_by_chance(host: t.Any, put: t.Callable[..., None]) -> None:
    put(f"{DOCKERD} -H fd://")
    host.check_output('mkdir -p /etc/docker && echo \'{"log-driver": "local"}\' >/etc/docker/daemon.json')
    for check in (True, False):
        result = change(host, check)
        assert result["failed"], result
        assert 'Key \'log-driver\' is "json-file" in the running daemon and "local" in /etc/docker/daemon.json' in result["msg"]
    assert host.check_output("docker info --format '{{.LoggingDriver}}'") == "json-file"
    # Literally what the refusal says.
    brought = run_module(host, "state=restarted", module="daemon_state")
    assert not brought["failed"], brought["msg"]
    assert host.check_output("docker info --format '{{.LoggingDriver}}'") == "local"
    result = change(host)
    assert not result["failed"], result["msg"]
    assert_well(host)


def test_a_container_that_could_not_start_again_is_told_before_and_behind(host: t.Any, put: t.Callable[..., None]) -> None:
    put(f"{DOCKERD} -H fd://")
    host.check_output(
        "docker run -d --name vpn lab:app sleep 1d && docker run -d --name torrent --restart unless-stopped --network container:vpn lab:app sleep 1d && "
        "docker rm -f vpn && mkdir /srv/conf && "
        "docker run -d --name app --restart unless-stopped --mount type=bind,src=/srv/conf,dst=/conf lab:app sleep 1d && rmdir /srv/conf"
    )
    checked = change(host, check=True)
    told = [one["sentence"] for one in checked["findings"] if one["id"] == "cannot-restart"]
    assert len(told) == 2
    assert any("Container torrent" in one for one in told)
    assert any("/srv/conf on the host, which it was given, is gone" in one for one in told)
    result = change(host)
    assert result["failed"], result
    assert result["msg"].count("does not run again") == 2

    again = change(host)
    assert (again["failed"], again["changed"]) == (False, False), again
    assert [one["sentence"].split(" is down")[0] for one in again["findings"] if one["id"] == "left-down"] == ["Container app", "Container torrent"]
    down = run_module(host, "", module="daemon_info")["dockerd"]["down"]
    assert sorted(one["name"] for one in down) == ["app", "torrent"]
    # Literally what is said: mend it and start it, or remove it.
    host.check_output("mkdir /srv/conf && docker start app && docker rm torrent")
    assert run_module(host, "", module="daemon_info")["dockerd"]["down"] == []
    host.check_output("docker rm -f app && rmdir /srv/conf")


LINES = {
    "a percent sign": ('[Service]\nEnvironment="HTTP_PROXY=http://svc:p%40ss@proxy.example.com:3128"\n', "Write %% for a percent sign."),
    "a limit that is none": ("[Service]\nLimitNOFILE=many\n", "Correct that line."),
}


@pytest.mark.parametrize(("text", "way"), short(LINES, "a percent sign"))
def test_a_line_that_systemd_would_pass_over_is_refused(host: t.Any, put: t.Callable[..., None], text: str, way: str) -> None:
    put(f"{DOCKERD} -H fd://")
    asked = {"owner": "options", "drop_ins": [{"name": "zz-proxy.conf", "content": text}]}
    for check in (True, False):
        result = run_module(host, json.dumps(asked), module="daemon_config", check=check)
        assert result["failed"], result
        assert "systemd would not take line 2 of drop-in zz-proxy.conf" in result["msg"]
        assert way in result["msg"]
    if "%" in text:
        asked["drop_ins"] = [{"name": "zz-proxy.conf", "content": text.replace("%", "%%")}]
        result = run_module(host, json.dumps(asked), module="daemon_config")
        assert not result["failed"], result["msg"]
        assert host.check_output("docker info --format '{{.HTTPProxy}}'").startswith("http://")


VALUES = {
    "a mirror without a scheme": {"registry-mirrors": ["mirror.example.com"]},
    "a bridge with the network's address": {"bip": "172.26.0.0/16"},
    "a pool that is too small": {"default-address-pools": [{"base": "172.30.0.0/16", "size": 8}]},
    "a log driver that is not there": {"log-driver": "nope"},
    "a runtime that is not there": {"default-runtime": "kata"},
    "a plugin that is not there": {"authorization-plugins": ["nobody-knows"]},
}


@pytest.mark.parametrize("settings", short({name: (value,) for name, value in VALUES.items()}, "a pool that is too small", "a plugin that is not there"))
def test_values_with_which_dockerd_does_not_start_are_refused(host: t.Any, settings: dict[str, t.Any]) -> None:
    pid = host.check_output("pidof -s dockerd")
    for check in (True, False):
        result = change(host, check, **settings)
        assert result["failed"], result
        assert "dockerd does not start with" in result["msg"]
    assert host.check_output("pidof -s dockerd") == pid


# What dockerd looks for where nobody names it.
CERTIFICATES = """
mkdir -p /root/.docker && cd /root/.docker
openssl req -x509 -newkey rsa:2048 -nodes -keyout ca-key.pem -out ca.pem -subj /CN=ca -days 9 2>/dev/null
openssl req -newkey rsa:2048 -nodes -keyout key.pem -out cert.csr -subj /CN=host 2>/dev/null
printf 'extendedKeyUsage=serverAuth\\nsubjectAltName=IP:127.0.0.1\\n' >ext
openssl x509 -req -in cert.csr -CA ca.pem -CAkey ca-key.pem -CAcreateserial -out cert.pem -days 9 -extfile ext 2>/dev/null
chmod 0600 *
"""
HERE = "tcp://127.0.0.1:2376"
FILES = "--tlscacert=/root/.docker/ca.pem --tlscert=/root/.docker/cert.pem --tlskey=/root/.docker/key.pem"
# The command, what is done when it runs, whether strangers are let in.
OPENNESS = {
    "verified with the files of the home": (f"{DOCKERD} -H fd:// -H {HERE} --tlsverify", "", False),
    "verified by the flag of TLS alone": (f"{DOCKERD} -H fd:// -H {HERE} --tls", "", False),
    "not verified, in words": (f"{DOCKERD} -H fd:// -H {HERE} --tlsverify=false {FILES}", "", True),
    "a variable that is the client's only": (
        f'{DOCKERD} -H fd:// -H {HERE} {FILES}\nEnvironment=DOCKER_TLS_VERIFY=1 "DOCKER_CERT_PATH=/root/.docker"',
        "",
        True,
    ),
    "written, and never read": (
        f"{DOCKERD} -H fd:// -H {HERE}",
        'printf \'{"tlsverify": true, "tlscacert": "/root/.docker/ca.pem", "tlscert": "/root/.docker/cert.pem", "tlskey": "/root/.docker/key.pem"}\' '
        ">/etc/docker/daemon.json",
        True,
    ),
}


@pytest.mark.parametrize(
    ("command", "deed", "is_open"),
    short(OPENNESS, "verified with the files of the home", "written, and never read"),
)
def test_an_address_is_open_or_closed_as_its_socket_says(host: t.Any, put: t.Callable[..., None], command: str, deed: str, is_open: bool) -> None:
    put(command, CERTIFICATES)
    host.check_output(deed or ":")
    told = run_module(host, "", module="daemon_info")["dockerd"]
    assert [one["open"] for one in told["listening"] if one["address"] == HERE] == [is_open]
    assert [one["state"] for one in told["cis"] if one["rule"] == "2.7"] == ["fail" if is_open else "pass"]
    found = [one["id"] for one in change(host, check=True, debug=True)["findings"]]
    assert ("plain-loopback" in found) == is_open
    host.check_output("rm -r /root/.docker")


# What docker_listen is given, and the words that refuse it without more.
CLOSINGS = {
    "to the local socket": ({"addresses": ["fd://"]}, ""),
    "to one with TLS": (
        {
            "addresses": ["fd://", "tcp://127.0.0.1:2376"],
            **{f"tls_{key}": f"/root/.docker/{file}.pem" for key, file in (("ca", "ca"), ("cert", "cert"), ("key", "key"))},
        },
        "Take the addresses over with docker_listen_take_over: [hosts].",
    ),
}


@pytest.mark.parametrize(
    ("given", "refusal"),
    [pytest.param(*one, id=name, marks=[pytest.mark.extra] if name == "to the local socket" else []) for name, one in CLOSINGS.items()],
)
def test_an_open_daemon_of_somebody_else_is_closed(host: t.Any, put: t.Callable[..., None], given: dict[str, t.Any], refusal: str) -> None:
    opened = '{"hosts": ["unix:///var/run/docker.sock", "tcp://0.0.0.0:2375"], "tls": false}'
    put(DOCKERD, f"{CERTIFICATES}\nmkdir -p /etc/docker && printf '{opened}' >/etc/docker/daemon.json")
    host.check_output(PING)
    variables = {f"docker_listen_{key}": value for key, value in given.items()}
    if refusal:
        refused = run_playbook(host, "listen", variables)
        assert refusal in refused.message
        # The way out, as it is written; the others of its kind are named then.
        variables["docker_listen_take_over"] = True
    play = run_playbook(host, "listen", variables)
    assert not play.failed, play.message
    assert host.run(PING).rc
    told = run_module(host, "", module="daemon_info")["dockerd"]["listening"]
    assert [one for one in told if one.get("open")] == []
    assert run_playbook(host, "listen", variables).changed == 0
    host.check_output("rm -r /root/.docker")
