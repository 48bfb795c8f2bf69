"""The mutants still break what they are there to break; ``make mutants`` then finds out whether their tests notice."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MUTANTS = sorted(ROOT.glob("tests/mutants/*.patch"))


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.stem)
def test_a_mutant_applies_to_the_code_of_today(mutant: Path) -> None:
    done = subprocess.run(["git", "apply", "--check", str(mutant)], cwd=ROOT, capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.stem)
def test_the_tests_that_a_mutant_names_exist(mutant: Path) -> None:
    lines = mutant.read_text("utf-8").splitlines()
    tests = [line.removeprefix("# test: ") for line in lines if line.startswith("# test: ")]

    assert tests
    for test in tests:
        file, _, name = test.partition("[")[0].partition("::")
        assert f"def {name.rpartition('::')[2]}" in (ROOT / file).read_text("utf-8")
