"""What an error code says is missing, in every spelling that is known."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_fc.core.codes import ends_in, missing, says_not_found

SUBJECTS = [
    ("Function", "function"),
    ("Service", "service"),
    ("Alias", "qualifier"),
    ("Version", "qualifier"),
    ("FunctionVersion", "qualifier"),
    ("AsyncTask", "invocation"),
    ("StatefulAsyncInvocation", "invocation"),
    ("AsyncConfig", "configuration"),
    ("AsyncInvokeConfig", "configuration"),
]
ENDINGS = ["NotFound", "NotExist", "NotExists"]


def words(text: str) -> list[str]:
    """Split what is written in CamelCase."""
    return "".join(f" {letter}" if letter.isupper() else letter for letter in text).split()


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize(("subject", "kind"), SUBJECTS, ids=[subject for subject, _ in SUBJECTS])
def test_a_code_says_what_is_missing_however_it_is_spelled(subject: str, kind: str, ending: str) -> None:
    code = subject + ending

    spellings = [code, code.lower(), code.upper(), code[0].lower() + code[1:], "_".join(words(code)).upper()]

    assert {spelling: missing(spelling) for spelling in spellings} == dict.fromkeys(spellings, kind)


@pytest.mark.parametrize(
    "code",
    [
        None,
        "",
        "NotFound",
        "InvalidAction.NotFound",
        "InvalidAccessKeyId.NotFound",
        "CAFileNotFound",
        "DomainNameNotFound",
        "NoSuchBucket",
        "PathNotSupported",
        "InvalidVersion",
        "FunctionAlreadyExists",
        "InvalidFunction",
    ],
)
def test_what_is_no_resource_of_ours_is_missing_from_elsewhere(code: str | None) -> None:
    assert missing(code) is None


@given(st.text())
def test_what_is_missing_was_said_not_to_be_found(code: str) -> None:
    assert missing(code) is None or says_not_found(code)


def test_endings_are_compared_without_case_and_underscores() -> None:
    assert ends_in("STATEFUL_ASYNC_INVOCATION_ALREADY_COMPLETED", "alreadycompleted")
    assert not ends_in("AlreadyCompletedNot", "alreadycompleted")
