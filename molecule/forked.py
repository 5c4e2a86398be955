# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Ansible's commands, run by a child of this process that has them loaded already.

A test runs the same command as a person does, in a process, a session and an environment of its own. What it saves is the second in
which each of some thousand commands would load the same Python files.
"""

from __future__ import annotations

import contextlib
import faulthandler
import io
import os
import signal
import subprocess
import sys
import traceback
import typing as t
import warnings

from ansible import constants
from ansible.cli import adhoc, playbook
from ansible.plugins import loader

COMMANDS = {"ansible": adhoc.main, "ansible-playbook": playbook.main}

REPORTS = os.environ.get("DRYDOCK_REPORTS")

# Ansible's own loader of collections, before a test imports something of one: what another one has found, it would not know the plugins of. What is
# loaded here it need not compile in each process.
loader.init_plugin_loader()
warnings.filterwarnings("ignore", "AnsibleCollectionFinder has already been configured")
loader.connection_loader.get("community.docker.docker", class_only=True)
for kind in (loader.connection_loader, loader.become_loader, loader.shell_loader, loader.inventory_loader, loader.strategy_loader, loader.action_loader):
    list(kind.all(class_only=True))
for kind in (loader.filter_loader, loader.test_loader):
    list(kind.all())


def start(words: t.Sequence[str], environment: t.Mapping[str, str] | None = None, **streams: t.Any) -> subprocess.Popen[str]:
    """Start 'ansible' or 'ansible-playbook', and do not wait for it.

    Not from a thread: what another one holds at that moment would stay held in the child.

    :param environment: variables that differ from this process's.
    :param streams: stdout and stderr as subprocess.Popen takes them; without them nothing is shown.
    """

    def run() -> None:
        # Popen waits for the end of this pipe, which a new program would have closed.
        os.closerange(3, 1 << 16)
        # As any Python has it; Popen has given it back for a program of another kind. A connection that is gone would end a worker.
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        code: t.Any = 1
        try:
            os.environ.update(environment or {})
            if REPORTS:
                # Where it was, should a test hang; its own output goes to the test, which is then ended, too.
                faulthandler.enable(os.open(f"{REPORTS}/{os.getpid()}.stack", os.O_WRONLY | os.O_CREAT))
            # Read when Ansible was loaded; what else may differ is read when it is used.
            constants.DEFAULT_STDOUT_CALLBACK = os.environ.get("ANSIBLE_STDOUT_CALLBACK", "default")
            sys.stdin, sys.stdout, sys.stderr = (
                io.TextIOWrapper(os.fdopen(number, mode, buffering=0), write_through=True) for number, mode in enumerate(("rb", "wb", "wb"))
            )
            sys.argv = list(words)
            code = COMMANDS[words[0]](sys.argv)
        except SystemExit as end:
            code = end.code
        except BaseException:
            traceback.print_exc()
        finally:
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(OSError):
                    stream.flush()
            os._exit(code if isinstance(code, int) else int(code is not None))

    where = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **streams}
    return subprocess.Popen(list(words), text=True, start_new_session=True, preexec_fn=run, **where)


def run(words: t.Sequence[str], environment: t.Mapping[str, str] | None = None, **streams: t.Any) -> subprocess.CompletedProcess[str]:
    """The same, and wait for its end."""
    process = start(words, environment, **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams})
    out, err = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)
