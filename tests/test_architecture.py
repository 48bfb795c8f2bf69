"""Rules of the code that no linter knows; `make architecture` checks who may import whom."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

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


TESTS = Path(__file__).parent
# Each place where a test replaces something of this package, or something whose owner only the run knows.
REPLACED = {
    ("airflow/conftest.py", "hook.policies"): "the one place for policies where Airflow makes the objects",
    ("airflow/test_event_trigger.py", "FunctionComputeAsyncHook.__aenter__"): "raises what Airflow may raise",
    ("airflow/test_hooks.py", "hooks._attempt_to_stop"): "stands in the way of each stop, to see how many go at once",
    ("airflow/test_invoke_operator.py", "emulator.app.exchange"): "sees what arrives, and acts between two requests",
    ("clients/test_clients_contract.py", "module.proxy_for"): "counts what a request costs beside the network",
    ("clients/test_clients_errors.py", "owner.name"): "each error of the HTTP libraries, where each layer meets it",
}


def imported(tree: ast.AST) -> dict[str, str]:
    """The names that imports give, and what they stand for."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update({alias.asname or alias.name: alias.name for alias in node.names})
        elif isinstance(node, ast.ImportFrom):
            names.update({alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names})
    return names


def meaning(written: str, names: dict[str, str]) -> str:
    """The whole path of a name; only a run knows what an empty one means."""
    known = next((name for name in names if written == name or written.startswith(f"{name}.")), None)
    return "" if known is None else names[known] + written.removeprefix(known)


def replaced(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """What a test replaces, as written and in whole: by monkeypatch, mock, or an assignment to what was imported."""
    names = imported(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and is_replacer(ast.unparse(node.func), names):
            first, *others = node.args
            if isinstance(first, (ast.Constant, ast.JoinedStr)):
                path = ast.unparse(first).removeprefix("f").strip("'")
                yield path, path
            else:
                attribute = [str(ast.literal_eval(each)) if is_text(each) else ast.unparse(each) for each in others[:1]]
                written = ".".join([ast.unparse(first), *attribute])
                yield written, meaning(written, names)
        elif isinstance(node, ast.Assign):
            written = [ast.unparse(target) for target in node.targets if isinstance(target, ast.Attribute)]
            yield from ((name, meaning(name, names)) for name in written if meaning(name, names))


def is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant)


def is_replacer(function: str, names: dict[str, str]) -> bool:
    owner, _, what = function.partition(".")
    if owner in ("monkeypatch", "mocker"):
        return what in ("setattr", "delattr", "setitem", "patch", "patch.object", "patch.dict")
    return meaning(function, names).startswith("unittest.mock.patch")


def replaced_here(tree: ast.AST) -> set[str]:
    """What a test replaces in this package, or may."""
    ours = f"{airflow_provider_fc.__name__}."
    return {written for written, whole in replaced(tree) if not whole or whole.startswith(ours)}


def test_tests_hand_in_what_they_need_and_replace_nothing_but_what_is_listed_with_its_reason() -> None:
    found = {
        (file.relative_to(TESTS).as_posix(), name)
        for file in TESTS.rglob("*.py")
        for name in replaced_here(ast.parse(file.read_text(encoding="utf-8")))
    }

    assert sorted(found) == sorted(REPLACED)


@pytest.mark.parametrize(
    "line",
    [
        "monkeypatch.setattr(wait, 'SHORTEST', 0.0)",
        "monkeypatch.setattr('airflow_provider_fc.core.wait.SHORTEST', 0.0)",
        "monkeypatch.setattr(wait.Pace, 'next', later)",
        "monkeypatch.setattr(airflow_provider_fc.core.wait, 'SHORTEST', 0.0)",
        "monkeypatch.setattr(whatever, name, 0.0)",
        "mocker.patch('airflow_provider_fc.core.wait.SHORTEST', 0.0)",
        "mock.patch.object(wait, 'SHORTEST', 0.0)",
        "patch('airflow_provider_fc.core.wait.SHORTEST', 0.0)",
        "patch.object(wait, 'SHORTEST', 0.0)",
        "wait.SHORTEST = 0.0",
    ],
)
def test_every_way_of_replacing_is_seen(line: str) -> None:
    imports = [
        "import airflow_provider_fc.core.wait",
        "from unittest import mock",
        "from unittest.mock import patch",
        "from airflow_provider_fc.core import wait",
    ]

    assert replaced_here(ast.parse("\n".join([*imports, line])))


@pytest.mark.parametrize(
    "line", ["monkeypatch.setattr(sys, 'path', [])", "monkeypatch.setattr('ssl.Purpose', 0)", "a.b = 1"]
)
def test_what_belongs_to_others_may_be_replaced(line: str) -> None:
    assert not replaced_here(ast.parse(f"import sys\n{line}"))


OTHERS_ERRORS = {
    "aiohttp.ClientConnectionError",  # goes back to aiohttp
    "AirflowSkipException",  # Airflow shows no traceback of it, and our log line names the cause
}


def chained(module: Path) -> Iterator[str]:
    """Errors that are raised for another one and would show the tracebacks of both."""
    for handler in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        for node in ast.walk(handler) if isinstance(handler, ast.ExceptHandler) else ():
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
                alone = isinstance(node.cause, ast.Constant) and node.cause.value is None
                if not alone and ast.unparse(node.exc.func) not in OTHERS_ERRORS:
                    yield f"{module.name}:{node.lineno}"


def test_an_error_says_why_by_itself_and_shows_one_traceback_only() -> None:
    found = [place for module in MODULES if "emulator" not in module.parts for place in chained(module)]

    assert found == []
