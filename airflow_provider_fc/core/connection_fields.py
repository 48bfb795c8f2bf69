"""The fields of a connection as rows, from which form, metadata and parser follow: plain data, read by every process.

A new field is a row here, an attribute of ``Settings`` or ``Auth`` with the same name, and its use.
"""

from __future__ import annotations

from itertools import chain
from typing import Any, NamedTuple

from airflow_provider_fc.core.limits import MIN_SESSION_SECONDS

CONN_TYPE = "alibaba_fc"


class AuthNeeds(NamedTuple):
    """Which fields belong to an ``auth_type``.

    :param needs: what it cannot do without.
    :param may: what else it uses.
    """

    needs: tuple[str, ...] = ()
    may: tuple[str, ...] = ()


_SESSION = ("role_session_name", "session_duration")
_OIDC = ("role_arn", "oidc_provider_arn", "oidc_token_file")

AUTH_TYPES: dict[str, AuthNeeds] = {
    "access_key": AuthNeeds(("login", "password")),
    "sts": AuthNeeds(("login", "password", "security_token")),
    "ram_role_arn": AuthNeeds(("login", "password", "role_arn"), ("security_token", "external_id", *_SESSION)),
    "ecs_ram_role": AuthNeeds((), ("ecs_role_name",)),
    "oidc_role_arn": AuthNeeds(_OIDC, _SESSION),
    "credentials_uri": AuthNeeds(("credentials_uri",)),
    "default": AuthNeeds((), (*_OIDC, *_SESSION, "ecs_role_name", "credentials_uri")),
}
"""The ways of proving who we are."""


class Field(NamedTuple):
    """One field of the connection.

    :param name: its name in extra, and that of the attribute it ends up in.
    :param kind: how it is read; one of ``settings.PARSERS``.
    :param aliases: other names under which it is read: those of the official Alibaba provider.
    """

    name: str
    label: str
    help: str = ""
    kind: str = "text"
    default: Any = None
    placeholder: str | None = None
    choices: tuple[str, ...] = ()
    at_least: int | None = None
    aliases: tuple[str, ...] = ()


STANDARD_FIELDS = (
    Field("host", "Endpoint", placeholder="empty: that of account and region"),
    Field(
        "login",
        "AccessKey ID",
        placeholder="empty where a role or the environment provides the keys",
        aliases=("access_key_id",),
    ),
    Field("password", "AccessKey secret", aliases=("access_key_secret",)),
)
"""Airflow's own fields that we use; the aliases stand in extra."""

SECTIONS: dict[str, tuple[Field, ...]] = {
    "Region and account": (
        Field(
            "region_id",
            "Region",
            "For example cn-hangzhou. Needed unless an endpoint is given.",
            "region",
            placeholder="cn-hangzhou",
            aliases=("region",),
        ),
        Field(
            "account_id",
            "Account ID",
            "Number of the primary account; part of the endpoint. FC 2.0 and VPC endpoints need it.",
            "account",
            placeholder="1234567890123456",
        ),
        Field("internal", "VPC endpoint", "Use the -internal endpoint, reachable from inside a VPC.", "boolean", False),
        Field(
            "console",
            "Console",
            "Site that the links of tasks lead to: that of your account. Default china.",
            "choice",
            "china",
            choices=("china", "international"),
        ),
    ),
    "Roles and temporary keys": (
        Field(
            "auth_type",
            "Authentication",
            "Where credentials come from. Empty: what the fields that are filled in say.",
            "choice",
            choices=tuple(AUTH_TYPES),
        ),
        Field("security_token", "STS token", "For auth_type sts.", "secret"),
        Field(
            "role_arn",
            "Role ARN",
            "RAM role to assume, for auth_type ram_role_arn and oidc_role_arn.",
            placeholder="acs:ram::1234567890123456:role/airflow",
        ),
        Field(
            "oidc_provider_arn",
            "OIDC provider ARN",
            "For auth_type oidc_role_arn (RRSA).",
            placeholder="acs:ram::1234567890123456:oidc-provider/ack-rrsa-c0123",
        ),
        Field(
            "oidc_token_file",
            "OIDC token file",
            "For auth_type oidc_role_arn: path on the worker and the triggerer.",
            placeholder="/var/run/secrets/ack.alibabacloud.com/rrsa-tokens/token",
        ),
        Field("ecs_role_name", "ECS role name", "For auth_type ecs_ram_role; empty: ask the instance."),
        Field("credentials_uri", "Credentials URI", "For auth_type credentials_uri."),
        Field("role_session_name", "Role session name", "Shown in the audit log of the assumed role."),
        Field(
            "session_duration",
            "Role session (s)",
            f"At least {MIN_SESSION_SECONDS}; at most what the role allows.",
            "whole",
            at_least=MIN_SESSION_SECONDS,
        ),
        Field("external_id", "External ID", "If the role's trust policy asks for one."),
    ),
    "Network and API": (
        Field(
            "verify",
            "Verify TLS",
            "true, false, or the path of a CA bundle on every Airflow host.",
            "verify",
            True,
            placeholder="true",
        ),
        Field(
            "proxy",
            "Proxy",
            "URL; empty: the proxy settings of the environment.",
            "proxy",
            placeholder="http://proxy.example:3128",
        ),
        Field("connect_timeout", "Connect timeout (s)", "Default 5.", "timeout", 5.0),
        Field("read_timeout", "Read timeout (s)", "Default 30.", "timeout", 30.0),
        Field(
            "max_attempts", "Attempts", "Tries of one request, the first included. Default 4.", "whole", 4, at_least=1
        ),
        Field(
            "api_version",
            "API version",
            "Empty: 2016-08-15 where a service name is given (FC 2.0), else 2023-03-30 (FC 3.0).",
            "choice",
            choices=("2016-08-15", "2021-04-06", "2023-03-30"),
        ),
        Field(
            "signature",
            "Signature",
            "Empty: the one that belongs to the API version.",
            "choice",
            choices=("FC", "ACS3"),
        ),
    ),
}
"""The fields that stand in extra, in the sections of the form of Airflow 3.2 and later, which are closed at first."""

EXTRA_FIELDS = tuple(chain.from_iterable(SECTIONS.values()))
