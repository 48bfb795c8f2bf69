"""``make e2e-full`` and ``make e2e-matrix`` fail when anything is missing, and for no other reason than they say."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import differences
import e2e_matrix as matrix
import pytest

ROOT = Path(__file__).parents[1]
FULL = ROOT / "scripts" / "e2e_full.py"
PASSED = '{"passed": true, "seconds": 12.3}'


# --- e2e-full ---------------------------------------------------------------------------------------------------------


def full(folder: Path, **recipes: str) -> subprocess.CompletedProcess[str]:
    """Run the parts, each with this recipe, by a real make."""
    (folder / "reports").mkdir(exist_ok=True)
    rules = [f".PHONY: e2e-{part}\ne2e-{part}:\n\t{recipe}\n" for part, recipe in recipes.items()]
    (folder / "Makefile").write_text("\n".join(rules), encoding="utf-8")
    return subprocess.run(
        [sys.executable, str(FULL), "reports", *recipes], cwd=folder, capture_output=True, text=True, timeout=60
    )


def writes(part: str, report: str = PASSED) -> str:
    return f"@echo '{report}' > reports/{part}.json"


def test_all_parts_that_passed_pass(tmp_path: Path) -> None:
    done = full(tmp_path, matrix=writes("matrix"), scale=writes("scale"))

    assert done.returncode == 0, done.stderr
    assert [line.split() for line in done.stdout.splitlines()[-2:]] == [
        ["matrix", "12", "passed"],
        ["scale", "12", "passed"],
    ]


FAULTS = {
    "no report": ("@true", "no report (make has ended with 0)"),
    "make fails without a report": ("@exit 3", "no report (make has ended with 2)"),
    "make fails with a good report": (writes("cluster") + "; exit 3", "make has ended with 2"),
    "not passed": (writes("cluster", '{"passed": false, "seconds": 1}'), "the report says that it has not passed"),
    "passed in words": (
        writes("cluster", '{"passed": "true", "seconds": 1}'),
        "the report says that it has not passed",
    ),
    "half a report": (writes("cluster", '{"passed": tr'), "the report cannot be read"),
    "no verdict": (writes("cluster", '{"seconds": 1}'), "the report cannot be read"),
    "no seconds": (writes("cluster", '{"passed": true}'), "the report cannot be read"),
    "no object": (writes("cluster", "[]"), "the report cannot be read"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_part_that_did_not_pass_fails_the_whole_and_lets_the_others_run(tmp_path: Path, fault: str) -> None:
    recipe, said = FAULTS[fault]

    done = full(tmp_path, matrix=writes("matrix"), cluster=recipe, scale=writes("scale"))

    assert done.returncode == 1
    assert said in done.stdout
    assert "=== make e2e-scale" in done.stdout
    assert (tmp_path / "reports" / "scale.json").exists()


def test_a_report_of_an_earlier_run_counts_for_nothing(tmp_path: Path) -> None:
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "scale.json").write_text(PASSED, encoding="utf-8")

    done = full(tmp_path, matrix=writes("matrix"), scale="@true")

    assert done.returncode == 1
    assert "no report" in done.stdout


def test_no_parts_at_all_are_no_success(tmp_path: Path) -> None:
    assert full(tmp_path).returncode == 1


def test_the_target_asks_for_the_four_parts_in_this_order() -> None:
    assert planned("e2e-full").split()[-5:] == ["build/e2e", "matrix", "cluster", "browser", "scale"]


# --- e2e-matrix -------------------------------------------------------------------------------------------------------

SAMPLE = """
import pytest
def test_good(): pass
@pytest.mark.skip(reason="single")
def test_left_out(): pass
@pytest.mark.parametrize("number", [1, 2])
def test_bad(number): assert number == 0
@pytest.fixture
def broken(): raise ValueError
def test_without_its_fixture(broken): pass
"""
SAMPLE_MODULE = 'import pytest\npytest.skip("whole", allow_module_level=True)\n'


def planned(target: str) -> str:
    """What make would do."""
    return subprocess.run(
        ["make", "--no-print-directory", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout


def test_the_matrix_holds_every_supported_combination() -> None:
    assert planned("e2e-matrix").partition("e2e_matrix.py ")[2].split() == [
        "2.11.2:3.11",
        "2.11.2:3.12",
        "3.0.6:3.11",
        "3.1.8:3.11",
        "3.2.2:3.11",
        "3.3.2:3.11",
        "3.3.2:3.12",
        "3.3.2:3.13",
    ]


def test_a_real_airflow_runs_on_each_version_and_everything_on_the_oldest_and_the_newest() -> None:
    combinations = [
        matrix.Combination(*each.split(":"))
        for each in ("2.11.2:3.11", "2.11.2:3.12", "3.0.6:3.11", "3.3.2:3.11", "3.3.2:3.13")
    ]

    assert [(str(each), tests) for each, tests in matrix.real_parts(combinations)] == [
        ("3.3.2-py3.11", "tests/e2e"),
        ("2.11.2-py3.11", "tests/e2e"),
        ("3.0.6-py3.11", "tests/e2e/test_deferred.py"),
    ]


def ran(folder: Path, *options: str, **files: str) -> matrix.Part:
    """What the driver reads after a real pytest has run these test files."""
    for name, text in files.items():
        (folder / f"test_{name}.py").write_text(text, encoding="utf-8")
    xml = folder / "report.xml"
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--junitxml={xml}", *options, "."]
    done = subprocess.run(command, cwd=folder, capture_output=True, timeout=120)
    return matrix.read("tests/airflow", xml, done.returncode, folder / "log")


def test_each_outcome_is_counted(tmp_path: Path) -> None:
    part = ran(tmp_path, some=SAMPLE, module=SAMPLE_MODULE)

    assert part.passed == 1
    assert [name.rpartition("::")[2] for name in part.failed] == [
        "test_bad[1]",
        "test_bad[2]",
        "test_without_its_fixture",
    ]
    assert sorted(each["reason"] for each in part.skipped) == ["single", "whole"]
    assert part.problems == [f"3 failed: {tmp_path / 'log'}"]


def test_a_module_that_is_left_out_counts_once_however_many_processes_share_the_tests(tmp_path: Path) -> None:
    part = ran(tmp_path, "-n", "2", good="def test_good(): pass\n", module=SAMPLE_MODULE)

    assert [each["reason"] for each in part.skipped] == ["whole"]
    assert part.problems == []


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"none": ""}, "exit code 5"),
        ({"module": SAMPLE_MODULE}, "exit code 5"),
        ({"unreadable": "import no_such_module\n"}, "1 failed"),
    ],
    ids=["no tests", "none is run", "a file that cannot be imported"],
)
def test_a_part_in_which_nothing_has_passed_has_a_problem(tmp_path: Path, files: dict[str, str], said: str) -> None:
    [problem] = ran(tmp_path, **files).problems

    assert said in problem


def test_a_part_without_a_report_has_a_problem(tmp_path: Path) -> None:
    [problem] = matrix.read("tests/airflow", tmp_path / "none.xml", 0, tmp_path / "log").problems

    assert "without a report" in problem


def test_a_part_that_had_to_be_ended_has_a_problem(tmp_path: Path) -> None:
    [problem] = matrix.read("tests/airflow", tmp_path / "none.xml", None, tmp_path / "log").problems

    assert "not ready after" in problem


# --- what is left out -------------------------------------------------------------------------------------------------

EXPECTED = Counter(differences.expected_skips("tests/airflow", "3.2.2"))


def left_out(reasons: Counter[str]) -> list[str]:
    part = matrix.Part("tests/airflow", 1, skipped=[{"test": "t", "reason": reason} for reason in reasons.elements()])
    return matrix.unexpected(part, "3.2.2")


def test_what_the_table_says_may_be_left_out() -> None:
    assert EXPECTED.total() == 6
    assert left_out(EXPECTED) == []


def test_a_skip_for_another_reason_is_a_problem() -> None:
    assert left_out(EXPECTED + Counter(["no time"])) == ["1 skips instead of 0: no time"]


@pytest.mark.parametrize("change", [-1, 1])
def test_more_or_fewer_skips_than_in_the_table_are_a_problem(change: int) -> None:
    [reason, *_] = EXPECTED

    [problem] = left_out(EXPECTED + Counter({reason: change}))

    assert problem.endswith(f"skips instead of {EXPECTED[reason]}: {reason}")


def test_a_file_that_is_run_alone_leaves_nothing_out() -> None:
    assert differences.expected_skips("tests/e2e/test_deferred.py", "2.11.2") == Counter()


def test_the_documentation_shows_the_whole_table() -> None:
    page = (ROOT / "docs" / "versions.md").read_text(encoding="utf-8")
    _, _, part = page.partition("| why | on | left out |\n|---|---|---|\n")
    shown = part.partition("\n\n")[0].splitlines()

    assert shown == [each.row() for each in differences.DIFFERENCES.values()]


def test_the_reasons_differ() -> None:
    reasons = [each.reason() for each in differences.DIFFERENCES.values()]

    assert len(set(reasons)) == len(reasons)


def test_the_report_passes_only_when_every_combination_does(tmp_path: Path) -> None:
    good, bad = matrix.Combination("3.3.2", "3.11"), matrix.Combination("2.11.2", "3.11")
    results = {
        good: matrix.Result("3.3.2", "3.11", parts=[matrix.Part("tests/airflow", 7)]),
        bad: matrix.Result("2.11.2", "3.11", problems=["no environment"]),
    }

    matrix.write(tmp_path / "matrix.json", results, 3.0)
    report = json.loads((tmp_path / "matrix.json").read_text(encoding="utf-8"))

    assert report["passed"] is False
    assert {name: each["passed"] for name, each in report["combinations"].items()} == {
        "3.3.2-py3.11": True,
        "2.11.2-py3.11": False,
    }
