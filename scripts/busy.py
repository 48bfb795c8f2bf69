"""Run a command on a machine that is busy: ``python scripts/busy.py 6 -- make demo``.

So many processes do nothing but count while the command runs. What fails beside them has a limit of time that a slow
machine breaks. They end with the command, and by themselves if this program is killed.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

# A loop that has lost its parent would go on for ever.
LOOP = "import os, sys\nwhile os.getppid() == int(sys.argv[1]):\n    for _ in range(100_000): pass"


@contextmanager
def loop() -> Iterator[None]:
    """Keep one core busy."""
    command = [sys.executable, "-c", LOOP, str(os.getpid())]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.kill()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("loops", type=int)
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    # A Ctrl-C reaches the command by itself, which may have something to put away.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with ExitStack() as stack:
        for _ in range(options.loops):
            stack.enter_context(loop())
        with subprocess.Popen(options.command, preexec_fn=_interruptible) as process:
            signal.signal(signal.SIGTERM, lambda *_: process.terminate())
            code = process.wait()
    return code if code >= 0 else 128 - code  # as a shell says that a signal has ended it


def _interruptible() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # what is ignored stays so in a program that is started


if __name__ == "__main__":
    sys.exit(main())
