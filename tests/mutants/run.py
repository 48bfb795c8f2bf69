"""Breaks one important rule at a time in a copy of the project; the test that guards it must notice.

Each ``*.patch`` beside this file begins with a line ``# rule: ...`` and one or more lines ``# test: ...`` (pytest ids).
A mutant that no test notices, or whose patch no longer applies, is an error. Run it with ``make mutants``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
NOT_COPIED = shutil.ignore_patterns(".git", ".venv*", ".demo", "__pycache__", ".*_cache", ".hypothesis", "*.egg-info")

LONGEST = 300
"""Seconds for the tests of one mutant; most take a few."""

TESTS_FAILED = 1  # pytest's own exit code; any other one means that no test has judged


def verdict(patch: Path) -> str | None:
    """What is wrong with a mutant, or ``None`` when its test has noticed it."""
    lines = patch.read_text(encoding="utf-8").splitlines()
    tests = [line.removeprefix("# test: ") for line in lines if line.startswith("# test: ")]
    if not tests:
        return "names no test"
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "project")
        shutil.copytree(ROOT, copy, ignore=NOT_COPIED)
        applied = subprocess.run(
            ["git", "apply", "--whitespace=nowarn", str(patch)], cwd=copy, capture_output=True, text=True
        )
        if applied.returncode:
            return f"no longer applies: {applied.stderr.strip()}"
        try:
            run = subprocess.run(
                [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests],
                cwd=copy,
                env={**os.environ, "PYTHONPATH": str(copy), "CI": "true"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=LONGEST,
            )
        except subprocess.TimeoutExpired:
            return f"came to no end in {LONGEST} s"
    if run.returncode == TESTS_FAILED:
        return None
    if run.returncode == 0:
        return "SURVIVED"
    return f"pytest ended with {run.returncode}: {run.stdout[-500:]}"


def main() -> int:
    patches = sorted(HERE.glob("*.patch"))
    survivors = 0
    with ThreadPoolExecutor(max_workers=2) as pool:
        for patch, problem in zip(patches, pool.map(verdict, patches), strict=True):
            print(f"{'killed' if problem is None else problem:10}  {patch.stem}", flush=True)
            survivors += problem is not None
    print(f"{len(patches) - survivors} passed, {survivors} failed")
    return 1 if survivors or not patches else 0


if __name__ == "__main__":
    sys.exit(main())
