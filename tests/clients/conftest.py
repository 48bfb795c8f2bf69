"""Scripted servers, a certificate authority of our own, and each client in turn."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from clients.kit import Blocking, Client, OnALoop, settings_for
from clients.wire_server import Step, WireServer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@pytest.fixture(params=[Blocking, OnALoop], ids=["requests", "aiohttp"])
def kind(request: pytest.FixtureRequest) -> type[Client]:
    return request.param


@pytest.fixture
def slept() -> list[float]:
    """The pauses that were asked for; nobody really sleeps."""
    return []


@pytest.fixture
def connect(kind: type[Client], slept: list[float], authority: Authority) -> Iterator[Callable[..., Client]]:
    """A client for an origin, with settings and options by name; closed when the test ends.

    It trusts the test's own authority: reading the real ones again and again would take most of the time.
    """
    clients: list[Client] = []

    def make(origin: str, options: dict[str, Any] | None = None, **settings: Any) -> Client:
        settings.setdefault("verify", str(authority.ca))
        clients.append(kind(settings_for(origin, **settings), slept.append, **(options or {})))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def serve() -> Iterator[Callable[..., WireServer]]:
    """A scripted server; closed when the test ends."""
    servers: list[WireServer] = []

    def make(*script: Step, **options: Any) -> WireServer:
        servers.append(WireServer(*script, **options))
        return servers[-1]

    yield make
    for server in servers:
        server.close()


# --- certificates -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Authority:
    """A certificate authority of the test's own and what a server certified by it needs.

    :param ca: path of its certificate, as ``extra.verify`` takes it.
    """

    ca: Path
    server: ssl.SSLContext = field(repr=False)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    folder = tmp_path_factory.mktemp("authority")
    ca_key, server_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test CA")])
    names = [x509.DNSName("fc.example.invalid"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    ca_id = x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key())
    ca = _certificate(
        ca_name,
        ca_name,
        ca_key,
        ca_key,
        [
            (x509.BasicConstraints(ca=True, path_length=0), True),
            (_usage(key_cert_sign=True, crl_sign=True), True),
            (ca_id, False),
        ],
    )
    server = _certificate(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fc.example.invalid")]),
        ca_name,
        server_key,
        ca_key,
        [
            (x509.SubjectAlternativeName(names), False),
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (_usage(digital_signature=True), True),
            (x509.SubjectKeyIdentifier.from_public_key(server_key.public_key()), False),
            (x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ca_id), False),
        ],
    )
    pem = serialization.Encoding.PEM
    (folder / "ca.pem").write_bytes(ca.public_bytes(pem))
    (folder / "server.pem").write_bytes(
        server_key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + server.public_bytes(pem)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")
    return Authority(folder / "ca.pem", context)


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer_key: ec.EllipticCurvePrivateKey,
    extensions: list[tuple[x509.ExtensionType, bool]],
) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(issuer_key, hashes.SHA256())


def _usage(**used: bool) -> x509.KeyUsage:
    names = (
        "digital_signature content_commitment key_encipherment data_encipherment key_agreement "
        "key_cert_sign crl_sign encipher_only decipher_only"
    )
    return x509.KeyUsage(**{name: used.get(name, False) for name in names.split()})
