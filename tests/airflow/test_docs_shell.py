"""The shell blocks of README and docs/ run as they stand; one that does not says why, right above it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^(?:<!-- not run: (.+) -->\n)?^```(?:bash|shell|sh)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
FUNCTIONS = 'def thumbnail(event, context):\n    return "made"\n'
PYTHON = f"""#!{sys.executable}
# Stands before the real Python on PATH: a server of the documentation listens on a free port instead of its usual one.
import os, sys
arguments = sys.argv[1:]
if "airflow_provider_fc.emulator" in arguments:
    arguments += ["--port", "0"]
os.execv({sys.executable!r}, [{sys.executable!r}, *arguments])
"""


def blocks() -> Iterator[tuple[str, str | None, str]]:
    """Where, the reason not to run it, and the code."""
    for page in PAGES:
        text = page.read_text("utf-8")
        for match in BLOCK.finditer(text):
            yield f"{page.name}:{text.count(chr(10), 0, match.start(2)) + 1}", match[1], match[2]


ALL = [pytest.param(code, id=where) for where, _, code in blocks()]
NOT_RUN = [pytest.param(reason, id=where) for where, reason, _ in blocks() if reason]
SERVERS = [pytest.param(code, id=where) for where, reason, code in blocks() if not reason and ".emulator " in code]
COMMANDS = [pytest.param(code, id=where) for where, reason, code in blocks() if not reason and ".emulator " not in code]


@pytest.fixture(scope="module")
def shell_environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An Airflow of their own, and our environment's programs first on PATH."""
    folder = tmp_path_factory.mktemp("shell")
    python = folder / "bin" / "python"
    python.parent.mkdir()
    python.write_text(PYTHON)
    python.chmod(0o755)
    path = os.pathsep.join([str(python.parent), str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "AIRFLOW_HOME": str(folder / "airflow"), "PYTHONPATH": str(ROOT)}
    migrate = ["bash", "-ec", "airflow db migrate"]
    subprocess.run(migrate, env=environment, capture_output=True, check=True, timeout=300)
    return environment


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder that looks like a checkout and takes what a block leaves behind."""
    for name in ("example_dags", "docs", "Makefile"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "functions.py").write_text(FUNCTIONS)
    return tmp_path


def test_there_are_blocks_of_each_kind() -> None:
    assert all((NOT_RUN, SERVERS, COMMANDS))


@pytest.mark.parametrize("code", ALL)
def test_a_shell_block_is_correct_bash(code: str) -> None:
    done = subprocess.run(["bash", "-n"], input=code, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("reason", NOT_RUN)
def test_a_block_that_is_not_run_says_why(reason: str) -> None:
    assert len(reason.split()) >= 4


@pytest.mark.parametrize("code", COMMANDS)
def test_a_shell_block_runs(code: str, shell_environment: dict[str, str], checkout: Path) -> None:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", code],
        cwd=checkout,
        env=shell_environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("code", SERVERS)
def test_a_server_of_the_documentation_starts_and_prints_its_connection(
    code: str, shell_environment: dict[str, str], checkout: Path
) -> None:
    with subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", f"exec {code}"],
        cwd=checkout,
        env=shell_environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout is not None
        lines = [server.stdout.readline(), server.stdout.readline()]
        server.send_signal(signal.SIGTERM)

    assert lines[0].startswith("READY http://127.0.0.1:")
    assert lines[1].startswith("export AIRFLOW_CONN_FC_DEFAULT=")


FILE = re.compile(r'^```python title="(test_\w+\.py)"\n(.*?)^```$', re.DOTALL | re.MULTILINE)
FILES = [(page.name, *match.groups()) for page in PAGES for match in FILE.finditer(page.read_text("utf-8"))]


@pytest.mark.parametrize(("page", "name", "code"), FILES, ids=lambda text: text if len(text) < 50 else "code")
def test_a_test_file_of_the_documentation_passes_as_it_is(page: str, name: str, code: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(code, encoding="utf-8")
    foreign = ("AIRFLOW", "PYTEST")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", name],
        cwd=tmp_path,
        env={**environment, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )

    assert done.returncode == 0, f"{page}\n{done.stdout[-4000:]}\n{done.stderr[-2000:]}"
    assert "2 passed" in done.stdout
