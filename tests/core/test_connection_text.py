"""What is said of a connection's text that cannot be read: where it is wrong, and nothing of what stands there."""

from __future__ import annotations

import json
import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_fc.core.connection_text import CONNECTION, not_an_object, problem_of

JSON = "its JSON is not a JSON object (JSON is malformed: "
FIELDS = "it knows conn_type, host, port, login, password, schema, extra, description, and all else belongs into extra"
URI = "what stands in its URI for a port is not a number; write special characters of login and password with %"

VALUES = {
    "quotes lost in a shell": ("{conn_type: alibaba_fc, login: k}", JSON),
    "single quotes": ("{'conn_type': 'alibaba_fc'}", JSON),
    "a comma too many": ('{"conn_type": "alibaba_fc",}', JSON),
    "cut": ('  {"conn_type": "alibaba', "its JSON is not a JSON object (Input data was truncated)"),
    "a field of extra": (
        '{"conn_type": "alibaba_fc", "region_id": "cn-hangzhou"}',
        f"its JSON has 'region_id', which Airflow does not know; {FIELDS}",
    ),
    "two of them": (
        '{"username": "k", "region": "r"}',
        "its JSON has 'username', 'region', which Airflow does not know",
    ),
    "a port": ('{"conn_type": "alibaba_fc", "port": "http"}', "its port is not a number; give the number alone"),
    "a slash in the secret": ("alibaba-fc://key:se/cret@127.0.0.1:9000", URI),
    "text for a port": ("alibaba-fc://key:secret@host:port", URI),
    "an extra that is no JSON": (
        '{"conn_type": "alibaba_fc", "extra": "region_id=cn-hangzhou"}',
        "its extra is not a JSON object (JSON is malformed",
    ),
    "an extra of another kind": ('{"extra": ["cn-hangzhou"]}', "its extra is not a JSON object (Expected `object`"),
    "an extra of a URI that is no JSON": (
        "alibaba-fc://key:secret@127.0.0.1:9000?__extra__=region_id",
        "its extra is not a JSON object (JSON is malformed",
    ),
    "an extra that is right": ('{"extra": {"region_id": "cn-hangzhou"}}', "correct its JSON or URI"),
    "an extra written as text": ('{"extra": "{}"}', "correct its JSON or URI"),
    "a bracket in the secret": ("alibaba-fc://key:se[cret@127.0.0.1:9000", URI),
    "nothing that we know": ('{"conn_type": "alibaba_fc", "port": "9000"}', "correct its JSON or URI"),
    "a URI that can be read": ("alibaba-fc://key:secret@127.0.0.1:9000", "correct its JSON or URI"),
}


@pytest.mark.parametrize(("value", "problem"), VALUES.values(), ids=VALUES)
def test_the_problem_is_named_with_what_to_do(value: str, problem: str) -> None:
    assert problem_of(value).startswith(problem)


@pytest.mark.parametrize("value", ["{conn_type: alibaba_fc}", "{'conn_type': 'alibaba_fc'}", '{"conn_type": '])
def test_the_example_for_a_connection_is_a_whole_connection_that_can_be_read(value: str) -> None:
    told = re.search(r"write it as in ({.*}), names and texts in double quotes; in a shell", problem_of(value))

    assert told is not None
    assert msgspec.json.decode(told[1]).keys() == {"conn_type", "login", "password", "extra"}
    assert problem_of(told[1]) == "correct its JSON or URI"  # nothing is wrong with it


@pytest.mark.parametrize("value", ['{"extra": "region_id"}', "x://h?__extra__=region_id"])
def test_the_example_for_an_extra_is_an_extra(value: str) -> None:
    assert problem_of(value).endswith('write it as in {"region_id": "cn-hangzhou"}, names and texts in double quotes')


@given(
    st.text(st.sampled_from("SECRET"), min_size=4),
    st.sampled_from(["{{{}", "{{{}: 1}}", '{{"login": {}}}', "x://{}:{}", '{{"extra": "{}"}}', "x://h?__extra__={}"]),
)
def test_nothing_of_a_value_is_shown(secret: str, form: str) -> None:
    assert secret not in problem_of(form.format(secret, secret))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("region_id=cn-hangzhou", "JSON is malformed"),
        ("{'region_id': 'cn-hangzhou'}", "JSON is malformed"),
        ("[1]", "Expected `object`, got `array`"),
        ('"{}"', "Expected `object`, got `str`"),
    ],
)
def test_a_text_that_is_no_object_is_told_from_one_of_another_kind(text: str, reason: str) -> None:
    with pytest.raises(msgspec.DecodeError) as caught:
        msgspec.json.decode(text, type=dict[str, object])

    told = not_an_object(caught.value)

    assert told.startswith(f"is not a JSON object ({reason}")
    assert told.endswith('write it as in {"region_id": "cn-hangzhou"}, names and texts in double quotes')


def test_the_example_of_a_connection_is_one_that_airflow_reads() -> None:
    fields = json.loads(CONNECTION)

    assert fields["conn_type"] == "alibaba_fc"
    assert fields["extra"] == {"region_id": "cn-hangzhou"}
    assert problem_of(CONNECTION) == "correct its JSON or URI"  # nothing to complain of
