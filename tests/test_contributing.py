"""CONTRIBUTING.md leads to files, symbols and tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "airflow_provider_fc"
GUIDE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


class Change(NamedTuple):
    name: str
    places: list[tuple[str, str]]
    tests: list[str]
    count: int


def section(title: str) -> str:
    return GUIDE.partition(f"## {title}\n")[2].partition("\n## ")[0]


def rows(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def everyday_changes() -> list[Change]:
    return [
        Change(name, re.findall(r"`([\w/]+\.py)`: `([\w.]+)`", places), re.findall(r"`([^`]+)`", tests), int(count))
        for name, places, tests, count in rows(section("Twelve everyday changes"))
    ]


CHANGES = everyday_changes()


def names_in(module: Path) -> set[str]:
    """Give what a module defines, and what its classes define as ``Class.name``."""

    def defined(body: list[ast.stmt]) -> set[str]:
        names = set()
        for node in body:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                names.add(node.name)
            if isinstance(node, ast.ClassDef):
                names |= {f"{node.name}.{name}" for name in defined(node.body)}
            targets = (
                node.targets
                if isinstance(node, ast.Assign)
                else [node.target]
                if isinstance(node, ast.AnnAssign)
                else []
            )
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
        return names

    return defined(ast.parse(module.read_text(encoding="utf-8")).body)


def test_the_table_holds_the_twelve_changes() -> None:
    """The wording of a time-out has a row for each task that can have one."""
    assert len(CHANGES) == 13
    assert all(change.places and change.tests for change in CHANGES)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.name)
def test_each_place_is_there(change: Change) -> None:
    missing = [f"{file}: {symbol}" for file, symbol in change.places if symbol not in names_in(PACKAGE / file)]

    assert missing == []


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.name)
def test_each_test_is_there(change: Change) -> None:
    for test in change.tests:
        file, _, function = test.partition("::")
        found = names_in(ROOT / file)
        assert function in found if function else any("test_" in name for name in found), test


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.name)
def test_the_places_are_as_many_as_is_said(change: Change) -> None:
    assert len(change.places) == change.count


def test_every_file_of_the_other_table_is_there() -> None:
    files = [
        name for row in rows(section("Where is what")) for name in re.findall(r"`([\w/]+\.(?:py|md|yml))`", row[1])
    ]

    assert len(files) > 20
    assert [name for name in files if not ((PACKAGE / name).exists() or (ROOT / name).exists())] == []
