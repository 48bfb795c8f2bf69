"""Parameters as templates render them -> checked values, each mistake named with its fix."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from numbers import Integral
from typing import Any

import pendulum
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_fc.core import parameters
from airflow_provider_fc.core.errors import ParameterError
from airflow_provider_fc.core.invocations import FIELDS, STATUSES, TERMINAL_STATUSES, legal_invocation_id

MOMENT = datetime(2026, 11, 22, 8, 30, 0, 250_000, tzinfo=UTC)
MS = 1_795_336_200_250


class Int64:
    """A whole number as numpy has it: no ``int``, but one by declaration. Its times are declared so as well."""

    def __init__(self, number: int, kind: str = "i") -> None:
        self.number = number
        self.dtype = type("dtype", (), {"kind": kind})

    def __int__(self) -> int:
        return self.number

    __float__ = __int__

    def __str__(self) -> str:
        return f"{self.number} of kind {self.dtype.kind}"  # type: ignore[attr-defined]

    def __eq__(self, other: object) -> bool:
        return self.number == other

    __hash__ = None


Integral.register(Int64)


class Lazy(Sequence[Any]):
    """As much of Airflow's lazy XCom sequence as an iteration needs."""

    def __init__(self, *items: Any) -> None:
        self._items = items

    def __repr__(self) -> str:
        return f"Lazy{self._items}"

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: Any) -> Any:
        return self._items[index]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._items)


def problem(function: Any, *arguments: Any, **keywords: Any) -> str:
    with pytest.raises(ParameterError) as caught:
        function("the_name", *arguments, **keywords)
    assert caught.value.name == "the_name"
    assert str(caught.value).startswith("the_name: ")
    return str(caught.value).removeprefix("the_name: ")


# Absent


@pytest.mark.parametrize("value", [None, "", " ", "None", " None\n"])
def test_none_and_what_a_template_makes_of_it_are_absent(value: Any) -> None:
    assert parameters.is_absent(value)


@pytest.mark.parametrize("value", [0, False, [], {}, "none", "0", "Nonesuch"])
def test_everything_else_is_a_value(value: Any) -> None:
    assert not parameters.is_absent(value)


# Times


@pytest.mark.parametrize(
    "value",
    [
        MOMENT,
        MOMENT.astimezone(timezone(timedelta(hours=8))),
        pendulum.instance(MOMENT),
        pendulum.instance(MOMENT).in_timezone("Asia/Shanghai"),
        "2026-11-22T08:30:00.250Z",
        "2026-11-22T08:30:00.250+00:00",
        "2026-11-22T16:30:00.250+08:00",
        " 2026-11-22 08:30:00.250+00:00 ",
        MS,
        str(MS),
        f" {MS} ",
        float(MS),
        f"{MS}.0",
    ],
    ids=str,
)
def test_a_moment_is_read_in_every_unambiguous_form(value: Any) -> None:
    assert parameters.epoch_ms("started_after", value) == MS


OPTIONAL = [
    parameters.epoch_ms,
    parameters.statuses,
    parameters.delay,
    parameters.unlimited_number,
    parameters.id_prefix,
    parameters.is_given,
    lambda name, value: parameters.whole_number(name, value, at_least=0),
]


@pytest.mark.parametrize("read", OPTIONAL)
def test_only_none_itself_leaves_a_parameter_out(read: Any) -> None:
    assert not read("the_name", None)
    for rendered in ("None", "", " ", " None\n"):
        assert problem(read, rendered)


@pytest.mark.parametrize(
    "value",
    [
        datetime(2026, 11, 22, 8, 30),  # noqa: DTZ001
        "2026-11-22T08:30:00",
        "2026-11-22 08:30",
        "2026-11-22",
        "2026-W47-7",
    ],
    ids=str,
)
def test_a_moment_without_a_zone_is_refused(value: Any) -> None:
    assert "has no time zone" in problem(parameters.epoch_ms, value)


@pytest.mark.parametrize("value", [timedelta(hours=1), date(2026, 11, 22), [MS], True])
def test_what_is_no_moment_is_refused_with_what_is_one(value: Any) -> None:
    assert "is no moment; give a datetime with a zone" in problem(parameters.epoch_ms, value)


@pytest.mark.parametrize("value", [1, 1_795_336_200, "1795336200", 1_795_336_200.25, 99_999_999_999])
def test_seconds_are_refused(value: Any) -> None:
    text = problem(parameters.epoch_ms, value)

    assert "looks like seconds" in text or "is not a whole number" in text


@pytest.mark.parametrize("factor", [10**3, 10**6, 10**9], ids="{:g}".format)
@pytest.mark.parametrize("form", [int, float, str], ids=lambda form: form.__name__)
def test_micro_and_nanoseconds_are_refused(factor: int, form: Any) -> None:
    assert "looks like micro- or nanoseconds" in problem(parameters.epoch_ms, form(1_795_336_200_000 * factor))


def test_zero_is_the_beginning_of_time() -> None:
    assert parameters.epoch_ms("started_after", 0) == 0


@pytest.mark.parametrize(
    "value",
    [
        True,
        False,
        -1,
        "-1",
        "soon",
        "2026-13-01T00:00:00Z",
        "{{ ts }}",
        date(2026, 11, 22),
        timedelta(hours=1),
        [MS],
        {"ms": MS},
        b"1795336200250",
        float("nan"),
        float("inf"),
        MS + 0.5,
        object,
        datetime(1969, 12, 31, tzinfo=UTC),
        "0001-01-01T00:00:00+00:00",
    ],
    ids=str,
)
def test_what_is_no_moment_is_refused(value: Any) -> None:
    assert problem(parameters.epoch_ms, value)


@given(st.datetimes(datetime(1973, 4, 1), datetime(9000, 1, 1), timezones=st.timezones()))  # noqa: DTZ001
def test_every_aware_moment_means_the_same_as_text_and_as_a_number(moment: datetime) -> None:
    milliseconds = parameters.epoch_ms("t", moment)

    assert milliseconds is not None
    assert abs(milliseconds - moment.timestamp() * 1000) <= 1
    assert parameters.epoch_ms("t", milliseconds) == milliseconds
    assert parameters.epoch_ms("t", str(milliseconds)) == milliseconds
    assert parameters.epoch_ms("t", moment.isoformat()) == milliseconds


@given(st.text(max_size=30) | st.text("0123456789-:.TZ+ ", max_size=30))
def test_any_text_is_a_moment_or_a_named_mistake(text: str) -> None:
    try:
        milliseconds = parameters.epoch_ms("t", text)
    except ParameterError:
        return
    assert milliseconds is not None
    assert milliseconds >= 0


# Ids


@pytest.mark.parametrize(
    ("value", "ids"),
    [
        (["a", "b"], ("a", "b")),
        (("a", "b"), ("a", "b")),
        (Lazy("a", "b"), ("a", "b")),
        pytest.param(iter(["a", "b"]), ("a", "b"), id="iterator"),
        ('["a", "b"]', ("a", "b")),
        (' ["a"]', ("a",)),
        ("a", ("a",)),
        ({"invocation_id": "a", "status": "Succeeded"}, ("a",)),
        ([{"invocation_id": "a"}, "b", {"invocation_id": "a"}], ("a", "b")),
        (Lazy({"invocation_id": "a"}, {"invocation_id": "b"}), ("a", "b")),
        ('[{"invocation_id": "a", "request_id": "r"}]', ("a",)),
        (["b", "a", "b"], ("b", "a")),
        (["run.1/x"], ("run_1_x",)),
        (["run.1", "run/1"], ("run_1",)),
        (["1-made-by-the-server"], ("1-made-by-the-server",)),
        (["a" * 128], ("a" * 128,)),
        (None, ()),
    ],
    ids=str,
)
def test_ids_are_read_from_whatever_upstream_returns(value: Any, ids: tuple[str, ...]) -> None:
    assert parameters.invocation_ids("invocation_ids", value) == ids


@pytest.mark.parametrize("empty", [[], (), "[]", Lazy(), pytest.param(iter([]), id="iterator"), {}], ids=str)
def test_an_empty_list_of_ids_is_refused(empty: Any) -> None:
    text = problem(parameters.invocation_ids, empty)

    assert "is empty" in text or "is not an id" in text


@pytest.mark.parametrize(
    ("of", "named", "taken"),
    [
        ("resize", "other", False),
        ("resize", "Resize", False),
        ("media$resize", "media$other", False),
        ("resize", "resize", True),
        ("media$resize", "resize", True),
        ("resize", "media$resize", True),
        ("resize", "acs:fc:cn-hangzhou:1:x/other", True),  # a form that nobody knows proves nothing
        ("resize", None, True),
        ("resize", "", True),
        (None, "other", True),
    ],
)
def test_a_row_of_another_function_s_invocation_is_refused(of: str | None, named: Any, taken: bool) -> None:
    rows = ["job-1", {"invocation_id": "job-2"}, {"invocation_id": "job-3", "function_name": named}]

    if taken:
        assert parameters.invocation_ids("ids", rows, of=of) == ("job-1", "job-2", "job-3")
    else:
        text = problem(parameters.invocation_ids, rows, of=of)
        assert text == f"holds an invocation of {named!r}, but function_name is {of!r}; correct one of them"


def test_a_thousand_ids_are_taken_and_one_more_is_not() -> None:
    ids = [f"job-{index}" for index in range(1001)]

    assert len(parameters.invocation_ids("ids", ids[:1000])) == 1000
    assert len(parameters.invocation_ids("ids", ids[:1000] * 2)) == 1000
    assert "1001 ids are more than 1000" in problem(parameters.invocation_ids, ids)


@pytest.mark.parametrize(
    "value", [[b"a"], [{}], [{"request_id": "a"}], [object()]], ids=["bytes", "{}", "row", "object"]
)
def test_what_is_no_id_is_refused(value: Any) -> None:
    assert "is not an id" in problem(parameters.invocation_ids, value)


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ({"count": 2, "truncated": False}, "a dict with 'count', 'truncated'"),
        ([{"request_id": "a"}], "a dict with 'request_id'"),
        (["a", {}], "an empty dict"),
        ([dict.fromkeys("abcdefg")], "a dict with 'a', 'b', 'c', 'd', 'e' ..."),
        ('[{"count": 2}]', "a dict with 'count'"),
    ],
    ids=str,
)
def test_a_dict_without_an_id_is_named_by_its_keys(value: Any, what: str) -> None:
    assert problem(parameters.invocation_ids, value) == (
        f"{what} is not an id; give text, or dicts with an invocation_id"
    )


MISSING = [
    ([None], 1, []),
    ([""], 1, []),
    (["None"], 1, []),
    ("None", 1, []),
    ("", 1, []),
    ({"invocation_id": None}, 1, []),
    (["a", None, "b", {"invocation_id": None}], 2, ["a", "b"]),
    (Lazy("a", None), 1, ["a"]),
    ('["a", null]', 1, ["a"]),
]


@pytest.mark.parametrize(("value", "missing", "known"), MISSING, ids=str)
def test_a_missing_id_is_an_error_unless_it_may_be_left_out(value: Any, missing: int, known: list[str]) -> None:
    text = problem(parameters.invocation_ids, parameters.known_ids("invocation_ids", value, on_missing="fail"))

    assert f"{missing} of {missing + len(known)} ids {'is' if missing == 1 else 'are'} missing" in text
    assert "or give them under another XCom key; check which" in text
    assert ("on_missing='ignore'" in text) == bool(known)  # it would help nobody where all are missing
    assert parameters.known_ids("invocation_ids", value, on_missing="ignore") == known


@pytest.mark.parametrize("word", ["", None, "skip"])
def test_what_missing_ids_mean_is_said_in_a_known_word(word: Any) -> None:
    with pytest.raises(ParameterError, match=r"on_missing: .* is unknown; use one of fail, ignore"):
        parameters.known_ids("invocation_ids", ["a"], on_missing=word)


class EndlessLogs(Lazy):
    """A sequence of Airflow 3: asking beyond its end leaves an error in the task's log."""

    def __iter__(self) -> Iterator[Any]:
        raise AssertionError("iterated, which asks beyond the end")


def test_a_lazy_sequence_is_not_asked_beyond_its_end() -> None:
    assert parameters.invocation_ids("ids", EndlessLogs("a", "b")) == ("a", "b")


@pytest.mark.parametrize("value", [5, [5], [20261127.0], [{"invocation_id": 5}]], ids=str)
def test_a_number_for_an_id_names_what_makes_numbers_of_text(value: Any) -> None:
    assert "render_template_as_native_obj=True" in problem(parameters.invocation_ids, value)


@pytest.mark.parametrize("value", [[["a"]], [Lazy("a"), Lazy("b")], ["a", iter("b")]], ids=["list", "lazy", "iterator"])
def test_a_list_inside_of_the_list_comes_with_the_way_out(value: Any) -> None:
    assert "give one flat list: task.output or [a.output, b.output], not as templates" in problem(
        parameters.invocation_ids, value
    )


@pytest.mark.parametrize("value", [1.5, True, b"a", object()], ids=["float", "bool", "bytes", "object"])
def test_what_is_no_list_of_ids_is_refused(value: Any) -> None:
    assert "is neither text nor a list" in problem(parameters.invocation_ids, value)


@pytest.mark.parametrize("text", ["['a', 'b']", "[a, b]", "[LazyXComSelectSequence([2 items])]", "["])
def test_a_list_that_a_template_turned_into_text_comes_with_the_way_out(text: str) -> None:
    assert "render_template_as_native_obj" in problem(parameters.invocation_ids, text)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("{'invocation_id': 'a'}", "dict"),
        ("{'invocation_id': 'a', 'status': 'Failed'}", "dict"),
        ('{"invocation_id": "a"}', "dict"),
        ("('a', 'b')", "tuple"),
        ("\n['a', None]", "list"),
        ("[\ud800]", "list"),
    ],
)
def test_what_a_template_turned_into_text_is_named_by_what_it_was(text: str, kind: str) -> None:
    assert f"is a {kind} turned into text by a template; pass the XComArg" in problem(parameters.invocation_ids, text)


@pytest.mark.parametrize("read", [parameters.invocation_ids, parameters.statuses, parameters.fields])
@pytest.mark.parametrize("others", [[], ["a"]], ids=["alone", "among others"])
@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("['a', 'b']", "list"),
        ('["a"]', "list"),
        (" []", "list"),
        ("{'invocation_id': 'a'}", "dict"),
        ("('a',)", "tuple"),
    ],
)
def test_a_list_that_holds_the_text_of_a_list_comes_with_the_way_out(
    read: Any, others: list[str], text: str, kind: str
) -> None:
    assert problem(read, [*others, text]) == (
        f"holds a {kind} turned into text by a template; pass the XComArg itself: the_name=task.output"
    )


@pytest.mark.parametrize("text", ["{'a': 1}", "['a']", "{'a'}"])
def test_python_text_for_a_payload_comes_with_the_way_out_for_both_of_its_causes(text: str) -> None:
    said = problem(parameters.refuse_python_text, text)

    assert "turned into text by str() or a template; give the " in said
    assert "(task.output)" in said
    assert "tojson" in said


@pytest.mark.parametrize("text", ["", "\ud800", "[\ud800", '{"a": "b"}', "['a", "plain", "(1, 2)"])
def test_other_text_is_no_python_text(text: str) -> None:
    assert parameters.refuse_python_text("payload", text) is None


def test_ids_with_commas_between_them_in_one_text_are_not_taken_for_one() -> None:
    assert "'a,b' is one text with a comma; give a list" in problem(parameters.invocation_ids, "a,b")


def test_an_id_that_is_too_long_is_refused() -> None:
    assert "129 characters are more than the 128" in problem(parameters.invocation_ids, ["a" * 129])
    assert "129 characters are more than the 128" in problem(parameters.invocation_id, "a" * 129)
    assert "129 characters are more than the 128" in problem(parameters.id_prefix, "a" * 129)


@given(st.lists(st.text("aZ9_-:+./@~ ", min_size=1, max_size=20), min_size=1, max_size=30))
def test_ids_mean_the_same_as_a_list_and_as_json(ids: list[str]) -> None:
    usable = [key for key in ids if not parameters.is_absent(key)]
    if not usable:
        return
    expected = tuple(dict.fromkeys(map(legal_invocation_id, usable)))

    assert parameters.invocation_ids("ids", usable) == expected
    assert parameters.invocation_ids("ids", json.dumps(usable)) == expected
    assert parameters.invocation_ids("ids", [{"invocation_id": key} for key in usable]) == expected


@pytest.mark.parametrize("value", [None, "", " ", "None"])
def test_a_missing_id_is_named(value: Any) -> None:
    assert "is missing" in problem(parameters.invocation_id, value)


def test_one_id_is_made_legal() -> None:
    assert parameters.invocation_id("invocation_id", "run:1") == "run_1"


@pytest.mark.parametrize(("value", "prefix"), [(None, None), ("job-", "job-"), ("run.1", "run_1"), ("7", "7")])
def test_a_prefix_is_made_legal(value: Any, prefix: str | None) -> None:
    assert parameters.id_prefix("prefix", value) == prefix


@pytest.mark.parametrize("value", ["", " ", "\n"])
def test_a_prefix_that_would_match_everything_is_refused(value: str) -> None:
    said = problem(parameters.id_prefix, value)

    assert "would match every invocation; give a prefix of your own, or leave it out (" in said
    assert "the stop operator then need invocation_ids" in said
    assert problem(parameters.id_prefix, value, instead="").endswith("; give a prefix of your own")


def test_a_prefix_that_a_template_found_nothing_for_is_refused() -> None:
    assert "'None' is what a template renders when it finds nothing" in problem(parameters.id_prefix, "None")


@pytest.mark.parametrize("read", [parameters.id_prefix, parameters.invocation_id, parameters.text])
@pytest.mark.parametrize("value", [5, 20261127, 1.5], ids=str)
def test_a_number_for_text_names_what_makes_numbers_of_text(read: Any, value: Any) -> None:
    assert f"{value} is a number; give text. With render_template_as_native_obj=True" in problem(read, value)


@pytest.mark.parametrize(
    "read",
    [
        parameters.id_prefix,
        parameters.invocation_id,
        parameters.invocation_ids,
        parameters.text,
        parameters.epoch_ms,
        lambda name, value: parameters.choice(name, value, ("asc", "desc")),
    ],
)
@pytest.mark.parametrize("value", ["nightly-{{ ds }}-", "{% if a %}b{% endif %}"])
def test_a_template_that_nothing_has_rendered_is_refused_as_such(read: Any, value: str) -> None:
    assert "is a template that nothing has rendered" in problem(read, value)


@pytest.mark.parametrize("value", ["华东-", "a\n", "a%b"])
def test_a_character_that_no_id_can_hold_is_refused_in_every_place(value: str) -> None:
    for read in (parameters.id_prefix, parameters.invocation_id, parameters.invocation_ids):
        assert "which no invocation id can" in problem(read, value)
    assert "which no invocation id can" in problem(parameters.invocation_ids, ["a", {"invocation_id": value}])


@pytest.mark.parametrize("value", [b"job-", ["job-"], True], ids=str)
def test_a_prefix_that_is_not_text_is_refused(value: Any) -> None:
    assert "is not text" in problem(parameters.id_prefix, value)


# Numbers


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (5, 5),
        ("5", 5),
        (" 5 ", 5),
        (5.0, 5),
        ("5.0", 5),
        (0, 0),
        ("0", 0),
        (10**30, 10**30),
        (Decimal("5.0"), 5),
        (Fraction(5), 5),
        (Int64(5), 5),
        (None, None),
    ],
)
def test_a_whole_number_may_be_text_or_a_number_of_another_library(value: Any, number: int | None) -> None:
    made = parameters.whole_number("limit", value, at_least=0)

    assert made == number
    assert made is None or type(made) is int


@pytest.mark.parametrize(
    "value",
    [
        True,
        False,
        1.5,
        "1.5",
        "five",
        "0x10",
        [],
        {},
        b"5",
        Decimal("1.5"),
        Decimal("NaN"),
        Decimal("sNaN"),
        Decimal("1e999999999"),
        Fraction(1, 3),
        Int64(5, "m"),
        Int64(1, "b"),
        float("nan"),
        float("inf"),
        "nan",
        "-inf",
        pytest.param(object(), id="object"),
    ],
    ids=str,
)
def test_what_is_no_whole_number_is_refused(value: Any) -> None:
    assert "is not a whole number" in problem(parameters.whole_number, value, at_least=0)


@pytest.mark.parametrize(
    ("value", "at_least", "at_most", "text"),
    [
        (-1, 0, None, "-1 is out of range; give 0 or more"),
        ("0", 1, None, "'0' is out of range; give 1 or more"),
        (101, 1, 100, "101 is out of range; give 1 to 100"),
        (0, 1, 100, "0 is out of range; give 1 to 100"),
        (1, 0, 0, "1 is out of range; give 0 to 0"),
    ],
)
def test_a_number_out_of_range_is_refused_with_the_range(value: Any, at_least: int, at_most: Any, text: str) -> None:
    assert problem(parameters.whole_number, value, at_least=at_least, at_most=at_most) == text


@pytest.mark.parametrize("value", [1, 100, "100"])
def test_the_bounds_of_a_range_belong_to_it(value: Any) -> None:
    assert parameters.whole_number("page_size", value, at_least=1, at_most=100) == int(value)


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (5, 5.0),
        ("5", 5.0),
        (0.5, 0.5),
        ("1e2", 100.0),
        (timedelta(minutes=2), 120.0),
        (pendulum.duration(seconds=3), 3.0),
        (0, 0.0),
    ],
    ids=str,
)
def test_seconds_are_a_number_text_or_a_timedelta(value: Any, number: float) -> None:
    assert parameters.seconds("poll_interval", value) == number


@pytest.mark.parametrize("value", [True, None, "", "soon", float("nan"), [], "None", object, Int64(5, "m")], ids=str)
def test_what_is_no_number_of_seconds_is_refused_with_the_shortest(value: Any) -> None:
    assert "is not a number of seconds; give 0 or more, or a timedelta" in problem(parameters.seconds, value)
    assert "is not a number of seconds; give 1 or more, or a timedelta" in problem(parameters.interval, value)


@pytest.mark.parametrize("value", [-1, "-0.1", -(10**400), "-inf", timedelta(seconds=-1), timedelta.min], ids=str)
def test_a_negative_duration_is_refused_with_the_shortest(value: Any) -> None:
    assert "is too short; give 0 seconds or more" in problem(parameters.seconds, value)
    assert "is too short; give 1 seconds or more" in problem(parameters.interval, value)


@pytest.mark.parametrize(
    "value", [sys.maxsize, 10**400, "1e12", "inf", float("inf"), timedelta.max, pendulum.duration(years=11)], ids=str
)
def test_a_duration_has_an_upper_bound(value: Any) -> None:
    assert "is too long; give 315360000 seconds (10 years) or less" in problem(parameters.seconds, value)
    assert "is too long; give 315360000 seconds (10 years) or less" in problem(parameters.interval, value)


def test_the_longest_duration_can_be_added_to_any_moment_of_ours() -> None:
    assert parameters.seconds("timeout", parameters.LONGEST) == parameters.LONGEST
    assert (MOMENT + timedelta(seconds=parameters.LONGEST)).year == 2036


@pytest.mark.parametrize(
    ("value", "number"), [(None, None), (0, 0), (90, 90), ("90", 90), (timedelta(minutes=1), 60), (3600, 3600)], ids=str
)
def test_a_delay_is_whole_seconds_also_as_a_timedelta(value: Any, number: int | None) -> None:
    assert parameters.delay("delay", value) == number


@pytest.mark.parametrize("value", [-1, 3601, 1.5, timedelta(seconds=1.5), timedelta(days=1), timedelta.max, True, "x"])
def test_another_delay_is_refused(value: Any) -> None:
    assert problem(parameters.delay, value)


def test_a_word_says_that_a_number_is_not_limited() -> None:
    assert parameters.unlimited_number("max_failed", "unlimited") is None
    assert parameters.unlimited_number("max_failed", "3") == 3
    assert problem(parameters.unlimited_number, "unlimitted")


@pytest.mark.parametrize(("value", "number"), [(1, 1.0), ("1.5", 1.5), (timedelta(minutes=1), 60.0)], ids=str)
def test_an_interval_is_a_second_or_more(value: Any, number: float) -> None:
    assert parameters.interval("poll_interval", value) == number


@pytest.mark.parametrize("value", [0, 0.99, "0.1", timedelta()], ids=str)
def test_a_shorter_interval_is_refused(value: Any) -> None:
    assert "is too short; give 1 seconds or more" in problem(parameters.interval, value)


# Words


@pytest.mark.parametrize(
    ("value", "meant"), [(True, True), (False, False), ("True", True), ("false", False), (" TRUE ", True)]
)
def test_a_boolean_may_be_text(value: Any, meant: bool) -> None:
    assert parameters.boolean("include_payload", value) is meant


@pytest.mark.parametrize("value", [None, "None", "", 1, 0, "yes", "maybe", []], ids=str)
def test_what_is_no_boolean_is_refused(value: Any) -> None:
    assert "is not a boolean" in problem(parameters.boolean, value)


def test_a_choice_is_one_of_those_offered() -> None:
    assert parameters.choice("order", "asc", ("asc", "desc")) == "asc"


@pytest.mark.parametrize("value", ["ASC", "", None, 5, ["asc"]], ids=str)
def test_another_choice_is_refused_with_those_offered(value: Any) -> None:
    assert "is unknown; use one of asc, desc" in problem(parameters.choice, value, ("asc", "desc"))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, ()),
        ("Failed", ("Failed",)),
        ("Failed,Succeeded", ("Failed", "Succeeded")),
        (" Failed , Succeeded ", ("Failed", "Succeeded")),
        ('["Failed", "Succeeded"]', ("Failed", "Succeeded")),
        (["Failed", "Failed", "Running"], ("Failed", "Running")),
        (("Failed",), ("Failed",)),
        (Lazy("Failed", "Stopped"), ("Failed", "Stopped")),
        (STATUSES, STATUSES),
    ],
    ids=str,
)
def test_statuses_are_read_in_every_form(value: Any, words: tuple[str, ...]) -> None:
    assert parameters.statuses("statuses", value) == words


@pytest.mark.parametrize("value", ["failed", "Failed,", ["Failed", None], "Failed;Running", "Paused", [5]], ids=str)
def test_a_word_that_is_no_status_is_refused(value: Any) -> None:
    assert "is not one of Enqueued, Dequeued" in problem(parameters.statuses, value)


@pytest.mark.parametrize("value", [[], (), "[]", Lazy()], ids=str)
def test_an_empty_list_of_statuses_does_not_mean_all(value: Any) -> None:
    assert "is empty; give some of Enqueued" in problem(parameters.statuses, value)


@pytest.mark.parametrize("status", STATUSES)
def test_only_final_statuses_can_mean_success(status: str) -> None:
    if status in TERMINAL_STATUSES:
        assert parameters.statuses("success_statuses", status, terminal=True) == (status,)
    else:
        assert "is not one of Succeeded, Failed" in problem(parameters.statuses, status, terminal=True)


@pytest.mark.parametrize("value", [5, 1.5, True], ids=str)
def test_what_is_no_list_of_words_is_refused(value: Any) -> None:
    assert "is neither text nor a list" in problem(parameters.statuses, value)


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("status", ("status",)),
        ("status, invocation_id", ("status", "invocation_id")),
        (["status", "status"], ("status",)),
        (FIELDS, FIELDS),
    ],
    ids=["one", "text", "twice", "all"],
)
def test_field_names_are_read_in_every_form(value: Any, names: tuple[str, ...]) -> None:
    assert parameters.fields("fields", value) == names


@pytest.mark.parametrize(
    ("value", "text"),
    [([], "is empty"), ("[]", "is empty"), ("nonsense", "'nonsense' is not one of"), ("", "'' is not one of")],
)
def test_field_names_that_do_not_exist_are_refused(value: Any, text: str) -> None:
    assert text in problem(parameters.fields, value)


class Markup(str):
    """Text of a kind of its own, as template engines give it."""


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (Markup("job-1"), ("job-1",)),
        (Markup('["job-1", "job-2"]'), ("job-1", "job-2")),
        ([Markup("job-1"), {"invocation_id": Markup("job-2")}], ("job-1", "job-2")),
    ],
)
def test_ids_may_be_text_of_any_kind(given: object, read: tuple[str, ...]) -> None:
    assert parameters.invocation_ids("invocation_ids", given) == read


def test_words_and_payloads_may_be_text_of_any_kind() -> None:
    assert parameters.statuses("statuses", Markup('["Failed"]')) == ("Failed",)
    parameters.refuse_python_text("payload", Markup('{"key": 1}'))
    with pytest.raises(ParameterError, match="is a dict turned into text"):
        parameters.refuse_python_text("payload", Markup("{'key': 1}"))
