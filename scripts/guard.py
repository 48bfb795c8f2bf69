"""Runs a command and ends everything it has started as soon as our stdin closes.

    python guard.py COMMAND [ARGUMENT...]

Whoever holds the other end of stdin may end in any way, ``kill -9`` included: the command never outlives it. It gets a
process group of its own. The command is sent SIGTERM and may end its children by itself: a triggerer whose runner is
sent the signal too waits for it in vain. What is left of the group is sent SIGTERM then, and SIGKILL where that was not
enough. What is waited for is the end of the whole group, not of its first process only: Airflow's children take a while
longer than their parent.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

PATIENCE = 10.0
"""Seconds between SIGTERM and SIGKILL."""

LOOK_EVERY = 0.2
PR_SET_CHILD_SUBREAPER = 36


class Group:
    """The command and its children."""

    def __init__(self, command: list[str]) -> None:
        self.id = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True).pid
        self.exit_code: int | None = None

    def reap(self) -> None:
        """Take note of who has ended; a process nobody takes note of counts as a member for ever."""
        with suppress(ChildProcessError):  # none left
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if ended[0] == self.id:
                    self.exit_code = os.waitstatus_to_exitcode(ended[1])

    def end(self) -> None:
        give_up = time.monotonic() + PATIENCE
        with suppress(ProcessLookupError):  # the group is empty
            if self.exit_code is None:
                os.kill(self.id, signal.SIGTERM)
            while self.exit_code is None and time.monotonic() < give_up:
                time.sleep(0.1)
                self.reap()
            os.killpg(self.id, signal.SIGTERM)
            while time.monotonic() < give_up:
                self.reap()
                os.killpg(self.id, 0)
                time.sleep(0.1)
            os.killpg(self.id, signal.SIGKILL)
        self.reap()
        self.end_orphans(give_up + PATIENCE)

    def end_orphans(self, give_up: float) -> None:
        """End what has left the group and is ours now that its parent has ended, as Airflow's task processes are."""
        while (orphans := children()) and time.monotonic() < give_up:
            for pid in orphans:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.1)
            self.reap()


def children() -> list[int]:
    """Our own, adopted ones among them; none where this is not Linux."""
    with suppress(OSError):
        return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]
    return []


def main(command: list[str]) -> int:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)  # a handler, because children would inherit SIG_IGN
    adopt_orphans()
    group = Group(command)
    while group.exit_code is None and not closed(LOOK_EVERY):
        group.reap()
    group.end()
    return abs(group.exit_code or 0)


def adopt_orphans() -> None:
    """Where this is Linux, be the one who reaps orphans: the first process of a container often does not."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def closed(seconds: float) -> bool:
    """Whether stdin is at its end; waits so long for it."""
    ready, _, _ = select.select([sys.stdin], [], [], seconds)
    return bool(ready) and not os.read(sys.stdin.fileno(), 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
