# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Where a process really listens, and what for."""

from __future__ import annotations

import os
import socket
import sys

import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils._host import tcp_listeners
from ansible_collections.drydock.dockerd.plugins.module_utils._observe import listening
from ansible_collections.drydock.dockerd.plugins.module_utils._service.systemd import Unit

HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
TCP = HEADER + (
    "   0: 0100007F:0947 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1149 1 0000000019a1e8df 100 0 0 10 0\n"
    "   1: 0100007F:0947 0100007F:C20C 01 00000000:00000000 00:00000000 00000000     0        0 1150 1 0000000019a1e8df 20 4 30 10 -1\n"
)
TCP6 = HEADER + (
    "   0: 00000000000000000000000000000000:0948 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 1151 1 0 100 0 0 10 0\n"
    "   1: B80D01200000000000000000A4000000:0948 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 1152 1 0 100 0 0 10 0\n"
)
UNIX = """Num       RefCount Protocol Flags    Type St Inode Path
000000004f2c953f: 00000003 00000000 00000000 0001 03 13081473
00000000c13290aa: 00000003 00000000 00000000 0001 03 12984370 /run/docker.sock
00000000c13290ab: 00000002 00000000 00010000 0001 01   984371 /run/docker.sock
00000000c13290ac: 00000002 00000000 00010000 0001 01 12984372 /run/with a blank.sock
00000000c13290ad: 00000002 00000000 00010000 0001 01 12984373 @abstract
"""


@pytest.mark.skipif(sys.byteorder != "little", reason="the kernel prints words in the machine's own order, and these are a PC's")
def test_what_listens_is_read_from_the_kernels_tables():
    assert tcp_listeners.parse_tcp(TCP) == {"1149": "tcp://127.0.0.1:2375"}
    assert tcp_listeners.parse_tcp(TCP6) == {"1151": "tcp://[::]:2376", "1152": "tcp://[2001:db8::a4]:2376"}
    assert listening.parse_unix(UNIX) == {"984371": "unix:///run/docker.sock", "12984372": "unix:///run/with a blank.sock"}


def test_a_process_is_found_where_it_listens(tmp_path):
    with socket.socket(socket.AF_UNIX) as local, socket.create_server(("127.0.0.1", 0)) as remote, socket.create_server(("127.0.0.1", 0)) as closed:
        local.bind(str(tmp_path / "socket"))
        local.listen()
        closed.close()
        found = listening.of(os.getpid())
        assert {f"unix://{tmp_path}/socket", f"tcp://127.0.0.1:{remote.getsockname()[1]}"} <= set(found)
    assert not {f"unix://{tmp_path}/socket"} & set(listening.of(os.getpid()))
    assert listening.of(2**22 + 1) == []


# What it was told, what it does, what that is for.
PURPOSES = {
    "the local socket": ({"hosts": ["fd://"]}, "unix:///run/docker.sock", "api"),
    "the same by another path": ({"hosts": ["unix:///var/run/docker.sock"]}, "unix:///run/docker.sock", "api"),
    "somebody else's socket": ({"hosts": ["fd://"]}, "unix:///run/docker/metrics.sock", None),
    "an address": ({"hosts": ["tcp://10.0.0.5:2376"]}, "tcp://10.0.0.5:2376", "api"),
    "all addresses": ({"hosts": ["tcp://0.0.0.0:2375"]}, "tcp://[::]:2375", "api"),
    "a name": ({"hosts": ["tcp://host1:2375"]}, "tcp://10.0.0.5:2375", "api"),
    "another port": ({"hosts": ["tcp://0.0.0.0:2376"]}, "tcp://[::]:2375", "unknown"),
    "another address": ({"hosts": ["tcp://127.0.0.1:2375"]}, "tcp://[::]:2375", "unknown"),
    "metrics": ({"metrics-addr": "127.0.0.1:9323"}, "tcp://127.0.0.1:9323", "metrics"),
    "a manager of swarm": ({}, "tcp://[::]:2377", "swarm"),
    "an address of systemd's": ({"hosts": ["fd://"]}, "tcp://[::]:4243", "api"),
}


@pytest.mark.parametrize(("told", "listens", "purpose"), PURPOSES.values(), ids=PURPOSES)
def test_a_socket_is_told_with_its_purpose(make_state, told, listens, purpose):
    unit = Unit("docker.socket", {"docker.socket": "[Socket]\nListenStream=%t/docker.sock\nListenStream=4243\n"}, {}, {})
    state = make_state(told, running_flags={}, socket_unit=unit, info={"Swarm": {"LocalNodeState": "active"}})
    asked = {"open": None} if listens.startswith("tcp") else {}
    assert listening.describe(state, [listens]) == ([{"address": listens, "purpose": purpose, **asked}] if purpose else [])


def test_a_swarms_port_is_nobodys_without_a_swarm(make_state):
    assert listening.describe(make_state(), ["tcp://[::]:2377"]) == [{"address": "tcp://[::]:2377", "purpose": "unknown", "open": None}]


@pytest.mark.parametrize("answer", [True, False])
def test_what_an_address_answered_is_told_by_whatever_name_it_was_asked(make_state, answer):
    state = make_state({"hosts": ["tcp://0.0.0.0:2376"]}, running_flags={}, lets_in={"tcp://0.0.0.0:2376": answer})
    assert listening.describe(state, ["tcp://[::]:2376"]) == [{"address": "tcp://[::]:2376", "purpose": "api", "open": answer}]
