"""How a response travels: values that the server acts upon."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

# A pause shorter than this costs more than it slows down: several bytes then travel together.
_SHORTEST_PAUSE = 0.01


@dataclass(frozen=True)
class Delivery:
    """By default at once, whole, on a connection that stays.

    :param delay: seconds before the first byte.
    :param per_byte: seconds before each byte of the body.
    :param sent: how many bytes of the body are sent; ``None`` for all.
    :param end: what happens to the connection then: it stays, is closed, or is reset.
    :param answered: without it not even the headers are sent.
    """

    delay: float = 0.0
    per_byte: float = 0.0
    sent: int | None = None
    end: Literal["keep", "close", "reset"] = "keep"
    answered: bool = True

    @property
    def arrives(self) -> bool:
        """Whether the client gets a complete response."""
        return self.answered and self.sent is None

    def pieces(self, body: bytes) -> Iterator[tuple[float, bytes]]:
        """Cut a body into what is sent of it, each piece after so many seconds."""
        sent = body[: self.sent]
        size = math.ceil(min(len(sent), _SHORTEST_PAUSE / self.per_byte)) if self.per_byte else len(sent)
        for start in range(0, len(sent), size or 1):
            piece = sent[start : start + size]
            yield len(piece) * self.per_byte, piece


AT_ONCE = Delivery()
