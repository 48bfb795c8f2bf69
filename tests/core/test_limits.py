"""What Function Compute allows stands in one module."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import airflow_provider_fc
from airflow_provider_fc.core import limits
from airflow_provider_fc.emulator import auth, state

PACKAGE = Path(airflow_provider_fc.__file__).parent
# The emulator enforces what it has read for itself; a form's texts are for whoever fills it in.
MODULES = [path for path in PACKAGE.rglob("*.py") if "emulator" not in path.parts and path.name != "limits.py"]
LIMITS_IN_WORDS = re.compile(r"\b(7 days|for 7\b|128 KB|256 KB|15 minutes off)")
LIMITS_IN_NUMBERS = {128 * 1024, 256 * 1024, 7 * 86_400, 7 * 86_400_000}


def _constants(tree: ast.Module) -> Iterator[ast.Constant]:
    """Every constant but docstrings, which users read."""
    docstrings = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    yield from (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in docstrings)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_other_module_spells_a_limit_again(path: Path) -> None:
    spelled = [
        node.value
        for node in _constants(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node.value, str) and LIMITS_IN_WORDS.search(node.value)) or node.value in LIMITS_IN_NUMBERS
    ]

    assert spelled == []


def test_every_limit_names_its_source() -> None:
    body = ast.parse(Path(limits.__file__).read_text(encoding="utf-8")).body
    assigned = [place for place, node in enumerate(body) if isinstance(node, ast.Assign)]

    texts = [ast.unparse(body[place + 1]) for place in assigned]

    assert len(assigned) > 10
    assert [text for text in texts if not re.search(r"page|[Tt]he same|[Bb]oth", text)] == []


def test_the_emulator_enforces_the_same_limits() -> None:
    assert state.PAYLOAD_LIMIT == limits.PAYLOAD_LIMIT
    assert limits.MAX_CLOCK_SKEW.total_seconds() == auth.MAX_SKEW_SECONDS
