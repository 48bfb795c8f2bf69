"""Connection fields -> Settings, with every mistake named in one error."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import Any, Literal
from urllib.parse import urlsplit

from airflow_provider_fc.core import parameters
from airflow_provider_fc.core.api import Api, FunctionRef, function_ref
from airflow_provider_fc.core.connection_fields import AUTH_TYPES, CONN_TYPE, EXTRA_FIELDS, STANDARD_FIELDS, Field
from airflow_provider_fc.core.endpoints import check_internal_only, origin_of, region_of, usual_origin
from airflow_provider_fc.core.errors import ParameterError, SettingsError
from airflow_provider_fc.core.signing import Signature

log = logging.getLogger(__name__)

Console = Literal["china", "international"]

_DEFAULTS: dict[str, Any] = {row.name: row.default for row in EXTRA_FIELDS}


@dataclass(frozen=True, slots=True)
class Auth:
    """How to obtain credentials. Nothing of it is ever shown."""

    auth_type: str = "access_key"
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


_OF_AUTH = {each.name for each in fields(Auth)}


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a client needs to know, frozen, hashable and free of Airflow.

    :param endpoint: origin that overrides the rule of :meth:`origin`.
    :param connect_timeout: seconds.
    :param read_timeout: seconds between two reads.
    :param max_attempts: tries of one request, the first included.
    :param verify: ``True`` for the environment's CAs or else the public ones (certifi), ``False`` for none, or the path
        of a CA bundle.
    :param proxy: URL; without it the environment's proxy settings apply.
    :param console: the site that links lead to.
    """

    conn_id: str
    auth: Auth
    endpoint: str | None = None
    region_id: str | None = None
    account_id: str | None = None
    internal: bool = _DEFAULTS["internal"]
    api_version: str | None = None
    signature: Signature | None = None
    connect_timeout: float = _DEFAULTS["connect_timeout"]
    read_timeout: float = _DEFAULTS["read_timeout"]
    max_attempts: int = _DEFAULTS["max_attempts"]
    verify: bool | str = _DEFAULTS["verify"]
    proxy: str | None = field(default=None, repr=False)
    console: Console = _DEFAULTS["console"]

    def function(self, function_name: object, service_name: object = None, qualifier: object = None) -> FunctionRef:
        """Check the names and address the function in the API version that they and the connection imply."""
        return function_ref(function_name, service_name, qualifier, api_version=self.api_version)

    def origin(self, api: Api) -> str:
        """Tell where to send requests of this API: scheme and authority.

        :raises SettingsError: FC 2.0 has no endpoint without an account id.
        """
        if self.endpoint:
            return self.endpoint
        try:
            return usual_origin(self.region_id, self.account_id, internal=self.internal, has_services=api.has_services)
        except ParameterError as error:
            raise SettingsError(self.conn_id, [_line(error)]) from None

    def signature_for(self, api: Api) -> Signature:
        """Choose the signature: the connection's, else the one that belongs to the API."""
        return self.signature or api.signature

    @classmethod
    def from_connection(
        cls,
        conn_id: str,
        *,
        conn_type: str = CONN_TYPE,
        host: str | None = None,
        port: int | None = None,
        login: str | None = None,
        password: str | None = None,
        extra: Mapping[str, Any] | None = None,
        schema: str | None = None,
        region_id: str | None = None,
    ) -> Settings:
        """Read an ``alibaba_fc`` connection, or an ``alibaba_cloud`` one of the official provider (keys in extra).

        :param region_id: overrides the connection's region.
        :raises SettingsError: names every mistake.
        """
        given = _Given(conn_id, {"login": login, "password": password}, extra or {}, conn_type)
        if conn_type == CONN_TYPE:
            given.refuse_unknown()
            given.read(_check_no_schema, schema)
        elif given.unknown:  # such a connection serves others too
            log.info("Connection %r: not used for Function Compute: extra %s", conn_id, ", ".join(given.unknown))
        overridden = parameters.is_given("region_id", region_id)
        if overridden:
            given.texts["region_id"] = ("region_id", str(region_id).strip())
        auth = given.auth()
        settings = cls(
            conn_id=conn_id,
            auth=auth,
            endpoint=given.read(origin_of, host, port),
            **{row.name: given.value(row) for row in EXTRA_FIELDS if row.name not in _OF_AUTH},
        )
        if not (host or "").strip():
            given.read(_check_region_is_given, settings)
            given.read(_check_account_is_given, settings)
        elif overridden:
            given.read(_check_region_of_host, settings)
        if given.problems:
            raise SettingsError(conn_id, given.problems)
        return settings


def _check_no_schema(schema: str | None) -> None:
    if (schema or "").strip():
        raise ParameterError("schema", f"{schema!r} is not read; write a scheme into host, as in http://127.0.0.1:9000")


def _check_region_is_given(settings: Settings) -> None:
    if not settings.region_id:
        raise ParameterError("extra.region_id", "is missing; give the region, for example cn-hangzhou, or set host")
    check_internal_only(settings.region_id, settings.account_id, internal=settings.internal)


def _check_account_is_given(settings: Settings) -> None:
    if settings.internal and not settings.account_id:
        raise ParameterError(
            "extra.account_id", "is missing; the -internal (VPC) endpoint needs it: give it, or set internal to false"
        )


def _check_region_of_host(settings: Settings) -> None:
    named = region_of(settings.endpoint or "")
    if named and named != settings.region_id:
        raise ParameterError(
            "region_id",
            f"{settings.region_id!r} was asked for, but the connection's host is in {named}; use another connection, "
            "or leave host empty and give account_id",
        )


def _line(error: ParameterError) -> str:
    return f"{error.name} {error.problem}"


# --- one field --------------------------------------------------------------------------------------------------------

_REGION = re.compile(r"[a-z0-9-]+")
_DIGITS = re.compile(r"[0-9]+")
# "y" is what the form of Airflow 2 sends for a box that is ticked, when its Test button is pressed.
_BOOLEANS = {"yes": "true", "y": "true", "1": "true", "no": "false", "0": "false"}

# The official Alibaba provider keeps the keys in extra and calls this way "AK".
_CHOICE_ALIASES = {"AK": "access_key"}


def _proxy(name: str, text: str) -> str:
    """Read a proxy's URL. What is wrong with it is said without showing it: it may hold a password."""
    try:
        parts = urlsplit(text if "://" in text else f"//{text}")
        usable = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    else:
        usable = usable and "@" not in parts.path + parts.query + parts.fragment
    if not usable:
        raise ParameterError(
            name, "is not a proxy's URL; give http://[user:password@]host:port, with %-encoded password"
        )
    return text


def _boolean(name: str, text: str) -> bool:
    return parameters.boolean(name, _BOOLEANS.get(text.lower(), text))


def _verify(name: str, text: str) -> bool | str:
    """Read a boolean, or the path of a CA bundle."""
    word = _BOOLEANS.get(text.lower(), text.lower())
    return _boolean(name, word) if word in ("true", "false") else text


PARSERS: dict[str, Callable[[Field, str, str], Any]] = {
    "text": lambda row, name, text: text,
    "secret": lambda row, name, text: text,
    "region": lambda row, name, text: parameters.matching(
        name, text.lower(), _REGION, "a region id such as cn-hangzhou"
    ),
    "account": lambda row, name, text: parameters.matching(name, text, _DIGITS, "the primary account's numeric id"),
    "boolean": lambda row, name, text: _boolean(name, text),
    "choice": lambda row, name, text: parameters.choice(name, _CHOICE_ALIASES.get(text, text), row.choices),
    "whole": lambda row, name, text: parameters.whole_number(name, text, at_least=row.at_least or 0),
    "timeout": lambda row, name, text: parameters.timeout(name, text),
    "verify": lambda row, name, text: _verify(name, text),
    "proxy": lambda row, name, text: _proxy(name, text),
}
"""How the text of a field becomes its value, by the kind of the row."""


# --- all of them ------------------------------------------------------------------------------------------------------


class _Given:
    """What a connection's author has filled in, and what is wrong with it.

    Everything may be text, as the form and URIs give it; blanks are what a form sends for what was left empty.

    :ivar texts: by field, its name as the author spelled it, and its stripped text.
    :ivar unknown: keys of extra that belong to no field.
    """

    def __init__(self, conn_id: str, standard: Mapping[str, Any], extra: Mapping[str, Any], conn_type: str) -> None:
        self.conn_id = conn_id
        self.problems: list[str] = []
        self.texts: dict[str, tuple[str, str]] = {}
        values = {_shown(name): value for name, value in standard.items()}
        values |= {f"extra.{key}": value for key, value in extra.items()}
        spellings = {name: row for row in _ROWS for name in _spellings(row, conn_type)}
        for name, row in spellings.items():
            text = self.read(_text_of, row, name, values.get(name))
            if text:
                self.texts.setdefault(row.name, (name, text))
        self.unknown = [key for key in extra if f"extra.{key}" not in spellings]

    def refuse_unknown(self) -> None:
        """Note what nobody reads, since its author believes in it, with the field that may be meant."""
        for key in self.unknown:
            near = get_close_matches(_plain(key), _NEAR, n=1, cutoff=0.5)
            known = f"did you mean {_shown(_NEAR[near[0]])}?" if near else f"use one of {', '.join(_OF_EXTRA)}"
            self.problems.append(f"extra.{key} is unknown; {known}")

    def read(self, parse: Callable[..., Any], *args: Any) -> Any:
        """Call a function that reads or checks something; note its objection."""
        try:
            return parse(*args)
        except ParameterError as error:
            self.problems.append(_line(error))
            return None

    def value(self, row: Field) -> Any:
        """Read a field; its default where it is absent or wrong."""
        if row.name not in self.texts:
            return row.default
        value = self.read(PARSERS[row.kind], row, *self.texts[row.name])
        return row.default if value is None else value

    def auth(self) -> Auth:
        """Read who we are, and note what is missing for that."""
        values = {row.name: self.value(row) for row in EXTRA_FIELDS if row.name in _OF_AUTH}
        for name, attribute in (("login", "access_key_id"), ("password", "access_key_secret")):
            values[attribute] = self.texts[name][1] if name in self.texts else None
        if "auth_type" in self.texts:
            kind = values["auth_type"] or "access_key"
            self._miss(kind, f"auth_type {kind!r}")
            self._tell_unused(kind)
        elif kind := self.read(implied_auth_type, given := [name for name in _IDENTITY if name in self.texts]):
            telling = [name for name in given if name not in _KEYS]
            self._miss(kind, f"auth_type {kind!r}" + (f" (because of {_listed(telling)})" if telling else ""))
        return Auth(**{**values, "auth_type": kind or "access_key"})

    def _tell_unused(self, kind: str) -> None:
        """Say what a stated ``auth_type`` passes over: it holds, but its author may believe in the other fields."""
        needs, may = AUTH_TYPES[kind]
        unused = [name for name in _IDENTITY if name in self.texts and name not in (*needs, *may)]
        if unused:
            log.info("Connection %r: not used with auth_type %r: %s", self.conn_id, kind, _listed(unused))

    def _miss(self, kind: str, who: str) -> None:
        for name in AUTH_TYPES[kind].needs:
            if name not in self.texts:
                self.problems.append(f"{_shown(name)} is missing; {who} needs it: give it, or set another auth_type")


_KEYS = ("login", "password")
_ROWS = (*STANDARD_FIELDS, *EXTRA_FIELDS)
_OF_EXTRA = [row.name for row in EXTRA_FIELDS]
_IDENTITY = list(dict.fromkeys(name for auth in AUTH_TYPES.values() for name in (*auth.needs, *auth.may)))
_LABELS = {row.name: f"{row.name} ({row.label})" for row in STANDARD_FIELDS}


def _shown(name: str) -> str:
    return _LABELS.get(name, f"extra.{name}")


def _spellings(row: Field, conn_type: str) -> list[str]:
    """List the names under which a field is read; the first that has a value counts."""
    # Airflow's forms used to store the fields of a type in extra with such a prefix.
    prefixed = [] if row in STANDARD_FIELDS else [f"extra.extra__{conn_type}__{row.name}"]
    return [_shown(row.name), *prefixed, *(f"extra.{alias}" for alias in row.aliases)]


_FREE = ("text", "secret", "proxy", "verify")
"""Kinds that any text fits: nothing later would refuse what a program has made of something else."""


def _text_of(row: Field, name: str, value: object) -> str:
    """Give the text of a value. What is wrong with it is said without showing it: it may be a secret.

    :raises ParameterError: it is neither text nor a number, or the text that a program makes of nothing.
    """
    text = "" if value is None else str(value).strip()
    if text and row.kind in _FREE:
        if not isinstance(value, (str, int)) or (isinstance(value, bool) and row.kind != "verify"):
            raise ParameterError(name, f"is of type {type(value).__name__}; give text")
        if text == "None":
            raise ParameterError(
                name, "is the text None, which programs make of nothing; give a value, or leave it out"
            )
    return text


def _plain(text: str) -> str:
    return re.sub(r"\W+", "_", text.lower())


_NEAR = {_plain(text): row.name for row in _ROWS for text in (row.label, row.name)}
"""The field that an author may mean by a name: authors also call it by its label."""


def implied_auth_type(given: Sequence[str]) -> str:
    """Tell what the fields that are filled in mean, where no ``auth_type`` says it.

    Of those that use all of these fields it is the one that lacks the least.

    :raises ParameterError: they fit none, or several equally well: nobody is taken for somebody else by a guess.
    """
    if not given:
        return "access_key"
    lacking = {
        kind: len({*auth.needs} - {*given})
        for kind, auth in AUTH_TYPES.items()
        if kind != "default" and {*given} <= {*auth.needs, *auth.may}
    }
    best = [kind for kind, count in lacking.items() if count == min(lacking.values())]
    if len(best) == 1:
        return best[0]
    problem = f"may mean {' or '.join(best)}" if best else "do not belong to one auth_type"
    raise ParameterError(
        "extra.auth_type", f"is missing, and {_listed(given)} {problem}; give it, and leave out what is not meant"
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(_shown(name) for name in names)
