"""Rules of the code that no linter knows; `make architecture` checks who may import whom."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import airflow_provider_fc

PACKAGE = Path(airflow_provider_fc.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

MAX_IMPORTS_INSIDE_FUNCTIONS = 20


def functions(module: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


def imports_inside_functions() -> set[tuple[Path, int]]:
    return {
        (module, node.lineno)
        for module in MODULES
        for function in functions(module)
        for node in ast.walk(function)
        if isinstance(node, (ast.Import, ast.ImportFrom))
    }


def has_reason(module: Path, line: int) -> bool:
    """Tell whether a comment stands beside an import, or above it and those that it stands together with."""
    lines = module.read_text(encoding="utf-8").splitlines()
    comments = [part.strip() for part in lines[line - 1].split("#")[1:]]
    if any(not comment.startswith("type: ignore") for comment in comments):
        return True
    above = line - 2
    while lines[above].strip().startswith(("from ", "import ", "if ", "else:")):
        above -= 1
    return lines[above].strip().startswith("# ")


def test_modules_import_what_they_need_at_their_top_but_for_twenty_places() -> None:
    found = imports_inside_functions()

    assert found, "nothing was found: the test looks in the wrong place"
    assert len(found) <= MAX_IMPORTS_INSIDE_FUNCTIONS, sorted(f"{path.name}:{line}" for path, line in found)


def test_every_import_inside_a_function_says_why() -> None:
    unexplained = [f"{path.name}:{line}" for path, line in imports_inside_functions() if not has_reason(path, line)]

    assert unexplained == []
