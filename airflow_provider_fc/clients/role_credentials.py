"""Fetches the credentials of roles with the library ``alibabacloud-credentials``.

From the library we take one thing: its blocking exchange with whoever hands out credentials. Its caches, log lines
and threads are kept out (``_Place``, ``_silence``), since they hold up event loops, show answers with keys in them, and
outlive their users.
"""

from __future__ import annotations

import json
import logging
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from configparser import ConfigParser
from configparser import Error as ConfigParserError
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from airflow_provider_fc.clients.network import proxy_for, transport_error
from airflow_provider_fc.core.endpoints import is_loopback
from airflow_provider_fc.core.errors import (
    AccessDeniedError,
    CertificateError,
    FunctionComputeError,
    MalformedBodyError,
    SettingsError,
    TransportError,
    UnavailableError,
)
from airflow_provider_fc.core.http import HttpRequest
from airflow_provider_fc.core.settings import Auth, Settings
from airflow_provider_fc.core.signing import Credentials

log = logging.getLogger(__name__)

Fetch = Callable[[], Credentials]
"""Obtains new credentials; blocks, and raises a :class:`FunctionComputeError` if there are none."""

_METADATA = "http://100.100.100.200"
_CONNECT_SECONDS, _READ_SECONDS = 5.0, 10.0  # at most: a renewal must not hold up a wait for longer


def source_for(settings: Settings, *, sts_endpoint: str | None = None) -> Fetch:
    """Choose how to obtain credentials for an ``auth_type`` that has to ask somebody.

    :param sts_endpoint: host or origin of STS; by default the region's.
    """
    sts = sts_endpoint or _sts_endpoint(settings)
    match settings.auth.auth_type:
        case "ram_role_arn":
            return _assume_role(settings, sts)
        case "oidc_role_arn":
            return _assume_role_with_oidc(settings, sts)
        case "ecs_ram_role":
            return _instance_role(settings)
        case "credentials_uri":
            return _uri(settings, settings.auth.credentials_uri or "")
        case _:
            return _FirstFound(settings, sts)


def _sts_endpoint(settings: Settings) -> str:
    """Choose by page "Endpoints" of STS: one per region, another inside a VPC; the central one without a region."""
    if not settings.region_id:
        return "sts.aliyuncs.com"
    return f"sts{'-vpc' if settings.internal else ''}.{settings.region_id}.aliyuncs.com"


def _session_name(auth: Auth) -> str:
    return auth.role_session_name or os.environ.get("ALIBABA_CLOUD_ROLE_SESSION_NAME") or "airflow-provider-fc"


def _assume_role(settings: Settings, sts: str) -> _Place:
    auth = settings.auth
    return _Place(
        settings,
        "AssumeRole",
        lambda library, options: library.RamRoleArnCredentialsProvider(
            access_key_id=auth.access_key_id,
            access_key_secret=auth.access_key_secret,
            security_token=auth.security_token,
            role_arn=auth.role_arn,
            role_session_name=_session_name(auth),
            duration_seconds=auth.session_duration,
            external_id=auth.external_id,
            sts_endpoint=sts,
            http_options=options,
        ),
        origin=sts if "://" in sts else f"https://{sts}",
        hint="check role_arn, whom the role trusts, and that this AccessKey may call sts:AssumeRole",
    )


def _assume_role_with_oidc(settings: Settings, sts: str) -> _Place:
    auth = settings.auth  # what it leaves open (auth_type default) the library takes from the environment
    return _Place(
        settings,
        "AssumeRoleWithOIDC",
        lambda library, options: library.OIDCRoleArnCredentialsProvider(
            role_arn=auth.role_arn,
            oidc_provider_arn=auth.oidc_provider_arn,
            oidc_token_file_path=auth.oidc_token_file,
            role_session_name=_session_name(auth),
            duration_seconds=auth.session_duration,
            sts_endpoint=sts,
            http_options=options,
        ),
        origin=sts if "://" in sts else f"https://{sts}",
        hint="check role_arn, oidc_provider_arn, whom the role trusts, and the token's audience",
    )


def _instance_role(settings: Settings) -> _Place:
    return _Place(
        settings,
        "instance metadata",
        lambda library, options: _role_of_this_instance(library, settings.auth.ecs_role_name),
        origin=_METADATA,
        hint="the instance has no RAM role, or another one than ecs_role_name says",
    )


def _role_of_this_instance(library: Any, role_name: str | None) -> Any:
    # Left to itself it starts a scheduler thread that nobody can stop. Its timeouts are 1 s: the address is near.
    return library.EcsRamRoleCredentialsProvider(role_name=role_name, async_update_enabled=False)


def _uri(settings: Settings, uri: str) -> _Place:
    return _Place(
        settings,
        "credentials URI",
        lambda library, options: library.URLCredentialsProvider(uri=uri, http_options=options),
        origin=_origin(uri),
        hint="check credentials_uri",
    )


def _origin(uri: str) -> str:
    """Scheme and authority, which may be shown; empty for what is no address of the web."""
    try:
        parts = urlsplit(uri)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.hostname}{port}" if parts.scheme in ("http", "https") and parts.hostname else ""


class _Place:
    """Somewhere to get credentials from, by a provider of the library, each time a new one.

    The providers, and not the library's ``Client``, because only they tell when credentials expire. A new one each
    time, because what they keep they return again, even where the server has refused it.

    :param name: what is asked, for messages.
    :param build: makes the provider, given the library's module of providers and its options for HTTP.
    :param origin: who is asked; ``None`` for files and variables.
    :param hint: what to check after a refusal.
    """

    def __init__(
        self, settings: Settings, name: str, build: Callable[[Any, Any], Any], *, origin: str | None = None, hint: str
    ) -> None:
        self.name = name
        self._settings = settings
        self._build = build
        self._origin = origin
        self._hint = hint

    def __call__(self) -> Credentials:
        library, http_options = _import_library(self._settings.auth.auth_type)
        options = http_options(**self._network())
        with _silence():
            try:
                provider = self._build(library, options)
            except Exception as error:  # noqa: BLE001 - what it needs is missing, switched off, or of another type
                failure: FunctionComputeError = self._unusable(self._redact(str(error)))
            else:
                try:
                    return _snapshot(provider.get_credentials())
                except Exception as error:  # noqa: BLE001 - the library lets anything through, TypeErrors included
                    failure = self._failure(error)
        # Only here: the library's error quotes whole URLs and answers, and must not come along as the context.
        raise failure

    def _network(self) -> dict[str, Any]:
        settings, origin = self._settings, self._origin
        if origin is None:
            return {}
        if not origin:
            raise self._unusable("extra.credentials_uri is not an http or https URL; give the whole URL")
        proxy = proxy_for(settings, origin)
        if origin.startswith("http:"):
            self._check_plain(origin, proxy)
        return {
            "proxy": proxy,
            "connect_timeout": int(1000 * min(settings.connect_timeout, _CONNECT_SECONDS)),
            "read_timeout": int(1000 * min(settings.read_timeout, _READ_SECONDS)),
        }

    def _check_plain(self, origin: str, proxy: str | None) -> None:
        environment = os.environ.get("HTTP_PROXY") or os.environ.get("http_proxy")
        if environment and (proxy is None or origin == _METADATA):
            # The library knows no NO_PROXY. The proxy might even answer, with the role of the machine it runs on.
            raise self._unusable(f"the variable HTTP_PROXY sends what is meant for {origin} to a proxy; unset it")
        _warn_of_plain_http(origin)

    def _unusable(self, problem: str) -> SettingsError:
        return SettingsError(self._settings.conn_id, [f"{self.name}: {problem}"])

    def _failure(self, error: Exception) -> FunctionComputeError:
        """Tell what the library's error means; it tells a refusal from a fault by its text only."""
        kind = type(error).__name__
        if isinstance(error, OSError) and error.filename:
            return self._unusable(
                f"{error.filename} cannot be read: {error.strerror}; check its path and rights on this host"
            )
        if kind == "RetryError" or isinstance(error, OSError):
            return self._unreachable(error)
        text, _, answer = str(error).partition("result:")
        if kind != "CredentialException" or (answer and not _STATUS.search(text)):
            return MalformedBodyError(f"{self.name}: the answer holds no credentials ({kind})")
        if status := _STATUS.search(text):
            return self._refusal(int(status[1]), answer)
        if self._origin is None:
            return self._unusable(self._redact(text.partition("\n")[0]))
        if text.startswith("No cached value"):
            text = "what it gives has expired, or this machine's clock is wrong"
        return MalformedBodyError(f"{self.name}: {self._redact(text)}")

    def _unreachable(self, error: Exception) -> TransportError:
        cause = error.__context__ if isinstance(error.__context__, Exception) else error
        request = HttpRequest(self.name, self._origin or "what it refers to", "")
        advice = {"untrusted": "add its authority with the variable SSL_CERT_FILE"}
        told = transport_error(request, cause, advice=advice)
        return told if "?" not in str(told) else TransportError(f"{self.name}: no answer")

    def _refusal(self, status: int, answer: str) -> FunctionComputeError:
        fields = _fields(answer)
        code, message = fields.get("Code"), fields.get("Message", "")[:2000]
        if "Signature" in (code or ""):
            message = "the AccessKey secret does not fit"  # theirs quotes the whole request
        transient = status == 429 or status >= 500 or (code or "").startswith(("Throttling", "ServiceUnavailable"))
        kind = UnavailableError if transient else AccessDeniedError
        hint = None if transient else self._hint
        return kind(self.name, status, code, self._redact(message)[:300], fields.get("RequestId"), hint=hint)

    def _redact(self, text: str) -> str:
        """Take out our own secrets, and whatever resembles somebody's: servers quote what was signed."""
        auth = self._settings.auth
        own = Credentials(auth.access_key_id or "", auth.access_key_secret or "", auth.security_token)
        return _LIKE_A_SECRET.sub("***", own.redact(text))


_STATUS = re.compile(r"http_?code\W{1,3}(\d{3})", re.IGNORECASE)
_LIKE_A_SECRET = re.compile(r"(?=[\w+=%~-]*\d)[\w+=%~-]{16,}")


def _fields(answer: str) -> dict[str, str]:
    try:
        fields = json.loads(answer)
    except ValueError:
        return {}
    return {name: text for name, text in fields.items() if isinstance(text, str)} if isinstance(fields, dict) else {}


def _snapshot(found: Any) -> Credentials:
    if not (found.get_access_key_id() and found.get_access_key_secret()):
        raise ValueError("incomplete")
    return Credentials(
        found.get_access_key_id(),
        found.get_access_key_secret(),
        found.get_security_token() or None,
        found.get_expiration() or None,
    )


@lru_cache(maxsize=64)
def _warn_of_plain_http(origin: str) -> None:
    if not is_loopback(origin) and origin != _METADATA:
        log.warning("Credentials are fetched from %s without encryption; use https", origin)


# --- auth_type default ------------------------------------------------------------------------------------------------


class _FirstFound:
    """Asks where Alibaba Cloud's own tools do, in their order, and stays with the place that had credentials.

    The library's chain is not used: it loses the expiry, starts threads, and takes another identity when one cannot be
    had for a moment.
    """

    def __init__(self, settings: Settings, sts: str) -> None:
        self._settings = settings
        self._metadata = _instance_role(settings)
        uri = settings.auth.credentials_uri or os.environ.get("ALIBABA_CLOUD_CREDENTIALS_URI")
        self._places = [
            self._local("environment", lambda library, options: library.EnvironmentVariableCredentialsProvider()),
            _assume_role_with_oidc(settings, sts),
            self._local("profile of the aliyun command", lambda library, options: _aliyun_profile(library)),
            self._local("credentials file", lambda library, options: _ini_profile(library)),
            self._metadata,
            *([_uri(settings, uri)] if uri else []),
        ]

    def _local(self, name: str, build: Callable[[Any, Any], Any]) -> _Place:
        return _Place(self._settings, name, build, hint=f"the keys or the role come from auth_type 'default': {name}")

    def __call__(self) -> Credentials:
        failures: list[FunctionComputeError] = []
        for place in self._places:
            try:
                credentials = place()
            except FunctionComputeError as error:
                # Off an instance the metadata cannot be reached, which is no reason to give up.
                if (error.transient or isinstance(error, CertificateError)) and place is not self._metadata:
                    raise
                failures.append(error)
            else:
                self._places = [place]
                return credentials
        raise self._nothing_found(failures)

    def _nothing_found(self, failures: list[FunctionComputeError]) -> FunctionComputeError:
        for error in failures:
            if isinstance(error, AccessDeniedError):
                return error
        told = [text for e in failures for text in (e.problems if isinstance(e, SettingsError) else [str(e)])]
        if any(error.transient for error in failures):
            return TransportError(f"auth_type 'default' found no credentials; {_GIVE_SOME}: {'; '.join(told)}")
        return SettingsError(
            self._settings.conn_id, [f"auth_type 'default' found no credentials; {_GIVE_SOME}:", *told]
        )


_GIVE_SOME = "give some in one of these places, or choose another auth_type"


# --- profiles ---------------------------------------------------------------------------------------------------------

# Profiles that lead to temporary credentials: made by ourselves, since the library's own reading of these files drops
# the expiry and starts a thread for an instance's role. All others hold keys, or belong to somebody at a terminal.
_ASSUMED = ("role_arn", "role_session_name", "duration_seconds", "policy", "sts_region_id", "enable_vpc")
_ROLE = ("RamRoleArnCredentialsProvider", ("access_key_id", "access_key_secret", "external_id", *_ASSUMED))
_OIDC = ("OIDCRoleArnCredentialsProvider", ("oidc_provider_arn", "oidc_token_file_path", *_ASSUMED))
_INSTANCE = ("EcsRamRoleCredentialsProvider", ("role_name",))
_PROFILES = {
    "RamRoleArn": _ROLE,
    "ram_role_arn": _ROLE,
    "ChainableRamRoleArn": _ROLE,
    "OIDC": _OIDC,
    "oidc_role_arn": _OIDC,
    "EcsRamRole": _INSTANCE,
    "ecs_ram_role": _INSTANCE,
    "External": ("ExternalCredentialsProvider", ("process_command",)),
}
"""Modes of the aliyun command and types of the credentials file: the library's provider, and its arguments."""

_ALIYUN_KEYS = {
    "role_arn": "ram_role_arn",
    "role_session_name": "ram_session_name",
    "role_name": "ram_role_name",
    "duration_seconds": "expired_seconds",
    "sts_region_id": "sts_region",
    "oidc_token_file_path": "oidc_token_file",
}
"""Arguments for which the aliyun command has keys of its own."""


def _of_profile(library: Any, kind: object, profile: Mapping[str, Any], **chained: Any) -> Any:
    """Make the provider that a profile asks for; ``None`` for what the library reads well enough itself."""
    name, arguments = _PROFILES.get(str(kind), ("", ()))
    if not hasattr(library, name):  # also one that this version of the library does not have
        return None
    values = {argument: profile.get(argument) or profile.get(_ALIYUN_KEYS.get(argument, "")) for argument in arguments}
    if name == _INSTANCE[0]:
        return _role_of_this_instance(library, values["role_name"])
    return getattr(library, name)(**{argument: value for argument, value in values.items() if value}, **chained)


class _AliyunFile(msgspec.Struct):
    current: str | None = None
    profiles: list[dict[str, Any]] = []


def _aliyun_profile(library: Any) -> Any:
    path = Path.home() / ".aliyun" / "config.json"
    wanted = os.environ.get("ALIBABA_CLOUD_PROFILE")
    try:
        file = msgspec.json.decode(path.read_bytes(), type=_AliyunFile)
    except (OSError, ValueError, msgspec.DecodeError):
        file = _AliyunFile()  # the library says what is wrong with it
    disabled = os.environ.get("ALIBABA_CLOUD_CLI_PROFILE_DISABLED", "").lower() == "true"
    profiles = {} if disabled else {profile.get("name"): profile for profile in reversed(file.profiles)}

    def provider_of(name: str | None) -> Any:
        profile = profiles.pop(name, {})
        mode, chained = profile.get("mode"), {}
        if mode == "ChainableRamRoleArn":
            chained = {"credentials_provider": provider_of(profile.get("source_profile"))}
        made = _of_profile(library, mode, profile, **chained)
        return made or library.CLIProfileCredentialsProvider(profile_name=name, profile_file=str(path))

    return provider_of(wanted or file.current)


def _ini_profile(library: Any) -> Any:
    path = os.environ.get("ALIBABA_CLOUD_CREDENTIALS_FILE") or str(Path.home() / ".alibabacloud" / "credentials.ini")
    name = os.environ.get("ALIBABA_CLOUD_PROFILE") or "default"
    parser = ConfigParser(interpolation=None)
    with suppress(ConfigParserError, ValueError):  # the library says what is wrong with it
        parser.read(path, encoding="utf-8")
    section = {key: text.partition("#")[0].strip() for key, text in parser.items(name)} if name in parser else {}
    made = _of_profile(library, section.get("type"), section)
    return made or library.ProfileCredentialsProvider(profile_name=name, profile_file=path)


# --- the library ------------------------------------------------------------------------------------------------------

_CHATTY = ("credentials", "alibabacloud-tea", "urllib3.connectionpool", "urllib3.connection", "urllib3.util.retry")
_fetching = threading.local()


def _import_library(auth_type: str) -> tuple[Any, Any]:
    """Give its providers and its ``HttpOptions``; 0.6 s of CPU the first time, which is why it happens here.

    :raises SettingsError: the extra is not installed.
    """
    chatty = [logging.getLogger(name) for name in _CHATTY]
    before = [list(logger.handlers) for logger in chatty]
    try:
        # Not before a connection asks for it: it costs 0.6 s, and is an extra.
        from alibabacloud_credentials import http, provider
    except ImportError:
        problem = f"auth_type {auth_type!r} needs an extra: pip install 'airflow-provider-fc[credentials]'"
        raise SettingsError("", [problem]) from None
    # The import adds handlers that print everything to stderr once more.
    for logger, handlers in zip(chatty, before, strict=True):
        for handler in [each for each in logger.handlers if each not in handlers]:
            logger.removeHandler(handler)
        logger.addFilter(_said_elsewhere)
    return provider, http.HttpOptions


def _said_elsewhere(record: logging.LogRecord) -> bool:
    return not getattr(_fetching, "silent", False)


@contextmanager
def _silence() -> Iterator[None]:
    """Keep the library and urllib3 from logging what this thread does: they write URLs and answers, keys included.

    What is worth knowing of it ends up in our errors.
    """
    _fetching.silent = True
    try:
        yield
    finally:
        _fetching.silent = False
