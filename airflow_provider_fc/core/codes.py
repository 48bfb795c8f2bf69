"""What an error code says, however it is spelled.

Codes differ between the generations (``StatefulAsyncInvocationNotFound``, ``AsyncTaskNotFound``), and inside one: the
struct pages of 2021-04-06 print ``FUNCTION_NOT_FOUND`` where the page "Error codes" has ``FunctionNotFound``, and
programs of other people also look for ``...NotExist``. So only the end of a code counts, case and underscores aside.
"""

from __future__ import annotations

from typing import Literal

Missing = Literal["function", "service", "qualifier", "invocation", "configuration"]

_NOT_FOUND = ("notfound", "notexist", "notexists")

# What a code says is missing ends in one of these; aliases and versions are what a qualifier names.
_SUBJECTS: dict[str, Missing] = {
    "function": "function",
    "service": "service",
    "alias": "qualifier",
    "version": "qualifier",
    "qualifier": "qualifier",
    "invocation": "invocation",
    "task": "invocation",
    # AsyncConfigNotExists: nobody has configured the function's asynchronous invocations (terraform-provider-alicloud,
    # service_alicloud_fcv3, and the serverless devs' tools look for exactly this code).
    "asyncconfig": "configuration",
    "asyncinvokeconfig": "configuration",
}


def ends_in(code: str | None, *endings: str) -> bool:
    """Tell whether a code ends in one of the endings, which are given in lower case and without underscores."""
    return _plain(code).endswith(endings)


def says_not_found(code: str | None) -> bool:
    """Tell whether a code says that something, whatever it is, does not exist."""
    return ends_in(code, *_NOT_FOUND)


def missing(code: str | None) -> Missing | None:
    """Tell what does not exist; ``None`` when the code speaks of nothing that Function Compute has."""
    text = _plain(code)
    ending = next((ending for ending in _NOT_FOUND if text.endswith(ending)), None)
    if ending is None:
        return None
    subject = text.removesuffix(ending)
    return next((what for name, what in _SUBJECTS.items() if subject.endswith(name)), None)


def _plain(code: str | None) -> str:
    return (code or "").replace("_", "").lower()
