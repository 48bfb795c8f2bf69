"""How the three API generations spell the same things, and which names are refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_fc.core.api import APIS, DEFAULT_VERSIONS, FunctionRef, function_ref
from airflow_provider_fc.core.errors import ParameterError
from airflow_provider_fc.core.http import HttpRequest
from airflow_provider_fc.core.signing import acs3_canonical_request

OLD, MIDDLE, NEW = "2016-08-15", "2021-04-06", "2023-03-30"
ABSENT = pytest.mark.parametrize("absent", [None, "", "None"], ids=["None", "empty", "None as text"])


@pytest.mark.parametrize(
    ("version", "service", "qualifier", "path", "query"),
    [
        (OLD, "s", None, "/2016-08-15/services/s/functions/f", {}),
        (OLD, "s", "prod", "/2016-08-15/services/s.prod/functions/f", {}),
        (MIDDLE, "s", None, "/2021-04-06/services/s/functions/f", {}),
        (MIDDLE, "s", "prod", "/2021-04-06/services/s/functions/f", {"qualifier": "prod"}),
        (NEW, None, None, "/2023-03-30/functions/f", {}),
        (NEW, None, "prod", "/2023-03-30/functions/f", {"qualifier": "prod"}),
    ],
)
def test_each_generation_has_its_own_path(
    version: str, service: str | None, qualifier: str | None, path: str, query: dict[str, str]
) -> None:
    function = function_ref("f", service, qualifier, api_version=version)

    assert (function.path, function.query) == (path, query)


@pytest.mark.parametrize(
    ("version", "signature", "collection", "stop_suffix", "prefix", "id_header", "enable_header"),
    [
        (OLD, "FC", "stateful-async-invocations", "", "invocationIdPrefix", "x-fc-stateful-async-invocation-id", None),
        (
            MIDDLE,
            "ACS3",
            "stateful-async-invocations",
            "",
            "invocationIdPrefix",
            "x-fc-stateful-async-invocation-id",
            "x-fc-stateful-async-invocation-enable",
        ),
        (NEW, "ACS3", "async-tasks", "/stop", "prefix", "x-fc-async-task-id", None),
    ],
)
def test_each_generation_spells_it_its_own_way(
    version: str,
    signature: str,
    collection: str,
    stop_suffix: str,
    prefix: str,
    id_header: str,
    enable_header: str | None,
) -> None:
    api = APIS[version]

    assert (api.signature, api.collection, api.stop_suffix) == (signature, collection, stop_suffix)
    assert (api.prefix_parameter, api.invocation_id_header, api.enable_header) == (prefix, id_header, enable_header)


@pytest.mark.parametrize(
    ("version", "actions"),
    [
        (
            MIDDLE,
            [
                "ListStatefulAsyncInvocations",
                "GetStatefulAsyncInvocation",
                "StopStatefulAsyncInvocation",
                "InvokeFunction",
            ],
        ),
        (NEW, ["ListAsyncTasks", "GetAsyncTask", "StopAsyncTask", "InvokeFunction"]),
    ],
)
def test_each_generation_names_its_operations(version: str, actions: list[str]) -> None:
    assert [APIS[version].actions[kind] for kind in ("list", "get", "stop", "invoke")] == actions


def test_every_version_is_filed_under_its_own_name() -> None:
    assert [api.version for api in APIS.values()] == list(APIS) == [OLD, MIDDLE, NEW]


def test_without_a_service_it_is_fc_3() -> None:
    function = function_ref("f", None)

    assert (function.api.version, function.service_name) == (NEW, None)


def test_with_a_service_it_is_fc_2() -> None:
    assert function_ref("f", "s").api.version == OLD
    assert DEFAULT_VERSIONS == {True: OLD, False: NEW}


@pytest.mark.parametrize("rendered", ["", " ", "None"])
@pytest.mark.parametrize("name", ["service_name", "qualifier"])
def test_what_a_template_makes_of_nothing_does_not_mean_another_function_or_version(name: str, rendered: str) -> None:
    with pytest.raises(ParameterError, match=f"^{name}: .* is what a template renders when it finds nothing"):
        function_ref("f", **{name: rendered})


@pytest.mark.parametrize("name", ["function_name", "service_name", "qualifier"])
@pytest.mark.parametrize("value", ["{{ params.f }}", "f{% if a %}b{% endif %}", "s${{ f }}"])
def test_a_name_that_nothing_has_rendered_is_refused_as_such(name: str, value: str) -> None:
    with pytest.raises(ParameterError, match=f"^{name}: .* is a template that nothing has rendered"):
        function_ref(**{"function_name": "f", name: value})


def test_an_absent_qualifier_is_none() -> None:
    assert function_ref("f", "s", None).qualifier is None
    assert function_ref("f", "s", None).path.endswith("/services/s/functions/f")


@pytest.mark.parametrize(("service", "version"), [("media", NEW), (None, OLD), (None, MIDDLE)])
def test_an_api_version_of_the_other_generation_is_refused_with_both_named(service: Any, version: str) -> None:
    with pytest.raises(ParameterError) as caught:
        function_ref("f", service, api_version=version)

    assert caught.value.name == "service_name"
    assert f"api_version {version!r}" in str(caught.value)
    assert repr("media" if service == "media" else None) in str(caught.value)


@pytest.mark.parametrize("name", ["f", "_f", "F-1_b", "a" * 64])
def test_a_legal_function_name_is_taken(name: str) -> None:
    assert function_ref(name).function_name == name


@pytest.mark.parametrize("name", ["function_name", "service_name"])
@pytest.mark.parametrize("value", [7, b"f", ["f"]], ids=repr)
def test_a_name_that_is_not_text_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ParameterError, match=f"^{name}: .*(is not text|is a number)"):
        function_ref(**{"function_name": "f", name: value})


ILLEGAL = ["1f", "-f", "f f", "f/g", "f.g", "f%2F", "../f", "f\n", "f?x", "é", "函数", " f", "f\x00"]


@pytest.mark.parametrize("name", [*ILLEGAL, "a" * 65], ids=repr)
def test_an_illegal_function_name_is_refused(name: Any) -> None:
    with pytest.raises(ParameterError, match=r"^function_name: .* is not a legal name"):
        function_ref(name)


MOVED = ["media$thumbnail", "_$_", "m-1$t_2", f"{'s' * 128}${'f' * 64}"]
"""Names that functions of FC 2.0 have in FC 3.0."""


@pytest.mark.parametrize("name", MOVED)
def test_a_function_that_came_from_fc_2_keeps_its_service_in_its_name(name: str) -> None:
    function = function_ref(name, qualifier="prod")

    assert (function.api.version, function.function_name, function.service_name) == (NEW, name, None)
    assert function.path == f"/2023-03-30/functions/{name}"


@pytest.mark.parametrize("name", MOVED)
def test_a_name_with_a_dollar_is_sent_and_signed_encoded(name: str) -> None:
    request = HttpRequest("GET", "https://fc.test", function_ref(name).path)

    signed = acs3_canonical_request("GET", request.path, {}, {}, [], "")

    assert request.target == f"/2023-03-30/functions/{name.replace('$', '%24')}"
    assert signed.splitlines()[1] == request.target


@pytest.mark.parametrize(
    "name",
    ["$", "$f", "s$", "s$f$g", "s$$f", "1s$f", "s$1f", "s$f.g", "s$f/g", "s%24f", f"{'s' * 129}$f", f"s${'f' * 65}"],
)
def test_both_halves_of_a_moved_function_s_name_must_be_legal(name: str) -> None:
    with pytest.raises(ParameterError, match=r"^function_name: .* is not a legal name"):
        function_ref(name)


@pytest.mark.parametrize(
    ("function", "service", "parameter"),
    [
        ("media$thumbnail", "media", "function_name"),
        ("media$thumbnail", "other", "function_name"),
        ("thumbnail", "media$thumbnail", "service_name"),
        ("media$thumbnail", "media$thumbnail", "function_name"),
    ],
)
@pytest.mark.parametrize("version", [None, OLD, MIDDLE])
def test_a_moved_function_s_name_beside_a_service_is_an_error_that_says_which_to_use(
    function: str, service: str, parameter: str, version: str | None
) -> None:
    with pytest.raises(ParameterError) as caught:
        function_ref(function, service, api_version=version)

    assert caught.value.name == parameter
    assert "function_name='media$thumbnail' and no service_name for FC 3.0" in str(caught.value)
    assert "service_name='media' and function_name='thumbnail' for FC 2.0" in str(caught.value)


@pytest.mark.parametrize("name", [*ILLEGAL, "a" * 129], ids=repr)
def test_an_illegal_service_name_is_refused(name: Any) -> None:
    with pytest.raises(ParameterError, match=r"^service_name: .* is not a legal name"):
        function_ref("f", name)


def test_the_longest_service_name_is_taken() -> None:
    assert function_ref("f", "s" * 128).service_name == "s" * 128


@ABSENT
def test_a_missing_function_name_is_named(absent: Any) -> None:
    with pytest.raises(ParameterError, match=r"^function_name: is missing"):
        function_ref(absent)


@pytest.mark.parametrize(("given", "taken"), [("LATEST", "LATEST"), ("prod", "prod"), ("3", "3"), (3, "3")])
def test_a_version_alias_or_latest_is_a_qualifier(given: Any, taken: str) -> None:
    assert function_ref("f", qualifier=given).qualifier == taken


@pytest.mark.parametrize("qualifier", ["a.b", "a/b", "a b", "a\n", "é", "a" * 129, True, 1.5, ["a"]], ids=repr)
def test_an_illegal_qualifier_is_refused(qualifier: Any) -> None:
    with pytest.raises(ParameterError, match=r"^qualifier: "):
        function_ref("f", "s", qualifier)


@given(st.text(), st.text(), st.text())
def test_no_name_leads_to_another_path(function: str, service: str, qualifier: str) -> None:
    """A slash, a dot or a % in a name would address something else and be signed in two ways."""
    try:
        made = function_ref(function, service, qualifier, api_version=None)
    except ParameterError:
        return
    assert made.path.isascii()
    assert len(made.path.split("/")) == (6 if made.service_name else 4)
    assert not set(made.path) & set("%?#& \n")


def test_a_function_is_a_value() -> None:
    assert function_ref("f", "s") == FunctionRef(APIS[OLD], "f", "s")
