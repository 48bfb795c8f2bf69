"""Page tokens: opaque, bound to their query, and full of the characters clients forget to encode."""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode

import msgspec

from airflow_provider_fc.emulator.errors import Refusal
from airflow_provider_fc.emulator.listing import Position, Query

# Base64 of these three bytes is "+//+".
_MARK = b"\xfb\xff\xfe"
_DIGEST_SIZE = 12
_START: msgspec.json.Decoder[tuple[int | Position, int]] = msgspec.json.Decoder(tuple[int | Position, int])


def encode(start: int | Position, query: Query, turn: int = 0) -> str:
    """Make a token for the page behind ``start``: a number of items, or the position of the last one.

    :param turn: makes different tokens for the same start.
    """
    text = msgspec.json.encode((start, turn))
    while (len(_MARK) + _DIGEST_SIZE + len(text)) % 3 != 1:
        text += b" "  # so that the token ends in "=="
    return b64encode(_MARK + _digest(text, query) + text).decode()


def decode(token: str, query: Query) -> tuple[int | Position, int]:
    """Read the start and the turn a token stands for.

    :raises Refusal: it is no token of ours, or one of another query.
    """
    try:
        data = b64decode(token, validate=True)
    except ValueError:
        data = b""
    text = data[len(_MARK) + _DIGEST_SIZE :]
    if data != _MARK + _digest(text, query) + text:
        raise Refusal(
            "InvalidArgument", "nextToken is not valid for this query: return it unchanged, with the same filters"
        )
    return _START.decode(text)


def _digest(text: bytes, query: Query) -> bytes:
    return hashlib.sha256(msgspec.json.encode(query) + text).digest()[:_DIGEST_SIZE]
