"""The reference and the parameter tables name every public parameter; read from the source, so no Airflow is needed."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import airflow_provider_fc
from airflow_provider_fc import exceptions, invocations

ROOT = Path(__file__).parent.parent
REFERENCE = (ROOT / "docs" / "reference.md").read_text("utf-8")
NOT_FOR_AUTHORS = {
    "FunctionComputeInvocationsTrigger",  # made by the sensor
    "FunctionComputeInvocationTrigger",  # made by the invoke operator
    "FunctionComputeConsoleLink",  # the button of every operator
}
CLASSES = sorted(set(re.findall(r"^::: airflow_provider_fc\.([\w.]+)\.(Function\w+)$", REFERENCE, re.MULTILINE)))
TABLES = {
    "FunctionComputeInvocationsSensor": "waiting.md",
    "FunctionComputeListInvocationsOperator": "listing.md",
    "FunctionComputeInvokeOperator": "invoking.md",
    "FunctionComputeStopInvocationsOperator": "stopping.md",
    "FunctionComputeInvocationsEventTrigger": "events.md",
}
OF_AIRFLOW = {"FunctionComputeInvocationsSensor": {"mode", "poke_interval", "timeout"}}
"""Parameters that Airflow's own base class has, and without which our page would not be complete."""


def definition(module: str, name: str) -> ast.ClassDef:
    source = (ROOT / "airflow_provider_fc" / f"{module.replace('.', '/')}.py").read_text("utf-8")
    return next(node for node in ast.parse(source).body if isinstance(node, ast.ClassDef) and node.name == name)


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    arguments = function.args
    return [each.arg for each in (*arguments.args, *arguments.kwonlyargs) if each.arg != "self"]


def public_functions(module: str, name: str) -> Iterator[tuple[str, list[str], str]]:
    """What of a class has parameters: its constructor and public methods, with the docstring that has to name them."""
    found = definition(module, name)
    for each in found.body:
        if not isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if each.name == "__init__":
            yield name, parameters(each), ast.get_docstring(found) or ""
        elif not each.name.startswith("_") and module == "hooks":
            yield f"{name}.{each.name}", parameters(each), ast.get_docstring(each) or ""


@pytest.mark.parametrize(("module", "name"), CLASSES)
def test_every_public_parameter_is_documented(module: str, name: str) -> None:
    functions = list(public_functions(module, name))
    undocumented = [
        f"{function}({parameter})"
        for function, names, docstring in functions
        if "See :meth:" not in docstring  # the awaited twin of a documented method
        for parameter in names
        if f":param {parameter}:" not in docstring and parameter != "cls"
    ]

    assert functions
    assert undocumented == []


def test_the_reference_holds_every_public_name() -> None:
    public = set(airflow_provider_fc._HOMES) - NOT_FOR_AUTHORS - set(exceptions.__all__)
    missing = [name for name in sorted(public) if not re.search(rf"^::: [\w.]+\.{name}$", REFERENCE, re.MULTILINE)]

    assert missing == []
    assert [
        name for name in invocations.__all__ if f"`{name}`" not in REFERENCE and f".{name}\n" not in REFERENCE
    ] == []


def test_the_reference_holds_every_error() -> None:
    [filters] = re.findall(r"^::: airflow_provider_fc\.core\.errors\n(?:.*\n)*?.*filters: \[(.*)\]", REFERENCE, re.M)
    patterns = re.findall(r'"(.*?)"', filters)

    assert [name for name in exceptions.__all__ if not any(re.search(each, name) for each in patterns)] == []


@pytest.mark.parametrize("name", TABLES)
def test_the_tables_of_a_page_name_every_parameter(name: str) -> None:
    [module] = [module for module, each in CLASSES if each == name]
    [constructor] = [names for function, names, _ in public_functions(module, name) if function == name]
    page = (ROOT / "docs" / TABLES[name]).read_text("utf-8")
    named = {
        word for cell in re.findall(r"^\| (`.*?`) \|", page, re.MULTILINE) for word in re.findall(r"`(\w+)`", cell)
    }

    assert sorted({*constructor, *OF_AIRFLOW.get(name, ())} - named) == []
