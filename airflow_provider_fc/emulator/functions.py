"""Finds the callables a user wants to be functions, without running any of their code in this process."""

from __future__ import annotations

import ast
import logging
import os
import re
import symtable
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

# A callable of a module, "FILE.py:handler", or the life of a function nobody executes.
Functions = Mapping[str, "Callable[..., Any] | str | Mapping[str, Any]"]

# The rule of the service; `service$function` is a function of FC 2.0 that has moved to FC 3.0.
_NAME = re.compile(r"([A-Za-z_][A-Za-z0-9_-]{0,127}\$)?[A-Za-z_][A-Za-z0-9_-]{0,127}")
_CHOICE = re.compile(r"(?P<file>.+\.py):(?P<handlers>[^/\\]+)")
_log = logging.getLogger(__name__)


class Target(msgspec.Struct, frozen=True):
    """Where a worker process finds a callable: in a ``module``, or where that cannot be imported, in a ``file``."""

    name: str
    module: str = ""
    file: str = ""

    @property
    def handler(self) -> str:
        """The handler as the service spells it: file and callable, as in ``index.handler``."""
        return f"{Path(self.file).stem if self.file else self.module}.{self.name}"


def read_functions(
    source: str | Path | Iterable[str | Path] | Functions | None,
) -> tuple[dict[str, Target], dict[str, Any]]:
    """Read what a user passed as ``functions``: callables by name, and lives by name.

    :raises ValueError: something in it cannot be a function.
    """
    found: list[tuple[str, Target]] = []
    lives: dict[str, Any] = {}
    if isinstance(source, Mapping):
        for name, one in source.items():
            if callable(one) or isinstance(one, str):
                found.append((name, _target(name, one)))
            else:
                lives[name] = one
    elif source is not None:
        files = [source] if isinstance(source, str | Path) else source
        found = [pair for one in files for pair in _targets_in(str(one))]
    for name in [*lives, *(name for name, _ in found)]:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} cannot be a function's name; it must match [A-Za-z_][A-Za-z0-9_-]*")
    targets = dict(found)
    if len(targets) < len(found):
        names = [name for name, _ in found]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"two functions are named {twice!r}; name one of them otherwise, as in FILE.py:handler=name")
    return targets, lives


def _targets_in(text: str) -> list[tuple[str, Target]]:
    """Read ``FILE.py``, for all its handlers, or ``FILE.py:handler=name,...``."""
    choice = None if Path(text).exists() else _CHOICE.fullmatch(text)
    if choice is None:
        return _all_in(text)
    pairs = [part.strip().partition("=") for part in choice["handlers"].split(",")]
    return [(name or handler, _one_in(choice["file"], handler)) for handler, _, name in pairs]


def _all_in(path: str) -> list[tuple[str, Target]]:
    """Take every public definition that can be called as a handler, and say which cannot."""
    public = {name: problem for name, problem in _definitions(path).items() if not name.startswith("_")}
    others = "; ".join(f"{name} {problem}" for name, problem in public.items() if problem)
    names = [name for name, problem in public.items() if not problem]
    if not names:
        detail = f" ({others})" if others else ""
        raise ValueError(
            f"{path}: no function found; write `def name(event: bytes, context):` at the top level{detail}"
        )
    if others:
        _log.warning("%s: helpers that are no functions: %s", path, others)
    return [(name, Target(name, file=str(Path(path).resolve()))) for name in names]


def _one_in(path: str, handler: str) -> Target:
    """Take the handler somebody asks for: it may also be private, or come from an assignment or an import."""
    definitions = _definitions(path)
    if problem := definitions.get(handler):
        raise ValueError(f"{path}: {handler} {problem}; write `def {handler}(event: bytes, context):`")
    if handler not in symtable.symtable(Path(path).read_text(), path, "exec").get_identifiers():
        handlers = ", ".join(name for name, problem in definitions.items() if not problem) or "none"
        raise ValueError(f"{path} has no handler {handler!r}; it has {handlers}")
    return Target(handler, file=str(Path(path).resolve()))


def _definitions(path: str) -> dict[str, str]:
    """Map each top-level def to what keeps it from being called as (event, context); to nothing if it can be."""
    try:
        tree = ast.parse(Path(path).read_bytes(), filename=path)
    except FileNotFoundError:
        raise ValueError(f"there is no {path} in {os.getcwd()}; give FILE.py[:HANDLER[=NAME]]") from None
    return {node.name: _problem(node) for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def _problem(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    if isinstance(node, ast.AsyncFunctionDef):
        return "is an async def"
    arguments = node.args
    positional = len(arguments.posonlyargs) + len(arguments.args)
    required = positional - len(arguments.defaults)
    if required > 2 or any(default is None for default in arguments.kw_defaults):
        return "needs more than (event, context)"
    return "" if positional >= 2 or arguments.vararg else "takes less than (event, context)"


def _target(name: str, function: Callable[..., Any] | str) -> Target:
    """Find what a mapping names; a callable must be one that a worker process can import, too."""
    if isinstance(function, str):
        choice = _CHOICE.fullmatch(function)
        if choice is None:
            raise ValueError(f"function {name!r}: {function!r} is not 'FILE.py:handler', a callable or a life")
        return _one_in(choice["file"], choice["handlers"])
    module, attribute = getattr(function, "__module__", ""), getattr(function, "__qualname__", "")
    if module == "__main__" or getattr(sys.modules.get(module), attribute, None) is not function:
        raise ValueError(
            f"function {name!r}: worker processes import it by name, so it must be a top-level def of an importable "
            f"module, not {attribute or function!r} of {module or 'nowhere'}; or give 'FILE.py:handler'"
        )
    # A test module that pytest loaded by its path is known by a name nobody else can import.
    return Target(attribute, module=module, file=getattr(sys.modules[module], "__file__", None) or "")
