"""Checks signatures the way the service documents them, whichever generation they are for."""

from __future__ import annotations

import hashlib
import hmac
import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import islice

from airflow_provider_fc.core.http import HttpRequest
from airflow_provider_fc.core.signing import (
    ACS3_ALGORITHM,
    Credentials,
    acs3_canonical_request,
    acs3_signature,
    acs3_string_to_sign,
    fc_signature,
    fc_string_to_sign,
)
from airflow_provider_fc.emulator.errors import Refusal

MAX_SKEW_SECONDS = 15 * 60
_ACS3_REQUIRED = (
    "host",
    "x-acs-action",
    "x-acs-version",
    "x-acs-date",
    "x-acs-signature-nonce",
    "x-acs-content-sha256",
)
_ACS3_AUTHORIZATION = re.compile(
    rf"{ACS3_ALGORITHM} Credential=(?P<id>[^,]*),SignedHeaders=(?P<headers>[^,]*),Signature=(?P<signature>[0-9a-f]*)"
)
_FC_AUTHORIZATION = re.compile(r"FC (?P<id>[^:]*):(?P<signature>.*)")


class Verifier:
    """Holds what one account's requests are checked against.

    :param credentials: the only valid key pair; with a token every request has to carry exactly it.
    :param clock: epoch seconds; how long nonces are kept goes by it.
    """

    def __init__(self, credentials: Credentials, clock: Callable[[], float]) -> None:
        self.credentials = credentials
        self._clock = clock
        self._nonces: dict[str, float] = {}
        self._lock = threading.Lock()

    def check(self, request: HttpRequest, version: str, action: str, now: float) -> None:
        """Let a request pass, or say why not.

        :param version: what the path names; an ACS3 request has to name the same, likewise ``action``.
        :param now: epoch seconds, against which the request's time is held.
        :raises Refusal: the service would refuse it.
        """
        authorization = request.headers.get("authorization", "")
        if acs3 := _ACS3_AUTHORIZATION.fullmatch(authorization):
            self._check_acs3(request, acs3["id"], acs3["headers"].split(";"), acs3["signature"], now)
            self._check_action(request, version, action)
        elif fc := _FC_AUTHORIZATION.fullmatch(authorization):
            self._check_fc(request, fc["id"], fc["signature"], now)
        elif authorization:
            raise Refusal("InvalidArgument", f"the authorization header is neither 'FC' nor {ACS3_ALGORITHM!r}")
        else:
            raise Refusal("MissingRequiredHeader", "the request has no authorization header")

    def _check_fc(self, request: HttpRequest, access_key_id: str, signature: str, now: float) -> None:
        self._check_key(access_key_id, request.headers.get("x-fc-security-token"))
        sent = _time(parsedate_to_datetime, _required(request, "date"))
        if abs(now - sent) > MAX_SKEW_SECONDS:
            raise Refusal("AccessDenied", f"the date header is more than 15 minutes off; server time is {_iso(now)}")
        text = fc_string_to_sign(request.method, request.path, request.headers)
        self._compare(signature, fc_signature(text, self.credentials.access_key_secret), text)

    def _check_acs3(
        self, request: HttpRequest, access_key_id: str, signed: list[str], signature: str, now: float
    ) -> None:
        for name in _ACS3_REQUIRED:
            _required(request, name)
        self._check_key(access_key_id, request.headers.get("x-acs-security-token"))
        sent = _time(_acs3_date, request.headers["x-acs-date"])
        if abs(now - sent) > MAX_SKEW_SECONDS:
            raise Refusal(
                "InvalidTimeStamp.Expired", f"x-acs-date is more than 15 minutes off; server time is {_iso(now)}"
            )
        unsigned = {name for name in request.headers if name == "host" or name.startswith("x-acs-")} - set(signed)
        missing = set(signed) - request.headers.keys()
        if unsigned or missing or signed != sorted(signed):
            names = ", ".join(sorted(unsigned | missing)) or "all in ascending order"
            raise Refusal("SignatureWrong", f"SignedHeaders must name headers of the request, these too: {names}")
        body_hash = hashlib.sha256(request.body).hexdigest()
        if body_hash != request.headers["x-acs-content-sha256"]:
            raise Refusal("SignatureWrong", "x-acs-content-sha256 is not the hash of the body")
        canonical = acs3_canonical_request(
            request.method, request.path, request.query, request.headers, signed, body_hash
        )
        text = acs3_string_to_sign(canonical)
        self._compare(signature, acs3_signature(text, self.credentials.access_key_secret), canonical)
        self._use_nonce(request.headers["x-acs-signature-nonce"])

    def _check_key(self, access_key_id: str, token: str | None) -> None:
        if access_key_id != self.credentials.access_key_id:
            raise Refusal("InvalidAccessKeyID", "the access key id does not exist")
        if self.credentials.security_token and token != self.credentials.security_token:
            problem = "is not the expected one" if token else "is missing"
            raise Refusal("InvalidSecurityToken", f"the security token {problem}")

    def _compare(self, given: str, expected: str, signed_text: str) -> None:
        if not hmac.compare_digest(given.encode(), expected.encode()):
            # The text itself may hold a security token; its hash is enough to compare two sides.
            digest = hashlib.sha256(signed_text.encode()).hexdigest()
            raise Refusal("SignatureWrong", f"the signature does not match; SHA-256 of the text signed here: {digest}")

    def _use_nonce(self, nonce: str) -> None:
        now = self._clock()
        with self._lock:
            # In the order of their use: those before the first one still needed are of no more use.
            for old, used in [*islice(self._nonces.items(), 2)]:
                if used < now - 2 * MAX_SKEW_SECONDS:
                    del self._nonces[old]
            if nonce in self._nonces:
                raise Refusal("SignatureNonceUsed", "x-acs-signature-nonce has been used; sign every attempt anew")
            self._nonces[nonce] = now

    def _check_action(self, request: HttpRequest, version: str, action: str) -> None:
        for name, expected in (("x-acs-version", version), ("x-acs-action", action)):
            if request.headers[name] != expected:
                raise Refusal(
                    "InvalidAction.NotFound", f"{name} is {request.headers[name]!r}, the path needs {expected!r}"
                )


def _required(request: HttpRequest, name: str) -> str:
    value = request.headers.get(name)
    if not value:
        raise Refusal("MissingRequiredHeader", f"the request has no {name} header")
    return value


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _acs3_date(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def _time(parse: Callable[[str], datetime], text: str) -> float:
    try:
        return parse(text).timestamp()
    except ValueError:
        raise Refusal("InvalidArgument", f"{text!r} is not a time of the documented form") from None
