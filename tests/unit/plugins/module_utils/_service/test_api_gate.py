# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""The API is closed for everybody but us, and opens again; real unix sockets, in a directory of the test's own."""

from __future__ import annotations

import contextlib
import os
import pathlib
import socket
import stat

import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils._errors import DrydockError
from ansible_collections.drydock.dockerd.plugins.module_utils._service import api_gate
from ansible_collections.drydock.dockerd.plugins.module_utils._service.api_gate import ApiGate, connect_through, hidden_path


@pytest.fixture
def gate(host):
    return ApiGate(host)


@pytest.fixture
def serve():
    """Listen at a path; the caller may close what is returned."""
    with contextlib.ExitStack() as ended:

        def listen(path):
            server = ended.enter_context(contextlib.closing(socket.socket(socket.AF_UNIX)))
            server.bind(str(path))
            server.listen()
            return server

        yield listen


@pytest.fixture
def path(tmp_path):
    (tmp_path / "run").mkdir()
    return str(tmp_path / "run" / "docker.sock")


def answers(path):
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as client:
        return client.connect_ex(str(path)) == 0


def test_a_closed_socket_is_reached_by_us_alone(gate, serve, path):
    serve(path)
    os.chmod(path, 0o660)
    gate.close([path], [])
    assert not os.path.lexists(path)
    assert answers(gate.path(path))
    assert stat.S_IMODE(os.stat(os.path.dirname(gate.path(path))).st_mode) == 0o700
    gate.open()
    assert gate.path(path) == path
    assert answers(path)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o660
    assert (os.listdir(os.path.dirname(path)), os.path.exists(gate.host.places.gate)) == (["docker.sock"], False)


def test_two_sockets_beside_each_other(gate, serve, path):
    paths = [path, f"{path}-2"]
    for one in paths:
        serve(one)
    gate.close(paths, [])
    assert [answers(gate.path(one)) for one in paths] == [True, True]
    gate.open()
    assert [answers(one) for one in paths] == [True, True]
    assert len(os.listdir(os.path.dirname(path))) == 2


def test_it_is_closed_and_opened_as_often_as_somebody_says_so(gate, serve, path, host):
    serve(path)
    for _again in range(2):
        gate.close([path], [])
        assert answers(gate.path(path))
    # By another process, after a crash.
    for _again in range(2):
        ApiGate(host).open()
        assert answers(path)


def test_a_socket_has_one_name(gate, serve, path, tmp_path):
    """/var/run is a link to /run."""
    (tmp_path / "link").symlink_to("run")
    serve(path)
    other = str(tmp_path / "link" / "docker.sock")
    gate.close([other], [])
    assert gate.path(path) == gate.path(other) == hidden_path(path)
    gate.open()
    assert answers(other)


def test_what_is_not_closed_keeps_its_name(gate, serve, path):
    """Also where a boot has left the directory."""
    serve(path)
    os.mkdir(os.path.dirname(hidden_path(path)))
    pathlib.Path(hidden_path(path)).touch()
    assert gate.path(path) == path


def test_a_socket_whose_hidden_name_is_too_long_stays(gate, serve, tmp_path):
    path = tmp_path / ("x" * (105 - len(str(tmp_path)) - len("/s"))) / "s"
    path.parent.mkdir()
    serve(path)
    gate.close([str(path)], [])
    assert answers(path)
    gate.open()
    assert answers(path)


def test_what_appears_while_it_is_closed_is_closed(gate, serve, path):
    """As dockerd makes its own: it gives permissions by the name, and must find it until then."""
    gate.close([path], [])
    assert gate.path(path) == path
    with gate.closing_at_once():
        mask = os.umask(0o777)
        serve(path)
        os.umask(mask)
        gate.close([path], [])
        assert os.path.exists(path)
        os.chmod(path, 0o660)
    assert not os.path.exists(path)
    assert answers(gate.path(path))


def test_a_socket_whose_directory_comes_with_the_daemon(gate, serve, tmp_path):
    """As by RuntimeDirectory= of its unit."""
    path = tmp_path / "later" / "docker.sock"
    gate.close([str(path)], [])
    with gate.closing_at_once():
        path.parent.mkdir()
        serve(path)
    assert answers(gate.path(str(path)))
    gate.open()
    assert answers(path)


def test_it_is_closed_while_the_start_is_still_waited_for(gate, serve, path):
    gate.close([path], [])
    with gate.closing_at_once():
        serve(path)
        for _look in range(1000):
            if not os.path.exists(path):
                break
            api_gate.threading.Event().wait(0.005)
        assert answers(hidden_path(path))


def test_what_systemd_closes_itself_is_left_to_it(gate, serve, path, monkeypatch):
    """A socket that is gone before systemd has dealt with it fails to start."""
    looks = []
    real = api_gate._hide
    monkeypatch.setattr(api_gate, "_hide", lambda places: (looks.append(list(places)), real(places)))
    other = f"{path}-2"
    gate.close([path, other], [])
    with gate.closing_at_once(path):
        serve(path)
        serve(other)
        for _look in range(1000):
            if len(looks) > 3 and not os.path.exists(other):
                break
            api_gate.threading.Event().wait(0.005)
        assert os.path.exists(path)
    assert not os.path.exists(path)


def test_an_open_one_stays_open_in_a_start(gate, serve, path):
    serve(path)
    with gate.closing_at_once():
        pass
    assert answers(path)


def test_the_node_of_a_daemon_that_ended_goes(gate, serve, path):
    """Clients would knock at it in vain."""
    server = serve(path)
    gate.close([path], [])
    server.close()
    gate.open()
    assert os.listdir(os.path.dirname(path)) == []


def test_a_socket_that_is_there_already_is_not_replaced(gate, serve, path):
    serve(path)
    gate.close([path], [])
    serve(path)
    inode = os.stat(path).st_ino
    gate.open()
    assert os.stat(path).st_ino == inode
    assert os.listdir(os.path.dirname(path)) == ["docker.sock"]


def test_a_crowd_at_the_door_is_no_dead_socket(gate, path):
    with contextlib.ExitStack() as ended:
        server = ended.enter_context(contextlib.closing(socket.socket(socket.AF_UNIX)))
        server.bind(path)
        server.listen(0)
        for _client in range(3):
            client = ended.enter_context(contextlib.closing(socket.socket(socket.AF_UNIX)))
            client.setblocking(False)
            client.connect_ex(path)
        gate.close([path], [])
        gate.open()
        assert os.path.exists(path)


def test_a_socket_that_cannot_be_brought_back_is_told(gate, serve, path, monkeypatch):
    serve(path)
    gate.close([path], [])

    def refuse(*_paths):
        raise PermissionError(1, "Operation not permitted")

    with monkeypatch.context() as patch:
        patch.setattr(api_gate.os, "rename", refuse)
        with pytest.raises(DrydockError, match=rf"{path} waits in {hidden_path(path)} and cannot be brought back: .*not permitted.* \[api-closed\]"):
            gate.open()
    gate.open()
    assert answers(path)


def test_ports_are_closed_for_connections_without_our_mark(gate, host):
    gate.close([], [2376, 2375])
    gate.close([], [2377])
    assert host.execute.commands == ["/usr/sbin/nft -f -"] * 2
    rules = host.execute.inputs[-1].decode()
    assert rules.startswith("add table inet drydock_gate\ndelete table inet drydock_gate\ntable inet drydock_gate {")
    assert "tcp dport { 2375, 2376, 2377 } tcp flags & (syn | ack) == syn meta mark != 0xd0c reject with tcp reset" in rules
    gate.open()
    gate.open()
    assert host.execute.inputs[2:] == [b"add table inet drydock_gate\ndelete table inet drydock_gate\n"]


def test_a_host_without_nft_has_its_ports_open(gate, host):
    host.execute.answers["/usr/sbin/nft"] = (127, "command not found")
    gate.close([], [2375])
    gate.open()
    assert not os.path.exists(host.places.gate)


def test_ports_that_stay_closed_are_told(gate, host):
    gate.close([], [2375])
    host.execute.answers["/usr/sbin/nft"] = (1, "Device or resource busy")
    with pytest.raises(DrydockError, match=r"close the daemon's ports stay: Device or resource busy\. nft delete table inet drydock_gate \[api-closed\]"):
        gate.open()


def test_without_ports_no_command_is_run(gate, host, path):
    gate.close([path], [])
    gate.open()
    assert host.execute.commands == []


def test_a_connection_of_ours_has_the_mark():
    with socket.create_server(("127.0.0.1", 0)) as server:
        for host in ("127.0.0.1", "localhost"):
            with connect_through(host, server.getsockname()[1], 5) as connection:
                assert os.geteuid() or connection.getsockopt(socket.SOL_SOCKET, socket.SO_MARK) == api_gate._MARK
    with pytest.raises(OSError, match="refused"):
        connect_through("127.0.0.1", server.getsockname()[1] if server.fileno() > 0 else 1, 5)
