# SPDX-License-Identifier: GPL-3.0-or-later
# SPDX-FileCopyrightText: drydock.dockerd contributors

"""What the collection says of itself in several places is the same in all of them."""

from __future__ import annotations

import importlib
import pathlib
import re

import pytest
import yaml
from ansible_collections.drydock.dockerd.plugins.doc_fragments.common import ModuleDocFragment
from ansible_collections.drydock.dockerd.plugins.module_utils._plan.argument_spec import COMMON

ROOT = pathlib.Path(__file__).parents[2]
PACKAGE = "ansible_collections.drydock.dockerd"
MODULES = sorted(path.stem for path in (ROOT / "plugins" / "modules").glob("*.py"))
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir())


def load(path, missing=None):
    path = ROOT / path
    return missing if missing is not None and not path.exists() else yaml.safe_load(path.read_text(encoding="utf-8"))


def main_options(role):
    return load(f"roles/{role}/meta/argument_specs.yml")["argument_specs"]["main"].get("options") or {}


def test_there_is_something_to_compare():
    assert len(MODULES) >= 4
    assert len(ROLES) >= 4


# Roles -----------------------------------------------------------------------------------------------------------


# It has those of three others, and none of its own.
BORROWING, LENDERS = "docker_daemon", ("docker_listen", "docker_data_root", "docker_options")
OWNING = [role for role in ROLES if role != BORROWING]


def test_a_role_that_borrows_its_options_has_all_of_them():
    assert list(main_options(BORROWING)) == [name for role in LENDERS for name in main_options(role)]


@pytest.mark.parametrize("role", OWNING)
def test_defaults_of_a_role_are_its_options(role):
    """Every option has a default, every default is an option, and both say the same."""
    defaults = load(f"roles/{role}/defaults/main.yml", missing={})
    assert {name: option["default"] for name, option in main_options(role).items()} == defaults


@pytest.mark.parametrize("role", OWNING)
def test_options_of_a_role_begin_with_its_name(role):
    assert [name for name in main_options(role) if not name.startswith(f"{role}_")] == []


@pytest.mark.parametrize("role", ROLES)
def test_options_of_a_role_are_described(role):
    for name, option in main_options(role).items():
        assert option.get("description"), name
        assert option.get("type"), name


# Modules ---------------------------------------------------------------------------------------------------------


class Specification(Exception):
    """The arguments that a module hands to AnsibleModule."""


def specification(module, monkeypatch):
    def catch(**arguments):
        raise Specification(arguments)

    monkeypatch.setattr(module, "AnsibleModule", catch)
    with pytest.raises(Specification) as caught:
        module.main()
    return caught.value.args[0]


def fragments(own):
    """Those that a module's own documentation extends, in its order."""
    names = own.get("extends_documentation_fragment", [])
    assert [name for name in names if not name.startswith("drydock.dockerd.common")] == []
    return [yaml.safe_load(getattr(ModuleDocFragment, (name.split(".")[3:] or ["documentation"])[0].upper())) for name in names]


def documentation(module):
    """A module's own documentation, its options joined with those of the fragments."""
    own = yaml.safe_load(module.DOCUMENTATION)
    options = dict(own.get("options") or {})
    for fragment in fragments(own):
        options.update(fragment.get("options") or {})
    return own, options


def contract(options, inner):
    """What documentation and specification of options have in common; an option with a leading underscore is not for people."""
    return {
        name: {
            "type": option.get("type", "str"),
            "required": option.get("required", False),
            "default": option.get("default"),
            "choices": option.get("choices"),
            "elements": option.get("elements"),
            "inner": contract(option[inner], inner) if inner in option else None,
        }
        for name, option in options.items()
        if not name.startswith("_")
    }


@pytest.fixture(params=MODULES)
def module(request):
    return importlib.import_module(f"{PACKAGE}.plugins.modules.{request.param}")


def test_options_of_a_module_are_documented_as_they_are(module, monkeypatch):
    _own, options = documentation(module)
    assert contract(specification(module, monkeypatch)["argument_spec"], "options") == contract(options, "suboptions")


def test_options_that_modules_share_are_documented_as_they_are():
    options = {name: option for text in (ModuleDocFragment.DOCUMENTATION, ModuleDocFragment.CHANGE) for name, option in yaml.safe_load(text)["options"].items()}
    assert contract(COMMON, "options") == contract(options, "suboptions")


def test_a_module_is_documented_under_its_own_name(module):
    own, _options = documentation(module)
    assert own["module"] == module.__name__.rpartition(".")[2]
    assert own["short_description"]
    assert yaml.safe_load(module.RETURN)
    assert all(list(task)[1] == f"drydock.dockerd.{own['module']}" or "ansible.builtin." in list(task)[1] for task in yaml.safe_load(module.EXAMPLES))


def attributes(module):
    """A module's attributes, its own joined with those of the fragments: what stands first counts."""
    own, _options = documentation(module)
    found: dict[str, dict] = {}
    for one in (own, *fragments(own)):
        for name, says in (one.get("attributes") or {}).items():
            found[name] = {**says, **found.get(name, {})}
    return found


def test_a_module_keeps_what_it_says_of_check_mode(module, monkeypatch):
    assert (attributes(module)["check_mode"]["support"] == "full") is specification(module, monkeypatch)["supports_check_mode"]


def test_a_module_says_whether_it_is_in_the_action_group(module):
    assert ("action_group" in attributes(module)) is (module.__name__.rpartition(".")[2] in load("meta/runtime.yml")["action_groups"]["all"])


def test_changing_modules_are_in_the_action_group():
    """module_defaults of group/drydock.dockerd.all reach every module that changes a daemon; containers is a client of one."""
    assert sorted(load("meta/runtime.yml")["action_groups"]["all"]) == [name for name in MODULES if not name.endswith("_info") and name != "containers"]


# Collection ------------------------------------------------------------------------------------------------------


def numbers(version):
    return tuple(int(part) for part in version.split("."))


def test_the_collection_is_named_as_it_is_imported():
    galaxy = load("galaxy.yml")
    assert f"ansible_collections.{galaxy['namespace']}.{galaxy['name']}" == PACKAGE


def test_no_module_is_newer_than_the_collection(module):
    version = load("galaxy.yml")["version"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    assert numbers(documentation(module)[0]["version_added"]) <= numbers(version)
