"""What the emulator refuses, in the service's own error codes."""

from __future__ import annotations

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
    "InvocationAlreadyExists": 409,
    "InvocationAlreadyCompleted": 412,
}


class Refusal(Exception):
    """A request the service answers with an error.

    :param code: a key of ``STATUS``.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    @property
    def status(self) -> int:
        return STATUS[self.code]
