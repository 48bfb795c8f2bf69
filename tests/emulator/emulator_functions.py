"""Functions for the tests of worker processes."""

from __future__ import annotations

import json
import logging
import operator
import os
import subprocess
import sys
from pathlib import Path


def echo(event: bytes, context) -> bytes:
    return event


def text(event: bytes, context) -> str:
    return "Grüße"


def describe(event: bytes, context) -> dict[str, object]:
    """Whatever the vendor's pages say that a context has, and what we add."""
    names = json.loads(event or b"[]")
    return {name: _plain(operator.attrgetter(name)(context)) for name in names}


def _plain(value):
    return value if isinstance(value, str | int | dict) else type(value).__name__


def environment(event: bytes, context) -> dict[str, str]:
    return {
        name: text
        for name, text in os.environ.items()
        if name.startswith(("FC_", "ALIBABA_CLOUD_ACCESS", "ALIBABA_CLOUD_SEC"))
    }


def vendor(event: bytes, context) -> str:
    """A handler as the vendor's pages write it."""
    logging.getLogger().info("request %s of %s", context.request_id, context.function.name)
    context.logger.info("in %s", context.region)
    context.get_logger().warning("by %s", context.account_id)
    if context.credentials.access_key_id:
        return f"{context.account_id} {context.function.handler} {context.function.timeout > 0}"
    return ""


def buffer(event: bytes, context) -> bytearray:
    return bytearray(b"abc")


def nothing(event: bytes, context) -> None:
    print("what a function prints does not get into stdout")


def fail(event: bytes, context) -> None:
    raise ValueError("not a text file")


def fail_silently(event: bytes, context) -> None:
    raise ValueError


def leave(event: bytes, context) -> None:
    sys.exit("enough")


def unserializable(event: bytes, context) -> object:
    return object()


def succeed_on_attempt_three(event: bytes, context) -> int:
    if context.attempt < 3:
        raise RuntimeError(f"attempt {context.attempt}")
    return context.attempt


def die(event: bytes, context) -> None:
    os._exit(7)


def fork(event: bytes, context) -> str:
    """Both processes come back from here, the child first."""
    child = os.fork()
    if child == 0:
        return "child"
    return f"parent of a child with exit code {os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}"


def fork_into_an_error(event: bytes, context) -> None:
    child = os.fork()
    if child == 0:
        raise ValueError("child")
    raise ValueError(f"parent of a child with exit code {os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}")


def large(event: bytes, context) -> bytes:
    return b"x" * (3 * 1024 * 1024)


def spin(event: bytes, context) -> None:
    """Compute for ever, with a child process; tells the file named by the event both process ids."""
    child = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    file = Path(json.loads(event)["file"])
    file.with_suffix(".part").write_text(json.dumps([os.getpid(), child.pid]))
    file.with_suffix(".part").rename(file)
    while True:
        pass


def wait_for_file(event: bytes, context) -> str:
    """Compute until the file named by the event exists; tells a neighbouring one that it has begun."""
    file = Path(json.loads(event)["file"])
    file.with_suffix(f".began-{context.attempt}").touch()
    while not file.exists():
        pass
    return f"attempt {context.attempt}"


def _private(event: bytes, context) -> None:
    raise AssertionError("this is no function")


def helper(one: str) -> str:
    return one
