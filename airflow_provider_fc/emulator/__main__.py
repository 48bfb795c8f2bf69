"""``python -m airflow_provider_fc.emulator``: runs until SIGTERM or Ctrl-C."""

from __future__ import annotations

import argparse
import errno
import json
import os
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Sequence

from airflow_provider_fc.emulator.app import ACCESS_KEY_ID, ACCESS_KEY_SECRET
from airflow_provider_fc.emulator.records import RequestRecord
from airflow_provider_fc.emulator.server import FunctionComputeEmulator

USAGE_ERROR = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the emulator and return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        emulator = FunctionComputeEmulator(**vars(options), load_first=True)
    except (OSError, ValueError, SyntaxError) as error:
        print(f"cannot start: {_explain(error, options)}", file=sys.stderr)
        return USAGE_ERROR
    with emulator:
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        connection = shlex.quote(json.dumps(emulator.connection))
        print(f"READY {emulator.endpoint}", f"export AIRFLOW_CONN_FC_DEFAULT={connection}", sep="\n")
        print(f"# It {emulator.state.catalogue.served}", flush=True)
        stop.wait()
    return 0


def _parser() -> argparse.ArgumentParser:
    """Read each option as the parameter of the emulator that it is named after."""
    parser = argparse.ArgumentParser(
        prog="python -m airflow_provider_fc.emulator", description="A local Alibaba Cloud Function Compute."
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    add(
        "--port",
        type=_number(0, 65535),
        default=9000,
        help="port to listen on, 0 for a free one (default: %(default)s)",
    )
    add(
        "--functions",
        metavar="FILE.py[:HANDLER[=NAME],...]",
        action="append",
        help="every public `def f(event: bytes, context)` of the file, or the named ones; can be repeated",
    )
    add("--scenario", metavar="FILE.json", help="invocations, lives of functions, switches and faults to begin with")
    add("--state", dest="state_file", metavar="FILE", help="keep invocations in this file over restarts")
    add("--access-key-id", default=ACCESS_KEY_ID, help="the only valid one (default: %(default)s)")
    add("--access-key-secret", default=ACCESS_KEY_SECRET, help="its secret (default: %(default)s)")
    add("--region", default="cn-hangzhou", help="(default: %(default)s)")
    add("--account-id", default="123456789", help="(default: %(default)s)")
    add("--retries", type=_number(0), default=0, help="further attempts after a failed one (default: %(default)s)")
    add("--workers", type=_number(1), default=4, help="how many functions run at once (default: %(default)s)")
    add(
        "--log-requests",
        dest="on_request",
        action="store_const",
        const=log,
        help="one line a request on stderr",
    )
    return parser


def _number(lowest: int, highest: int = sys.maxsize) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not text.isdecimal() or not lowest <= int(text) <= highest:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from {lowest} to {highest}")
        return int(text)

    return number


def _explain(error: Exception, options: argparse.Namespace) -> str:
    if isinstance(error, SyntaxError):
        return f"{error.filename}:{error.lineno}: {error.msg}"
    if isinstance(error, FileNotFoundError):
        return f"there is no {error.filename} in {os.getcwd()}"
    if isinstance(error, IsADirectoryError):
        return f"{error.filename} is a folder; give a file"
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return f"{options.host}:{options.port} is in use; choose another --port"
    return str(error)


def log(record: RequestRecord) -> None:
    """Print a record, which holds no secret and no payload."""
    parameters = " ".join(f"{name}={value}" for name, value in record.parameters.items())
    asked = f"{record.operation or 'unknown'} {record.generation} {parameters}"
    answered = f"{asked} -> {record.status} {record.code}".rstrip()
    faults = [f"faults: {', '.join(record.faults)}"] if record.faults else []
    print(answered, record.request_id, *faults, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
