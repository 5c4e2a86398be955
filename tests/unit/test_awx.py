# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""What AWX gets is what AWX takes, and what the roles take from it. No AWX is needed for that."""

from __future__ import annotations

import copy
import importlib.util
import pathlib

import pytest
import surveys
import yaml

ROOT = pathlib.Path(__file__).parents[2]
PLAYBOOKS = ROOT / "playbooks"
# Role docker_daemon has the options of the three whose work it does.
ROLES_OF = {"docker_daemon": ("docker_listen", "docker_data_root", "docker_options")}
MODULE_OF = {"docker_data_root": "data_root", "docker_options": "daemon_config"}
# Variables of the playbooks themselves.
OWN = ("target", "rolling_batch")


class Loader(yaml.SafeLoader):
    """Reads what Ansible reads."""


Loader.add_constructor("!unsafe", lambda loader, node: loader.construct_scalar(node))


def load(path):
    return yaml.load((ROOT / path).read_text(encoding="utf-8"), Loader)


DATA = load("playbooks/vars/awx_job_templates.yml")
TEMPLATES = {one["name"]: one for one in DATA["drydock_awx_job_templates"]}
SURVEYS = {**{name: one["survey"] for name, one in TEMPLATES.items()}, DATA["drydock_awx_workflow"]["name"]: DATA["drydock_awx_workflow"]["survey"]}


def spec_of(questions):
    return {"name": "", "description": "", "spec": questions}


def roles_of(playbook):
    """The roles whose options a playbook takes."""
    (play,) = load(f"playbooks/{playbook}")
    names = [str(one["role"]).rpartition(".")[2] for one in play.get("roles", [])]
    for task in play.get("tasks", []):
        variables = task.get("vars", {})
        # A playbook that has more than one role has them in tasks of its own.
        names += [variables["__rolling_role"]] if "__rolling_role" in variables else []
        names += roles_in(variables["__rolling_apply"]) if "__rolling_apply" in variables else []
    return [role for name in names for role in ROLES_OF.get(name, (name,))]


def roles_in(tasks):
    """The roles that a file of tasks applies."""
    called = [task.get("ansible.builtin.import_role") or task.get("ansible.builtin.include_role") for task in load(f"playbooks/tasks/{tasks}.yml")]
    return [role["name"].rpartition(".")[2] for role in called if role]


def options_of(roles):
    """Options by name, with the choices of the module that a role hands them to."""
    options = {}
    for role in roles:
        for name, option in load(f"roles/{role}/meta/argument_specs.yml")["argument_specs"]["main"]["options"].items():
            options[name] = {**option, "choices": option.get("choices") or choices_behind(role, name)}
    return options


def choices_behind(role, name):
    if role not in MODULE_OF:
        return None
    module = importlib.import_module(f"ansible_collections.drydock.dockerd.plugins.modules.{MODULE_OF[role]}")
    fragment = importlib.import_module("ansible_collections.drydock.dockerd.plugins.doc_fragments.common").ModuleDocFragment
    documented = {**yaml.safe_load(fragment.DOCUMENTATION)["options"], **yaml.safe_load(module.DOCUMENTATION).get("options", {})}
    option = documented.get(name[len(role) + 1 :], {})
    return option.get("choices") if option.get("type", "str") == "str" else None


def playbooks():
    """Those that a job template can have."""
    return sorted(path.name for path in PLAYBOOKS.glob("*.yml") if path.name != "awx_setup.yml")


# Surveys -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SURVEYS)
def test_awx_takes_the_survey(name):
    assert surveys.complaints(spec_of(SURVEYS[name])) == []


@pytest.mark.parametrize("template", [one for one in TEMPLATES.values() if one["playbook"] in playbooks()], ids=lambda one: one["playbook"])
def test_a_survey_asks_for_what_its_playbook_takes(template):
    options = options_of(roles_of(template["playbook"]))
    assert options or template["playbook"] == "clean.yml"
    assert surveys.misfits(spec_of(template["survey"]), options, OWN) == []


def test_the_workflows_survey_is_one_of_its_templates():
    """Each answer reaches a template that has the same question."""
    nodes = [node["template"] for node in DATA["drydock_awx_workflow"]["nodes"] if "template" in node]
    asked = [question for name in nodes for question in TEMPLATES[name]["survey"]]
    assert [one for one in DATA["drydock_awx_workflow"]["survey"] if one not in asked] == []
    assert [one["variable"] for one in asked if one["required"] and one not in DATA["drydock_awx_workflow"]["survey"]] == []


ASKED = {"question_name": "Batch", "question_description": "How many.", "variable": "rolling_batch", "required": False}
GOOD = {**ASKED, "type": "text", "min": 0, "max": 9, "default": ""}
CHOICE = {**GOOD, "type": "multiplechoice", "choices": ["a", "b"], "default": "a"}
NUMBER = {**GOOD, "type": "integer", "min": 1, "max": 9, "default": 3}


def test_a_good_survey_passes():
    for question in (GOOD, CHOICE, NUMBER, {**GOOD, "required": True, "min": 1}, {**CHOICE, "type": "multiselect", "default": "a\nb"}):
        assert surveys.complaints(spec_of([question])) == []


@pytest.mark.parametrize(
    ("question", "words"),
    [
        # What AWX itself refuses.
        ({"variable": "a"}, "is missing"),
        ({**GOOD, "type": "boolean"}, "type boolean is unknown"),
        ({**GOOD, "required": "yes"}, "required is no boolean"),
        ({**NUMBER, "default": "3"}, "default '3' is no integer"),
        ({**NUMBER, "default": None}, "default None is no integer"),
        ({**NUMBER, "min": "1"}, "limit '1' is no integer"),
        ({**NUMBER, "max": 0.5}, "limit 0.5 is no integer"),
        ({**CHOICE, "default": ["a"]}, "is no text"),
        ({**CHOICE, "default": "c"}, "default is none of the choices"),
        ({**CHOICE, "default": "a\nb"}, "more than one default"),
        ({key: value for key, value in CHOICE.items() if key != "choices"}, "no list of choices"),
        ({**GOOD, "default": "$encrypted$"}, "a word of AWX's own"),
        # What it lets pass.
        ({**GOOD, "variable": "rolling batch"}, "no name for a variable"),
        ({**GOOD, "variable": "rolling-batch"}, "no name for a variable"),
        ({**GOOD, "variable": ""}, "no name for a variable"),
        ({**GOOD, "variable": "awx_job_id"}, "no name for a variable"),
        ({**GOOD, "question_name": " "}, "has no label"),
        ({**GOOD, "question_description": ""}, "has no help"),
        ({**NUMBER, "min": 10}, "min is over max"),
        ({**NUMBER, "default": 10}, "default is out of its limits"),
        ({**NUMBER, "default": True}, "default True is no integer"),
        ({**GOOD, "default": "0123456789"}, "default is out of its limits"),
        ({**CHOICE, "choices": []}, "no list of choices"),
        ({**CHOICE, "choices": [True, False]}, "a choice is no text"),
        ({**CHOICE, "choices": "ab\nc", "default": "b"}, "no list of choices"),
        ({**GOOD, "required": True}, "an empty answer passes"),
        ({**CHOICE, "required": True}, "does not stand for an answer"),
        ({key: value for key, value in GOOD.items() if key != "default"}, "default is missing"),
        ({key: value for key, value in NUMBER.items() if key != "max"}, "max is missing"),
    ],
)
def test_a_bad_question_is_found(question, words):
    assert words in " ".join(surveys.complaints(spec_of([question])))


def test_a_bad_survey_is_found():
    assert surveys.complaints({"spec": [GOOD]}) == ["name is missing", "description is missing"]
    assert surveys.complaints(spec_of([])) == ["it asks nothing"]
    assert surveys.complaints(spec_of([GOOD, copy.deepcopy(GOOD)])) == ["rolling_batch: asked twice"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"variable": "docker_listen_adresses"}, "no role has such an option"),
        ({"variable": "docker_listen_local_socket"}, "is asked for as text, and is multiplechoice"),
        ({"variable": "docker_listen_confirm_timeout"}, "is asked for as text, and is integer"),
        ({"variable": "docker_listen_addresses"}, "is asked for as text, and is textarea"),
        ({"variable": "docker_listen_prove_from", "type": "multiplechoice", "choices": ["host", "nobody"]}, "offers other choices than host, controller"),
        ({"variable": "docker_listen_local_socket", "type": "multiplechoice", "choices": ["yes", "no"]}, "offers other choices than true, false"),
        (
            {"variable": "docker_listen_local_socket", "type": "multiplechoice", "choices": ["false", "true"], "default": "false"},
            "as default, and the role True",
        ),
        ({"variable": "docker_data_root_verify", "type": "multiplechoice", "choices": ["size"]}, "offers other choices than attributes, checksum"),
        ({"variable": "docker_tls_ca_key"}, "is a secret"),
    ],
)
def test_a_question_that_does_not_fit_its_role_is_found(change, words):
    options = options_of(["docker_listen", "docker_data_root", "docker_tls"])
    assert words in " ".join(surveys.misfits(spec_of([{**GOOD, **change}]), options, OWN))


# Templates, workflow, credential -----------------------------------------------------------------------------------------


def test_each_playbook_has_a_template():
    assert set(playbooks()) == {one["playbook"] for one in TEMPLATES.values()}


@pytest.mark.parametrize("name", [name for name in playbooks() if name != "report.yml"])
def test_playbooks_are_alike(name):
    """They take what AWX sends for 'not given', and differ in their role only."""
    (play,) = load(f"playbooks/{name}")
    first = load("playbooks/relocate.yml")[0]
    (task,), (other,) = play.pop("tasks"), first.pop("tasks")
    assert play.pop("name") != "" != first.pop("name")
    assert play == first
    assert (task["name"], task["ansible.builtin.import_tasks"]) == (other["name"], other["ansible.builtin.import_tasks"])
    assert set(task["vars"]) <= {"__rolling_role", "__rolling_change", "__rolling_words", "__rolling_apply", "docker_data_root_state", "docker_engine_state"}


def test_the_workflow_tries_the_reports_place_first_and_reports_in_any_case():
    nodes = {one["identifier"]: one for one in DATA["drydock_awx_workflow"]["nodes"]}
    chain = [(name, *one.get("success", []), *one.get("always", [])) for name, one in nodes.items()]
    assert chain == [
        ("place of the report", "prepare"), ("prepare", "forecast"), ("forecast", "approval"), ("approval", "relocate"), ("relocate", "report"), ("report",),
    ]  # fmt: skip
    assert nodes["relocate"]["always"] == ["report"]
    assert {name for name, one in nodes.items() if one.get("job_type") == "check"} == {"place of the report", "forecast"}
    assert all(one["template"] in TEMPLATES for one in nodes.values() if "approval" not in one)


def test_the_credential_gives_what_role_docker_tls_takes():
    (kind,) = DATA["drydock_awx_credential_types"]
    fields = {one["id"]: one for one in kind["inputs"]["fields"]}
    options = options_of(["docker_tls"])
    for variable, text in kind["injectors"]["extra_vars"].items():
        field = fields.pop(text.strip("{} "))
        assert bool(options[variable].get("no_log")) == bool(field.get("secret")), variable
    assert fields == {}
    assert {one["variable"] for one in TEMPLATES["Docker - certificates"]["survey"]} & set(kind["injectors"]["extra_vars"]) == set()


# awx.awx -----------------------------------------------------------------------------------------------------------------


def tasks_of(tasks):
    return [one for task in tasks for one in (task, *task.get("block", []))]


def awx_module(task):
    return next((key for key in task if key.startswith("awx.awx.")), "")


def awx_options(module):
    """What a module of awx.awx says that it takes."""
    place = pathlib.Path(importlib.util.find_spec("ansible_collections.awx.awx").submodule_search_locations[0])
    text = (place / "plugins" / "modules" / f"{module}.py").read_text(encoding="utf-8")
    return yaml.safe_load(text.split("DOCUMENTATION = '''")[1].split("'''")[0])["options"]


@pytest.mark.parametrize("task", [one for one in tasks_of(load("playbooks/tasks/awx.yml")) if awx_module(one)], ids=lambda task: task["name"])
def test_awx_modules_take_what_they_are_given(task):
    name = awx_module(task)
    options = awx_options(name.rpartition(".")[2])
    assert set(task[name]) <= set(options)
    assert all(value in options[key]["choices"] for key, value in task[name].items() if "choices" in options[key] and "{{" not in str(value))
