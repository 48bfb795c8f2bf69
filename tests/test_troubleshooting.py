"""docs/troubleshooting.md explains every message that we raise, and none that we do not."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_fc import exceptions
from airflow_provider_fc.clients.network import ADVICE
from airflow_provider_fc.core import api_errors

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")
SOURCES = [
    path for path in sorted((ROOT / "airflow_provider_fc").rglob("*.py")) if "emulator" not in path.parts
]  # the emulator's own messages are for its operators, and name what they are about
EXCERPTS = re.findall(r"^\| `([^`]+)` \|", PAGE, re.MULTILINE)
VALUE = "…"
"""What stands for a value, in an excerpt as in a message."""
LEAST = 8
"""A message with no more letters of its own was made elsewhere; an excerpt with fewer tells nothing apart."""

WHERE_THE_TEXT_IS = dict.fromkeys(exceptions.__all__, 0) | {
    "ParameterError": 1,
    "SettingsError": 1,
    "ConnectionNotFoundError": 1,
    "_problem": 1,  # core/payload.py
    "_unusable": 0,  # clients/role_credentials.py
    "problems.append": 0,  # core/settings.py
    "AirflowFailException": 0,
    "AirflowSensorTimeout": 0,
}


def constants(tree: ast.Module) -> dict[str, str]:
    """Texts that have a name in their module."""
    return {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def message(node: ast.AST, names: dict[str, str]) -> str:
    """The text that an expression makes, with ``…`` for each value."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else VALUE
    if isinstance(node, ast.JoinedStr):
        return "".join(message(part, names) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        return message(node.value, names) if isinstance(node.value, ast.Name) else VALUE
    if isinstance(node, ast.Name):
        return names.get(node.id, VALUE)
    return VALUE


def raised(tree: ast.Module, which: Collection[str] = WHERE_THE_TEXT_IS) -> Iterator[tuple[int, str]]:
    """Line and text of every error that is made in a module."""
    names = constants(tree)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        called = called.removeprefix("self.").removeprefix("errors.")
        place = WHERE_THE_TEXT_IS.get(called)
        if place is None or called not in which or place >= len(node.args):
            continue
        argument = node.args[place]
        for each in argument.elts if isinstance(argument, ast.List) else [argument]:
            for way in [each.body, each.orelse] if isinstance(each, ast.IfExp) else [each]:
                yield node.lineno, message(way, names)


def explains(excerpt: str, text: str) -> bool:
    """Whether the excerpt's pieces stand in the text, in their order."""
    return bool(re.search(".*".join(map(re.escape, excerpt.split(VALUE))), text, re.DOTALL))


MESSAGES = [
    pytest.param(text, id=f"{path.name}:{line}")
    for path in SOURCES
    for line, text in raised(ast.parse(path.read_text("utf-8")))
    if len(re.findall(r"[a-z]", text)) > LEAST
]


@pytest.mark.parametrize("text", MESSAGES)
def test_every_message_is_explained(text: str) -> None:
    assert any(explains(excerpt, text) for excerpt in EXCERPTS), f"docs/troubleshooting.md does not explain: {text}"


FIX = re.compile(
    r"\b(give|use|write|set|leave|check|correct|add|name|pass|put|copy|shorten|unset|decode|upgrade|define|exchange)\b"
    r"|did you mean|is not one of|pip install|from … import",
    re.IGNORECASE,
)
AUTHORS = ("ParameterError", "SettingsError", "ConnectionNotFoundError", "_problem", "_unusable", "problems.append")
"""What is raised for a mistake of the author's, who can mend it."""


def of_authors() -> Iterator[Any]:
    for path in SOURCES:
        for line, text in raised(ast.parse(path.read_text("utf-8")), AUTHORS):
            if len(re.findall(r"[a-z]", text)) > LEAST:
                yield pytest.param(text, id=f"{path.name}:{line}")


@pytest.mark.parametrize("text", [*of_authors()])
def test_every_message_about_a_mistake_of_the_author_s_says_how_to_mend_it(text: str) -> None:
    ends_in_another = text.endswith((f"; {VALUE}", f": {VALUE}"))  # which has a test of its own

    assert FIX.search(text) or ends_in_another


@pytest.mark.parametrize(
    "hint", [*api_errors._HINTS.values(), *api_errors._MISSING_HINTS.values(), *ADVICE.values()], ids=str
)
def test_every_hint_is_explained(hint: str) -> None:
    assert any(explains(excerpt, hint) for excerpt in EXCERPTS), f"docs/troubleshooting.md does not explain: {hint}"


@pytest.mark.parametrize("name", exceptions.__all__)
def test_every_error_is_explained(name: str) -> None:
    assert f"| `{name}` |" in PAGE


def everything() -> set[str]:
    """Every text in the source."""
    texts = set(exceptions.__all__)
    for path in SOURCES:
        tree = ast.parse(path.read_text("utf-8"))
        names = constants(tree)
        texts |= {message(node, names) for node in ast.walk(tree) if isinstance(node, ast.Constant | ast.JoinedStr)}
    return texts


TEXTS = everything()


@pytest.mark.parametrize("excerpt", EXCERPTS)
def test_no_message_is_explained_that_does_not_exist(excerpt: str) -> None:
    assert len(excerpt.replace(VALUE, "")) >= LEAST, "too short to tell one message from another"
    assert any(explains(excerpt, text) for text in TEXTS)


def test_every_message_has_a_cause_and_a_fix() -> None:
    rows = [row for row in PAGE.splitlines() if row.startswith("| `")]

    assert len(rows) == len(EXCERPTS) == len(set(EXCERPTS))
    assert [row for row in rows if not re.fullmatch(r"\| `[^`]+` \|( [^|]{3,} \|){2}", row)] == []
