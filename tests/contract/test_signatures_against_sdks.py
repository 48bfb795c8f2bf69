"""Our signatures against those of the official packages, on requests nobody thought of."""

from __future__ import annotations

import hashlib
from datetime import datetime
from types import SimpleNamespace
from typing import Any

import pytest
from alibabacloud_openapi_util.client import Client as OpenApiUtil
from alibabacloud_tea_openapi.utils import Utils as TeaOpenApi
from fc2.auth import Auth
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_fc.core.http import HttpRequest, encode_path
from airflow_provider_fc.core.signing import (
    ACS3_ALGORITHM,
    Credentials,
    acs3_authorization,
    acs3_canonical_request,
    acs3_signature,
    acs3_string_to_sign,
    fc_signature,
    fc_string_to_sign,
    sign,
)

# Everything a value may hold, the characters that clients encode differently more often than by chance.
TEXT = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("+% ~*/@=&?#'()!\n雪é"), max_size=40)
VISIBLE = st.characters(min_codepoint=0x21, max_codepoint=0x7E)
HEADER_VALUES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=60)
NAMES = st.from_regex(r"[a-zA-Z][a-zA-Z0-9_.-]{0,20}", fullmatch=True)
SECRETS = st.text(VISIBLE, min_size=1, max_size=40)
TOKENS = st.none() | st.text(VISIBLE, min_size=1, max_size=1500)
METHODS = st.sampled_from(["GET", "POST", "PUT", "DELETE"])
PATHS = TEXT.map(lambda text: f"/2023-03-30/functions/{text}/async-tasks")
QUERIES = st.dictionaries(NAMES, TEXT.filter(bool), max_size=8)
HEADERS = st.dictionaries(NAMES.map(str.lower), HEADER_VALUES, max_size=8)
FC_HEADERS = st.dictionaries(NAMES.map(lambda name: f"x-fc-{name.lower()}"), HEADER_VALUES, max_size=8)
MOMENTS = st.builds(datetime.fromtimestamp, st.integers(946_684_800, 4_102_444_800), st.timezones())


def official_acs3(
    official: Any, method: str, path: str, query: dict[str, str], headers: dict[str, str], body_hash: str, secret: str
) -> str:
    request = SimpleNamespace(method=method, pathname=encode_path(path), query=query, headers=headers)
    authorization: str = official.get_authorization(request, ACS3_ALGORITHM, body_hash, "key-id", secret)
    return authorization


@pytest.mark.parametrize("official", [OpenApiUtil, TeaOpenApi], ids=["openapi_util", "tea_openapi"])
@given(method=METHODS, path=PATHS, query=QUERIES, headers=HEADERS, body=st.binary(max_size=50), secret=SECRETS)
@example(
    method="GET",
    path="/2023-03-30/functions/a b%2F+~*@=/async-tasks",
    query={"nextToken": "MTIz/NCNh+YmM=\n", "prefix": "job 2026*~+%@=", "status": "雪"},
    headers={"host": "h", "x-acs-date": " padded "},
    body=b"",
    secret="s",
)
def test_the_acs3_stages_make_the_official_signature(
    official: type,
    method: str,
    path: str,
    query: dict[str, str],
    headers: dict[str, str],
    body: bytes,
    secret: str,
) -> None:
    body_hash = hashlib.sha256(body).hexdigest()
    names = sorted(headers)

    canonical = acs3_canonical_request(method, path, query, headers, names, body_hash)
    ours = acs3_authorization("key-id", names, acs3_signature(acs3_string_to_sign(canonical), secret))

    assert ours == official_acs3(official, method, path, query, headers, body_hash, secret)


@given(path=PATHS, query=QUERIES, headers=FC_HEADERS, body=st.binary(max_size=50), token=TOKENS, now=MOMENTS)
def test_a_request_signed_with_acs3_carries_the_official_signature(
    path: str, query: dict[str, str], headers: dict[str, str], body: bytes, token: str | None, now: datetime
) -> None:
    request = HttpRequest("POST", "https://fcv3.cn-hangzhou.aliyuncs.com", path, query, headers, body)

    sent = sign(
        request,
        Credentials("key-id", "secret", token),
        signature="ACS3",
        now=now,
        nonce="nonce",
        action="InvokeFunction",
        version="2023-03-30",
    )

    carried = {name: value for name, value in sent.headers.items() if name != "authorization"}
    body_hash = hashlib.sha256(body).hexdigest()
    assert sent.headers["authorization"] == official_acs3(
        OpenApiUtil, "POST", path, query, carried, body_hash, "secret"
    )


@given(query=QUERIES, path=PATHS)
def test_what_is_signed_is_what_is_sent(query: dict[str, str], path: str) -> None:
    """The official canonical query and path stand in the request line, byte for byte."""
    request = HttpRequest("GET", "https://h", path, query)

    canonical = acs3_canonical_request("GET", path, query, {}, [], "").split("\n")

    assert request.target == "?".join(filter(None, canonical[1:3]))
    assert request.target.isascii()
    assert not set(request.target) & set(" +\n\"'<>")


@given(method=METHODS, path=PATHS, headers=HEADERS, fc_headers=FC_HEADERS, secret=SECRETS)
@example(
    method="GET",
    path="/2016-08-15/services/s.prod/functions/f/stateful-async-invocations",
    headers={"content-md5": "md5", "content-type": "application/json", "date": "Mon, 09 Nov 2020 09:46:33 GMT"},
    fc_headers={"x-fc-account-id": "1", "x-fc-Trace": "t", "x-fc-": ""},
    secret="s",
)
def test_the_fc_stages_make_the_official_signature(
    method: str, path: str, headers: dict[str, str], fc_headers: dict[str, str], secret: str
) -> None:
    sent = {name.lower(): value for name, value in {**headers, **fc_headers}.items()}

    ours = f"FC key-id:{fc_signature(fc_string_to_sign(method, path, sent), secret)}"

    assert ours == Auth("key-id", secret).sign_request(method, path, sent)


@given(path=PATHS, query=QUERIES, headers=FC_HEADERS, token=TOKENS, now=MOMENTS)
def test_a_request_signed_with_fc_carries_the_official_signature(
    path: str, query: dict[str, str], headers: dict[str, str], token: str | None, now: datetime
) -> None:
    request = HttpRequest("GET", "https://1.cn-hangzhou.fc.aliyuncs.com", path, query, headers)

    sent = sign(
        request, Credentials("key-id", "secret", token), signature="FC", now=now, nonce="", action="", version=""
    )

    carried = {name: value for name, value in sent.headers.items() if name != "authorization"}
    assert carried.get("x-fc-security-token") == token or token is None
    assert sent.headers["authorization"] == Auth("key-id", "secret", token or "").sign_request("GET", path, carried)
