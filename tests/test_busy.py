"""``scripts/busy.py`` keeps a machine busy beside a command, and no longer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "scripts" / "busy.py"
# The loops are its brothers: children of busy.py other than itself.
LIST = """
import os, pathlib, sys
busy = str(os.getppid())
children = pathlib.Path(f"/proc/{busy}/task/{busy}/children").read_text().split()
print(*(child for child in children if int(child) != os.getpid()), flush=True)
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def busy(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def running(process: str) -> bool:
    try:
        return "(zombie)" not in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False


def test_so_many_loops_run_beside_the_command_and_end_with_it() -> None:
    with busy("3", "--", sys.executable, "-c", f"{LIST}sys.exit(7)") as process:
        output, _ = process.communicate()

    loops = output.split()
    assert len(loops) == 3
    assert not any(map(running, loops))
    assert process.returncode == 7


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_they_end_too_when_it_is_killed(number: signal.Signals) -> None:
    with busy("2", "--", sys.executable, "-c", f"{LIST}sys.stdin.read()") as process:
        assert process.stdout
        loops = process.stdout.readline().split()
        process.send_signal(number)
        process.wait()
        while any(map(running, loops)):  # those of a killed one notice it by themselves
            os.sched_yield()

    assert len(loops) == 2
