"""Airflow accepts our metadata, shows us, and builds the same connection form from it in every version."""

from __future__ import annotations

import copy
import dataclasses
import importlib
import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from importlib.resources import files
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any, get_args

import jsonschema
import pytest
from versions import AIRFLOW, needs

from airflow_provider_fc import __version__, connection_form
from airflow_provider_fc.core.api import APIS
from airflow_provider_fc.core.connection_fields import AUTH_TYPES
from airflow_provider_fc.core.settings import Auth, Console, Settings
from airflow_provider_fc.core.signing import Signature
from airflow_provider_fc.provider_info import get_provider_info

INFO = get_provider_info()
[CONNECTION_TYPE] = INFO["connection-types"]
CONN_FIELDS = CONNECTION_TYPE["conn-fields"]
MODULES = [
    module
    for kind in ("hooks", "operators", "sensors", "triggers")
    for group in INFO[kind]
    for module in group["python-modules"]
]

Python = Callable[..., subprocess.CompletedProcess[str]]


def airflow_schema(name: str) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads((files("airflow") / name).read_text(encoding="utf-8"))
    return schema


def choices(field: str) -> list[str]:
    values: list[str] = CONN_FIELDS[field]["schema"]["enum"]
    return values


# --- the metadata -----------------------------------------------------------------------------------------------------


def test_the_metadata_satisfies_the_schema_airflow_checks_at_startup() -> None:
    schema = airflow_schema("provider_info.schema.json")

    assert list(jsonschema.Draft7Validator(schema).iter_errors(INFO)) == []
    assert not jsonschema.Draft7Validator(schema).is_valid({**INFO, "name": None})


def test_the_connection_type_satisfies_the_strict_schema_of_official_providers() -> None:
    # Airflow does not check this at startup: a mistake here would only show as an empty form.
    strict = jsonschema.Draft7Validator(airflow_schema("provider.yaml.schema.json")["properties"]["connection-types"])
    misspelt = copy.deepcopy(CONNECTION_TYPE)
    misspelt["conn-fields"]["region_id"]["lable"] = "Region"
    knows_the_form = "conn-fields" in strict.schema["items"]["properties"]

    assert list(strict.iter_errors([CONNECTION_TYPE])) == []
    assert strict.is_valid([misspelt]) is not knows_the_form  # Airflow 2.11 has no conn-fields and ignores them


def test_the_connection_type_has_no_key_that_airflow_would_silently_ignore() -> None:
    assert set(CONNECTION_TYPE) == {
        "connection-type",
        "hook-class-name",
        "hook-name",
        "ui-field-behaviour",
        "conn-fields",
    }
    assert set(CONNECTION_TYPE["ui-field-behaviour"]) == {"hidden-fields", "relabeling", "placeholders"}


def test_every_list_of_modules_belongs_to_an_integration_that_is_described() -> None:
    described = {integration["integration-name"] for integration in INFO["integrations"]}

    assert {
        group["integration-name"] for kind in ("hooks", "operators", "sensors", "triggers") for group in INFO[kind]
    } == described


@pytest.mark.parametrize("module", MODULES)
def test_every_module_the_metadata_names_can_be_imported(module: str) -> None:
    if module.endswith("event_triggers") and find_spec("airflow.sdk") is None:
        with pytest.raises(ImportError, match="need Airflow 3"):
            importlib.import_module(module)
    else:
        assert importlib.import_module(module).__name__ == module


def test_the_metadata_loads_nothing_heavy_because_every_airflow_process_reads_it(python: Python) -> None:
    code = (
        "import sys, airflow_provider_fc.provider_info as info; info.get_provider_info(); "
        "print(*sorted({name.partition('.')[0] for name in sys.modules} - sys.stdlib_module_names))"
    )

    loaded = set(python("-c", code).stdout.split())

    assert loaded & {"airflow", "msgspec", "pendulum", "requests", "aiohttp", "certifi"} == set()
    assert "airflow_provider_fc" in loaded


def test_the_hook_class_the_metadata_names_has_the_same_connection_type_and_name() -> None:
    module, _, name = CONNECTION_TYPE["hook-class-name"].rpartition(".")
    hook = getattr(importlib.import_module(module), name)

    assert (hook.conn_type, hook.hook_name) == (CONNECTION_TYPE["connection-type"], CONNECTION_TYPE["hook-name"])
    assert (hook.conn_name_attr, hook.default_conn_name) == ("fc_conn_id", "fc_default")


# --- the form and the settings ----------------------------------------------------------------------------------------


def test_the_form_offers_exactly_the_extras_that_the_settings_read() -> None:
    readable = {field.name for kind in (Settings, Auth) for field in dataclasses.fields(kind)}
    elsewhere = {"conn_id", "auth", "endpoint", "access_key_id", "access_key_secret"}  # conn id, host, login, password

    assert set(CONN_FIELDS) == readable - elsewhere


def test_the_form_offers_exactly_the_choices_that_the_settings_accept() -> None:
    assert choices("auth_type") == list(AUTH_TYPES)
    assert choices("console") == list(get_args(Console))
    assert choices("signature") == list(get_args(Signature))
    assert sorted(choices("api_version")) == sorted(APIS)


def test_a_connection_filled_in_with_the_placeholders_is_valid() -> None:
    behaviour = CONNECTION_TYPE["ui-field-behaviour"]["placeholders"]
    free = [name for name, field in CONN_FIELDS.items() if "enum" not in field["schema"]]
    extra = {name: behaviour[name] for name in free if name in behaviour} | {"auth_type": "ram_role_arn"}

    settings = Settings.from_connection("fc_default", login="id", password="secret", extra=extra)

    assert (settings.region_id, settings.account_id) == (extra["region_id"], extra["account_id"])


def test_where_nothing_can_be_picked_from_a_list_the_choices_stand_in_the_field() -> None:
    placeholders = CONNECTION_TYPE["ui-field-behaviour"]["placeholders"]

    for name, field in CONN_FIELDS.items():
        if "enum" in field["schema"]:
            assert placeholders[name] == ", ".join(field["schema"]["enum"])


def test_what_most_connections_need_stands_first_and_apart() -> None:
    sections = [field["schema"]["section"] for field in CONN_FIELDS.values()]

    assert list(CONN_FIELDS)[:4] == ["region_id", "account_id", "internal", "console"]
    assert list(dict.fromkeys(sections)) == ["Region and account", "Roles and temporary keys", "Network and API"]
    assert sorted(sections, key=list(dict.fromkeys(sections)).index) == sections  # each of them in one piece


# As wide as Airflow 2 and 3 draw them in a window of 1280 points; `make e2e-browser` measures what they draw.
ONE_LINE = {"label": 21, "description": 90}


@pytest.mark.parametrize(("part", "most"), ONE_LINE.items())
def test_no_text_of_the_form_breaks_into_a_second_line(part: str, most: int) -> None:
    assert {name: field[part] for name, field in CONN_FIELDS.items() if not 0 < len(field[part]) <= most} == {}


def test_no_placeholder_of_a_standard_field_is_cut_off() -> None:
    placeholders = CONNECTION_TYPE["ui-field-behaviour"]["placeholders"]

    assert {name: text for name, text in placeholders.items() if name not in CONN_FIELDS and len(text) > 60} == {}


# --- what Airflow makes of it -----------------------------------------------------------------------------------------

ASK_PROVIDERS_MANAGER = """
import json, logging, warnings

logged = []

class Keep(logging.Handler):
    def emit(self, record):
        logged.append(record.getMessage())

with warnings.catch_warnings(record=True) as warned:
    warnings.simplefilter("always")
    from airflow.providers_manager import ProvidersManager

    logging.getLogger("airflow.providers_manager").addHandler(Keep(logging.WARNING))
    manager = ProvidersManager()
    hook = manager.hooks["alibaba_fc"]
    print("report:" + json.dumps({
        "version": manager.providers["airflow-provider-fc"].version,
        "hook": [hook.hook_class_name, hook.connection_id_attribute_name, hook.package_name, hook.hook_name],
        "fields": {
            widget.field_name: widget.is_sensitive
            for key, widget in manager.connection_form_widgets.items()
            if key.startswith("extra__alibaba_fc__")
        },
        "behaviour": manager.field_behaviours.get("alibaba_fc", {}),
        "complaints": logged + [str(warning.message) for warning in warned],
    }))
"""

# Airflow 3.1 asks the hook in its API server alone, with stand-ins for the form's libraries.
ASK_API_SERVER = """
import json
from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService

[form] = [form for form in HookMetaService.hook_meta_data() if form.connection_type == "alibaba_fc"]
standard = form.standard_fields.model_dump(exclude_none=True)
hidden = [{"url_schema": "schema"}.get(name, name) for name, field in standard.items() if field["hidden"]]
print("report:" + json.dumps({
    "fields": {name: field["schema"].get("format") == "password" for name, field in form.extra_fields.items()},
    "behaviour": {
        "relabeling": {name: field["title"] for name, field in standard.items() if "title" in field},
        "hidden_fields": hidden,
    },
}))
"""


@pytest.fixture(scope="module")
def report(python: Python) -> dict[str, Any]:
    """What a fresh ProvidersManager says about us."""
    return {
        name: value
        for code in [ASK_PROVIDERS_MANAGER, *([ASK_API_SERVER] if AIRFLOW.startswith("3.1.") else [])]
        for line in python("-c", code).stdout.splitlines()
        if line.startswith("report:")
        for name, value in json.loads(line.removeprefix("report:")).items()
    }


def test_airflow_lists_the_provider_with_its_version(report: dict[str, Any]) -> None:
    assert report["version"] == __version__


def test_airflow_finds_the_hook_of_the_connection_type(report: dict[str, Any]) -> None:
    assert report["hook"] == [
        "airflow_provider_fc.hooks.FunctionComputeHook",
        "fc_conn_id",
        "airflow-provider-fc",
        "Alibaba Cloud Function Compute",
    ]


BY_THE_HOOK = AIRFLOW.startswith(("2.", "3.1."))
"""These versions ask the hook for the form instead of reading the metadata."""


def test_airflow_shows_every_field_and_hides_the_only_secret_one(report: dict[str, Any]) -> None:
    needs("connection form")

    assert set(report["fields"]) == set(CONN_FIELDS)
    assert [name for name, sensitive in report["fields"].items() if sensitive] == ["security_token"]


def test_airflow_relabels_the_standard_fields_and_hides_the_unused_ones(report: dict[str, Any]) -> None:
    needs("connection form")
    labels = {"host": "Endpoint", "login": "AccessKey ID", "password": "AccessKey secret"}
    if AIRFLOW.startswith("2."):
        labels["extra"] = "Extra (usually empty)"

    assert report["behaviour"].get("relabeling") == labels
    assert report["behaviour"].get("hidden_fields") == ["schema", *(["port"] if BY_THE_HOOK else [])]


def test_only_airflow_3_0_shows_the_fields_of_no_provider(report: dict[str, Any]) -> None:
    assert (report["fields"] == {}) is AIRFLOW.startswith("3.0.")


def test_airflow_loads_the_provider_without_a_word_of_complaint(report: dict[str, Any]) -> None:
    ours = ("airflow_provider_fc", "airflow-provider-fc", "alibaba_fc")

    assert [text for text in report["complaints"] if any(name in text for name in ours)] == []


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        (["list"], "airflow-provider-fc"),
        (["get", "airflow-provider-fc", "--full"], "airflow_provider_fc.hooks.FunctionComputeHook"),
        (["hooks"], "alibaba_fc"),
    ],
)
def test_the_command_line_shows_the_provider(python: Python, command: list[str], shown: str) -> None:
    done = python("-m", "airflow", "providers", *command, "--output", "json")

    assert shown in done.stdout
    assert "airflow_provider_fc" not in done.stderr


# --- the form of Airflow before 3.2 -----------------------------------------------------------------------------------


@pytest.fixture
def form_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    """The web form's libraries: Airflow 2's real ones, else stand-ins like those of Airflow 3.0's API server."""
    if importlib.util.find_spec("wtforms"):
        return
    from airflow.api_fastapi.core_api.services.ui.connections import HookMetaService as Mocks

    fields = {
        name: getattr(Mocks, f"Mock{name}") for name in ("StringField", "IntegerField", "PasswordField", "BooleanField")
    }
    modules = {
        "wtforms": fields,
        "wtforms.validators": {"Optional": Mocks.MockOptional, "any_of": Mocks.MockEnum},
        "flask_babel": {"lazy_gettext": str},
        "flask_appbuilder": {},
        "flask_appbuilder.fieldwidgets": dict.fromkeys(
            ("BS3TextFieldWidget", "BS3PasswordFieldWidget"), Mocks.MockAnyWidget
        ),
    }
    for name, members in modules.items():
        monkeypatch.setitem(sys.modules, name, SimpleNamespace(**members))


def test_the_hooks_own_form_has_the_fields_of_the_metadata(form_libraries: None) -> None:
    hooks = importlib.import_module("airflow_provider_fc.hooks")
    behaviour = hooks.FunctionComputeHook.get_ui_field_behaviour()
    metadata = CONNECTION_TYPE["ui-field-behaviour"]

    assert list(hooks.FunctionComputeHook.get_connection_form_widgets()) == list(CONN_FIELDS)
    assert behaviour["relabeling"] == {**metadata["relabeling"], "extra": "Extra (usually empty)"}
    assert behaviour["placeholders"] == {name: metadata["placeholders"][name] for name in behaviour["placeholders"]}


def test_the_hooks_own_form_shows_no_port_but_the_extra_that_its_test_button_needs(form_libraries: None) -> None:
    hooks = importlib.import_module("airflow_provider_fc.hooks")
    behaviour = hooks.FunctionComputeHook.get_ui_field_behaviour()

    assert behaviour["hidden_fields"] == ["schema", "port"]
    assert "port" not in behaviour["placeholders"]


def test_the_hook_class_defines_its_form_itself_because_airflow_2_ignores_an_inherited_one() -> None:
    hooks = importlib.import_module("airflow_provider_fc.hooks")

    assert vars(hooks.FunctionComputeHook).keys() >= {"get_connection_form_widgets", "get_ui_field_behaviour"}


def test_the_hook_loads_no_web_library_before_its_form_is_asked_for(python: Python) -> None:
    code = "import sys, airflow_provider_fc.hooks; print(*{'flask_appbuilder', 'wtforms'} & set(sys.modules))"

    assert python("-W", "ignore", "-c", code).stdout.split() == []


def test_every_field_of_the_old_form_is_of_a_class_that_airflow_allows(form_libraries: None) -> None:
    kinds = {
        name: widget.field_class.__name__.removeprefix("Mock")
        for name, widget in connection_form.connection_form_widgets().items()
    }

    assert {name: kind for name, kind in kinds.items() if kind != "StringField"} == {
        "internal": "BooleanField",
        "security_token": "PasswordField",
        "session_duration": "IntegerField",
        "max_attempts": "IntegerField",
    }


def test_the_old_form_may_stay_empty_and_refuses_an_unknown_choice() -> None:
    needs("form of Airflow 2")
    import wtforms
    from werkzeug.datastructures import MultiDict

    form = type("Form", (wtforms.Form,), connection_form.connection_form_widgets())

    assert form(MultiDict(dict.fromkeys(CONN_FIELDS, ""))).validate()
    assert form(MultiDict({"auth_type": "oidc_role_arn", "session_duration": "900"})).validate()
    assert not form(MultiDict({"auth_type": "oidc"})).validate()


def old_form(stored: dict[str, str], typed: dict[str, str] | None = None) -> Any:
    """Make the form of Airflow 2, filled in with a stored connection, or with what was typed into it."""
    needs("form of Airflow 2")
    import wtforms
    from werkzeug.datastructures import MultiDict

    kind = type("Form", (wtforms.Form,), connection_form.connection_form_widgets())
    return kind(None if typed is None else MultiDict(typed), data=stored)


def test_the_old_form_shows_neither_a_stored_nor_a_typed_secret_but_keeps_the_stored_one() -> None:
    stored = old_form({"security_token": "top-secret"})
    from airflow.www.views import SENSITIVE_FIELD_PLACEHOLDER as AS_IT_WAS

    assert f'value="{AS_IT_WAS}"' in stored.security_token()
    assert 'value=""' in old_form({}, {"security_token": "top-secret"}).security_token()
    assert 'value=""' in old_form({}).security_token()
    assert "top-secret" not in stored.security_token()
    assert 'type="password"' in stored.security_token()
