"""Connection fields -> settings: lenient about types, strict about sense, silent about secrets."""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from airflow_provider_fc.core.api import APIS
from airflow_provider_fc.core.connection_fields import AUTH_TYPES, EXTRA_FIELDS, STANDARD_FIELDS
from airflow_provider_fc.core.endpoints import is_loopback, region_of
from airflow_provider_fc.core.errors import ParameterError, SettingsError
from airflow_provider_fc.core.settings import PARSERS, Auth, Settings, implied_auth_type

OLD, MIDDLE, NEW = (APIS[version] for version in ("2016-08-15", "2021-04-06", "2023-03-30"))
SECRETS = ("LTAI-key-id", "top-secret", "CAIS-token", "ext-id-1", "http://100.100.100.200/creds?key=1", "user:pass")


def settings(extra: dict[str, Any] | None = None, **fields: Any) -> Settings:
    given_extra = {"region_id": "cn-hangzhou"} if extra is None else extra
    return Settings.from_connection("fc_default", **{"login": "id", "password": "secret", **fields}, extra=given_extra)


def problems(extra: dict[str, Any] | None = None, **fields: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        settings(extra, **fields)
    assert str(caught.value).startswith("Connection 'fc_default' cannot be used for Function Compute:")
    return "\n".join(caught.value.problems)


# Types: JSON, URI and the form


def test_the_least_connection_has_the_documented_defaults() -> None:
    assert settings() == Settings(
        conn_id="fc_default",
        auth=Auth("access_key", "id", "secret"),
        endpoint=None,
        region_id="cn-hangzhou",
        account_id=None,
        internal=False,
        api_version=None,
        signature=None,
        connect_timeout=5.0,
        read_timeout=30.0,
        max_attempts=4,
        verify=True,
        proxy=None,
    )


JSON_TYPES = {
    "region_id": "cn-hangzhou",
    "account_id": 1234567890123456,
    "internal": True,
    "connect_timeout": 2.5,
    "read_timeout": 10,
    "max_attempts": 7,
    "verify": False,
    "session_duration": 3600,
    "auth_type": "ram_role_arn",
    "role_arn": "acs:ram::1:role/r",
    "console": "international",
    "api_version": "2023-03-30",
    "signature": "ACS3",
}


@pytest.mark.parametrize("true", ["true", "True", "TRUE", "1", "yes", "y", " true "])
@pytest.mark.parametrize("false", ["false", "False", "0", "no"])
def test_text_from_a_form_or_a_uri_gives_the_same_settings_as_json(true: str, false: str) -> None:
    texts = {
        name: (true if value else false) if isinstance(value, bool) else f" {value}\t"
        for name, value in JSON_TYPES.items()
    }

    assert settings(texts) == settings(JSON_TYPES)


def test_what_json_says_is_what_is_meant() -> None:
    made = settings(JSON_TYPES)

    assert (made.account_id, made.internal, made.verify) == ("1234567890123456", True, False)
    assert (made.connect_timeout, made.read_timeout, made.max_attempts) == (2.5, 10.0, 7)
    assert type(made.max_attempts) is int
    assert made.auth.session_duration == 3600


BLANKS = pytest.mark.parametrize("blank", ["", " ", "\t", None], ids=["empty", "space", "tab", "null"])


@BLANKS
def test_a_field_left_blank_in_the_form_is_absent(blank: str | None) -> None:
    names = [
        "account_id",
        "internal",
        "security_token",
        "auth_type",
        "role_arn",
        "role_session_name",
        "external_id",
        "session_duration",
        "oidc_provider_arn",
        "oidc_token_file",
        "ecs_role_name",
        "credentials_uri",
        "api_version",
        "signature",
        "connect_timeout",
        "read_timeout",
        "max_attempts",
        "verify",
        "proxy",
    ]

    assert settings({"region_id": "cn-hangzhou", **dict.fromkeys(names, blank)}, host=blank) == settings()


@pytest.mark.parametrize("rendered", ["", " ", "None", "None "])
def test_a_region_that_a_template_found_nothing_for_is_not_the_connection_s(rendered: str) -> None:
    with pytest.raises(ParameterError, match=r"^region_id: .* is what a template renders when it finds nothing"):
        settings(region_id=rendered)


def test_without_a_region_it_is_the_connection_s() -> None:
    assert settings(region_id=None).region_id == "cn-hangzhou"


def test_a_region_given_by_the_caller_wins() -> None:
    assert settings(region_id="cn-beijing").region_id == "cn-beijing"
    assert settings({}, region_id="cn-beijing").region_id == "cn-beijing"


HOSTS_OF_HANGZHOU = [
    "42.cn-hangzhou.fc.aliyuncs.com",
    "https://42.cn-hangzhou-internal.fc.aliyuncs.com",
    "cn-hangzhou.fc.aliyuncs.com",
    "fcv3.cn-hangzhou.aliyuncs.com:443",
]


@pytest.mark.parametrize("host", HOSTS_OF_HANGZHOU)
def test_a_region_given_by_the_caller_does_not_hide_behind_the_host_of_another(host: str) -> None:
    keys = {"login": "id", "password": "secret", "host": host}

    assert Settings.from_connection("fc", **keys, region_id="cn-hangzhou").region_id == "cn-hangzhou"
    with pytest.raises(SettingsError, match=r"region_id 'cn-shanghai' was asked for, .* host is in cn-hangzhou"):
        Settings.from_connection("fc", **keys, region_id="cn-shanghai")


@pytest.mark.parametrize("host", ["http://127.0.0.1:9000", "fc.example.com", "proxy.cn-hangzhou.example.com"])
def test_a_host_that_names_no_region_serves_any(host: str) -> None:
    assert Settings.from_connection("fc", login="id", password="s", host=host, region_id="cn-shanghai").endpoint


def test_a_tab_at_the_end_is_stripped() -> None:
    """The official SDK's own table of endpoints has one behind ap-southeast-5."""
    made = settings({"region_id": "ap-southeast-5\t"}, host="fcv3.ap-southeast-5.aliyuncs.com\t", login=" id\n")

    assert made.region_id == "ap-southeast-5"
    assert made.endpoint == "https://fcv3.ap-southeast-5.aliyuncs.com"
    assert made.auth.access_key_id == "id"


def test_settings_can_be_a_key() -> None:
    assert len({settings(), settings(), settings(host="other")}) == 2


# The endpoint


@pytest.mark.parametrize(
    ("extra", "old", "new"),
    [
        (
            {"region_id": "cn-hangzhou", "account_id": "123"},
            "https://123.cn-hangzhou.fc.aliyuncs.com",
            "https://123.cn-hangzhou.fc.aliyuncs.com",
        ),
        (
            {"region_id": "cn-hangzhou", "account_id": "123", "internal": True},
            "https://123.cn-hangzhou-internal.fc.aliyuncs.com",
            "https://123.cn-hangzhou-internal.fc.aliyuncs.com",
        ),
        ({"region_id": "cn-hangzhou"}, None, "https://fcv3.cn-hangzhou.aliyuncs.com"),
    ],
    ids=["account", "account, internal", "no account"],
)
def test_without_a_host_the_address_follows_from_account_and_region(
    extra: dict[str, Any], old: str | None, new: str
) -> None:
    made = settings(extra)

    assert made.origin(NEW) == new
    for api in (OLD, MIDDLE):
        if old is None:
            with pytest.raises(SettingsError, match=r"extra\.account_id is missing: FC 2\.0"):
                made.origin(api)
        else:
            assert made.origin(api) == old


@pytest.mark.parametrize(
    ("region", "origin"),
    [
        ("cn-hangzhou", "https://fcv3.cn-hangzhou.aliyuncs.com"),
        ("me-central-1", "https://me-central-1.fc.aliyuncs.com"),
        ("cn-hangzhou-finance", "https://cn-hangzhou-finance.fc.aliyuncs.com"),
        ("cn-shanghai-finance-1", "https://cn-shanghai-finance-1.fc.aliyuncs.com"),
    ],
)
def test_regions_without_an_fcv3_host_have_their_own(region: str, origin: str) -> None:
    assert settings({"region_id": region}).origin(NEW) == origin
    assert settings({}, region_id=region).origin(NEW) == origin


@pytest.mark.parametrize("missing", [{}, {"account_id": "1"}, {"internal": True}], ids=str)
@pytest.mark.parametrize("override", [False, True])
def test_a_region_that_is_reached_from_inside_only_says_what_it_needs(missing: dict[str, Any], override: bool) -> None:
    region = "cn-heyuan-acdr-1"
    given_region = {"region_id": "cn-hangzhou" if override else region}

    text = problems({**given_region, **missing}, region_id=region if override else None)

    assert "has only a VPC endpoint; set internal to true and give account_id, or set host" in text
    made = settings({"region_id": region, "account_id": "1", "internal": True})
    assert {made.origin(api) for api in (OLD, MIDDLE, NEW)} == {"https://1.cn-heyuan-acdr-1-internal.fc.aliyuncs.com"}


REGIONS = ["cn-hangzhou", "me-central-1", "cn-hangzhou-finance", "cn-shanghai-finance-1", "cn-heyuan-acdr-1"]


@given(
    region=st.sampled_from(REGIONS) | st.from_regex(r"[a-z]{2}(-[a-z]+){1,2}(-[1-9])?", fullmatch=True),
    account=st.none() | st.integers(1, 10**16).map(str),
    internal=st.booleans(),
    api=st.sampled_from([OLD, MIDDLE, NEW]),
)
def test_the_region_is_read_back_from_every_address_that_is_made_of_one(
    region: str, account: str | None, internal: bool, api: Any
) -> None:
    assume(not region.endswith("-internal"))
    try:
        origin = settings({"region_id": region, "account_id": account, "internal": internal}).origin(api)
    except SettingsError:
        return
    assert region_of(origin) == region


@pytest.mark.parametrize("given_region", [{"extra": {"region_id": "CN-Hangzhou"}}, {"region_id": " CN-HANGZHOU "}])
def test_a_region_in_upper_case_is_lowered(given_region: dict[str, Any]) -> None:
    assert settings(**given_region).region_id == "cn-hangzhou"


@pytest.mark.parametrize(
    ("host", "port", "origin"),
    [
        ("fc.test", None, "https://fc.test"),
        ("fc.test", 8443, "https://fc.test:8443"),
        ("fc.test:8443", None, "https://fc.test:8443"),
        ("fc.test:8443", 8443, "https://fc.test:8443"),
        ("https://fc.test", None, "https://fc.test"),
        ("https://fc.test/", None, "https://fc.test"),
        ("HTTPS://fc.test", None, "https://fc.test"),
        ("http://fc.test", None, "http://fc.test"),
        ("http://fc.test", 80, "http://fc.test:80"),
        ("http://127.0.0.1:9000", None, "http://127.0.0.1:9000"),
        ("https://127.0.0.1:9000", None, "https://127.0.0.1:9000"),
        ("127.0.0.1", 9000, "http://127.0.0.1:9000"),
        ("127.0.0.1:9000", None, "http://127.0.0.1:9000"),
        ("127.8.8.8", None, "http://127.8.8.8"),
        ("localhost", 9000, "http://localhost:9000"),
        ("[::1]", 9000, "http://[::1]:9000"),
        ("[::1]:9000", 9000, "http://[::1]:9000"),
        ("::1", 9000, "http://[::1]:9000"),
        ("::1", None, "http://[::1]"),
        ("0:0:0:0:0:0:0:1", 9000, "http://[::1]:9000"),
        ("https://::1", 9000, "https://[::1]:9000"),
        ("2001:DB8::1", 8443, "https://[2001:db8::1]:8443"),
        ("[2001:db8::1]", None, "https://[2001:db8::1]"),
        ("  fc.test  ", None, "https://fc.test"),
        ("localhost.evil.test", None, "https://localhost.evil.test"),
        ("127.0.0.1.evil.test", None, "https://127.0.0.1.evil.test"),
    ],
)
@pytest.mark.parametrize("api", [OLD, MIDDLE, NEW], ids=lambda api: api.version)
def test_a_host_is_where_everything_is_sent(host: str, port: int | None, origin: str, api: Any) -> None:
    """Without a scheme it is https, except on this machine."""
    assert settings({}, host=host, port=port).origin(api) == origin


@pytest.mark.parametrize(
    "host",
    [
        "ftp://fc.test",
        "fc.test/path",
        "https://fc.test/2016-08-15",
        "https://fc.test?x=1",
        "https://fc.test#x",
        "https://",
        "fc test",
        "fc.test:port",
        "a:b:c",
        "https://user:pass@fc.test",
        "user:pass@fc.test/x",
        "https:///fc.test",
        "fc.test\r\nx-evil: 1",
        "函数.test",
        "::1::2",
        "fe80::1%eth0",
    ],
)
def test_a_host_that_is_no_endpoint_is_named_without_its_password(host: str) -> None:
    text = problems({}, host=host)

    assert text.startswith("host ")
    assert "\n" not in text
    assert "pass" not in text


@pytest.mark.parametrize(
    ("origin", "loopback"),
    [
        ("http://127.0.0.1:9000", True),
        ("http://localhost", True),
        ("[::1]:9000", True),
        ("127.1.2.3", True),
        ("http://128.0.0.1", False),
        ("https://localhost.evil.test", False),
        ("https://fc.test", False),
        ("http://127.0.0.1@evil.test", False),
    ],
)
def test_only_this_very_machine_is_loopback(origin: str, loopback: bool) -> None:
    assert is_loopback(origin) is loopback


# Signature


@pytest.mark.parametrize(
    ("signature", "chosen"),
    [(None, ["FC", "ACS3", "ACS3"]), ("FC", ["FC", "FC", "FC"]), ("ACS3", ["ACS3", "ACS3", "ACS3"])],
)
def test_the_signature_is_the_generation_s_unless_the_connection_says_otherwise(
    signature: str | None, chosen: list[str]
) -> None:
    made = settings({"region_id": "cn-hangzhou", "signature": signature})

    assert [made.signature_for(api) for api in (OLD, MIDDLE, NEW)] == chosen


# Ways of proving who we are


@pytest.mark.parametrize(
    ("extra", "login", "password", "kind"),
    [
        ({}, "id", "secret", "access_key"),
        ({"security_token": "token"}, "id", "secret", "sts"),
        ({"auth_type": "sts", "security_token": "token"}, "id", "secret", "sts"),
        ({"auth_type": "access_key"}, "id", "secret", "access_key"),
        ({"auth_type": "AK"}, "id", "secret", "access_key"),
        ({"auth_type": "ram_role_arn", "role_arn": "acs:ram::1:role/r"}, "id", "secret", "ram_role_arn"),
        ({"auth_type": "ecs_ram_role"}, None, None, "ecs_ram_role"),
        (
            {"auth_type": "oidc_role_arn", "role_arn": "r", "oidc_provider_arn": "p", "oidc_token_file": "/t"},
            None,
            None,
            "oidc_role_arn",
        ),
        ({"auth_type": "credentials_uri", "credentials_uri": "http://x"}, None, None, "credentials_uri"),
        ({"auth_type": "default"}, None, None, "default"),
    ],
)
def test_each_way_of_proving_who_we_are(
    extra: dict[str, Any], login: str | None, password: str | None, kind: str
) -> None:
    made = settings({"region_id": "cn-hangzhou", **extra}, login=login, password=password)

    assert made.auth.auth_type == kind


@pytest.mark.parametrize(
    ("kind", "missing"),
    [(kind, name) for kind, auth in AUTH_TYPES.items() for name in auth.needs],
)
def test_what_a_way_cannot_do_without_is_named(kind: str, missing: str) -> None:
    extra = {name: "x" for name in AUTH_TYPES[kind].needs if name not in ("login", "password", missing)}
    login = {name: None if name == missing else "x" for name in ("login", "password")}

    text = problems({"region_id": "cn-hangzhou", "auth_type": kind, **extra}, **login)

    assert missing in text
    assert f"is missing; auth_type {kind!r} needs it" in text
    assert text.count("\n") == 0


IMPLIED = [
    ((), "access_key"),
    (("login", "password"), "access_key"),
    (("login",), "access_key"),
    (("login", "password", "security_token"), "sts"),
    (("security_token",), "sts"),
    (("login", "password", "role_arn"), "ram_role_arn"),
    (("login", "password", "role_arn", "security_token"), "ram_role_arn"),
    (("login", "password", "role_arn", "external_id", "role_session_name", "session_duration"), "ram_role_arn"),
    (("login", "role_arn"), "ram_role_arn"),
    (("role_arn", "external_id"), "ram_role_arn"),
    (("login", "password", "role_session_name"), "ram_role_arn"),
    (("role_arn", "oidc_provider_arn", "oidc_token_file"), "oidc_role_arn"),
    (("role_arn", "oidc_token_file", "role_session_name"), "oidc_role_arn"),
    (("ecs_role_name",), "ecs_ram_role"),
    (("credentials_uri",), "credentials_uri"),
    (("role_arn",), "may mean ram_role_arn or oidc_role_arn"),
    (("role_arn", "session_duration"), "may mean ram_role_arn or oidc_role_arn"),
    (("role_session_name",), "may mean ram_role_arn or oidc_role_arn"),
    (("login", "password", "ecs_role_name"), "do not belong to one auth_type"),
    (("login", "password", "credentials_uri"), "do not belong to one auth_type"),
    (("login", "password", "role_arn", "oidc_token_file"), "do not belong to one auth_type"),
    (("security_token", "oidc_token_file"), "do not belong to one auth_type"),
    (("ecs_role_name", "credentials_uri"), "do not belong to one auth_type"),
]


@pytest.mark.parametrize(("given_fields", "meant"), IMPLIED, ids=lambda value: str(value))
def test_what_is_filled_in_says_who_we_are_or_is_refused(given_fields: tuple[str, ...], meant: str) -> None:
    if meant not in AUTH_TYPES:
        with pytest.raises(ParameterError, match=rf"extra\.auth_type: is missing, and .*{meant}"):
            implied_auth_type(given_fields)
    else:
        assert implied_auth_type(given_fields) == meant


def filled_in(names: Collection[str]) -> dict[str, Any]:
    """A connection with these fields."""
    extra = {name: "900" if name == "session_duration" else "x" for name in names if name not in ("login", "password")}
    keys = {name: "x" if name in names else None for name in ("login", "password")}
    return {"extra": {"region_id": "cn-hangzhou", **extra}, **keys}


IDENTITY = sorted({name for auth in AUTH_TYPES.values() for name in (*auth.needs, *auth.may)})


@given(names=st.sets(st.sampled_from(IDENTITY), min_size=1))
def test_an_identity_that_is_not_stated_uses_every_field_that_was_filled_in(names: set[str]) -> None:
    try:
        made = settings(**filled_in(names))
    except SettingsError:
        return
    needs, may = AUTH_TYPES[made.auth.auth_type]
    assert set(needs) <= names <= {*needs, *may}


def test_a_field_that_is_missing_is_named_with_what_implies_that_it_is_needed() -> None:
    assert problems(**filled_in(["role_arn", "login"])) == (
        "password (AccessKey secret) is missing; auth_type 'ram_role_arn' (because of extra.role_arn) needs it: "
        "give it, or set another auth_type"
    )


def test_an_auth_type_that_is_stated_holds_whatever_else_is_filled_in() -> None:
    assert settings({"region_id": "r", "auth_type": "access_key", "role_arn": "x"}).auth.auth_type == "access_key"


def test_every_field_of_a_role_is_read() -> None:
    extra = {
        "region_id": "cn-hangzhou",
        "auth_type": "ram_role_arn",
        "role_arn": "acs:ram::1:role/r",
        "role_session_name": "airflow",
        "external_id": "ext",
        "session_duration": "900",
        "oidc_provider_arn": "acs:ram::1:oidc-provider/p",
        "oidc_token_file": "/var/run/token",
        "ecs_role_name": "role",
        "credentials_uri": "http://127.0.0.1/creds",
        "security_token": "token",
    }

    assert settings(extra).auth == Auth(
        "ram_role_arn",
        "id",
        "secret",
        "token",
        "acs:ram::1:role/r",
        "airflow",
        "ext",
        900,
        "acs:ram::1:oidc-provider/p",
        "/var/run/token",
        "role",
        "http://127.0.0.1/creds",
    )


def test_a_connection_of_the_official_provider_works_as_it_is() -> None:
    extra = {"auth_type": "AK", "access_key_id": "id", "access_key_secret": "secret", "region": "cn-hangzhou"}

    assert settings(extra, login=None, password=None) == settings()
    assert settings(extra, login="", password=" ") == settings()


def test_our_own_fields_win_over_the_official_provider_s() -> None:
    extra = {"region": "cn-beijing", "region_id": "cn-hangzhou", "access_key_id": "x", "access_key_secret": "y"}

    assert settings(extra) == settings()


# Extras


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("endpoint", "did you mean host (Endpoint)?"),
        ("endpoint_url", "did you mean host (Endpoint)?"),
        ("intern", "did you mean extra.internal?"),
        ("verify_ssl", "did you mean extra.verify?"),
        ("sts_token", "did you mean extra.security_token?"),
        ("timeout", "did you mean extra.read_timeout?"),
        ("regionid", "did you mean extra.region_id?"),
        ("Region_Id", "did you mean extra.region_id?"),
        ("accountid", "did you mean extra.account_id?"),
        ("access_key", "did you mean login (AccessKey ID)?"),
        ("max_retries_of_all", "use one of region_id, account_id, "),
        ("extra__http__verify", "is unknown; "),
    ],
)
def test_an_extra_that_nobody_reads_is_refused_with_the_field_that_may_be_meant(key: str, meant: str) -> None:
    text = problems({"region_id": "cn-hangzhou", key: "x"})

    assert text.startswith(f"extra.{key} is unknown; ")
    assert meant in text


def test_an_alibaba_cloud_connection_serves_others_too_so_their_extras_are_a_line_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)

    made = settings({"region_id": "cn-hangzhou", "oss_bucket": "top-secret"}, conn_type="alibaba_cloud")

    assert made == settings()
    assert [record.getMessage() for record in caplog.records] == [
        "Connection 'fc_default': not used for Function Compute: extra oss_bucket"
    ]


@pytest.mark.parametrize("conn_type", ["alibaba_fc", "alibaba_cloud"])
def test_every_extra_is_read_under_the_name_that_older_forms_give_it_too(conn_type: str) -> None:
    plain = {**JSON_TYPES, "proxy": "http://proxy:3128"}
    prefixed = {f"extra__{conn_type}__{name}": value for name, value in plain.items()}

    assert settings(prefixed, conn_type=conn_type) == settings(plain)
    assert settings({**prefixed, "region_id": "cn-beijing"}, conn_type=conn_type).region_id == "cn-beijing"
    assert settings({**prefixed, "region_id": ""}, conn_type=conn_type).region_id == "cn-hangzhou"


def test_every_row_has_a_parser_and_ends_up_in_an_attribute_with_its_default() -> None:
    made = settings()

    for row in EXTRA_FIELDS:
        if row.name in REGION_AND_AUTH:
            continue
        owner = made.auth if hasattr(made.auth, row.name) else made
        assert getattr(owner, row.name) == row.default, row.name
    assert {row.kind for row in (*STANDARD_FIELDS, *EXTRA_FIELDS)} == set(PARSERS)


REGION_AND_AUTH = ("region_id", "auth_type")


# Mistakes


@pytest.mark.parametrize(
    ("extra", "problem"),
    [
        ({"region_id": "cn_hangzhou/x"}, "extra.region_id 'cn_hangzhou/x' is not a region id"),
        ({"region_id": "evil.test/"}, "extra.region_id 'evil.test/' is not a region id"),
        ({"region": "a b"}, "extra.region 'a b' is not a region id"),
        ({"account_id": "12a"}, "extra.account_id '12a' is not the primary account's numeric id"),
        ({"account_id": "1.evil.test/"}, "extra.account_id '1.evil.test/' is not"),
        ({"account_id": "١٢"}, "extra.account_id '١٢' is not"),
        ({"internal": "maybe", "account_id": "1"}, "extra.internal 'maybe' is not a boolean"),
        ({"api_version": "2020-01-01"}, "extra.api_version '2020-01-01' is unknown; use one of 2016-08-15"),
        ({"signature": "MD5"}, "extra.signature 'MD5' is unknown; use one of FC, ACS3"),
        ({"auth_type": "bearer"}, "extra.auth_type 'bearer' is unknown; use one of access_key"),
        ({"connect_timeout": 0}, "extra.connect_timeout '0' is too short; give more than 0 seconds"),
        ({"connect_timeout": "five"}, "extra.connect_timeout 'five' is not a number of seconds"),
        ({"read_timeout": -1}, "extra.read_timeout '-1' is too short"),
        ({"read_timeout": "nan"}, "extra.read_timeout 'nan' is not a number of seconds"),
        ({"read_timeout": "inf"}, "extra.read_timeout 'inf' is too long"),
        ({"max_attempts": 0}, "extra.max_attempts '0' is out of range; give 1 or more"),
        ({"max_attempts": "2.5"}, "extra.max_attempts '2.5' is not a whole number"),
        ({"max_attempts": True}, "extra.max_attempts 'True' is not a whole number"),
        ({"session_duration": 899}, "extra.session_duration '899' is out of range; give 900 or more"),
        ({"internal": True}, "extra.account_id is missing; the -internal (VPC) endpoint needs it"),
    ],
)
def test_a_mistake_is_named_with_its_field(extra: dict[str, Any], problem: str) -> None:
    assert problems({"region_id": "cn-hangzhou", **extra} if "region" not in extra else extra).startswith(problem)


FREE = [row.name for row in EXTRA_FIELDS if row.kind in ("text", "secret", "proxy", "verify")]


@pytest.mark.parametrize("name", FREE)
@pytest.mark.parametrize("value", [["top-secret"], {"a": "top-secret"}, 1.5, False, "None", " None "], ids=str)
def test_what_any_text_would_fit_is_text_and_no_trace_of_a_program(name: str, value: Any) -> None:
    if (name, value) == ("verify", False):
        assert settings({"region_id": "cn-hangzhou", name: value}).verify is False
        return
    text = problems({"region_id": "cn-hangzhou", "auth_type": "access_key", name: value})

    assert text.startswith(f"extra.{name} is ")
    assert "top-secret" not in text


@pytest.mark.parametrize("name", ["login", "password"])
def test_a_key_that_is_the_text_none_is_refused(name: str) -> None:
    assert problems(**{name: "None"}).startswith(f"{name} (AccessKey ")


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"port": 9000}, "port 9000 is given without host"),
        ({"port": 9000, "host": " "}, "port 9000 is given without host"),
        ({"port": 9000, "host": "http://127.0.0.1:9001"}, "port 9000 is given, but host names port 9001"),
        ({"port": 9000, "host": "[::1]:9001"}, "port 9000 is given, but host names port 9001"),
        ({"schema": "http", "host": "127.0.0.1:9000"}, "schema 'http' is not read; write a scheme into host"),
        ({"schema": "cn-hangzhou"}, "schema 'cn-hangzhou' is not read"),
    ],
    ids=str,
)
def test_a_standard_field_that_would_be_passed_over_is_an_error(fields: dict[str, Any], problem: str) -> None:
    assert problems(**fields).startswith(problem)


def test_what_says_the_same_twice_or_nothing_is_no_mistake() -> None:
    assert settings(host="http://127.0.0.1:9000", port=9000).endpoint == "http://127.0.0.1:9000"
    assert settings(host="::1", port=9000).endpoint == "http://[::1]:9000"
    assert settings(port=0, schema=" ") == settings(port=None, schema=None) == settings()
    assert settings(conn_type="alibaba_cloud", schema="x") == settings()


@pytest.mark.parametrize("kind", AUTH_TYPES)
def test_what_a_stated_auth_type_passes_over_is_told(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    needs, may = AUTH_TYPES[kind]
    others = set(IDENTITY) - {*needs, *may}

    with caplog.at_level("INFO"):
        connection = filled_in(IDENTITY)
        settings(**{**connection, "extra": {**connection["extra"], "auth_type": kind}})

    [message] = caplog.messages
    assert message.startswith(f"Connection 'fc_default': not used with auth_type {kind!r}: ")
    told = {part.split(" ")[0].removeprefix("extra.") for part in message.partition(f"{kind!r}: ")[2].split(", ")}
    assert told == others

    caplog.clear()
    with caplog.at_level("INFO"):
        settings(**{**(own := filled_in([*needs, *may])), "extra": {**own["extra"], "auth_type": kind}})
    assert not caplog.messages


def test_without_host_and_region_the_region_is_missing() -> None:
    assert "extra.region_id is missing" in problems({})
    assert settings({}, host="fc.test").region_id is None


def test_every_mistake_is_named_at_once() -> None:
    text = problems(
        {
            "account_id": "x",
            "internal": "maybe",
            "api_version": "1",
            "signature": "2",
            "auth_type": "3",
            "connect_timeout": "4s",
            "read_timeout": "5s",
            "max_attempts": "6.5",
            "session_duration": "7",
        },
        host="ftp://x",
        login=None,
        password=None,
    )

    for name in (
        "host",
        "login (AccessKey ID)",
        "password (AccessKey secret)",
        "extra.account_id",
        "extra.internal",
        "extra.api_version",
        "extra.signature",
        "extra.auth_type",
        "extra.connect_timeout",
        "extra.read_timeout",
        "extra.max_attempts",
        "extra.session_duration",
    ):
        assert sum(line.startswith(name) for line in text.splitlines()) == 1, name


@pytest.mark.parametrize(
    ("verify", "meant"), [("/etc/ca.pem", "/etc/ca.pem"), (True, True), ("no", False), (None, True)]
)
def test_verify_is_a_boolean_or_a_path(verify: Any, meant: bool | str) -> None:
    assert settings({"region_id": "r", "verify": verify}).verify == meant


# Secrets


FULL = {
    "region_id": "cn-hangzhou",
    "auth_type": "sts",
    "security_token": "CAIS-token",
    "external_id": "ext-id-1",
    "credentials_uri": "http://100.100.100.200/creds?key=1",
    "proxy": "http://user:pass@proxy:3128",
}


def test_settings_show_no_secret() -> None:
    made = settings(FULL, login="LTAI-key-id", password="top-secret")

    for secret in SECRETS:
        assert secret not in repr(made)
        assert secret not in str(made)
        assert secret not in repr(made.auth)


def test_a_list_of_mistakes_shows_no_secret() -> None:
    text = problems(
        {**FULL, "auth_type": "nonsense", "region_id": "?"}, login="LTAI-key-id", password="top-secret", host="/"
    )

    for secret in SECRETS:
        assert secret not in text


JUNK = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.lists(st.integers(), max_size=2)
)


@given(
    extra=st.dictionaries(st.sampled_from([*JSON_TYPES, *FULL, "auth_type", "region", "proxy"]), JUNK),
    host=st.none() | st.text(max_size=20),
    port=st.none() | st.integers(1, 65535),
)
def test_any_connection_is_settings_or_a_settings_error(
    extra: dict[str, Any], host: str | None, port: int | None
) -> None:
    try:
        made = settings(extra, host=host, port=port)
    except SettingsError:
        return
    assert made.origin(NEW).isascii()
    assert made.max_attempts >= 1
    assert 0 < made.connect_timeout < float("inf")
    hash(made)


# The function that a task names


@pytest.mark.parametrize(
    ("api_version", "service", "chosen"),
    [
        (None, "media", "2016-08-15"),
        (None, None, "2023-03-30"),
        ("2021-04-06", "media", "2021-04-06"),
        ("2023-03-30", None, "2023-03-30"),
    ],
)
def test_the_connection_s_version_decides_within_a_generation(
    api_version: str | None, service: str | None, chosen: str
) -> None:
    made = settings({"region_id": "cn-hangzhou", "account_id": "1234567890123456", "api_version": api_version})

    assert made.function("resize", service).api is APIS[chosen]


def test_a_service_and_a_connection_for_fc_3_contradict_each_other() -> None:
    made = settings({"region_id": "cn-hangzhou", "api_version": "2023-03-30"})

    with pytest.raises(ParameterError, match="api_version '2023-03-30'"):
        made.function("f", "media")


@pytest.mark.parametrize("proxy", ["http://proxy:99999", "http://[::1", "http://?", "http://user:p@ss@proxy:1/a@b"])
def test_a_proxy_that_is_no_url_is_refused_without_showing_it(proxy: str) -> None:
    said = problems({"proxy": proxy})
    assert "is not a proxy's URL" in said
    assert proxy not in said
