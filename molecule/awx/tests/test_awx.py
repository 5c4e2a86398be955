# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""Each job template's playbook, run as AWX runs it: with the survey's defaults, with every answer given, with bad answers, and as a dry run."""

from __future__ import annotations

import json
import typing as t

import pytest
import yaml
from launching import DATA, PASSWORD, TEMPLATES, Job, defaults, launch
from plays import lines_of, make
from running import PLAYBOOKS, snapshot

PATH = "/mnt/data/docker"
CONTAINERS = """\
- name: web
  image: lab:app
  command: [sh, -c, "trap 'exit 0' TERM; while :; do sleep 1000 & wait; done"]
"""
# What somebody answers who leaves out nothing.
ANSWERS: dict[str, dict[str, t.Any]] = {
    "prepare": {
        "docker_data_root_path": PATH, "docker_data_root_containerd_path": "/mnt/data/containerd", "docker_data_root_bandwidth_limit": "50M",
        "docker_data_root_require_persistent_mount": "false", "docker_data_root_allow_swarm_manager": "true", "rolling_batch": "1",
    },
    "relocate": {
        "docker_data_root_path": PATH, "docker_data_root_containerd_path": "/mnt/data/containerd", "docker_data_root_keep_source": "false",
        "docker_data_root_verify": "checksum", "docker_data_root_bandwidth_limit": "50M", "docker_data_root_changing_limit": "0",
        "docker_data_root_require_persistent_mount": "false", "docker_data_root_allow_swarm_manager": "true", "rolling_batch": '[1, "25%"]',
    },
    "restore": {
        "docker_data_root_keep_source": "true", "docker_data_root_verify": "checksum", "docker_data_root_bandwidth_limit": "1G",
        "docker_data_root_changing_limit": "2G", "docker_data_root_require_persistent_mount": "false", "docker_data_root_allow_swarm_manager": "false",
        "rolling_batch": "50%",
    },
    "clean": {"rolling_batch": "1\n2"},
    "certificates": {
        "docker_tls_names": "docker.example.org\n192.0.2.7", "docker_tls_renew_before": 10, "docker_tls_dir": "/etc/docker/tls", "rolling_batch": "1",
    },
    "listen": {
        "docker_listen_addresses": "fd://\ntcp://0.0.0.0:2376", "docker_listen_tls_ca": "/etc/docker/tls/ca.pem",
        "docker_listen_tls_cert": "/etc/docker/tls/server-cert.pem", "docker_listen_tls_key": "/etc/docker/tls/server-key.pem",
        "docker_listen_allowed_sources": "10.0.0.0/8\n172.16.0.0/12\n192.168.0.0/16", "docker_listen_local_socket": "true",
        "docker_listen_allow_insecure": "false", "docker_listen_prove_from": "controller", "docker_listen_confirm_timeout": 60, "rolling_batch": "1",
    },
    "options": {
        "docker_options_settings": '{"log-driver": "local", "labels": "a=1\\nb=2"}', "docker_options_restart": "always",
        "docker_options_allow_hidden_data": "true", "rolling_batch": "100%",
    },
    "containers": {"docker_containers_list": CONTAINERS, "docker_containers_settle_time": 1, "docker_containers_purge": "true", "rolling_batch": "2"},
}  # fmt: skip
ANSWERS["cancel"] = {"docker_data_root_path": PATH, "docker_data_root_containerd_path": "", "rolling_batch": "1"}
ANSWERS["engine"] = {
    "docker_engine_source": "distribution", "docker_engine_version": "26.1*", "docker_engine_users": "operator", "docker_listen_addresses": "fd://",
    "docker_listen_tls_ca": "", "docker_listen_tls_cert": "", "docker_listen_tls_key": "", "docker_data_root_path": "/mnt/data/other",
    "docker_options_settings": '{"log-driver": "journald"}', "rolling_batch": "1",
}  # fmt: skip
ANSWERS["upgrade"] = {"docker_engine_version": "26.1*", "rolling_batch": "1"}
ANSWERS["report"] = {"docker_report_path": "/srv/docker.html", "docker_report_host": "trixie", "docker_report_title": "{{ 1 + 1 }} hosts"}
ANSWERS["site"] = {**ANSWERS["listen"], **ANSWERS["relocate"], **ANSWERS["options"], "docker_options_restart": "auto"}
# Answers without which a template cannot be launched, and the one that a lab host needs, whose /var/lib is a volume.
REQUIRED = {
    "prepare": {"docker_data_root_path": PATH}, "relocate": {"docker_data_root_path": PATH}, "containers": {"docker_containers_list": CONTAINERS},
    "restore": {"docker_data_root_require_persistent_mount": "false"},
}  # fmt: skip

# By what is wrong: the answers beside the defaults, and the words that are told.
BAD = {
    "relocate": {
        "path_relative": ({"docker_data_root_path": "data/docker"}, "data/docker"),
        "path_of_nothing": ({"docker_data_root_path": "/proc/docker"}, "/proc"),
        "containerd_path_relative": ({"docker_data_root_containerd_path": "containerd"}, "containerd"),
        "no_boolean": ({"docker_data_root_path": PATH, "docker_data_root_keep_source": "maybe"}, "keep_source"),
        "no_choice": ({"docker_data_root_path": PATH, "docker_data_root_verify": "size"}, "verify"),
        "no_bytes": ({"docker_data_root_path": PATH, "docker_data_root_bandwidth_limit": "fast"}, "fast"),
        "no_limit": ({"docker_data_root_path": PATH, "docker_data_root_changing_limit": "-1"}, "-1"),
        "template": ({"docker_data_root_path": "{{ 1 + 1 }}"}, "'{{ 1 + 1 }}' is a relative path"),
    },
    "listen": {
        "plain_tcp": ({"docker_listen_addresses": "tcp://0.0.0.0:2375", "docker_listen_allow_insecure": "false"}, "allow_insecure"),
        "no_address": ({"docker_listen_addresses": "http://x:1"}, "http://x:1"),
        "no_source": ({"docker_listen_addresses": "tcp://127.0.0.1:2375", "docker_listen_allowed_sources": "intranet"}, "intranet"),
        "half_tls": ({"docker_listen_addresses": "tcp://0.0.0.0:2376", "docker_listen_tls_ca": "/etc/docker/tls/ca.pem"}, "docker_listen_tls"),
        "nobody": ({"docker_listen_addresses": "fd://", "docker_listen_prove_from": "nobody"}, "docker_listen_prove_from"),
        "no_number": ({"docker_listen_addresses": "fd://", "docker_listen_prove_from": "controller", "docker_listen_confirm_timeout": "soon"}, "soon"),
        "no_way_in": ({"docker_listen_addresses": "fd://", "docker_listen_local_socket": "false"}, "docker_listen_local_socket is false"),
    },
    "options": {
        "no_json": ({"docker_options_settings": "log-driver: local:"}, "settings"),
        "no_object": ({"docker_options_settings": "[1, 2]"}, "settings"),
        "slip_in_json": ({"docker_options_settings": '{"log-driver": "local",}'}, "cannot be read"),
        "unknown_key": ({"docker_options_settings": '{"log-drivers": "local"}'}, "log-drivers"),
        "no_restart": ({"docker_options_restart": "sometimes"}, "sometimes"),
    },
    "containers": {
        "no_list": ({"docker_containers_list": "name: web"}, "no list"),
        "no_yaml": ({"docker_containers_list": "- {"}, "no YAML"),
        "no_name": ({"docker_containers_list": "- image: lab:app"}, "name"),
        "no_number": ({"docker_containers_list": CONTAINERS, "docker_containers_settle_time": "soon"}, "soon"),
        "no_boolean": ({"docker_containers_list": CONTAINERS, "docker_containers_purge": "maybe"}, "maybe"),
    },
    "certificates": {
        "no_name": ({"docker_tls_names": "a b"}, "a b"),
        "no_number": ({"docker_tls_renew_before": "soon"}, "soon"),
        "path_relative": ({"docker_tls_dir": "tls"}, "tls"),
    },
}  # fmt: skip

CA = make("CA of the tests", days=3650)
PASSPHRASE = "of the CA, and long enough"
CREDENTIAL = {"docker_tls_ca_cert": CA.cert_pem, "docker_tls_ca_key": CA.key_pem(PASSPHRASE), "docker_tls_ca_passphrase": PASSPHRASE}


def run(host: t.Any, name: str, answers: dict[str, t.Any], *options: str, **more: t.Any) -> Job:
    """A job, none of whose events has a secret."""
    credential = CREDENTIAL if TEMPLATES[name].get("signs") else None
    job = launch(host, name, {**defaults(name), **REQUIRED.get(name, {}), **answers}, *options, credential=credential, **more)
    assert len(job.events) > 3
    for secret in (PASSWORD, PASSPHRASE, *lines_of(CREDENTIAL["docker_tls_ca_key"], PASSPHRASE)):
        assert secret not in job.text
    return job


def done(job: Job) -> dict[str, t.Any]:
    """What a job that went well did to the host."""
    assert job.status == "successful", job.text[-3000:]
    return job.artifacts["trixie"]


def test_answers_are_given_to_every_question() -> None:
    asked = {name: {one["variable"] for one in template["survey"]} for name, template in TEMPLATES.items()}
    assert asked == {name: set(answers) for name, answers in ANSWERS.items()}


def test_a_dry_run_announces_and_changes_nothing(host: t.Any, before: dict[str, t.Any]) -> None:
    job = run(host, "relocate", {}, "--check --diff")
    assert done(job)["changed"]
    (change,) = [one["event_data"]["res"] for one in job.of("runner_on_ok") if one["event_data"]["task_action"] == "drydock.dockerd.data_root"]
    assert PATH in str(change["diff"])
    assert snapshot(host)["pid"] == before["pid"]
    assert not host.file(PATH).exists


def test_data_are_prepared_moved_and_taken_back(host: t.Any) -> None:
    prepared = done(run(host, "prepare", {}))
    assert (prepared["changed"], "downtime_seconds" in prepared) == (True, False)
    assert done(run(host, "cancel", ANSWERS["cancel"]))["msg"].startswith("Removed ")
    assert not host.file(PATH).exists
    moved = done(run(host, "relocate", {}))
    assert moved["changed"]
    assert moved["msg"].startswith("Moved ")
    assert [type(moved[key]) for key in ("bytes", "files", "downtime_seconds")] == [int, int, float]
    assert snapshot(host)["root"] == PATH
    back = done(run(host, "restore", {}))
    assert back["msg"].startswith("Moved back ")
    assert snapshot(host)["root"] == "/var/lib/docker"
    cleaned = done(run(host, "clean", {}))
    assert cleaned["msg"].startswith("Removed ")
    assert not done(run(host, "clean", ANSWERS["clean"]))["changed"]


def test_every_answer_about_a_move_is_heard(host: t.Any) -> None:
    done(run(host, "prepare", ANSWERS["prepare"]))
    assert done(run(host, "relocate", ANSWERS["relocate"]))["changed"]
    assert snapshot(host)["root"] == PATH
    assert host.file("/mnt/data/containerd").is_directory
    # 'false' is false.
    assert not host.run("ls -d /var/lib/docker.drydock-kept-*").stdout


@pytest.mark.parametrize("name", ["engine", "upgrade", "options", "certificates", "listen", "containers"])
def test_defaults_and_then_every_answer(host: t.Any, name: str) -> None:
    was = snapshot(host)
    assert done(run(host, name, {}))["changed"] is (name in ("certificates", "containers"))
    assert done(run(host, name, ANSWERS[name]))["changed"] is (name in ("options", "certificates", "listen", "engine"))
    # An engine that is there stays as it is, with the root and the options that it has.
    assert name not in ("engine", "upgrade") or snapshot(host)["pid"] == was["pid"]


def test_the_addresses_are_served_and_proved_from_outside(host: t.Any) -> None:
    assert {"/run/docker.sock", "*:2376"} <= set(snapshot(host)["listens"])


def test_a_report_is_kept_by_the_host_that_is_named(host: t.Any) -> None:
    written = []
    while True:
        job = run(host, "report", ANSWERS["report"])
        assert job.status == "successful", job.text[-3000:]
        (end,) = job.of("playbook_on_stats")
        assert end["event_data"]["artifact_data"]["drydock_dockerd_report"]["hosts"] == 1
        written.append(json.loads(host.file("/srv/docker.json").content_string))
        # Other hosts of the lab fill the same disk, so that there may be news between two reports; not again and again.
        if end["event_data"]["changed"] == {} or len(written) == 4:
            break
    assert len(written) > 1
    assert written[-1] == written[-2]
    assert end["event_data"]["changed"] == {}
    # What somebody typed is never a template.
    assert "<title>{{ 1 + 1 }} hosts</title>" in host.file("/srv/docker.html").content_string


def test_a_report_without_a_place_is_refused(host: t.Any) -> None:
    job = run(host, "report", {"docker_report_host": "trixie"})
    assert job.status == "failed"
    assert "docker_report_path is not set, and on trixie" in " ".join(job.text.split())


def test_all_of_it_at_once_finds_it_done(host: t.Any) -> None:
    assert done(run(host, "site", ANSWERS["site"])) == {"failed": False, "changed": False, "msg": "Nothing to do."}


@pytest.mark.parametrize("name", ["options", *(pytest.param(name, marks=pytest.mark.extra) for name in ("listen", "relocate"))])
def test_a_daemon_that_is_down_is_not_well(host: t.Any, name: str) -> None:
    host.check_output("systemctl stop docker.socket docker.service")
    job = run(host, name, ANSWERS[name] if name == "listen" else {})
    host.check_output("systemctl start docker.socket docker.service")
    assert job.status == "failed"
    assert job.messages["trixie"].startswith("The daemon does not run"), job.messages
    assert "Start it: systemctl start docker" in job.messages["trixie"]


FULL = "/home/operator/.ansible"


def test_a_full_disk_and_a_directory_that_cannot_be_made_are_told_or_do_not_matter(host: t.Any) -> None:
    without = {"ansible_ssh_pipelining": False}
    variants = {"as_it_comes": {}, "full": without, "no_place": {**without, "ansible_remote_tmp": "/proc/none"}, "not_begun": {}}
    host.check_output(f"mkdir -p {FULL}; mount -t tmpfs -o size=64k none {FULL}; chown operator {FULL}")
    host.run(f"su operator -c 'dd if=/dev/zero of={FULL}/fill'")
    job = launch(host, "options", {**defaults("options"), "rolling_batch": "3"}, "--forks 1", variants=variants)
    host.check_output(f"umount {FULL}")
    assert job.status == "failed"
    (end,) = job.of("playbook_on_stats")
    assert end["event_data"]["artifact_data"]["drydock_dockerd_not_begun"] == ["not_begun"]
    assert not job.artifacts["as_it_comes"]["failed"]
    places = {"full": f"{FULL}/tmp on the host (No space left on device)", "no_place": "/proc/none on the host (Failed to create temporary directory)"}
    told = {name: f"Ansible cannot write its own files to {place}. Make room there" for name, place in places.items()}
    assert {name: words.partition(", or")[0] for name, words in job.messages.items()} == told


@pytest.mark.parametrize("name", ["site", "certificates", pytest.param("containers", marks=pytest.mark.extra)])
def test_empty_text_means_not_given_for_every_option(host: t.Any, name: str) -> None:
    """Whoever asks for more than these surveys do gets empty text for each of it, too."""
    roles = {"site": ("docker_listen", "docker_data_root", "docker_options")}.get(name, (f"docker_{'tls' if name == 'certificates' else name}",))
    defaults = [yaml.safe_load((PLAYBOOKS.parent / "roles" / role / "defaults" / "main.yml").read_text()) for role in roles]
    empty = {variable: "" for role in defaults for variable in role if variable not in CREDENTIAL}
    assert len(empty) >= 5
    job = done(run(host, name, {**empty, "target": "", "rolling_batch": ""}, "--check"))
    # Names that nobody asks for any more are taken out of a certificate; options that are not given stay.
    assert job["changed"] is (name == "certificates")


def test_the_move_of_both_roots_is_taken_back(host: t.Any) -> None:
    job = run(host, "restore", ANSWERS["restore"])
    # The old data were removed.
    assert done(job)["changed"]
    assert snapshot(host)["root"] == "/var/lib/docker"


@pytest.mark.parametrize("name", [pytest.param(name, marks=[] if name == "relocate" else [pytest.mark.extra]) for name in BAD])
def test_bad_answers_are_refused_in_a_sentence(host: t.Any, name: str) -> None:
    pid = snapshot(host)["pid"]
    surveyed = {variable for answers, _words in BAD[name].values() for variable in answers}
    # What is typed wrong differs by host; what the survey sends to all must not win over it.
    common = {variable: value for variable, value in {**defaults(name), "rolling_batch": ""}.items() if variable not in surveyed}
    variants = {case: answers for case, (answers, _words) in BAD[name].items()}
    job = launch(host, name, common, "--check --forks 1", credential=CREDENTIAL if name == "certificates" else None, variants=variants)
    assert job.status == "failed"
    told = job.messages
    assert {case: words for case, (_answers, words) in BAD[name].items() if words not in told.get(case, "")} == {}, told
    assert not [case for case, words in told.items() if "Traceback" in words or "Task failed" in words], told
    assert PASSPHRASE not in job.text
    assert snapshot(host)["pid"] == pid


def test_a_batch_that_is_none_is_refused_at_once(host: t.Any) -> None:
    job = run(host, "clean", {"rolling_batch": "some"})
    assert job.status == "failed"
    assert "rolling_batch is 'some'. Give a number of hosts (1), a percentage (25%), or a list of them" in " ".join(job.text.split())
    assert not job.of("runner_on_start")


def test_the_credential_is_the_one_that_the_setup_makes() -> None:
    (kind,) = DATA["drydock_awx_credential_types"]
    assert set(kind["injectors"]["extra_vars"]) == set(CREDENTIAL)
