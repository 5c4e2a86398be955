# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""What role docker_containers decides, and the sentences that it says."""

from __future__ import annotations

import pytest
from ansible_collections.drydock.dockerd.plugins.module_utils._errors import DrydockError
from ansible_collections.drydock.dockerd.plugins.plugin_utils import _containers_plan

OURS = {_containers_plan.LABEL: _containers_plan.OURS}
ARCHIVE = {"images": [{"ids": ["sha256:a", "sha256:index"], "names": ["web:2"]}]}


def container(name, **changes):
    """A container as containers_info tells it."""
    fields = {"id": f"id-{name}", "name": name, "state": "running", "policy": "always", "restart_count": 0, "exit_code": 0, "health": ""}
    return {**fields, "health_output": "", "log": [], "labels": OURS, "ports": [], **changes}


def now(*containers, **changes):
    """What a daemon has."""
    there = {"containers": list(containers), "images": [{"id": "sha256:1", "names": ["web:latest"]}], "volumes": [], "networks": ["bridge"]}
    return {**there, "archives": {}, "python_requests": True, **changes}


def plan(*items, there=None, purge=False):
    return _containers_plan.plan(list(items), there or now(), purge)


def refusals(*items, **options):
    return plan(*items, **options)["refusals"]


# What was typed ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("typed", "meant"), [("", []), (" \n", []), ([], []), ("- name: web", [{"name": "web"}]), ('[{"name": "web"}]', [{"name": "web"}])])
def test_list_as_a_survey_sends_it(typed, meant):
    assert _containers_plan.to_list(typed) == meant


@pytest.mark.parametrize("typed", [{"name": "web"}, "name: web", 3, "- ["])
def test_what_is_no_list_is_refused(typed):
    with pytest.raises(DrydockError, match="docker_containers_list is "):
        _containers_plan.to_list(typed)


NAMES = "Give it two characters at least, letters, digits, '_', '.' and '-', the first a letter or digit."


def test_entries_that_are_no_containers_are_refused():
    assert refusals("web", {"image": "web"}, {"name": "a"}, {"name": "a b"}, {"name": "web", "labels": "x"}, {"name": "db"}, {"name": "db"}) == [
        "Entry 1 of docker_containers_list is 'web'. Give a dictionary with options of docker_container. [variable-value]",
        "Entry 2 of docker_containers_list has no name. Give it one: by its name it is known in the next run. [variable-value]",
        f"Container a has a name that Docker does not take. {NAMES} [variable-value]",
        f"Container a b has a name that Docker does not take. {NAMES} [variable-value]",
        "Container web has labels that are no dictionary: 'x'. Write them as key: value. [variable-value]",
        "Container db is listed twice. Give each its own name. [variables-clash]",
    ]


@pytest.mark.parametrize("policy", [None, False, "no", "always", "unless-stopped", "on-failure"])
def test_policies_that_docker_has(policy):
    assert refusals({"name": "web", "image": "web", "restart_policy": policy}) == []


def test_policy_that_docker_does_not_have():
    (sentence,) = refusals({"name": "web", "image": "web", "restart_policy": "sometimes"})
    assert sentence.startswith("Container web asks for restart_policy 'sometimes', which Docker does not have.")


def test_policy_in_the_client_s_form_is_told_its_form_here():
    (sentence,) = refusals({"name": "web", "image": "web", "restart_policy": "on-failure:3"})
    assert "Give restart_policy: on-failure and restart_retries: 3." in sentence


@pytest.mark.parametrize("policy", [None, "always", "unless-stopped"])
def test_retries_need_the_policy_that_counts_them(policy):
    (sentence,) = refusals({"name": "web", "image": "web", "restart_policy": policy, "restart_retries": 3})
    assert sentence.startswith("Container web has restart_retries 3, but policy ")
    assert refusals({"name": "web", "image": "web", "restart_policy": "on-failure", "restart_retries": 3}) == []


def test_host_without_python_requests_is_refused():
    (sentence,) = refusals({"name": "web", "image": "web"}, there=now(python_requests=False))
    assert "Install the package python3-requests." in sentence


# Images -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("image", "pulled"), [("web", []), ("web:latest", []), ("sha256:1", []), ("web:3", ["web:3"]), ("reg:5000/web", ["reg:5000/web"])])
def test_images_that_are_not_there_are_pulled(image, pulled):
    assert plan({"name": "web", "image": image})["images"] == pulled


@pytest.mark.parametrize("pull", ["always", True, "true"])
def test_image_that_has_to_be_the_newest_is_pulled_before_docker_container_compares(pull):
    item = {"name": "web", "image": "web", "pull": pull}
    found = plan(item)
    assert (found["images"], found["arguments"]["web"]["pull"]) == (["web"], "missing")
    # A pull in check mode cannot tell what it would bring.
    assert _containers_plan.plan([item], now(), False, check=True)["images"] == []
    assert plan({**item, "image": "sha256:1"})["images"] == []


def test_image_that_must_not_be_pulled():
    (sentence,) = refusals({"name": "web", "image": "web:3", "pull": "never"})
    assert sentence.startswith("Image web:3 of container web is not there, and pull: never forbids to fetch it.")


@pytest.mark.parametrize(
    ("images", "loaded"),
    [
        ([], ["/a.tar"]),
        ([{"id": "sha256:old", "names": ["web:2"]}], ["/a.tar"]),
        ([{"id": "sha256:a", "names": []}], ["/a.tar"]),
        *[([{"id": key, "names": ["web:2"]}], []) for key in ("sha256:a", "sha256:index")],
    ],
)
def test_archive_is_loaded_unless_the_very_image_is_there(images, loaded):
    found = plan({"name": "web", "image": "web:2", "image_archive": "/a.tar"}, there=now(images=images, archives={"/a.tar": ARCHIVE}))
    assert (found["refusals"], found["archives"], found["images"]) == ([], loaded, [])
    assert "image_archive" not in found["arguments"]["web"]


def test_archive_that_does_not_hold_the_image():
    (sentence,) = refusals({"name": "web", "image": "web:3", "image_archive": "/a.tar"}, there=now(archives={"/a.tar": ARCHIVE}))
    assert sentence.startswith("The archive /a.tar does not hold image web:3 of container web; it holds web:2.")


def test_archive_that_cannot_be_read():
    """The host has said it with its id, and it gets no other one."""
    there = now(archives={"/a.tar": {"images": [], "error": "No such file. [image-missing]"}})
    assert refusals({"name": "web", "image": "web:3", "image_archive": "/a.tar"}, there=there) == ["No such file. [image-missing]"]


def test_what_is_to_be_absent_needs_no_archive():
    there = now(archives={"/a.tar": {"images": [], "error": "No such file."}})
    found = plan({"name": "web", "image": "web:2", "image_archive": "/a.tar", "state": "absent"}, there=there)
    assert (found["refusals"], found["archives"]) == ([], [])


def test_archive_without_an_image_to_look_for():
    (sentence,) = refusals({"name": "web", "image_archive": "/a.tar"}, there=now(archives={"/a.tar": ARCHIVE}))
    assert "has an image_archive and no image" in sentence


# Ports ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (["80"], []),
        (["8080:80"], [("", 8080, "tcp")]),
        ([8080], []),
        (["127.0.0.1:8080:80/udp"], [("127.0.0.1", 8080, "udp")]),
        (["[::1]:8080:80"], [("::1", 8080, "tcp")]),
        (["0.0.0.0::80"], []),
        (["8000-8001:80-81"], [("", 8000, "tcp"), ("", 8001, "tcp")]),
        (["8000-8001:80"], []),
        ("all", []),
    ],
)
def test_ports_that_an_item_publishes(given, meant):
    assert _containers_plan.ports({"ports": given}) == meant
    assert _containers_plan.ports({"published_ports": given}) == meant


WEB = {"name": "web", "image": "web", "ports": ["8080:80"]}


def taken(ip="", **changes):
    return container("old", ports=[{"ip": ip, "port": "8080", "protocol": "tcp"}], **changes)


@pytest.mark.parametrize(
    "there", [now(taken()), now(taken("127.0.0.1")), now(taken("0.0.0.0"), container("web")), now(taken(state="restarting")), now(taken(state="paused"))]
)
def test_port_that_another_container_has(there):
    (sentence,) = refusals(WEB, there=there)
    assert sentence.startswith("Container web publishes port 8080/tcp, which container old has.")


def test_port_that_is_free():
    own = {**taken(), "name": "web"}
    for there in (now(own), now(taken(state="exited")), now(container("old"))):
        assert refusals(WEB, there=there) == []
    assert refusals({**WEB, "ports": ["8080:80/udp"]}, there=now(taken())) == []
    assert refusals({**WEB, "ports": ["127.0.0.1:8080:80"]}, there=now(taken("10.0.0.5"))) == []
    assert refusals(WEB, there=now(taken()), purge=True) == []


@pytest.mark.parametrize(
    ("given", "address", "is_taken"),
    [
        ("8080:80", "0.0.0.0:8080", True),
        ("8080:80", "[::]:8080", True),
        ("127.0.0.1:8080:80", "0.0.0.0:8080", True),
        ("127.0.0.1:8080:80", "127.0.0.1:8080", True),
        ("[::1]:8080:80", "[::1]:8080", True),
        ("127.0.0.1:8080:80", "[::]:8080", False),
        ("127.0.0.1:8080:80", "10.0.0.5:8080", False),
        ("8080:80/udp", "0.0.0.0:8080", False),
        ("8081:80", "0.0.0.0:8080", False),
    ],
)
def test_port_that_a_process_has(given, address, is_taken):
    there = now(taken={f"tcp://{address}": "process 7 (nginx)"})
    told = ["Container web publishes port 8080/tcp, which process 7 (nginx) has. Choose another port, or end that process. [port-taken]"]
    assert refusals({**WEB, "ports": [given]}, there=there) == (told if is_taken else [])
    # It has it already, by whatever stands in front of it.
    assert refusals({**WEB, "ports": [given]}, there={**there, "containers": [{**taken(), "name": "web"}]}) == []


def test_in_check_mode_one_that_was_set_aside_is_nobody():
    aside = {**taken(), "name": "web.set-aside.always.0.running"}
    found = plan(WEB, there=now(aside), purge=True)
    assert (found["refusals"], found["remove"]) == ([], [])


def test_port_that_is_listed_twice():
    (sentence,) = refusals(WEB, {**WEB, "name": "two"})
    assert sentence.startswith("Container web publishes port 8080/tcp, which container two has.")
    assert refusals(WEB, {**WEB, "name": "two", "state": "absent"}) == []


# What is done -----------------------------------------------------------------------------------------------------


def test_arguments_are_the_item_with_the_label():
    item = {"name": "web", "image": "web", "labels": {"a": "b"}, "any_option": 1}
    assert plan(item)["arguments"] == {"web": {**item, "labels": {"a": "b", **OURS}, "state": "started"}}
    assert plan({**item, "state": "stopped"})["arguments"]["web"]["state"] == "stopped"


def test_in_check_mode_networks_that_are_only_planned_are_not_asked_for():
    item = {"name": "web", "image": "web", "networks": [{"name": "front"}, {"name": "bridge"}]}
    assert plan(item)["arguments"]["web"]["networks"] == item["networks"]
    found = _containers_plan.plan([item], now(), False, check=True)
    assert (found["networks"], found["arguments"]["web"]["networks"]) == (["front"], [{"name": "bridge"}])


@pytest.mark.parametrize(
    ("policy", "exit_code", "state", "stays"),
    [
        (None, 3, "exited", True),
        ("no", 0, "exited", True),
        (False, 137, "dead", True),
        ("on-failure", 0, "exited", True),
        ("on-failure", 1, "exited", False),
        ("always", 0, "exited", False),
        ("unless-stopped", 0, "exited", False),
        ("no", 0, "created", False),
        ("no", 0, "running", False),
    ],
)
def test_one_that_ended_is_left_so_where_its_policy_is_content(policy, exit_code, state, stays):
    item = {"name": "web", "image": "web", "restart_policy": policy}
    there = now(container("web", exit_code=exit_code, state=state))
    assert plan(item, there=there)["present"] == (["web"] if stays else [])
    assert plan({**item, "state": "started"}, there=there)["present"] == []


def test_volumes_and_networks_that_are_not_there_are_created():
    item = {"name": "web", "image": "web", "volumes": ["data:/data:ro", "there:/t", "/host:/h", "./x:/x", "/only", "data:/again"]}
    item["networks"] = [{"name": "front"}, {"name": "bridge"}, {"name": "there"}]
    found = plan(item, there=now(volumes=["there"], networks=["there"]))
    assert (found["volumes"], found["networks"]) == (["data"], ["front"])
    assert plan({**item, "volume_driver": "nfs"})["volumes"] == []
    gone = plan({**item, "state": "absent", "image": "none"})
    assert (gone["volumes"], gone["networks"], gone["images"], gone["watched"]) == ([], [], [], [])


# Purge ------------------------------------------------------------------------------------------------------------


def test_only_what_the_role_made_is_purged():
    there = now(container("web"), container("old"), container("foreign", labels={}), container("other", labels={_containers_plan.LABEL: "someone"}))
    assert plan({"name": "web", "image": "web"}, there=there, purge=True)["remove"] == ["old"]


def test_only_what_is_no_longer_listed_is_purged():
    assert plan({"name": "web", "image": "web"}, there=now(container("web")), purge=True)["remove"] == []


def test_nothing_is_purged_unless_asked():
    assert plan(there=now(container("old")))["remove"] == []


def test_a_list_that_was_not_given_purges_nothing():
    (sentence,) = _containers_plan.plan("", now(container("old")), True)["refusals"]
    assert "Give [] to remove all containers that the role made." in sentence
    assert _containers_plan.plan([], now(container("old")), True) | {"refusals": []} == plan(there=now(container("old")), purge=True)


# Settled ----------------------------------------------------------------------------------------------------------


def trouble(one, was=None, **item):
    return _containers_plan.trouble([{"name": "web", **item}], [was] if was else [], [one] if one else [])


def test_one_that_stays_up_is_no_trouble():
    assert trouble(container("web")) == []
    assert trouble(container("web", restart_count=7), container("web", restart_count=7)) == []
    assert trouble(container("web", health="starting")) == []
    assert trouble(container("web", state="paused")) == []


def test_trouble_is_told_with_all_that_helps():
    one = container("web", state="restarting", restart_count=5, exit_code=3, log=["a", "b"])
    assert trouble(one, container("web")) == [
        "Container web does not stay up: restarting, exit code 3, restarted 5 times, policy always. Its last lines: a | b [container-down]"
    ]
    (sentence,) = trouble(container("web", health="unhealthy", health_output="no answer"))
    assert sentence == (
        "Container web is unhealthy: running, exit code 0, restarted 0 times, policy always. Its health check said: no answer It printed nothing. "
        "[container-down]"
    )


def test_one_that_restarts_does_not_stay_up():
    assert "does not stay up" in trouble(container("web", restart_count=1), container("web"))[0]
    # It was started anew in between, or is another one.
    assert "does not stay up" in trouble(container("web", restart_count=1), container("web", restart_count=4))[0]
    assert "does not stay up" in trouble(container("web", restart_count=1), container("web", id="another", restart_count=1))[0]
    # It waits for its next start, which may be a minute away.
    assert "does not stay up" in trouble(container("web", state="restarting", restart_count=9), container("web", restart_count=9))[0]


@pytest.mark.parametrize(
    ("policy", "exit_code", "may"),
    [("no", 0, True), ("no", 3, True), ("on-failure", 0, True), ("on-failure", 3, False), ("always", 0, False), ("unless-stopped", 0, False)],
)
def test_one_that_ends_needs_a_policy_that_lets_it(policy, exit_code, may):
    found = trouble(container("web", state="exited", policy=policy, exit_code=exit_code, restart_count=3), container("web"))
    assert (found == []) is may
    assert may or "has ended" in found[0]


def test_one_that_was_never_started_or_is_gone():
    assert "does not run" in trouble(container("web", state="created"))[0]
    assert trouble(None) == ["Container web is gone. [container-down]"]
    assert trouble(None, auto_remove=True) == []


def test_one_that_is_not_to_run_is_not_judged():
    for state in ("absent", "present", "stopped"):
        assert trouble(container("web", state="exited", exit_code=1), state=state) == []
    assert trouble(container("web", state="exited", exit_code=1), state="healthy") != []


def test_a_container_of_somebody_else_is_taken_over_in_words_only():
    there = now(container("web", labels={}))
    refused = _containers_plan.plan([{"name": "web", "image": "web"}], there, False)["refusals"]
    assert len(refused) == 1
    assert "Container web is there, and somebody else made it" in refused[0]
    assert refused[0].endswith("set docker_containers_take_over: [web]. [container-foreign]")
    for words in (["web"], "other\nweb", True, "true"):
        assert _containers_plan.plan([{"name": "web", "image": "web"}], there, False, False, words)["refusals"] == []
    assert _containers_plan.plan([{"name": "web", "image": "web"}], there, False, False, ["other"])["refusals"] == refused
    assert _containers_plan.plan([{"name": "web", "image": "web", "state": "absent"}], there, False)["refusals"] == []
    assert _containers_plan.plan([{"name": "web", "image": "web"}], now(container("web")), False)["refusals"] == []
