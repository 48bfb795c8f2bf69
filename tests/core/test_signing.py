"""Both signatures, stage by stage against vectors that the official SDKs produced, and what ``sign`` adds."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_fc.core.http import HttpRequest, http_date
from airflow_provider_fc.core.signing import (
    ACS3_ALGORITHM,
    Credentials,
    acs3_authorization,
    acs3_canonical_request,
    acs3_signature,
    acs3_string_to_sign,
    fc_signature,
    fc_string_to_sign,
    redact_signed,
    sign,
    signed_hash,
)

VECTORS: list[dict[str, Any]] = json.loads(Path(__file__).with_name("signature_vectors.json").read_text())
NOW = datetime(2026, 11, 22, 8, 30, 5, 999_999, tzinfo=UTC)
KEYS = Credentials("key-id", "key-secret")
TEMPORARY = Credentials("STS.key-id", "key-secret", "CAIS+token/with=chars==", expires_at=1.0)
REQUEST = HttpRequest(
    "POST",
    "https://123.cn-hangzhou.fc.aliyuncs.com",
    "/2023-03-30/functions/resize/invocations",
    {"qualifier": "prod"},
    {"accept": "application/json", "content-type": "application/octet-stream", "x-fc-invocation-type": "Async"},
    b"payload",
)


def vectors(algorithm: str) -> pytest.MarkDecorator:
    chosen = [pytest.param(vector, id=vector["name"]) for vector in VECTORS if vector["algorithm"] == algorithm]
    return pytest.mark.parametrize("vector", chosen)


def headers_of(vector: dict[str, Any]) -> dict[str, str]:
    """Everything the SDK sent, names in lower case."""
    sent = {**vector["headers_before_signing"], **vector["expected_headers_added"]}
    return {name.lower(): value for name, value in sent.items()}


def signed(request: HttpRequest = REQUEST, credentials: Credentials = KEYS, **changes: Any) -> HttpRequest:
    arguments = {
        "signature": "ACS3",
        "now": NOW,
        "nonce": "nonce-1",
        "action": "InvokeFunction",
        "version": "2023-03-30",
        **changes,
    }
    return sign(request, credentials, **arguments)


def signed_headers(request: HttpRequest) -> list[str]:
    found = re.search("SignedHeaders=([^,]*)", request.headers["authorization"])
    assert found
    return found[1].split(";")


def test_no_vector_is_lost() -> None:
    assert [vector["algorithm"] for vector in VECTORS].count("FC") == 5
    assert [vector["algorithm"] for vector in VECTORS].count(ACS3_ALGORITHM) == 8


@vectors("FC")
def test_the_string_to_sign_is_the_sdk_s(vector: dict[str, Any]) -> None:
    assert fc_string_to_sign(vector["method"], vector["path"], headers_of(vector)) == vector["string_to_sign"]


@vectors("FC")
def test_the_fc_authorization_is_the_sdk_s(vector: dict[str, Any]) -> None:
    signature = fc_signature(vector["string_to_sign"], vector["access_key_secret"])

    assert f"FC {vector['access_key_id']}:{signature}" == vector["expected_authorization"]


@vectors("FC")
def test_a_request_signed_as_a_whole_carries_the_sdk_s_fc_authorization(vector: dict[str, Any]) -> None:
    before = vector["headers_before_signing"]
    request = HttpRequest(
        vector["method"],
        f"https://{before['host']}",
        vector["path"],
        vector["query"],
        {name: value for name, value in before.items() if name not in ("host", "date")},
        (vector["body"] or "").encode(),
    )
    credentials = Credentials(vector["access_key_id"], vector["access_key_secret"], vector["security_token"] or None)

    result = signed(request, credentials, signature="FC", now=http_date(before["date"]))

    assert result.headers == headers_of(vector)


@vectors(ACS3_ALGORITHM)
def test_the_canonical_request_is_the_sdk_s(vector: dict[str, Any]) -> None:
    headers = headers_of(vector)
    names = vector["expected_authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")

    canonical = acs3_canonical_request(
        vector["method"], vector["path"], vector["query"], headers, names, headers["x-acs-content-sha256"]
    )

    assert canonical == vector["canonical_request"]


@vectors(ACS3_ALGORITHM)
def test_the_acs3_authorization_is_the_sdk_s(vector: dict[str, Any]) -> None:
    names = vector["canonical_request"].splitlines()[-2].split(";")
    signature = acs3_signature(acs3_string_to_sign(vector["canonical_request"]), vector["access_key_secret"])

    assert acs3_authorization(vector["access_key_id"], names, signature) == vector["expected_authorization"]


@pytest.mark.parametrize("signature", ["FC", "ACS3"])
@pytest.mark.parametrize("credentials", [KEYS, TEMPORARY], ids=["keys", "sts"])
def test_signing_adds_headers_and_changes_nothing_else(signature: str, credentials: Credentials) -> None:
    result = signed(credentials=credentials, signature=signature)

    assert result.headers.items() > REQUEST.headers.items()
    assert (result.method, result.url, result.body) == (REQUEST.method, REQUEST.url, REQUEST.body)
    assert "authorization" not in REQUEST.headers


@pytest.mark.parametrize(
    ("signature", "credentials", "added"),
    [
        ("FC", KEYS, {"host", "date", "authorization"}),
        ("FC", TEMPORARY, {"host", "date", "authorization", "x-fc-security-token"}),
        (
            "ACS3",
            KEYS,
            {
                "host",
                "x-acs-action",
                "x-acs-version",
                "x-acs-date",
                "x-acs-signature-nonce",
                "x-acs-content-sha256",
                "authorization",
            },
        ),
        (
            "ACS3",
            TEMPORARY,
            {
                "host",
                "x-acs-action",
                "x-acs-version",
                "x-acs-date",
                "x-acs-signature-nonce",
                "x-acs-content-sha256",
                "authorization",
                "x-acs-security-token",
                "x-acs-accesskey-id",
            },
        ),
    ],
    ids=["FC", "FC with STS", "ACS3", "ACS3 with STS"],
)
def test_exactly_the_documented_headers_are_added(signature: str, credentials: Credentials, added: set[str]) -> None:
    assert signed(credentials=credentials, signature=signature).headers.keys() - REQUEST.headers.keys() == added


def test_the_added_values_are_in_the_documented_form() -> None:
    headers = signed(credentials=TEMPORARY).headers

    assert headers["host"] == "123.cn-hangzhou.fc.aliyuncs.com"
    assert headers["x-acs-date"] == "2026-11-22T08:30:05Z"
    assert headers["x-acs-signature-nonce"] == "nonce-1"
    assert headers["x-acs-action"] == "InvokeFunction"
    assert headers["x-acs-version"] == "2023-03-30"
    # printf payload | sha256sum
    assert headers["x-acs-content-sha256"] == "239f59ed55e737c77147cf55ad0c1b030b6d7ee748a7426952f9b852d5a935e5"
    assert headers["x-acs-security-token"] == "CAIS+token/with=chars=="
    assert headers["x-acs-accesskey-id"] == "STS.key-id"


@pytest.mark.parametrize("hours", [-11, -5, 0, 8, 14])
def test_the_date_is_utc_whatever_zone_the_clock_shows(hours: int) -> None:
    elsewhere = NOW.astimezone(timezone(timedelta(hours=hours)))

    assert signed(now=elsewhere) == signed()
    assert signed(signature="FC", now=elsewhere).headers["date"] == "Sun, 22 Nov 2026 08:30:05 GMT"


@pytest.mark.parametrize("credentials", [KEYS, TEMPORARY], ids=["keys", "sts"])
def test_acs3_signs_every_header_but_those_a_proxy_may_rewrite(credentials: Credentials) -> None:
    request = HttpRequest("GET", "https://h", "/p", headers={"user-agent": "ours/1", "accept": "application/json"})

    result = signed(request, credentials)

    assert signed_headers(result) == sorted(result.headers.keys() - {"authorization", "user-agent"})


def test_the_fc_signature_covers_the_fc_headers_and_not_the_query() -> None:
    def authorization(**changes: Any) -> str:
        request = HttpRequest("GET", "https://h", **{"path": "/2016-08-15/services/s", **changes})
        return signed(request, signature="FC").headers["authorization"]

    assert authorization(query={"limit": "1"}) == authorization()
    assert authorization(headers={"accept": "text/html"}) == authorization()
    assert authorization(headers={"x-fc-async-delay": "5"}) != authorization()
    assert authorization(headers={"content-type": "application/json"}) != authorization()
    assert authorization(path="/2016-08-15/services/t") != authorization()


@pytest.mark.parametrize(
    "changes",
    [
        {"nonce": "nonce-2"},
        {"now": NOW + timedelta(seconds=1)},
        {"action": "GetAsyncTask"},
        {"version": "2021-04-06"},
        {"request": HttpRequest("POST", REQUEST.origin, REQUEST.path, {}, REQUEST.headers, REQUEST.body)},
        {"request": HttpRequest("POST", REQUEST.origin, REQUEST.path, REQUEST.query, REQUEST.headers, b"other")},
        {"request": HttpRequest("POST", "https://other", REQUEST.path, REQUEST.query, REQUEST.headers, REQUEST.body)},
        {"credentials": Credentials("key-id", "other-secret")},
        {"credentials": Credentials("key-id", "key-secret", "token")},
    ],
    ids=["nonce", "date", "action", "version", "query", "body", "host", "secret", "token"],
)
def test_the_acs3_signature_depends_on_every_part(changes: dict[str, Any]) -> None:
    assert signed(**changes).headers["authorization"] != signed().headers["authorization"]


def test_the_space_around_a_header_is_not_signed() -> None:
    padded = HttpRequest("GET", "https://h", "/p", headers={"x-fc-trace": "  spaced out \t"})
    plain = HttpRequest("GET", "https://h", "/p", headers={"x-fc-trace": "spaced out"})

    assert signed(padded).headers["authorization"] == signed(plain).headers["authorization"]


def test_credentials_never_show_themselves() -> None:
    assert "key" not in repr(TEMPORARY)
    assert "CAIS" not in repr(TEMPORARY)


def test_a_signed_request_does_not_show_its_headers_or_body() -> None:
    shown = repr(signed(credentials=TEMPORARY))

    assert "resize" in shown
    for hidden in ("key-secret", "CAIS", "Signature=", "payload"):
        assert hidden not in shown


def test_redact_replaces_each_secret_wherever_it_stands() -> None:
    text = "id=STS.key-id secret=key-secret token=CAIS+token/with=chars== again STS.key-id"

    assert TEMPORARY.redact(text) == "id=*** secret=*** token=*** again ***"


@pytest.mark.parametrize("credentials", [Credentials("", ""), Credentials("", "", "")], ids=["no token", "blank token"])
def test_redact_leaves_text_alone_when_there_is_nothing_to_hide(credentials: Credentials) -> None:
    assert credentials.redact("nothing to hide") == "nothing to hide"


def test_redact_leaves_no_rest_of_a_secret_that_contains_another() -> None:
    assert Credentials("key-s", "key-secret", "my-key-secret-token").redact("my-key-secret-token key-secret key-s") == (
        "*** *** ***"
    )
    assert Credentials("key-secret-and-more", "key-secret").redact("key-secret-and-more") == "***"


@pytest.mark.parametrize("dummy", ["a", "e", "key", "Code"])
def test_a_dummy_that_stands_in_half_of_all_words_leaves_them_readable(dummy: str) -> None:
    keys = Credentials(dummy, dummy, dummy)
    sent = signed(credentials=keys)

    assert keys.redact("Code a key") == redact_signed(sent, "Code a key") == "Code a key"


@vectors("FC")
def test_the_hash_of_what_fc_signs_is_that_of_the_string_to_sign(vector: dict[str, Any]) -> None:
    request = HttpRequest(vector["method"], "https://h", vector["path"], vector["query"], headers_of(vector))

    assert signed_hash(request) == hashlib.sha256(vector["string_to_sign"].encode()).hexdigest()


@vectors(ACS3_ALGORITHM)
def test_the_hash_of_what_acs3_signs_is_that_of_the_canonical_request(vector: dict[str, Any]) -> None:
    request = HttpRequest(vector["method"], "https://h", vector["path"], vector["query"], headers_of(vector))

    assert signed_hash(request) == hashlib.sha256(vector["canonical_request"].encode()).hexdigest()


def test_all_parts_of_credentials_are_known_to_whoever_masks_them() -> None:
    assert set(TEMPORARY.parts) == {"STS.key-id", "key-secret", "CAIS+token/with=chars=="}
    assert Credentials("", "", None).parts == ()
