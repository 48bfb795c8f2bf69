"""Rendered parameter values -> checked ones; each mistake is named with its fix.

Values arrive as templates render them: numbers as text, ``None`` as the text ``None``, lists as JSON or lazy sequences.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import islice
from numbers import Integral, Real
from typing import Any, TypeVar, cast

import msgspec
import pendulum

from airflow_provider_fc.core.errors import ParameterError
from airflow_provider_fc.core.invocations import FIELDS, LAST_MS, STATUSES, TERMINAL_STATUSES, legal_invocation_id
from airflow_provider_fc.core.limits import MAX_DELAY_SECONDS, MAX_INVOCATION_ID_LENGTH
from airflow_provider_fc.core.policies import Polling

MAX_IDS = 1000

MOST_AT_THE_SAME_TIME = 1000
"""Requests. Each is a thread: of more, the system may refuse one when others have stopped something already."""

LONGEST = 10 * 365 * 86_400.0
"""Seconds of the longest duration: longer ones are mistakes, and Python's times end in the year 9999."""

UNLIMITED = "unlimited"
"""For ``max_failed``, where ``None`` may be what a task upstream has failed to return."""

# Epoch milliseconds of 1973; a smaller number is a time in seconds.
_SMALLEST_MS = 100_000_000_000

Choice = TypeVar("Choice", bound=str)


_MADE_TEXT = (
    "turned into text by a template; pass the XComArg itself (task.output), or set render_template_as_native_obj=True "
    "on the DAG"
)
_BEGINNINGS = {"[": "list", "{": "dict", "(": "tuple"}
_RENDERED_NOTHING = "is what a template renders when it finds nothing"


def is_absent(value: object) -> bool:
    """Tell whether it is ``None``, or what a template makes of it."""
    return value is None or (isinstance(value, str) and value.strip() in ("", "None"))


def is_given(name: str, value: object) -> bool:
    """Tell whether a parameter is given: only ``None`` itself leaves it out.

    :raises ParameterError: ``value`` is blank or the text ``None``, which is what a template makes of nothing.
    """
    if value is not None and is_absent(value):
        raise ParameterError(name, f"{value!r} {_RENDERED_NOTHING}; give a value or None")
    return value is not None


def text(name: str, value: object) -> str:
    """Take text that is rendered and is no number, which may have been other text before.

    :raises ParameterError: it is not.
    """
    if isinstance(value, str):
        refuse_template(name, value)
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        raise ParameterError(name, f"{value!r} {_NUMBER_FOR_TEXT}")
    raise ParameterError(name, f"{type(value).__name__} is not text; give a string")


_NUMBER_FOR_TEXT = (
    "is a number; give text. With render_template_as_native_obj=True Airflow makes numbers of rendered text that looks "
    "like one (1_0 becomes 10): leave that switch off, or begin the text with a word"
)


def refuse_template(name: str, value: object) -> None:
    """Refuse what nobody has rendered.

    :raises ParameterError: ``value`` is text with ``{{`` or ``{%`` in it.
    """
    if isinstance(value, str) and ("{{" in value or "{%" in value):
        raise ParameterError(
            name, f"{value!r} is a template that nothing has rendered (only operators and sensors render); give a value"
        )


_INSTEAD_OF_A_PREFIX = ", or leave it out (the sensor and the stop operator then need invocation_ids)"


def id_prefix(name: str, value: object, *, instead: str = _INSTEAD_OF_A_PREFIX) -> str | None:
    """Read an id prefix in FC's alphabet; ``None`` when not given. An empty one would match everything: refused.

    :param instead: what else than a prefix can be given, for the message.
    """
    if value is None:
        return None
    if is_absent(value):
        what = "would match every invocation" if not str(value).strip() else _RENDERED_NOTHING
        raise ParameterError(name, f"{value!r} {what}; give a prefix of your own{instead}")
    return _legal(name, value)


def invocation_id(name: str, value: object) -> str:
    if is_absent(value):
        raise ParameterError(name, "is missing; give the id of an invocation")
    return _legal(name, value)


def new_invocation_id(name: str, value: object) -> str:
    """Check an id for a submission: server-made ids may begin with a digit, ours may not (page "InvokeFunction")."""
    text = invocation_id(name, value)
    if not (text[0].isalpha() or text[0] == "_"):
        raise ParameterError(name, f"{text!r} must begin with a letter or _; put a word before it")
    return text


_WHERE_SOME_ARE_MISSING = ", or give on_missing='ignore' if only the others are meant"


def invocation_ids(
    name: str,
    value: object,
    *,
    at_most: int | None = MAX_IDS,
    may_be_empty: bool = False,
    of: str | None = None,
    instead: str = _WHERE_SOME_ARE_MISSING,
) -> tuple[str, ...]:
    """Ids as text, or dicts with an ``invocation_id`` as our operators return them; each once, in order.

    :param value: a sequence, lazy ones of mapped tasks included, a JSON array as text, or ``None``.
    :param of: the function whose invocations they are to be: of another one's, nothing would be found.
    :param instead: what else can be done where some are missing, for the message.
    """
    if value is None:
        return ()
    if isinstance(value, int) and not isinstance(value, bool):
        raise ParameterError(name, f"{value!r} {_NUMBER_FOR_TEXT}")
    items = list(_items(name, value))
    if missing := sum(map(_is_missing, items)):
        is_or_are = "is" if missing == 1 else "are"
        raise ParameterError(
            name,
            f"{missing} of {len(items)} ids {is_or_are} missing: the tasks that should give them have submitted "
            "nothing, not finished, or failed (what these have submitted is in output['invocation_id']), or give them "
            f"under another XCom key; check which{instead if missing < len(items) else ''}",
        )
    if of is not None:
        _refuse_strangers(name, items, of)
    ids = tuple(dict.fromkeys(_id_of(name, item) for item in items))
    if not ids and not may_be_empty:
        raise ParameterError(name, "is empty; give at least one id, or skip the task when there is nothing to wait for")
    if at_most is not None and len(ids) > at_most:
        raise ParameterError(name, f"{len(ids)} ids are more than {at_most}; use a common prefix and expected_count")
    return ids


def _refuse_strangers(name: str, items: Iterable[object], function_name: str) -> None:
    for item in items:
        other = str(item.get("function_name")) if isinstance(item, Mapping) and item.get("function_name") else ""
        # FC 3.0 may name a function service$function; any other form of a name is no proof.
        is_name = re.fullmatch(r"[\w$-]+", other)
        if is_name and other.rpartition("$")[2] != function_name.rpartition("$")[2]:
            raise ParameterError(
                name, f"holds an invocation of {other!r}, but function_name is {function_name!r}; correct one of them"
            )


def known_ids(name: str, value: object, *, on_missing: object) -> object:
    """Leave out the ids that are missing, where that is meant; nothing else is checked here.

    :param on_missing: ``fail`` or ``ignore``.
    """
    if choice("on_missing", on_missing, ("fail", "ignore")) == "fail" or value is None:
        return value
    return [item for item in _items(name, value) if not _is_missing(item)]


def _is_missing(item: object) -> bool:
    """Tell whether a task upstream should have given an id and has given nothing."""
    if isinstance(item, Mapping) and "invocation_id" in item:
        item = item["invocation_id"]
    return is_absent(item)


def _items(name: str, value: object) -> Iterable[object]:
    if isinstance(value, str):
        with suppress(msgspec.DecodeError, UnicodeEncodeError):
            return msgspec.json.decode(value.encode(), type=list[object])
        if kind := _was(name, value):
            raise ParameterError(name, f"is a {kind} {_MADE_TEXT}")
        if "," in value:
            raise ParameterError(name, f"{value!r} is one text with a comma; give a list, or a JSON array as text")
        return [value]
    if isinstance(value, Mapping):
        return [value]
    if isinstance(value, Sequence) and not isinstance(value, (list, tuple, bytes, bytearray)):
        # Airflow's lazy sequences find their end by asking beyond it, which leaves an error in the task's log.
        return [value[index] for index in range(len(value))]
    if isinstance(value, Iterable) and not isinstance(value, (bytes, bytearray)):
        return value
    raise ParameterError(name, f"{type(value).__name__} is neither text nor a list; give one of them")


def _was(name: str, written: str) -> str | None:
    """Tell what a text has been before it became one; ``None`` for ids and words, none of which begins so."""
    refuse_template(name, written)
    return _BEGINNINGS.get(written.lstrip()[:1])


def _refuse_made_text(name: str, item: object) -> None:
    if isinstance(item, str) and (kind := _was(name, item)):
        raise ParameterError(
            name, f"holds a {kind} turned into text by a template; pass the XComArg itself: {name}=task.output"
        )


def refuse_python_text(name: str, value: object) -> None:
    """Refuse text that a template or ``str()`` has made of a dict: no JSON reader takes it.

    :raises ParameterError: ``value`` is the text of a Python dict or list, and no JSON.
    """
    if not isinstance(value, str) or not value.startswith(("{", "[")):
        return
    with suppress(msgspec.DecodeError, UnicodeEncodeError):
        msgspec.json.decode(value.encode())
        return
    try:
        kind = type(ast.literal_eval(value)).__name__
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return
    raise ParameterError(
        name,
        f"is a {kind} turned into text by str() or a template; give the {kind} itself, or the XComArg (task.output); "
        "in a template use the filter tojson",
    )


_GIVE_IDS = "give text, or dicts with an invocation_id"
_KEYS_SHOWN = 5


def _id_of(name: str, item: object) -> str:
    if isinstance(item, Mapping) and "invocation_id" not in item:
        keys = ", ".join(map(repr, islice(item, _KEYS_SHOWN)))
        what = f"a dict with {keys}{' ...' if len(item) > _KEYS_SHOWN else ''}" if item else "an empty dict"
        raise ParameterError(name, f"{what} is not an id; {_GIVE_IDS}")
    if isinstance(item, Mapping):
        item = item["invocation_id"]
    if isinstance(item, Iterable) and not isinstance(item, (str, bytes)):
        raise ParameterError(
            name,
            "holds a list inside of the list; give one flat list: task.output or [a.output, b.output], not as "
            "templates, and what a mapped task returns as lists joined by a task of its own",
        )
    if isinstance(item, (int, float)):
        text(name, item)
    _refuse_made_text(name, item)
    if not isinstance(item, str) or is_absent(item):
        raise ParameterError(name, f"{item!r} is not an id; {_GIVE_IDS}")
    return _legal(name, item)


def _legal(name: str, value: object) -> str:
    written = text(name, value)
    if len(written) > MAX_INVOCATION_ID_LENGTH:
        raise ParameterError(
            name,
            f"{len(written)} characters are more than the {MAX_INVOCATION_ID_LENGTH} of an invocation id; shorten it",
        )
    return legal_invocation_id(written, name=name)


def whole_number(name: str, value: object, *, at_least: int, at_most: int | None = None) -> int | None:
    """Read a whole number, given as such or as text; ``None`` when not given."""
    if not is_given(name, value):
        return None
    range_ = f"{at_least} or more" if at_most is None else f"{at_least} to {at_most}"
    number = _whole(value)
    if number is None:
        raise ParameterError(name, f"{value!r} is not a whole number; give one, {range_}")
    if number < at_least or (at_most is not None and number > at_most):
        raise ParameterError(name, f"{value!r} is out of range; give {range_}")
    return number


def _whole(value: object) -> int | None:
    """Read what is a whole number by its meaning; numpy's and database drivers' kinds of numbers come from upstream."""
    if _is_no_number(value) or not isinstance(value, (str, Real, Decimal)):
        return None
    try:
        number = value if isinstance(value, (Integral, Decimal)) else float(value)
        whole = int(number if isinstance(number, Integral) else float(number))
    except (ValueError, OverflowError):  # no number, NaN or infinite
        return None
    return whole if whole == number else None


def _is_no_number(value: object) -> bool:
    """Tell what Python makes a number of though it is none: a boolean, and numpy's booleans and times of any unit."""
    return isinstance(value, bool) or getattr(getattr(value, "dtype", None), "kind", None) in ("b", "m", "M")


def unlimited_number(name: str, value: object) -> int | None:
    """Read a whole number, 0 or more; ``None`` for the word :data:`UNLIMITED`, or when not given."""
    return None if value == UNLIMITED else whole_number(name, value, at_least=0)


def delay(name: str, value: object) -> int | None:
    """Read how long FC holds an invocation back: whole seconds, also as a timedelta; ``None`` when not given."""
    if isinstance(value, timedelta):
        value = value.total_seconds()
    return whole_number(name, value, at_least=0, at_most=MAX_DELAY_SECONDS)


def seconds(name: str, value: object) -> float:
    """Read a duration in seconds, 0 to :data:`LONGEST`, given as a number, text or a timedelta."""
    return _duration(name, value, 0)


def interval(name: str, value: object, shortest: float = Polling.shortest) -> float:
    """Read the seconds between two polls; not less than the shortest, so that nobody hammers the API."""
    return _duration(name, value, shortest)


def _duration(name: str, value: object, shortest: float) -> float:
    total = getattr(value, "total_seconds", None)
    try:
        number = float("nan") if _is_no_number(value) else float(total() if total else cast("Any", value))
    except (TypeError, ValueError):
        number = float("nan")
    except OverflowError:  # a whole number beyond all floats
        number = float("inf") if cast("int", value) > 0 else float("-inf")
    if number != number:
        raise ParameterError(name, f"{value!r} is not a number of seconds; give {shortest:g} or more, or a timedelta")
    if number < shortest:
        raise ParameterError(name, f"{value!r} is too short; give {shortest:g} seconds or more")
    if number > LONGEST:
        raise ParameterError(name, f"{value!r} is too long; give {LONGEST:.0f} seconds (10 years) or less")
    return number


def timeout(name: str, value: object) -> float:
    """Read a duration in seconds that is more than nothing."""
    number = seconds(name, value)
    if not number:
        raise ParameterError(name, f"{value!r} is too short; give more than 0 seconds")
    return number


def matching(name: str, value: str, pattern: re.Pattern[str], what: str) -> str:
    """Read text of a form of its own."""
    if not pattern.fullmatch(value):
        raise ParameterError(name, f"{value!r} is not {what}")
    return value


def boolean(name: str, value: object) -> bool:
    word = str(value).strip().lower()
    if word not in ("true", "false"):
        raise ParameterError(name, f"{value!r} is not a boolean; use True or False")
    return word == "true"


def choice(name: str, value: object, allowed: tuple[Choice, ...]) -> Choice:
    for word in allowed:
        if value == word:
            return word
    refuse_template(name, value)
    raise ParameterError(name, f"{value!r} is unknown; use one of {', '.join(allowed)}")


def statuses(name: str, value: object, *, terminal: bool = False) -> tuple[str, ...]:
    """Status words, each once, or none when not given; text is one word, a comma-separated list, or a JSON array.

    :param terminal: only final ones will do.
    """
    if not is_given(name, value):
        return ()
    return _words(name, value, TERMINAL_STATUSES if terminal else STATUSES, ", or leave it out")


def fields(name: str, value: object) -> tuple[str, ...]:
    """Read names of :data:`FIELDS`."""
    return _words(name, value, FIELDS)


def _words(name: str, value: object, allowed: Sequence[str], instead: str = "") -> tuple[str, ...]:
    if isinstance(value, str) and not value.lstrip().startswith("["):
        value = [word.strip() for word in value.split(",")]
    items = list(_items(name, value))
    for item in items:
        _refuse_made_text(name, item)
    words = tuple(dict.fromkeys(map(str, items)))
    if not words:
        raise ParameterError(name, f"is empty; give some of {', '.join(allowed)}{instead}")
    for word in words:
        if word not in allowed:
            raise ParameterError(name, f"{word!r} is not one of {', '.join(allowed)}")
    return words


def epoch_ms(name: str, value: object) -> int | None:
    """Read a moment as epoch milliseconds; ``None`` when not given.

    :param value: aware datetime (pendulum included), ISO 8601 text with a zone, or epoch milliseconds. Naive times and
        seconds are refused: guessing a zone or a unit would silently list the wrong window.
    """
    if not is_given(name, value):
        return None
    if isinstance(value, str) and not _is_number(value):
        value = _parse(name, value)
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ParameterError(
                name, f"{value} has no time zone; use pendulum.datetime(..., tz=...) or an ISO time with +00:00"
            )
        if value.timestamp() < 0:
            raise ParameterError(name, f"{value} lies before 1970; correct the year or the unit")
        return round(value.timestamp() * 1000)
    if _whole(value) is None and not isinstance(value, (str, float)):
        raise ParameterError(
            name, f"{value!r} is no moment; give a datetime with a zone, ISO 8601 text with one, or epoch milliseconds"
        )
    milliseconds = whole_number(name, value, at_least=0)
    if milliseconds and milliseconds < _SMALLEST_MS:
        raise ParameterError(name, f"{value!r} looks like seconds; give epoch milliseconds (multiply by 1000)")
    if milliseconds and milliseconds > LAST_MS:
        raise ParameterError(name, f"{value!r} looks like micro- or nanoseconds; give epoch milliseconds")
    return milliseconds


def _is_number(written: str) -> bool:
    return written.strip().lstrip("-").replace(".", "", 1).isdecimal()


def _parse(name: str, written: str) -> datetime:
    refuse_template(name, written)
    try:
        moment = datetime.fromisoformat(written.strip())
    except ValueError:
        moment = None
    if moment is None:
        raise ParameterError(
            name, f"{written!r} is not a time; give ISO 8601 with a zone, for example {pendulum.now('UTC').isoformat()}"
        )
    return moment
