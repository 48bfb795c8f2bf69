"""What the emulator refuses, in the service's own error codes."""

from __future__ import annotations

from collections.abc import Mapping

# Codes that are spelled differently by the generations stand here under a neutral name; generations.py translates.
STATUS = {
    "InvalidArgument": 400,
    "EntityTooLarge": 400,
    "MissingRequiredHeader": 400,
    "SignatureNonceUsed": 400,
    "InvalidTimeStamp.Expired": 400,
    "AccessDenied": 403,
    "InvalidAccessKeyID": 403,
    "InvalidSecurityToken": 403,
    "SignatureWrong": 403,
    "PathNotSupported": 404,
    "InvalidAction.NotFound": 404,
    "FunctionNotFound": 404,
    "InvocationNotFound": 404,
    "AsyncConfigNotExists": 404,
    "InvocationAlreadyExists": 409,
    "InvocationAlreadyCompleted": 412,
}


class Refusal(Exception):
    """A request the service answers with an error.

    :param code: a key of ``STATUS``, or any text together with ``status``.
    :param headers: to be sent with it, names in lower case.
    """

    def __init__(
        self, code: str, message: str, *, status: int | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = STATUS[code] if status is None else status
        self.headers = headers or {}
