"""Reads query parameters and headers, which arrive as text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, overload

from airflow_provider_fc.emulator.errors import Refusal

Order = Literal["asc", "desc"]
_HIGHEST = 2**63 - 1
_INTEGER = re.compile(r"[0-9]{1,19}")
_ORDERS: dict[str, Order] = {"asc": "asc", "desc": "desc"}
_FLAGS = {"true": True, "True": True, "false": False, "False": False}  # the official SDKs send both spellings


class Parameters:
    """Named texts; an empty one counts as not sent."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts

    def text(self, name: str) -> str | None:
        return self._texts.get(name) or None

    @overload
    def number(self, name: str, default: None = None, *, lowest: int = 0, highest: int = _HIGHEST) -> int | None: ...

    @overload
    def number(self, name: str, default: int, *, lowest: int = 0, highest: int = _HIGHEST) -> int: ...

    def number(self, name: str, default: int | None = None, *, lowest: int = 0, highest: int = _HIGHEST) -> int | None:
        text = self.text(name)
        if text is None:
            return default
        if not _INTEGER.fullmatch(text) or not lowest <= int(text) <= highest:
            raise Refusal("InvalidArgument", f"{name} must be an integer from {lowest} to {highest}, not {text!r}")
        return int(text)

    def flag(self, name: str) -> bool:
        text = self.text(name) or "false"
        if text not in _FLAGS:
            raise Refusal("InvalidArgument", f"{name} must be true or false, not {text!r}")
        return _FLAGS[text]

    def order(self, name: str, default: Order) -> Order:
        text = self.text(name) or default
        if text not in _ORDERS:
            raise Refusal("InvalidArgument", f"{name} must be asc or desc, not {text!r}")
        return _ORDERS[text]
