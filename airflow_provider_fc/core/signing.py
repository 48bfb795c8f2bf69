"""Signs requests: FC-native and ACS3-HMAC-SHA256, each in named stages.

Sources: Function Compute documentation "Signature authentication" (FC-native, used by the 2016-08-15 API);
Alibaba Cloud OpenAPI documentation "Request syntax and signature method V3" (ACS3). Both are held against the
official SDKs by tests/core/test_signing.py and tests/contract.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64encode
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Literal

from airflow_provider_fc.core.http import HttpRequest, encode_path, encode_query

Signature = Literal["FC", "ACS3"]

ACS3_ALGORITHM = "ACS3-HMAC-SHA256"

# A proxy may rewrite these on the way, so their value cannot be part of a promise.
_NEVER_SIGNED = frozenset({"authorization", "user-agent"})


_SHORTEST_SECRET = 5
"""Characters. What is shorter is a dummy, which stands in half of all words, codes of errors among them; Airflow
does not mask it either."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """One consistent snapshot of a key pair and, for temporary ones, its token.

    :param expires_at: epoch seconds after which the server refuses them; ``None`` for keys that do not expire.
    """

    access_key_id: str = field(repr=False)
    access_key_secret: str = field(repr=False)
    security_token: str | None = field(default=None, repr=False)
    expires_at: float | None = None

    @property
    def parts(self) -> tuple[str, ...]:
        """All that must never be shown."""
        return tuple(filter(None, (self.access_key_id, self.access_key_secret, self.security_token)))

    def redact(self, text: str) -> str:
        """Replace each of the three wherever it stands in text that came from outside."""
        return _without(self.parts, text)


def sign(
    request: HttpRequest,
    credentials: Credentials,
    *,
    signature: Signature,
    now: datetime,
    nonce: str,
    action: str,
    version: str,
) -> HttpRequest:
    """Return the request with every header the signature needs, ``authorization`` included.

    :param now: aware time of this attempt; the server refuses one more than 15 minutes off its own clock.
    :param nonce: unique for each attempt, also for a repeated one (ACS3 only; a second use is ``SignatureNonceUsed``).
    :param action: operation name sent as ``x-acs-action`` (ACS3 only).
    :param version: API version sent as ``x-acs-version`` (ACS3 only).
    """
    if signature == "FC":
        return _sign_fc(request, credentials, now)
    return _sign_acs3(request, credentials, now, nonce, action, version)


def _sign_fc(request: HttpRequest, credentials: Credentials, now: datetime) -> HttpRequest:
    headers = {
        **request.headers,
        "host": request.host,
        "date": format_datetime(now.astimezone(UTC), usegmt=True),
    }
    if credentials.security_token:
        headers["x-fc-security-token"] = credentials.security_token
    text = fc_string_to_sign(request.method, request.path, headers)
    headers["authorization"] = f"FC {credentials.access_key_id}:{fc_signature(text, credentials.access_key_secret)}"
    return replace(request, headers=headers)


def signed_hash(request: HttpRequest) -> str:
    """SHA-256 of what a signed request signs: a mismatch can be compared with the server's without showing a secret.

    For ACS3 it is the hash of the canonical request, the one that servers quote.
    """
    headers = request.headers
    scheme, _, rest = headers["authorization"].partition(" ")
    if scheme != ACS3_ALGORITHM:
        return hashlib.sha256(fc_string_to_sign(request.method, request.path, headers).encode()).hexdigest()
    signed = rest.partition("SignedHeaders=")[2].partition(",")[0].split(";")
    canonical = acs3_canonical_request(
        request.method, request.path, request.query, headers, signed, headers["x-acs-content-sha256"]
    )
    return hashlib.sha256(canonical.encode()).hexdigest()


def redact_signed(request: HttpRequest, text: str) -> str:
    """Take out of text that came from outside what a signed request carries: signature, key id and token."""
    headers = request.headers
    authorization = headers.get("authorization", "")
    scheme, _, rest = authorization.partition(" ")
    if scheme == ACS3_ALGORITHM:
        key_id, signature = rest.partition("Credential=")[2].partition(",")[0], rest.rpartition("Signature=")[2]
    else:
        key_id, _, signature = rest.partition(":")
    tokens = (headers.get("x-acs-security-token"), headers.get("x-fc-security-token"))
    return _without(filter(None, (signature, key_id, *tokens)), text)


def _without(secrets: Iterable[str], text: str) -> str:
    for secret in sorted(secrets, key=len, reverse=True):  # one may stand inside a longer one
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, "***")
    return text


def fc_string_to_sign(method: str, path: str, headers: Mapping[str, str]) -> str:
    """Stage 1 of FC-native: method, three header values, the ``x-fc-`` headers, the decoded path (never the query)."""
    fc_headers = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers) if name.startswith("x-fc-"))
    lines = [method, headers.get("content-md5", ""), headers.get("content-type", ""), headers.get("date", "")]
    return "\n".join(lines) + "\n" + fc_headers + path


def fc_signature(string_to_sign: str, access_key_secret: str) -> str:
    """Stage 2 of FC-native: Base64 of HMAC-SHA256."""
    digest = hmac.digest(access_key_secret.encode(), string_to_sign.encode(), hashlib.sha256)
    return b64encode(digest).decode()


def _sign_acs3(
    request: HttpRequest, credentials: Credentials, now: datetime, nonce: str, action: str, version: str
) -> HttpRequest:
    headers = {
        **request.headers,
        "host": request.host,
        "x-acs-action": action,
        "x-acs-version": version,
        "x-acs-date": now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "x-acs-signature-nonce": nonce,
        "x-acs-content-sha256": hashlib.sha256(request.body).hexdigest(),
    }
    if credentials.security_token:
        headers["x-acs-security-token"] = credentials.security_token
        headers["x-acs-accesskey-id"] = credentials.access_key_id
    signed_headers = sorted(headers.keys() - _NEVER_SIGNED)
    canonical = acs3_canonical_request(
        request.method, request.path, request.query, headers, signed_headers, headers["x-acs-content-sha256"]
    )
    signature = acs3_signature(acs3_string_to_sign(canonical), credentials.access_key_secret)
    headers["authorization"] = acs3_authorization(credentials.access_key_id, signed_headers, signature)
    return replace(request, headers=headers)


def acs3_canonical_request(
    method: str,
    path: str,
    query: Mapping[str, str],
    headers: Mapping[str, str],
    signed_headers: Collection[str],
    body_sha256: str,
) -> str:
    """Stage 1 of ACS3: everything the server will read again, in one fixed form.

    :param path: decoded; ``query`` likewise. Both are encoded here exactly as they are sent.
    :param signed_headers: lower-case names, sorted.
    """
    return "\n".join(
        [
            method,
            encode_path(path),
            encode_query(query),
            *(f"{name}:{headers[name].strip()}" for name in signed_headers),
            "",
            ";".join(signed_headers),
            body_sha256,
        ]
    )


def acs3_string_to_sign(canonical_request: str) -> str:
    """Stage 2 of ACS3: the algorithm's name and the hash of stage 1."""
    return f"{ACS3_ALGORITHM}\n{hashlib.sha256(canonical_request.encode()).hexdigest()}"


def acs3_signature(string_to_sign: str, access_key_secret: str) -> str:
    """Stage 3 of ACS3: hexadecimal HMAC-SHA256."""
    return hmac.digest(access_key_secret.encode(), string_to_sign.encode(), "sha256").hex()


def acs3_authorization(access_key_id: str, signed_headers: Collection[str], signature: str) -> str:
    return f"{ACS3_ALGORITHM} Credential={access_key_id},SignedHeaders={';'.join(signed_headers)},Signature={signature}"
