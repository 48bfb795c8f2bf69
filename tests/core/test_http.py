"""What goes on the wire, to the byte."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_fc.core.http import (
    HttpRequest,
    HttpResponse,
    encode_path,
    encode_query,
    http_date,
    percent_encode,
)

TEXT = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("+% ~*/@=&?#\n"))


@pytest.mark.parametrize(
    ("text", "encoded"),
    [
        ("AZaz09-._~", "AZaz09-._~"),
        (" ", "%20"),
        ("+", "%2B"),
        ("%", "%25"),
        ("%20", "%2520"),
        ("*", "%2A"),
        ("/", "%2F"),
        ("@=&?#", "%40%3D%26%3F%23"),
        ("!'()", "%21%27%28%29"),
        ("\n", "%0A"),
        ("é", "%C3%A9"),
        ("雪", "%E9%9B%AA"),
        ("", ""),
    ],
)
def test_text_is_encoded_as_rfc_3986_says(text: str, encoded: str) -> None:
    assert percent_encode(text) == encoded


def test_a_path_keeps_its_slashes() -> None:
    assert encode_path("/2016-08-15/services/a.b/functions/c d~%2F") == "/2016-08-15/services/a.b/functions/c%20d~%252F"


def test_a_query_is_sorted_by_name() -> None:
    assert encode_query({"limit": "1", "a": "2", "Z": "3"}) == "Z=3&a=2&limit=1"


@given(st.dictionaries(TEXT.filter(bool), TEXT.filter(bool)))
def test_every_server_reads_back_what_was_meant(query: dict[str, str]) -> None:
    assert dict(parse_qsl(encode_query(query), strict_parsing=bool(query))) == query


@given(TEXT)
def test_every_server_reads_back_the_path(text: str) -> None:
    assert unquote(encode_path(f"/{text}")) == f"/{text}"


@given(TEXT, TEXT)
def test_a_target_is_printable_ascii_without_a_space(path: str, value: str) -> None:
    target = HttpRequest("GET", "https://h", f"/{path}", {"k": value}).target

    assert all("!" <= character <= "~" for character in target)
    assert target.count("?") == 1


def test_a_request_without_a_query_has_no_question_mark() -> None:
    assert HttpRequest("GET", "https://h:8443", "/p").url == "https://h:8443/p"


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("https://123.cn-hangzhou.fc.aliyuncs.com", "123.cn-hangzhou.fc.aliyuncs.com"),
        ("http://127.0.0.1:9000", "127.0.0.1:9000"),
        ("http://[::1]:9000", "[::1]:9000"),
    ],
)
def test_the_host_is_the_authority_with_its_port(origin: str, host: str) -> None:
    assert HttpRequest("GET", origin, "/").host == host


def test_messages_do_not_show_headers_that_may_hold_secrets_nor_bodies() -> None:
    request = HttpRequest("POST", "https://h", "/p", {}, {"authorization": "hidden"}, b"hidden")

    assert "hidden" not in repr(request)
    assert "hidden" not in repr(HttpResponse(200, {}, b"hidden"))


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("Sun, 22 Nov 2026 08:30:05 GMT", datetime(2026, 11, 22, 8, 30, 5, tzinfo=UTC)),
        ("Sun, 22 Nov 2026 16:30:05 +0800", datetime(2026, 11, 22, 8, 30, 5, tzinfo=UTC)),
        ("Sun, 22 Nov 2026 08:30:05 -0000", datetime(2026, 11, 22, 8, 30, 5, tzinfo=UTC)),
        ("22 Nov 2026 08:30:05", datetime(2026, 11, 22, 8, 30, 5, tzinfo=UTC)),
    ],
)
def test_a_date_header_is_an_aware_moment(text: str, moment: datetime) -> None:
    found = http_date(text)

    assert found is not None
    assert found == moment
    assert found.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        " ",
        "soon",
        "2026-11-22T08:30:05Z",
        "Sun, 99 Nov 2026 08:30:05 GMT",
        "17",
        "31 Dec 9999 23:59:59 -0100",
    ],
)
def test_an_unreadable_date_is_none(text: str | None) -> None:
    assert http_date(text) is None


@given(TEXT | st.from_regex(r"[A-Z][a-z]{2}, \d{1,5} (Nov|Feb) \d{1,6} \d{1,3}:\d{2}:\d{2} (GMT|[+-]\d{1,7})"))
def test_no_date_header_breaks_anything(text: str) -> None:
    moment = http_date(text)

    assert moment is None or moment.tzinfo is not None
