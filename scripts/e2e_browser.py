"""``make e2e-browser``: what a user sees of us in Airflow's web interface, looked at with a browser.

Usage: e2e_browser.py [PYTHON of an environment with Airflow 2]. It starts an Airflow and a local Function Compute, and
looks at the connection form, the providers, a task that waits, and what it leaves behind. With an Airflow 2 it looks at
the form alone. A check that fails does not keep the others from being made; one that was not made has failed.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

import deployment_report
from deployment_report import Report
from local_airflow import (
    BIN,
    HOST,
    ON_AIRFLOW3,
    REPOSITORY,
    Airflow,
    Emulator,
    Failure,
    Program,
    Run,
    ask,
    environment,
    free_port,
)
from playwright.sync_api import Error as BrowserError
from playwright.sync_api import expect
from web_interface import PATIENCE, Browser, Form, Form2, Form3, browser, fill

from airflow_provider_fc.core.connection_fields import EXTRA_FIELDS, SECTIONS, STANDARD_FIELDS
from airflow_provider_fc.provider_info import get_provider_info

DAGS = REPOSITORY / "tests" / "e2e" / "browser_dags"
DAG_ID = "thumbnails"
EXPECTED = 40
USER = "admin"
NOBODY = f"http://{HOST}:9"
"""The discard service's port, where nothing listens."""
PLACEHOLDERS: dict[str, str] = get_provider_info()["connection-types"][0]["ui-field-behaviour"]["placeholders"]
CONSOLE = "https://fcnext.console.aliyun.com/cn-hangzhou/functions/thumbnail"
PROGRESS = re.compile(r"Waiting: \d+ (?:of \d+ ended|found)")


@dataclass
class Seen:
    """What the checks share."""

    report: Report
    airflow: Airflow
    emulator: Emulator
    browser: Browser
    form: Form
    url: str
    runs: list[Run] = field(default_factory=list)

    @property
    def keys(self) -> dict[str, str]:
        connection = json.loads(self.emulator.connection)
        port = {"port": "0"} if ON_AIRFLOW3 else {}  # see docs/reliability.md
        return {name: connection[name] for name in ("host", "login", "password")} | port | {"region_id": "cn-hangzhou"}

    def stored(self, conn_id: str) -> dict[str, object]:
        """What Airflow has stored, secrets included."""
        command = [str(BIN / "airflow"), "connections", "get", conn_id, "--output", "json"]
        done = subprocess.run(command, env=self.airflow.env, capture_output=True, text=True, check=True, timeout=120)
        found: dict[str, object] = json.JSONDecoder().raw_decode(done.stdout[done.stdout.index("[{") :])[0][0]
        extra = found["extra_dejson"]
        filled = (
            {name: value for name, value in extra.items() if value is not None} if isinstance(extra, dict) else extra
        )
        stored = {name: found[name] or None for name in ("description", "host", "login", "password", "port")}
        return stored | {"extra": filled}

    def task_page(self, task_id: str, tab: str) -> None:
        [run] = self.runs
        self.browser.page.goto(f"{self.url}/dags/{DAG_ID}/runs/{quote(run.run_id, safe='')}/tasks/{task_id}/{tab}")


class Wrong(Exception):
    """The web interface does not show what it must."""


def must(holds: object, problem: object) -> None:
    """
    :raises Wrong: it does not hold.
    """
    if not holds:
        raise Wrong(str(problem))


# --- the connection form ----------------------------------------------------------------------------------------------


def every_field(seen: Seen) -> None:
    seen.form.open_new("looked_at")
    shown = {row.label: row for row in seen.form.rows()}
    for row in EXTRA_FIELDS:
        must(row.label in shown, f"{row.label} is not shown, but {list(shown)}")
        must(shown[row.label].help == row.help, f"{row.label} is explained as {shown[row.label].help!r}")
    for row in STANDARD_FIELDS:
        must(row.label in shown, f"{row.label} is not shown, but {list(shown)}")
        must(shown[row.label].placeholder == PLACEHOLDERS.get(row.name, ""), shown[row.label])
    ours = [row.label for row in EXTRA_FIELDS]
    must([label for label in shown if label in ours] == ours, f"the order is {list(shown)}")


def all_texts_whole(seen: Seen) -> None:
    seen.form.open_new("looked_at")
    ours = {row.label for row in (*STANDARD_FIELDS, *EXTRA_FIELDS)} | {"Port"}
    for row in seen.form.rows():
        if row.label in ours:
            must(max(row.lines) <= 1, f"more than one line: {row}")
            must(not row.cut, f"the placeholder is cut off: {row}")


def secrets_masked(seen: Seen) -> None:
    seen.form.open_new("looked_at")
    masked = [row.label for row in seen.form.rows() if row.masked]
    must(masked == ["AccessKey secret", "STS token"], masked)


def pictures_of_the_form(seen: Seen) -> None:
    seen.form.open_new("fc_default")
    example = {"login": "LTAI5tExample", "password": "the-secret", "region_id": "cn-hangzhou"}
    fill(seen.form, example | {"account_id": "1234567890123456"})
    if isinstance(seen.form, Form3):
        seen.form.open_section("Standard Fields")
        seen.browser.picture("connection-form", seen.form.dialog)
        seen.form.open_section(next(iter(SECTIONS)))
        seen.browser.picture("connection-form-account", seen.form.dialog)
        for number, title in enumerate(SECTIONS):
            seen.form.open_section(title)
            seen.browser.picture(f"section-{number}", seen.form.dialog)
    else:
        seen.browser.page.evaluate("scrollTo(0, 0)")
        seen.browser.picture("connection-form-2", seen.browser.page.locator("#model_form"))


def saved_as_typed(seen: Seen) -> None:
    typed = seen.keys | {"security_token": "a-token"}
    seen.form.open_new("with_token")
    fill(seen.form, typed)
    seen.form.save()
    first = seen.stored("with_token")
    for name in ("host", "login", "password"):
        must(first[name] == typed[name], f"{name} is not stored as it was typed")
    must("a-token" in str(first), "the token is not stored")

    seen.form.open_saved("with_token")
    must(seen.form.field("host").input_value() == typed["host"], "host does not come back")
    must(seen.form.field("region_id").input_value() == "cn-hangzhou", "region_id does not come back")
    for name in ("password", "security_token"):
        must(seen.form.field(name).input_value() not in typed.values(), f"{name} comes back unmasked")
    seen.form.field("description").fill("changed")
    seen.form.save()
    again = seen.stored("with_token")
    must(again["description"] == "changed", "the change is not stored")
    changed = [name for name in first if again[name] != first[name]]
    must(changed == ["description"], f"what was changed: {changed}")


def _answer(seen: Seen, conn_id: str, values: dict[str, str]) -> str:
    seen.form.open_new(conn_id)
    fill(seen.form, seen.keys | values)
    seen.form.save()
    answer = seen.form.test(conn_id, (seen.keys | values)["password"])
    seen.report.facts.setdefault("answers", {})[conn_id] = answer
    return answer


def right_key(seen: Seen) -> None:
    answer = _answer(seen, "right_key", {})
    must(f"Function Compute at {seen.emulator.endpoint} accepted the credentials" in answer, answer)


def wrong_key(seen: Seen) -> None:
    answer = _answer(seen, "wrong_key", {"password": "not-the-secret"})
    must("Wrong key: the AccessKey secret (password) does not fit the AccessKey ID (login)." in answer, answer)
    must("not-the-secret" not in answer, "the secret is shown")
    seen.browser.picture("connection-test")


def nobody_there(seen: Seen) -> None:
    answer = _answer(seen, "nobody_there", {"host": NOBODY})
    must(f"Unreachable: no answer from {NOBODY}." in answer, answer)
    must("check host and its port" in answer, answer)


def ticked_box(seen: Seen) -> None:
    seen.form.open_new("ticked")
    fill(seen.form, seen.keys | {"account_id": "1234567890123456"})
    seen.form.tick("internal")
    seen.form.save()
    answer = seen.form.test("ticked", seen.keys["password"])
    must("accepted the credentials" in answer, answer)


# --- the other pages --------------------------------------------------------------------------------------------------


def provider_listed(seen: Seen) -> None:
    seen.browser.page.goto(f"{seen.url}/providers")
    row = seen.browser.page.get_by_role("row").filter(has_text="airflow-provider-fc")
    expect(row).to_contain_text(version("airflow-provider-fc"))
    expect(row).to_contain_text("Function Compute")
    expect(row.get_by_role("link")).to_have_attribute("href", re.compile("^https://"))


def waiting_task(seen: Seen) -> None:
    """Start a batch and a task that waits for it, until it has told its progress more than once."""
    seen.emulator.add_invocations([_invocation(number, 2.0 * number) for number in range(EXPECTED - 4)])
    seen.airflow.unpause(DAG_ID)
    run = seen.airflow.trigger(DAG_ID, {})
    seen.runs.append(run)
    told = 0
    for late in range(EXPECTED - 4, EXPECTED - 1):  # each of them is something new to tell

        def has_told(least: int = told) -> bool:
            return _progress_lines(seen, run) > least

        seen.airflow.wait_until(has_told, "a line of progress in the task's log")
        told = _progress_lines(seen, run)
        seen.emulator.add_invocations([_invocation(late, 0.0)])
    seen.airflow.wait_until(lambda: _progress_lines(seen, run) > 2, "a third line of progress")

    seen.task_page("wait", "")
    page = seen.browser.page
    expect(page.get_by_text("Deferred").first).to_be_visible()
    expect(page.get_by_text("The wait goes on in Airflow's triggerer")).to_be_visible()
    lines = page.get_by_text(PROGRESS)
    expect(lines.nth(1)).to_be_visible()
    must(lines.count() >= 2, f"{lines.count()} lines of progress")
    seen.browser.picture("task-log")


def _invocation(number: int, seconds: float) -> dict[str, object]:
    failed = number in (7, 19)
    ends = [[0, "Running"]] if seconds else []
    life = {"timeline": [*ends, [seconds, "Failed" if failed else "Succeeded"]]}
    error = {"error_message": "ValueError: not a picture"} if failed else {}
    return {"function": "thumbnail", "id": f"thumb-monday-{number:04}", **life, **error}


def _progress_lines(seen: Seen, run: Run) -> int:
    texts = [path.read_text(encoding="utf-8") for path in seen.airflow.task_logs(run, "wait")]
    return len(PROGRESS.findall("".join(texts)))


def link_while_it_waits(seen: Seen) -> None:
    seen.task_page("wait", "details")
    expect(seen.browser.page.get_by_text("deferred").first).to_be_visible()
    _see_link(seen)


def _see_link(seen: Seen) -> None:
    link = seen.browser.page.get_by_role("link", name="Function Compute console")
    expect(link).to_have_attribute("href", CONSOLE)
    must(link.is_visible(), "the link is there but cannot be seen")


def link_afterwards(seen: Seen) -> None:
    [run] = seen.runs
    seen.emulator.add_invocations([_invocation(EXPECTED - 1, 0.0)])
    ended = {change.task: change.now for change in seen.airflow.follow(run)}
    must(ended == {"wait": "success", "failed": "success", "": "success"}, ended)
    for task_id in ("wait", "failed"):
        seen.task_page(task_id, "details")
        expect(seen.browser.page.get_by_text("success").first).to_be_visible()
        _see_link(seen)


def grid(seen: Seen) -> None:
    page = seen.browser.page
    page.goto(f"{seen.url}/dags/{DAG_ID}")
    for task_id in ("wait", "failed"):
        expect(page.get_by_role("link", name=task_id, exact=True).first).to_be_visible()
    expect(page.get_by_text("Last Dag Run")).to_be_visible()
    seen.browser.picture("grid")


def xcom(seen: Seen) -> None:
    seen.task_page("failed", "xcom")
    page = seen.browser.page
    page.get_by_role("button", name="Expand all extra JSON").click()
    table = page.get_by_role("table")
    for text in ('"invocation_id": "thumb-monday-0007"', '"error_message": "ValueError: not a picture"', '"count": 2'):
        expect(table).to_contain_text(re.compile(re.escape(text).replace(r"\ ", r"\s")))
    seen.browser.picture("xcom")


def nobody_else_asked(seen: Seen) -> None:
    must(not seen.browser.foreign, seen.browser.foreign)


Check = Callable[[Seen], None]
FORM: dict[str, Check] = {
    "the form shows every field, with its label, help and placeholder, in our order": every_field,
    "no text of the form is cut off or broken into lines": all_texts_whole,
    "the form masks secrets": secrets_masked,
    "pictures of the form are taken": pictures_of_the_form,
    "a saved connection comes back as it was, and saving it again loses nothing": saved_as_typed,
    "the Test button accepts the right key": right_key,
    "the Test button tells a wrong key": wrong_key,
    "the Test button tells an endpoint where nobody answers": nobody_there,
    "the Test button takes a ticked box": ticked_box,
}
PAGES: dict[str, Check] = {
    "the provider is listed": provider_listed,
    "the log of a deferred wait is readable, with lines of progress": waiting_task,
    "the console link works while the task waits": link_while_it_waits,
    "the console link works afterwards": link_afterwards,
    "the grid shows the tasks": grid,
    "the XCom of the list operator is readable": xcom,
}
LAST: dict[str, Check] = {"the browser asks nobody but Airflow": nobody_else_asked}
ALL = FORM | (PAGES if ON_AIRFLOW3 else {}) | LAST


def make(seen: Seen, text: str, check: Check) -> None:
    """Make one check; what it could not see is in the report, and a picture of what was there instead."""
    try:
        check(seen)
    except (Wrong, AssertionError, BrowserError, Failure, subprocess.SubprocessError) as problem:
        seen.report.facts.setdefault("problems", {})[text] = str(problem)[:4000]
        with suppress(BrowserError):
            seen.browser.picture(f"FAILED-{check.__name__}")
        seen.report.check(text, False)
    else:
        seen.report.check(text, True)


class Airflow2(Airflow):
    """An Airflow 2 that only shows its web interface, to one user."""

    programs: ClassVar = {"webserver": ("webserver",)}

    def start_all(self) -> None:
        command = [str(BIN / "airflow"), "users", "create", "--role", "Admin", "--email", "admin@example.org"]
        names = [word for option in ("username", "password", "firstname", "lastname") for word in (f"--{option}", USER)]
        with Program("airflow users create", command + names, log=self.logs / "users.log", env=self.env) as program:
            program.join()
        for _ in self.start("webserver").ready_steps():
            self.check()
            with suppress(Failure):
                ask(int(self.env["AIRFLOW__WEBSERVER__WEB_SERVER_PORT"]), "GET", "/health")
                return


@contextmanager
def started(report: Report) -> Iterator[Seen]:
    """Everything that is looked at, and who looks."""
    port = free_port()
    settings = {
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        "AIRFLOW__WEBSERVER__WEB_SERVER_HOST": HOST,
        "AIRFLOW__WEBSERVER__WEB_SERVER_PORT": str(port),
        "AIRFLOW__WEBSERVER__WORKERS": "1",
    }
    functions, kind = REPOSITORY / "example_dags" / "functions" / "words.py", Airflow if ON_AIRFLOW3 else Airflow2
    with (
        tempfile.TemporaryDirectory(prefix="e2e-browser-") as folder,
        Emulator(functions, report.logs) as emulator,
        kind(
            Path(folder) / "airflow",
            REPOSITORY / ".demo",
            DAGS,
            emulator.connection,
            say=report.clock.say,
            settings=settings,
            logs=report.logs,
        ) as airflow,
    ):
        airflow.start_all()
        url = f"http://{HOST}:{airflow.port if ON_AIRFLOW3 else port}"
        with browser(report.logs) as opened:
            report.facts["versions"]["chromium"] = opened.version
            form = Form3(opened, url) if ON_AIRFLOW3 else Form2(opened, url, USER)
            yield Seen(report, airflow, emulator, opened, form, url)
        report.clock.say("stopping what was started")


def look(report: Report) -> None:
    expect.set_options(timeout=PATIENCE * 1000)
    report.checks |= dict.fromkeys(ALL, False)
    with started(report) as seen:
        for text, check in ALL.items():
            make(seen, text, check)


def look_at_both(report: Report, python_2: str) -> None:
    """Look at this Airflow, then at the form of an Airflow 2, in whose environment this program is started again."""
    part = deployment_report.FOLDER / "browser-2.json"
    part.unlink(missing_ok=True)
    report.checks["an Airflow 2 was looked at, too"] = False
    look(report)
    report.clock.say("now the form of Airflow 2")
    command = [python_2, str(Path(__file__))]
    with Program("the look at Airflow 2", command, log=report.logs / "airflow-2.log", env=environment()) as program:
        program.enough_cpu = float("inf")
        with suppress(Failure):  # its report tells what is wrong
            program.join()
    nothing = '{"checks": {}, "passed": false}'
    found = json.loads(part.read_text(encoding="utf-8") if part.exists() else nothing)
    for text, holds in found["checks"].items():
        report.check(f"Airflow 2: {text}", holds)
    report.facts["airflow 2"] = {name: value for name, value in found.items() if name not in ("checks", "machine")}
    report.check("an Airflow 2 was looked at, too", bool(found["passed"]))


def main(arguments: list[str]) -> int:
    packages = ["apache-airflow", "airflow-provider-fc", "playwright"]
    if ON_AIRFLOW3:
        [python_2] = arguments
        return deployment_report.run("browser", lambda report: look_at_both(report, python_2), packages)
    return deployment_report.run("browser-2", look, packages)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
