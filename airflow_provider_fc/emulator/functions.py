"""Finds the callables a user wants to be functions, without running any of their code in this process."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

# A callable of a module, or the life of a function nobody executes.
Functions = Mapping[str, "Callable[..., Any] | Mapping[str, Any]"]


class Target(msgspec.Struct, frozen=True):
    """Where a worker process finds a callable: in a ``module``, or where that cannot be imported, in a ``file``."""

    name: str
    module: str = ""
    file: str = ""


def targets_in_file(path: str | Path) -> dict[str, Target]:
    """Every public top-level ``def f(event, context)`` of a file.

    :raises ValueError: the file has none, or one that cannot be called like that.
    """
    file = Path(path).resolve()
    tree = ast.parse(file.read_bytes(), filename=str(path))
    found = {}
    for node in tree.body:
        if isinstance(node, ast.AsyncFunctionDef) and _is_handler(node):
            raise ValueError(f"{path}: {node.name} is an async def; a function is a plain def")
        if isinstance(node, ast.FunctionDef) and _is_handler(node):
            found[node.name] = Target(node.name, file=str(file))
    if not found:
        raise ValueError(f"{path}: no function found; write `def name(event: bytes, context):` at the top level")
    return found


def _is_handler(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Public, and callable with exactly the two arguments; a helper with others is no function."""
    arguments = node.args
    positional = len(arguments.posonlyargs) + len(arguments.args)
    needs_names = any(default is None for default in arguments.kw_defaults)
    takes_two = positional >= 2 or arguments.vararg is not None
    required = positional - len(arguments.defaults)
    return not node.name.startswith("_") and takes_two and required <= 2 and not needs_names


def target_of(name: str, function: Callable[..., Any]) -> Target:
    """Where a worker finds a callable this process has at hand.

    :raises ValueError: only this process has it.
    """
    module, attribute = getattr(function, "__module__", ""), getattr(function, "__qualname__", "")
    if module == "__main__" or getattr(sys.modules.get(module), attribute, None) is not function:
        raise ValueError(
            f"function {name!r}: worker processes import it by name, so it must be a top-level def of an importable "
            f"module, not {attribute or function!r} of {module or 'nowhere'}; or give the path of a file"
        )
    # A test module that pytest loaded by its path is known by a name nobody else can import.
    return Target(attribute, module=module, file=getattr(sys.modules[module], "__file__", None) or "")


def read_functions(source: str | Path | Functions | None) -> tuple[dict[str, Target], dict[str, Any]]:
    """What a user passed as ``functions``: callables by name, and lives by name."""
    if source is None:
        return {}, {}
    if not isinstance(source, Mapping):
        return targets_in_file(source), {}
    lives = {name: one for name, one in source.items() if not callable(one)}
    return {name: target_of(name, one) for name, one in source.items() if callable(one)}, lives
