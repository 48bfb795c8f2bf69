"""Each ``auth_type`` against a service on this machine that hands out credentials, refuses to, or is out of order."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import re
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlsplit

import pytest

from airflow_provider_fc.clients import credentials, role_credentials
from airflow_provider_fc.clients.credentials import provider_for
from airflow_provider_fc.clients.role_credentials import source_for
from airflow_provider_fc.core.errors import (
    AccessDeniedError,
    CertificateError,
    FunctionComputeError,
    MalformedBodyError,
    SettingsError,
    TransportError,
    UnavailableError,
)
from airflow_provider_fc.core.settings import Auth, Settings
from airflow_provider_fc.core.signing import Credentials

if TYPE_CHECKING:
    from clients.conftest import Authority

# The library's signing uses datetime.utcnow, which Python 3.12 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")

EXPIRATION = "2033-05-18T03:33:20Z"
EXPIRES_AT = 2_000_000_000
ROLE = "acs:ram::1234567890123456:role/airflow"
OIDC_PROVIDER = "acs:ram::1234567890123456:oidc-provider/ack-rrsa"
OIDC_TOKEN = "eyJhbGciOiJSUzI1NiJ9.canary-oidc-token-1.c2lnbmF0dXJlLTE"
KEY, SECRET, TOKEN = "canary-access-key-id", "canary-access-key-secret", "canary+security/token=="
ISSUED = Credentials("STS.canary-issued-id-1", "canary-issued-secret-1", "canary-issued+token/1==", EXPIRES_AT)
SECRETS = [KEY, SECRET, TOKEN, OIDC_TOKEN, *ISSUED.parts]


# --- the other side ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Asked:
    path: str
    query: dict[str, str]
    headers: dict[str, str]


Answer = tuple[int, Any]


@dataclass
class Service:
    """Answers GET on a free port of this machine, from a script or else with new credentials.

    :param script: status and body of the next answers; a callable makes them from what is asked.
    """

    tls: ssl.SSLContext | None = None
    script: list[Answer | Callable[[Asked], Answer]] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)

    def __post_init__(self) -> None:
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                headers = {name.lower(): value for name, value in self.headers.items()}
                status, body = service.answer(Asked(parts.path, dict(parse_qsl(parts.query)), headers))
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *arguments: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if self.tls:
            self._server.socket = self.tls.wrap_socket(self._server.socket, server_side=True)
        self.authority = f"127.0.0.1:{self._server.server_port}"
        self.origin = f"http{'s' if self.tls else ''}://{self.authority}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, asked: Asked) -> Answer:
        self.asked.append(asked)
        answer = self.script.pop(0) if self.script else (200, assumed(len(self.asked)))
        return answer(asked) if callable(answer) else answer

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def fields(number: int = 1) -> dict[str, str]:
    """The n-th credentials as STS and credentials URIs spell them."""
    return {
        "AccessKeyId": f"STS.canary-issued-id-{number}",
        "AccessKeySecret": f"canary-issued-secret-{number}",
        "SecurityToken": f"canary-issued+token/{number}==",
        "Expiration": EXPIRATION,
    }


def assumed(number: int = 1) -> dict[str, Any]:
    return {"RequestId": "request-1", "Credentials": fields(number)}


@pytest.fixture
def serve() -> Iterator[Callable[..., Service]]:
    services: list[Service] = []

    def make(*script: Any, **options: Any) -> Service:
        services.append(Service(script=list(script), **options))
        return services[-1]

    yield make
    for service in services:
        service.close()


@pytest.fixture(autouse=True)
def nothing_shared() -> Iterator[None]:
    credentials._shared.cache_clear()
    yield
    credentials._shared.cache_clear()


def settings_of(auth_type: Any, **auth: Any) -> Settings:
    return Settings("fc_roles", Auth(auth_type, **auth), region_id="cn-hangzhou")


def role(**auth: Any) -> Settings:
    given = {"access_key_id": KEY, "access_key_secret": SECRET, "role_arn": ROLE, **auth}
    return settings_of("ram_role_arn", **given)


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(OIDC_TOKEN)
    return path


def rrsa(token_file: Path) -> Settings:
    return settings_of("oidc_role_arn", role_arn=ROLE, oidc_provider_arn=OIDC_PROVIDER, oidc_token_file=str(token_file))


# --- ram_role_arn -----------------------------------------------------------------------------------------------------


def test_a_role_is_assumed_with_the_keys_of_the_connection(serve: Callable[..., Service]) -> None:
    sts = serve()
    settings = role(role_session_name="nightly", external_id="partner-7", session_duration=900)

    found = source_for(settings, sts_endpoint=sts.origin)()

    assert found == ISSUED
    query = sts.asked[0].query
    expected = {
        "Action": "AssumeRole",
        "Version": "2015-04-01",
        "AccessKeyId": KEY,
        "RoleArn": ROLE,
        "RoleSessionName": "nightly",
        "ExternalId": "partner-7",
        "DurationSeconds": "900",
    }
    assert query.items() >= expected.items()
    assert "SecurityToken" not in query
    assert query["Signature"] == rpc_signature(query, SECRET)


def rpc_signature(query: dict[str, str], secret: str) -> str:
    """Alibaba Cloud's RPC signature, version 1.0."""
    signed = sorted((name, value) for name, value in query.items() if name != "Signature")
    text = "&".join(f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in signed)
    digest = hmac.digest(f"{secret}&".encode(), f"GET&%2F&{quote(text, safe='~')}".encode(), hashlib.sha1)
    return base64.b64encode(digest).decode()


def test_a_role_can_be_assumed_with_temporary_keys(serve: Callable[..., Service]) -> None:
    sts = serve()

    source_for(role(security_token=TOKEN), sts_endpoint=sts.origin)()

    assert sts.asked[0].query["SecurityToken"] == TOKEN


def test_every_fetch_asks_sts_anew(serve: Callable[..., Service]) -> None:
    sts = serve()
    fetch = source_for(role(), sts_endpoint=sts.origin)

    assert [fetch().access_key_id for _ in range(3)] == [f"STS.canary-issued-id-{number}" for number in (1, 2, 3)]
    assert sts.asked[0].query["RoleSessionName"] == "airflow-provider-fc"
    assert sts.asked[0].query["DurationSeconds"] == "3600"
    assert len({asked.query["SignatureNonce"] for asked in sts.asked}) == 3


def test_sts_is_asked_over_https_with_a_certificate_that_the_system_trusts(
    serve: Callable[..., Service], authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    sts = serve(tls=authority.server)
    says = f"AssumeRole {sts.origin}: .*CERTIFICATE_VERIFY_FAILED.*the variable SSL_CERT_FILE"
    with pytest.raises(CertificateError, match=says):
        source_for(role(), sts_endpoint=sts.authority)()  # no scheme: as in production

    trusted = serve(tls=authority.server)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))
    assert source_for(role(), sts_endpoint=trusted.authority)() == ISSUED


@dataclass
class Recorder:
    """Stands in for one of the library's providers: remembers what it was made with, gives credentials."""

    made_with: list[dict[str, Any]] = field(default_factory=list)
    expiration: int | None = EXPIRES_AT

    def __call__(self, **arguments: Any) -> Recorder:
        self.made_with.append(arguments)
        return self

    def get_credentials(self) -> Any:
        from alibabacloud_credentials.provider.refreshable import Credentials

        return Credentials(
            access_key_id=ISSUED.access_key_id,
            access_key_secret=ISSUED.access_key_secret,
            security_token=ISSUED.security_token,
            expiration=self.expiration,
        )


@pytest.fixture
def record(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Recorder]:
    def stand_in(name: str) -> Recorder:
        recorder = Recorder()
        monkeypatch.setattr(f"alibabacloud_credentials.provider.{name}", recorder)
        return recorder

    return stand_in


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "sts.cn-hangzhou.aliyuncs.com"),
        ({"internal": True}, "sts-vpc.cn-hangzhou.aliyuncs.com"),
        ({"region_id": None}, "sts.aliyuncs.com"),
    ],
    ids=["public", "VPC", "no region"],
)
def test_sts_is_asked_in_the_region_and_network_of_the_connection(
    given: dict[str, Any], expected: str, record: Callable[[str], Recorder]
) -> None:
    library = record("RamRoleArnCredentialsProvider")

    source_for(replace(role(), **given))()

    assert library.made_with[0]["sts_endpoint"] == expected


def test_proxy_and_timeouts_of_the_connection_hold_for_sts(record: Callable[[str], Recorder]) -> None:
    library = record("RamRoleArnCredentialsProvider")

    source_for(replace(role(), proxy="http://proxy.invalid:3128", connect_timeout=2.0, read_timeout=60.0))()

    options = library.made_with[0]["http_options"]
    assert (options.proxy, options.connect_timeout, options.read_timeout) == (
        "http://proxy.invalid:3128",
        2000,
        10_000,
    )


# --- oidc_role_arn ----------------------------------------------------------------------------------------------------


def test_the_oidc_token_is_read_anew_for_each_fetch_because_kubernetes_replaces_it(
    serve: Callable[..., Service], token_file: Path
) -> None:
    sts = serve()
    fetch = source_for(rrsa(token_file), sts_endpoint=sts.origin)

    assert fetch() == ISSUED
    token_file.write_text("second-token")
    assert fetch().access_key_id == "STS.canary-issued-id-2"

    assert [asked.query["OIDCToken"] for asked in sts.asked] == [OIDC_TOKEN, "second-token"]
    query = sts.asked[0].query
    assert query["Action"] == "AssumeRoleWithOIDC"
    assert (query["RoleArn"], query["OIDCProviderArn"]) == (ROLE, OIDC_PROVIDER)
    assert query["RoleSessionName"] == "airflow-provider-fc"
    assert "Signature" not in query


def test_a_missing_oidc_token_file_is_named(serve: Callable[..., Service], token_file: Path) -> None:
    token_file.unlink()

    with pytest.raises(SettingsError, match=f"AssumeRoleWithOIDC: {token_file} cannot be read: No such file"):
        source_for(rrsa(token_file), sts_endpoint=serve().origin)()


# --- credentials_uri --------------------------------------------------------------------------------------------------


def test_a_credentials_uri_is_asked_with_its_path_and_query(serve: Callable[..., Service]) -> None:
    service = serve((200, {"Code": "Success", **fields()}))

    found = source_for(settings_of("credentials_uri", credentials_uri=f"{service.origin}/v1/keys?for=airflow&n=1"))()

    assert found == ISSUED
    assert service.asked[0].path == "/v1/keys"
    assert service.asked[0].query == {"for": "airflow", "n": "1"}


@pytest.mark.parametrize("uri", ["/v1/keys", "ftp://127.0.0.1/keys", "http://", "http://127.0.0.1:port/"])
def test_a_credentials_uri_that_is_none_is_a_mistake_in_the_connection(uri: str) -> None:
    with pytest.raises(SettingsError, match="credentials_uri is not an http or https URL"):
        source_for(settings_of("credentials_uri", credentials_uri=uri))()


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy"])
def test_a_proxy_never_gets_the_request_for_a_credentials_uri_on_this_machine(
    variable: str, serve: Callable[..., Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    service, proxy = serve(), serve()
    monkeypatch.setenv(variable, proxy.origin)

    with pytest.raises(SettingsError, match=f"HTTP_PROXY sends what is meant for {service.origin} to a proxy"):
        source_for(settings_of("credentials_uri", credentials_uri=f"{service.origin}/keys"))()

    assert not service.asked
    assert not proxy.asked


def test_fetching_over_plain_http_from_another_machine_warns_once(
    record: Callable[[str], Recorder], caplog: pytest.LogCaptureFixture
) -> None:
    record("URLCredentialsProvider")
    fetch = source_for(settings_of("credentials_uri", credentials_uri="http://keys.invalid:8080/secret-path"))

    fetch()
    fetch()

    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [
        "Credentials are fetched from http://keys.invalid:8080 without encryption; use https"
    ]


# --- ecs_ram_role: never with the real metadata service ---------------------------------------------------------------


def test_the_role_of_an_instance_is_asked_for_without_the_librarys_scheduler_thread(
    record: Callable[[str], Recorder],
) -> None:
    library = record("EcsRamRoleCredentialsProvider")

    assert source_for(settings_of("ecs_ram_role", ecs_role_name="airflow"))() == ISSUED

    assert library.made_with == [{"role_name": "airflow", "async_update_enabled": False}]


def test_the_librarys_provider_for_instances_leaves_no_thread_when_made_our_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from alibabacloud_credentials import provider

    monkeypatch.setattr("alibabacloud_credentials.utils.auth_util.environment_ecs_metadata_disabled", "false")
    before = threading.active_count()

    role_credentials._role_of_this_instance(provider, "airflow")  # made, and asked nothing

    assert threading.active_count() == before


def test_instance_metadata_that_is_switched_off_stays_off() -> None:
    with pytest.raises(SettingsError, match="instance metadata: IMDS credentials is disabled"):
        provider_for(settings_of("ecs_ram_role")).get(None)


def test_instance_metadata_is_never_asked_through_a_proxy(
    record: Callable[[str], Recorder], monkeypatch: pytest.MonkeyPatch
) -> None:
    library = record("EcsRamRoleCredentialsProvider")
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.invalid:3128")

    with pytest.raises(SettingsError, match=r"HTTP_PROXY sends what is meant for http://100\.100\.100\.200"):
        source_for(settings_of("ecs_ram_role"))()

    assert not library.made_with


# --- default ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """What the library has read from the environment when it was imported: nothing, a home without files, and this."""
    monkeypatch.setattr("alibabacloud_credentials.utils.auth_constant.HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))

    def set_to(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setattr(f"alibabacloud_credentials.utils.auth_util.environment_{name}", value)

    return set_to


DEFAULT = settings_of("default")


def aliyun_profile(home: Path, **profile: Any) -> None:
    (home / ".aliyun").mkdir()
    document = {"current": "p", "profiles": [{"name": "p", **profile}]}
    (home / ".aliyun" / "config.json").write_text(json.dumps(document))


def test_default_takes_keys_from_the_environment(environment: Callable[..., None]) -> None:
    environment(access_key_id=KEY, access_key_secret=SECRET)

    assert source_for(DEFAULT)() == Credentials(KEY, SECRET)


def test_default_takes_the_role_of_a_pod_and_knows_its_expiry(
    environment: Callable[..., None], serve: Callable[..., Service], token_file: Path
) -> None:
    sts = serve()
    environment(role_arn=ROLE, oidc_provider_arn=OIDC_PROVIDER, oidc_token_file=str(token_file))

    assert source_for(DEFAULT, sts_endpoint=sts.origin)() == ISSUED
    assert sts.asked[0].query["Action"] == "AssumeRoleWithOIDC"


def test_default_takes_keys_from_a_profile_of_the_aliyun_command(
    environment: Callable[..., None], tmp_path: Path
) -> None:
    aliyun_profile(tmp_path, mode="AK", access_key_id=KEY, access_key_secret=SECRET)

    assert source_for(DEFAULT)() == Credentials(KEY, SECRET)


def test_default_knows_the_expiry_of_what_a_profile_leads_to(environment: Callable[..., None], tmp_path: Path) -> None:
    answer = {
        "mode": "StsToken",
        "access_key_id": ISSUED.access_key_id,
        "access_key_secret": ISSUED.access_key_secret,
        "sts_token": ISSUED.security_token,
        "expiration": EXPIRATION,
    }
    (tmp_path / "answer").write_text(json.dumps(answer))
    aliyun_profile(tmp_path, mode="External", process_command=f"cat {tmp_path / 'answer'}")

    assert source_for(DEFAULT)() == ISSUED


def test_default_asks_for_an_instance_role_named_in_a_profile_without_a_scheduler_thread(
    environment: Callable[..., None], tmp_path: Path, record: Callable[[str], Recorder]
) -> None:
    library = record("EcsRamRoleCredentialsProvider")
    aliyun_profile(tmp_path, mode="EcsRamRole", ram_role_name="airflow")

    assert source_for(DEFAULT)() == ISSUED
    assert library.made_with == [{"role_name": "airflow", "async_update_enabled": False}]


def test_default_asks_for_an_instance_role_named_in_a_credentials_file_without_a_scheduler_thread(
    environment: Callable[..., None], tmp_path: Path, record: Callable[[str], Recorder]
) -> None:
    library = record("EcsRamRoleCredentialsProvider")
    ini_profile(tmp_path, type="ecs_ram_role", role_name="airflow")

    assert source_for(DEFAULT)() == ISSUED
    assert library.made_with == [{"role_name": "airflow", "async_update_enabled": False}]


def ini_profile(home: Path, **section: str) -> None:
    (home / ".alibabacloud").mkdir()
    lines = "".join(f"{key} = {text}\n" for key, text in section.items())
    (home / ".alibabacloud" / "credentials.ini").write_text(f"[default]\n{lines}")


ROLE_OF_A_PROFILE = {"role_arn": ROLE, "role_session_name": "night", "policy": "{}"}
OIDC_OF_A_PROFILE = {"role_arn": ROLE, "oidc_provider_arn": OIDC_PROVIDER, "oidc_token_file_path": "/token"}
OF_ALIYUN = {"duration_seconds": 900, "sts_region_id": "cn-beijing", "enable_vpc": True}
IN_ALIYUN = {"policy": "{}", "expired_seconds": 900, "sts_region": "cn-beijing", "enable_vpc": True}
KEYS_OF_A_PROFILE = {"access_key_id": KEY, "access_key_secret": SECRET}


@pytest.mark.parametrize(
    ("profile", "made", "arguments"),
    [
        (
            {
                "mode": "RamRoleArn",
                **KEYS_OF_A_PROFILE,
                "ram_role_arn": ROLE,
                "ram_session_name": "night",
                **IN_ALIYUN,
            },
            "RamRoleArnCredentialsProvider",
            {**KEYS_OF_A_PROFILE, **ROLE_OF_A_PROFILE, **OF_ALIYUN},
        ),
        (
            {
                "mode": "OIDC",
                "ram_role_arn": ROLE,
                "oidc_provider_arn": OIDC_PROVIDER,
                "oidc_token_file": "/token",
                **IN_ALIYUN,
            },
            "OIDCRoleArnCredentialsProvider",
            {**OIDC_OF_A_PROFILE, "policy": "{}", **OF_ALIYUN},
        ),
        ({"mode": "External", "process_command": "keys"}, "ExternalCredentialsProvider", {"process_command": "keys"}),
    ],
    ids=["RamRoleArn", "OIDC", "External"],
)
def test_default_takes_what_a_profile_of_the_aliyun_command_leads_to(
    environment: Callable[..., None],
    tmp_path: Path,
    record: Callable[[str], Recorder],
    profile: dict[str, Any],
    made: str,
    arguments: dict[str, Any],
) -> None:
    library = record(made)
    aliyun_profile(tmp_path, **profile)

    assert place("profile of the aliyun command")() == ISSUED  # the expiry included
    assert library.made_with == [arguments]


def place(name: str) -> Callable[[], Credentials]:
    """One of the places where auth_type default looks."""
    [found] = [each for each in role_credentials._FirstFound(DEFAULT, "sts.invalid")._places if each.name == name]
    return found


def test_default_follows_a_chain_of_profiles(
    environment: Callable[..., None], tmp_path: Path, record: Callable[[str], Recorder]
) -> None:
    library = record("RamRoleArnCredentialsProvider")
    aliyun_profile(tmp_path, mode="ChainableRamRoleArn", source_profile="keys", ram_role_arn=ROLE)
    path = tmp_path / ".aliyun" / "config.json"
    document = json.loads(path.read_text())
    document["profiles"].append({"name": "keys", "mode": "AK", **KEYS_OF_A_PROFILE})
    path.write_text(json.dumps(document))

    assert source_for(DEFAULT)() == ISSUED
    [arguments] = library.made_with
    assert arguments["role_arn"] == ROLE
    assert arguments["credentials_provider"].get_credentials().get_access_key_id() == KEY


@pytest.mark.parametrize(
    ("section", "made", "arguments"),
    [
        (
            {"type": "ram_role_arn # assumed", **KEYS_OF_A_PROFILE, **ROLE_OF_A_PROFILE},
            "RamRoleArnCredentialsProvider",
            {**KEYS_OF_A_PROFILE, **ROLE_OF_A_PROFILE},
        ),
        (
            {"type": "oidc_role_arn", **OIDC_OF_A_PROFILE},
            "OIDCRoleArnCredentialsProvider",
            OIDC_OF_A_PROFILE,
        ),
    ],
    ids=["ram_role_arn", "oidc_role_arn"],
)
def test_default_takes_what_a_credentials_file_leads_to(
    environment: Callable[..., None],
    tmp_path: Path,
    record: Callable[[str], Recorder],
    section: dict[str, str],
    made: str,
    arguments: dict[str, Any],
) -> None:
    library = record(made)
    ini_profile(tmp_path, **section)

    assert place("credentials file")() == ISSUED
    assert library.made_with == [arguments]


def test_default_takes_keys_from_a_credentials_file(environment: Callable[..., None], tmp_path: Path) -> None:
    ini_profile(tmp_path, type="access_key", access_key_id=KEY, access_key_secret=SECRET)

    assert source_for(DEFAULT)() == Credentials(KEY, SECRET)


def test_the_profile_that_the_environment_names_is_taken(
    environment: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aliyun_profile(tmp_path, mode="AK", access_key_id="another", access_key_secret="another")
    path = tmp_path / ".aliyun" / "config.json"
    document = json.loads(path.read_text())
    document["profiles"].append({"name": "airflow", "mode": "AK", **KEYS_OF_A_PROFILE})
    path.write_text(json.dumps(document))
    monkeypatch.setenv("ALIBABA_CLOUD_PROFILE", "airflow")

    assert source_for(DEFAULT)() == Credentials(KEY, SECRET)


@pytest.mark.parametrize(
    "text",
    ["", "{", '{"profiles": 1}', '{"current": "p", "profiles": [{"name": "p", "mode": ["AK"]}]}', "\xff\xfe"],
)
def test_a_profile_file_that_cannot_be_read_is_a_place_without_credentials(
    environment: Callable[..., None], tmp_path: Path, text: str
) -> None:
    (tmp_path / ".aliyun").mkdir()
    (tmp_path / ".aliyun" / "config.json").write_text(text, encoding="latin-1")

    with pytest.raises(SettingsError, match="\n  - profile of the aliyun command: "):
        provider_for(DEFAULT).get(None)


@pytest.mark.parametrize("text", ["key = text", "[default", "\xff\xfe"])
def test_a_credentials_file_that_cannot_be_read_may_be_just_being_written(
    environment: Callable[..., None], tmp_path: Path, text: str
) -> None:
    (tmp_path / ".alibabacloud").mkdir()
    (tmp_path / ".alibabacloud" / "credentials.ini").write_text(text, encoding="latin-1")

    with pytest.raises(MalformedBodyError, match="credentials file: "):
        provider_for(DEFAULT).get(None)


def test_default_asks_the_credentials_uri_of_the_environment_last(
    environment: Callable[..., None], serve: Callable[..., Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    service = serve((200, {"Code": "Success", **fields()}))
    monkeypatch.setenv("ALIBABA_CLOUD_CREDENTIALS_URI", f"{service.origin}/keys")

    assert source_for(DEFAULT)() == ISSUED


def test_default_stays_with_the_place_that_had_credentials(
    environment: Callable[..., None], serve: Callable[..., Service], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = serve((200, {"Code": "Success", **fields()}), (503, {}))
    monkeypatch.setenv("ALIBABA_CLOUD_CREDENTIALS_URI", f"{service.origin}/keys")
    fetch = source_for(DEFAULT)
    fetch()
    aliyun_profile(tmp_path, mode="AK", access_key_id=KEY, access_key_secret=SECRET)

    with pytest.raises(UnavailableError):
        fetch()


def test_default_does_not_become_somebody_else_when_sts_cannot_be_reached(
    environment: Callable[..., None], serve: Callable[..., Service], token_file: Path, tmp_path: Path
) -> None:
    sts = serve((503, {}))
    environment(role_arn=ROLE, oidc_provider_arn=OIDC_PROVIDER, oidc_token_file=str(token_file))
    aliyun_profile(tmp_path, mode="AK", access_key_id=KEY, access_key_secret=SECRET)
    fetch = source_for(DEFAULT, sts_endpoint=sts.origin)

    with pytest.raises(UnavailableError):
        fetch()
    assert fetch().access_key_id == "STS.canary-issued-id-2"


def test_default_does_not_become_somebody_else_when_the_certificate_of_sts_is_not_trusted(
    environment: Callable[..., None],
    serve: Callable[..., Service],
    authority: Authority,
    token_file: Path,
    tmp_path: Path,
) -> None:
    sts = serve(tls=authority.server)
    environment(role_arn=ROLE, oidc_provider_arn=OIDC_PROVIDER, oidc_token_file=str(token_file))
    aliyun_profile(tmp_path, mode="AK", access_key_id=KEY, access_key_secret=SECRET)

    with pytest.raises(CertificateError):
        source_for(DEFAULT, sts_endpoint=sts.authority)()


def test_default_without_any_credentials_names_every_place_it_looked_at(environment: Callable[..., None]) -> None:
    with pytest.raises(SettingsError) as caught:
        provider_for(DEFAULT).get(None)

    text = str(caught.value)
    assert "Connection 'fc_roles' cannot be used" in text
    for place in (
        "environment: ",
        "AssumeRoleWithOIDC: ",
        "profile of the aliyun command: ",
        "credentials file: ",
        "instance metadata: IMDS credentials is disabled",
    ):
        assert f"\n  - {place}" in text


def test_default_tells_a_refusal_rather_than_that_nothing_was_found(
    environment: Callable[..., None], serve: Callable[..., Service], token_file: Path
) -> None:
    sts = serve((403, {"Code": "AuthenticationFail.NoPermission", "Message": "no", "RequestId": "request-1"}))
    environment(role_arn=ROLE, oidc_provider_arn=OIDC_PROVIDER, oidc_token_file=str(token_file))

    with pytest.raises(AccessDeniedError, match="AuthenticationFail"):
        source_for(DEFAULT, sts_endpoint=sts.origin)()


def test_metadata_that_cannot_be_reached_does_not_end_the_search_but_may_be_there_later(
    environment: Callable[..., None], serve: Callable[..., Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(**arguments: Any) -> Any:
        raise_when_asked = Recorder()
        raise_when_asked.get_credentials = lambda: (_ for _ in ()).throw(TimeoutError())
        return raise_when_asked

    monkeypatch.setattr("alibabacloud_credentials.provider.EcsRamRoleCredentialsProvider", unreachable)
    with pytest.raises(
        TransportError, match=r"'default' found no credentials; give some .*: environment: .*instance metadata"
    ):
        source_for(DEFAULT)()

    service = serve((200, {"Code": "Success", **fields()}))
    monkeypatch.setenv("ALIBABA_CLOUD_CREDENTIALS_URI", f"{service.origin}/keys")
    assert source_for(DEFAULT)() == ISSUED


# --- what can go wrong ------------------------------------------------------------------------------------------------


def echo(status: int, code: str) -> Callable[[Asked], Answer]:
    """A refusal that quotes what it was sent; as STS does, the signature only when it does not match."""

    def answer(asked: Asked) -> Answer:
        names = ["AccessKeyId", "SecurityToken", "OIDCToken", *(["Signature"] if "Signature" in code else [])]
        quoted = "&".join(f"{name}={asked.query[name]}" for name in names if name in asked.query)
        message = f"you sent {quoted} or {quote(quoted)} or {quote(quote(quoted))}"
        return status, {"Code": code, "Message": message, "RequestId": "request-1"}

    return answer


def failure(fetch: Callable[[], Credentials]) -> FunctionComputeError:
    """What the fetch fails with, which never shows a secret nor carries an error that does."""
    with pytest.raises(FunctionComputeError) as caught:
        fetch()
    error = caught.value
    assert error.__cause__ is None
    assert error.__context__ is None
    for secret in SECRETS:
        for form in (secret, quote(secret), quote(quote(secret)), quote(secret, safe="")):
            assert form not in f"{error} {error!r} {vars(error)}"
    return error


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (403, "NoPermission"),
        (404, "EntityNotExist.Role"),
        (400, "InvalidParameter.RoleArn"),
        (404, "InvalidAccessKeyId.NotFound"),
        (400, "SignatureDoesNotMatch"),
    ],
)
def test_a_refusal_by_sts_is_permanent_and_tells_code_request_id_and_what_to_check(
    status: int, code: str, serve: Callable[..., Service]
) -> None:
    sts = serve(echo(status, code))

    error = failure(source_for(role(security_token=TOKEN), sts_endpoint=sts.origin))

    assert isinstance(error, AccessDeniedError)
    assert not error.transient
    assert (error.operation, error.status, error.code, error.request_id) == ("AssumeRole", status, code, "request-1")
    assert "check role_arn" in str(error)


def test_what_sts_says_of_a_wrong_signature_is_not_passed_on_because_it_quotes_the_request(
    serve: Callable[..., Service],
) -> None:
    error = failure(source_for(role(), sts_endpoint=serve(echo(400, "SignatureDoesNotMatch")).origin))

    assert "HTTP 400 SignatureDoesNotMatch: the AccessKey secret does not fit" in str(error)
    assert "you sent" not in str(error)


def test_a_refused_oidc_token_is_permanent_and_not_shown(serve: Callable[..., Service], token_file: Path) -> None:
    sts = serve(echo(401, "AuthenticationFail.OIDCToken.Expired"))

    error = failure(source_for(rrsa(token_file), sts_endpoint=sts.origin))

    assert isinstance(error, AccessDeniedError)
    assert "AuthenticationFail.OIDCToken.Expired" in str(error)
    assert "the token's audience" in str(error)


@pytest.mark.parametrize(
    "answer",
    [
        (503, {"Code": "ServiceUnavailable", "Message": "later"}),
        (500, b"<html>"),
        (429, {}),
        echo(400, "Throttling.User"),
    ],
    ids=["503", "500 HTML", "429", "throttled with 400"],
)
def test_trouble_at_sts_is_transient(answer: Any, serve: Callable[..., Service]) -> None:
    error = failure(source_for(role(), sts_endpoint=serve(answer).origin))

    assert isinstance(error, UnavailableError)
    assert error.transient


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b'"text"',
        {},
        {"Credentials": {"AccessKeyId": ISSUED.access_key_id, "AccessKeySecret": ISSUED.access_key_secret}},
        {"Credentials": {**fields(), "Expiration": "soon"}},
        {"Credentials": {**fields(), "AccessKeySecret": None}},
    ],
    ids=["empty", "HTML", "list", "text", "no credentials", "half of them", "no time", "null"],
)
def test_an_answer_without_credentials_is_transient(body: Any, serve: Callable[..., Service]) -> None:
    error = failure(source_for(role(), sts_endpoint=serve((200, body)).origin))

    assert isinstance(error, MalformedBodyError)
    assert str(error).startswith("AssumeRole: the answer holds no credentials")


def test_credentials_that_have_expired_when_they_come_point_at_the_clock(
    serve: Callable[..., Service],
) -> None:
    sts = serve((200, {"Credentials": {**fields(), "Expiration": "2020-01-01T00:00:00Z"}}))

    error = failure(source_for(role(), sts_endpoint=sts.origin))

    assert isinstance(error, MalformedBodyError)
    assert str(error) == "AssumeRole: what it gives has expired, or this machine's clock is wrong"


def test_sts_out_of_reach_is_transient_and_named(serve: Callable[..., Service]) -> None:
    sts = serve()
    sts.close()

    error = failure(source_for(role(security_token=TOKEN), sts_endpoint=sts.origin))

    assert isinstance(error, TransportError)
    assert str(error) == f"AssumeRole {sts.origin}: ConnectionRefusedError: [Errno 111] Connection refused"


def test_an_answer_that_breaks_off_is_transient(serve: Callable[..., Service]) -> None:
    class Short(bytes):
        def __len__(self) -> int:
            return 1000

    error = failure(source_for(role(), sts_endpoint=serve((200, Short(b"{"))).origin))

    assert isinstance(error, TransportError)


def test_a_refusing_credentials_uri_shows_its_origin_only(serve: Callable[..., Service]) -> None:
    service = serve((404, b"not here"))
    settings = settings_of("credentials_uri", credentials_uri=f"{service.origin}/path-1?token={TOKEN}")

    error = failure(source_for(settings))

    assert isinstance(error, AccessDeniedError)
    assert "path-1" not in str(error)


def test_a_role_session_that_is_too_short_is_a_mistake_in_the_connection() -> None:
    with pytest.raises(SettingsError, match="AssumeRole: session duration should be in the range of 900s"):
        provider_for(role(session_duration=60)).get(None)


def test_without_the_extra_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "alibabacloud_credentials", None)

    with pytest.raises(SettingsError) as caught:
        provider_for(role()).get(None)

    assert "Connection 'fc_roles'" in str(caught.value)
    assert "pip install 'airflow-provider-fc[credentials]'" in str(caught.value)


# --- what the library must not do to its host -------------------------------------------------------------------------


def test_nothing_of_a_fetch_is_logged_with_a_secret_even_at_debug(
    serve: Callable[..., Service], token_file: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEBUG", "sdk")  # makes the library print whole requests
    caplog.set_level(logging.DEBUG)
    for name in ("urllib3", "urllib3.connectionpool", "credentials", "alibabacloud-tea"):
        caplog.set_level(logging.DEBUG, name)
    sts = serve()
    fetches = [
        source_for(role(security_token=TOKEN), sts_endpoint=sts.origin),
        source_for(rrsa(token_file), sts_endpoint=sts.origin),
    ]

    for fetch in fetches:
        fetch()
        sts.script = [echo(403, "NoPermission"), (200, b"<html>")]
        failure(fetch)
        failure(fetch)
    sts.close()
    failure(fetches[0])

    written = "\n".join(f"{record.name} {record.getMessage()} {record.exc_text}" for record in caplog.records)
    for secret in [*SECRETS, "Signature="]:
        assert secret not in written
        assert quote(secret, safe="") not in written
    assert "credentials" not in {record.name for record in caplog.records}


def test_others_who_use_the_librarys_loggers_are_not_silenced(
    serve: Callable[..., Service], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    def answer(asked: Asked) -> Answer:  # in the server's thread, while ours is silent
        logging.getLogger("credentials").info("meanwhile")
        return 200, assumed()

    source_for(role(), sts_endpoint=serve(answer).origin)()
    logging.getLogger("credentials").info("afterwards")

    assert [record.getMessage() for record in caplog.records if record.name == "credentials"] == [
        "meanwhile",
        "afterwards",
    ]


PAGE = Path(__file__).parents[2] / "docs" / "credentials.md"


def test_the_examples_of_the_documentation_are_usable_connections() -> None:
    examples = re.findall(r"AIRFLOW_CONN_FC_DEFAULT='(.*?)'\n", PAGE.read_text(), re.DOTALL)

    used = []
    for example in examples:
        connection = json.loads(example)
        assert connection.pop("conn_type") == "alibaba_fc"
        settings = Settings.from_connection("fc_default", **connection)
        assert provider_for(settings).cached(None) is None
        used.append(settings.auth.auth_type)

    assert sorted(used) == ["credentials_uri", "ecs_ram_role", "oidc_role_arn", "ram_role_arn"]


FRESH = """
import logging, sys, threading
from airflow_provider_fc.clients.credentials import provider_for
from airflow_provider_fc.core.errors import FunctionComputeError
from airflow_provider_fc.core.connection_fields import AUTH_TYPES
from airflow_provider_fc.core.settings import Auth, Settings

seen = []
sys.addaudithook(lambda event, arguments: seen.append(event))
providers = []
for auth_type in AUTH_TYPES:
    auth = Auth(auth_type, "id", "secret", "token", role_arn="r", credentials_uri="http://127.0.0.1:1/")
    settings = Settings("fc", auth, region_id="cn-hangzhou")
    provider_for(settings).cached(None)
    providers.append(provider_for(settings))
calls = [event for event in seen if event in ("open", "import", "exec") or event.startswith(("socket.", "os."))]
print(calls, "alibabacloud_credentials" in sys.modules)

try:
    providers[list(AUTH_TYPES).index("credentials_uri")].get(None)
except FunctionComputeError as error:
    print(type(error).__name__)
handlers = [logger for name in ("credentials", "alibabacloud-tea") for logger in logging.getLogger(name).handlers]
logging.basicConfig(stream=sys.stdout, format="%(message)s")
logging.getLogger("credentials").warning("said once")
print("alibabacloud_credentials" in sys.modules, handlers, [thread.name for thread in threading.enumerate()])
"""


def test_in_a_fresh_process_nothing_is_imported_or_called_before_it_is_needed_and_nothing_is_left_behind(
    python: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    done = python("-c", FRESH)

    assert done.stdout.splitlines() == [
        "[] False",
        "TransportError",
        "said once",
        "True [] ['MainThread']",
    ]
    assert done.stderr == ""
