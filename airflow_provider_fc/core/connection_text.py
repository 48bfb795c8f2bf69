"""What is wrong with the text of a connection, said without showing a value of it: it holds secrets."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec

AIRFLOWS_FIELDS = ("conn_type", "host", "port", "login", "password", "schema", "extra", "description")
"""What Airflow reads of a connection that is written as JSON (``Connection.from_json``); it refuses any other key."""

_EXTRA = '{"region_id": "cn-hangzhou"}'
CONNECTION = f'{{"conn_type": "alibaba_fc", "login": "...", "password": "...", "extra": {_EXTRA}}}'
"""A whole connection, to be put into single quotes in a shell."""


def not_an_object(error: msgspec.DecodeError, example: str = _EXTRA) -> str:
    """Say why text is no JSON object, and how to write one."""
    # msgspec names places and types, never what stands there.
    return f"is not a JSON object ({error}); write it as in {example}, names and texts in double quotes"


def problem_of(value: str) -> str:
    """Say why Airflow cannot read the value of a variable ``AIRFLOW_CONN_...``, and what to do about it."""
    text = value.strip()  # as Airflow does, which then takes for JSON what begins so (Connection.from_json, from_uri)
    return _problem_of_json(text) if text.startswith("{") else _problem_of_uri(text)


def _problem_of_json(text: str) -> str:
    try:
        fields = msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.DecodeError as error:
        return f"its JSON {not_an_object(error, CONNECTION)}; in a shell put the whole value into single quotes"
    if strange := [name for name in fields if name not in AIRFLOWS_FIELDS]:
        return (
            f"its JSON has {', '.join(map(repr, strange))}, which Airflow does not know; it knows "
            f"{', '.join(AIRFLOWS_FIELDS)}, and all else belongs into extra"
        )
    if not str(fields.get("port") or 0).isdecimal():
        return "its port is not a number; give the number alone"
    return _problem_of_extra(fields.get("extra")) or _CORRECT_IT


def _problem_of_extra(extra: object) -> str:
    # Airflow 3.0 does not take the connection then; later ones do, and it is found when the extra is read.
    try:
        msgspec.json.decode(extra if isinstance(extra, str) else msgspec.json.encode(extra or {}), type=dict[str, Any])
    except msgspec.DecodeError as error:
        return f"its extra {not_an_object(error)}"
    return ""


def _problem_of_uri(text: str) -> str:
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - it is read to see whether it can be
    except ValueError:
        return (
            "what stands in its URI for a port is not a number; write special characters of login and password with "
            "%, such as %2F for /, or write the connection as JSON"
        )
    return _problem_of_extra(dict(parse_qsl(parts.query)).get("__extra__")) or _CORRECT_IT


_CORRECT_IT = "correct its JSON or URI"
