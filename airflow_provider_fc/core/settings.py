"""Connection fields -> Settings, with every mistake named in one error."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast, get_args
from urllib.parse import urlsplit

from airflow_provider_fc.core.api import APIS, Api
from airflow_provider_fc.core.errors import SettingsError
from airflow_provider_fc.core.limits import MIN_SESSION_SECONDS
from airflow_provider_fc.core.signing import Signature

AuthType = Literal["access_key", "sts", "ram_role_arn", "ecs_ram_role", "oidc_role_arn", "credentials_uri", "default"]

REQUIRED_FIELDS: dict[AuthType, tuple[str, ...]] = {
    "access_key": ("login", "password"),
    "sts": ("login", "password", "security_token"),
    "ram_role_arn": ("login", "password", "role_arn"),
    "ecs_ram_role": (),
    "oidc_role_arn": ("role_arn", "oidc_provider_arn", "oidc_token_file"),
    "credentials_uri": ("credentials_uri",),
    "default": (),
}
"""What each way of proving who we are cannot do without."""

_LABELS = {"login": "login (AccessKey ID)", "password": "password (AccessKey secret)"}

# The official Alibaba provider keeps the keys in extra and calls this way "AK".
_AUTH_TYPE_ALIASES = {"AK": "access_key"}


@dataclass(frozen=True, slots=True)
class Auth:
    """How to obtain credentials. Nothing of it is ever shown."""

    auth_type: AuthType = "access_key"
    access_key_id: str | None = field(default=None, repr=False)
    access_key_secret: str | None = field(default=None, repr=False)
    security_token: str | None = field(default=None, repr=False)
    role_arn: str | None = None
    role_session_name: str | None = None
    external_id: str | None = field(default=None, repr=False)
    session_duration: int | None = None
    oidc_provider_arn: str | None = None
    oidc_token_file: str | None = None
    ecs_role_name: str | None = None
    credentials_uri: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a client needs to know, frozen, hashable and free of Airflow.

    :param endpoint: origin that overrides the rule of :meth:`origin`.
    :param connect_timeout: seconds, default 5.
    :param read_timeout: seconds between two reads, default 30.
    :param max_attempts: tries of one request, the first included; default 4.
    :param verify: ``True`` for the public CAs (certifi), ``False`` for none, or the path of a CA bundle.
    :param proxy: URL; without it the environment's proxy settings apply.
    """

    conn_id: str
    auth: Auth
    endpoint: str | None = None
    region_id: str | None = None
    account_id: str | None = None
    internal: bool = False
    api_version: str | None = None
    signature: Signature | None = None
    connect_timeout: float = 5.0
    read_timeout: float = 30.0
    max_attempts: int = 4
    verify: bool | str = True
    proxy: str | None = field(default=None, repr=False)

    def origin(self, api: Api) -> str:
        """Where to send requests of this API: scheme and authority (page "Endpoints").

        :raises SettingsError: FC 2.0 has no endpoint without an account id.
        """
        if self.endpoint:
            return self.endpoint
        if self.account_id:
            return f"https://{self.account_id}.{self.region_id}{'-internal' if self.internal else ''}.fc.aliyuncs.com"
        if api.has_services:
            raise SettingsError(
                self.conn_id,
                ["extra.account_id is missing: FC 2.0 (service_name given) is reached at an address that contains it"],
            )
        return f"https://fcv3.{self.region_id}.aliyuncs.com"

    def signature_for(self, api: Api) -> Signature:
        return self.signature or api.signature

    @classmethod
    def from_connection(
        cls,
        conn_id: str,
        *,
        host: str | None = None,
        port: int | None = None,
        login: str | None = None,
        password: str | None = None,
        extra: Mapping[str, Any] | None = None,
        region_id: str | None = None,
    ) -> Settings:
        """Read an ``alibaba_fc`` connection, or an ``alibaba_cloud`` one of the official provider (keys in extra).

        :param region_id: overrides the connection's region.
        :raises SettingsError: names every mistake.
        """
        fields = _Fields(extra or {})
        auth = _auth(fields, login, password)
        settings = cls(
            conn_id=conn_id,
            auth=auth,
            endpoint=_endpoint(fields, host, port),
            region_id=_region(fields, region_id),
            account_id=fields.matching("account_id", _DIGITS, "the primary account's numeric id"),
            internal=fields.boolean("internal", default=False),
            api_version=fields.choice("api_version", tuple(APIS)),
            signature=cast("Signature | None", fields.choice("signature", get_args(Signature))),
            connect_timeout=fields.number("connect_timeout", 5.0, above=0),
            read_timeout=fields.number("read_timeout", 30.0, above=0),
            max_attempts=int(fields.number("max_attempts", 4, above=0, whole=True)),
            verify=fields.verify(),
            proxy=fields.proxy(),
        )
        if not (host or "").strip():
            settings._check_reachable(fields)
        elif not _is_blank(region_id):
            settings._check_region(fields)
        if fields.problems:
            raise SettingsError(conn_id, fields.problems)
        return settings

    def _check_reachable(self, fields: _Fields) -> None:
        if not self.region_id:
            fields.problem("extra.region_id", "is missing; give the region, for example cn-hangzhou, or set host")
        if self.internal and not self.account_id:
            fields.problem("extra.account_id", "is missing; the -internal (VPC) endpoint needs it")

    def _check_region(self, fields: _Fields) -> None:
        named = region_of(self.endpoint or "")
        if named and named != self.region_id:
            fields.problem(
                "region_id",
                f"{self.region_id!r} was asked for, but the connection's host is in {named}; use another connection, "
                "or leave host empty and give account_id",
            )


_DIGITS = re.compile(r"[0-9]+")
_REGION = re.compile(r"[A-Za-z0-9-]+")
_AUTHORITY = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:[0-9]+)?")
_LOOPBACK = re.compile(r"(localhost|127(\.[0-9]+){3}|\[::1\])(:[0-9]+)?")


def is_loopback(origin: str) -> bool:
    """Whether an origin or authority names this very machine."""
    return _LOOPBACK.fullmatch(origin.rpartition("://")[2]) is not None


# {account}.{region}[-internal].fc.aliyuncs.com, {region}.fc.aliyuncs.com, fcv3.{region}.aliyuncs.com (page "Endpoints")
_REGION_IN_HOST = re.compile(
    r"https?://(?:(?:\d+\.)?([a-z0-9-]+?)(?:-internal)?\.fc|fcv3\.([a-z0-9-]+))\.aliyuncs\.com(?::\d+)?"
)


def region_of(endpoint: str) -> str | None:
    """The region that an endpoint of Alibaba Cloud's own belongs to."""
    found = _REGION_IN_HOST.fullmatch(endpoint.lower())
    return None if found is None else found[1] or found[2]


def _is_blank(override: object) -> bool:
    """Not given, or what a template makes of that."""
    return override is None or str(override).strip() in ("", "None")


def _region(fields: _Fields, override: str | None) -> str | None:
    if not _is_blank(override):
        fields = _Fields({"region_id": override}, fields.problems)
    # The official Alibaba provider calls it "region".
    key = "region_id" if fields.text("region_id") else "region"
    return fields.matching(key, _REGION, "a region id such as cn-hangzhou")


def _endpoint(fields: _Fields, host: str | None, port: int | None) -> str | None:
    """``host`` with or without scheme and port -> origin; https unless it says otherwise or is this machine."""
    text = (host or "").strip().rstrip("/")
    if not text:
        return None
    scheme, found, authority = text.rpartition("://")
    if not found:
        scheme = "http" if is_loopback(authority) else "https"
    if port and not authority.rpartition("]")[2].count(":"):
        authority = f"{authority}:{port}"
    scheme = scheme.lower()
    if scheme not in ("http", "https") or not _AUTHORITY.fullmatch(authority):
        shown = text.rpartition("@")[2]  # what stands before an @ may be a password
        fields.problem("host", f"{shown!r} is not an endpoint; give a host or http(s)://host[:port] without a path")
        return None
    return f"{scheme}://{authority}"


def _auth(fields: _Fields, login: str | None, password: str | None) -> Auth:
    given = fields.text("auth_type")
    auth_type = _AUTH_TYPE_ALIASES.get(given or "", given)
    if auth_type is not None and auth_type not in REQUIRED_FIELDS:
        fields.problem("extra.auth_type", f"{given!r} is unknown; use one of {', '.join(REQUIRED_FIELDS)}")
        auth_type = None
    security_token = fields.text("security_token")
    kind: AuthType = auth_type or ("sts" if security_token else "access_key")
    auth = Auth(
        auth_type=kind,
        access_key_id=(login or "").strip() or fields.text("access_key_id"),
        access_key_secret=(password or "").strip() or fields.text("access_key_secret"),
        security_token=security_token,
        role_arn=fields.text("role_arn"),
        role_session_name=fields.text("role_session_name"),
        external_id=fields.text("external_id"),
        session_duration=fields.optional_whole("session_duration", at_least=MIN_SESSION_SECONDS),
        oidc_provider_arn=fields.text("oidc_provider_arn"),
        oidc_token_file=fields.text("oidc_token_file"),
        ecs_role_name=fields.text("ecs_role_name"),
        credentials_uri=fields.text("credentials_uri"),
    )
    values = {"login": auth.access_key_id, "password": auth.access_key_secret}
    for name in REQUIRED_FIELDS[kind]:
        if not values.get(name, getattr(auth, name, None)):
            fields.problem(_LABELS.get(name, f"extra.{name}"), f"is missing; auth_type {kind!r} needs it")
    return auth


class _Fields:
    """Reads ``extra`` leniently (everything may be text, as the form and URIs give it) and collects what is wrong."""

    def __init__(self, extra: Mapping[str, Any], problems: list[str] | None = None) -> None:
        self._extra = extra
        self.problems: list[str] = [] if problems is None else problems

    def problem(self, name: str, text: str) -> None:
        self.problems.append(f"{name} {text}")

    def text(self, name: str) -> str | None:
        """Stripped text, ``None`` for absent or blank (a form sends blanks for what was left empty)."""
        value = self._extra.get(name)
        return None if value is None else str(value).strip() or None

    def matching(self, name: str, pattern: re.Pattern[str], what: str) -> str | None:
        value = self.text(name)
        if value is not None and not pattern.fullmatch(value):
            self.problem(f"extra.{name}", f"{value!r} is not {what}")
        return value

    def choice(self, name: str, allowed: tuple[str, ...]) -> str | None:
        value = self.text(name)
        if value is not None and value not in allowed:
            self.problem(f"extra.{name}", f"{value!r} is unknown; use one of {', '.join(allowed)}")
            return None
        return value

    def boolean(self, name: str, *, default: bool) -> bool:
        value = self.text(name)
        if value is None:
            return default
        if value.lower() not in _BOOLEANS:
            self.problem(f"extra.{name}", f"{value!r} is not a boolean; use true or false")
            return default
        return _BOOLEANS[value.lower()]

    def number(self, name: str, default: float, *, above: float, whole: bool = False) -> float:
        value = self.text(name)
        if value is None:
            return default
        try:
            number = float(value)
        except ValueError:
            number = float("nan")
        if not above < number < float("inf") or (whole and number != int(number)):
            kind = "a whole number" if whole else "a number"
            self.problem(f"extra.{name}", f"{value!r} is not {kind} above {above:g}")
            return default
        return number

    def optional_whole(self, name: str, *, at_least: int) -> int | None:
        if self.text(name) is None:
            return None
        return int(self.number(name, at_least, above=at_least - 1, whole=True))

    def proxy(self) -> str | None:
        """A proxy's URL. What is wrong with it is said without showing it: it may hold a password."""
        value = self.text("proxy")
        if value is None:
            return None
        try:
            parts = urlsplit(value if "://" in value else f"//{value}")
            usable = bool(parts.hostname) and (parts.port is None or parts.port > 0)
        except ValueError:
            usable = False
        else:
            usable = usable and "@" not in parts.path + parts.query + parts.fragment
        if not usable:
            self.problem(
                "extra.proxy", "is not a proxy's URL; give http://[user:password@]host:port, with %-encoded password"
            )
            return None
        return value

    def verify(self) -> bool | str:
        """A boolean, or the path of a CA bundle."""
        value = self.text("verify")
        return True if value is None else _BOOLEANS.get(value.lower(), value)


_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
