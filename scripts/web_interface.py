"""Airflow's web interface in a browser: the window, and the connection form of Airflow 2 and 3."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from local_airflow import HOST
from playwright.sync_api import Locator, Page, ViewportSize, expect, sync_playwright

from airflow_provider_fc.core.connection_fields import CONN_TYPE, SECTIONS
from airflow_provider_fc.provider_info import get_provider_info

CHROMIUM = "/usr/bin/chromium"
OPTIONS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    f"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE {HOST}",  # it talks to nobody but Airflow on this machine
]
PATIENCE = 60.0
"""Seconds for which the browser waits for anything that has to appear. None takes five where the machine is quiet."""
WINDOW: ViewportSize = {"width": 1280, "height": 720}
TALL: ViewportSize = {"width": 1280, "height": 1800}
TYPE_NAME: str = get_provider_info()["connection-types"][0]["hook-name"]

# What a form shows: for each of its rows that can be seen, the texts, and whether they have room.
ROWS = """() => [...document.querySelectorAll('[data-part=root][role=group], #model_form tr')]
    .filter(row => row.offsetParent !== null && row.querySelector('label') && row.querySelector('input, textarea'))
    .map(row => {
        const lines = element => {
            if (!element) return 0;
            const range = document.createRange();
            range.selectNodeContents(element);
            return new Set([...range.getClientRects()].map(box => Math.round(box.top / 8))).size;
        };
        const label = row.querySelector('label');
        const help = row.querySelector('[data-part=helper-text], .help-block');
        const input = row.querySelector('input:not([type=hidden]), textarea');
        const style = getComputedStyle(input);
        const pen = document.createElement('canvas').getContext('2d');
        pen.font = style.font;
        const room = input.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
        return {
            label: label.innerText.replace('*', '').trim(),
            help: help ? help.innerText.trim() : '',
            placeholder: input.placeholder || '',
            masked: input.type === 'password',
            lines: [lines(label), lines(help)],
            cut: pen.measureText(input.placeholder || '').width > room,
        };
    })"""

AT_REST = """() => document.getAnimations().every(
    each => each.playState !== 'running' || each.effect.getComputedTiming().iterations === Infinity)"""


class Row(NamedTuple):
    """What a row of the form shows."""

    label: str
    help: str
    placeholder: str
    masked: bool
    lines: list[int]
    cut: bool


class Browser:
    """A window of Chromium, and the pictures that it takes."""

    def __init__(self, page: Page, pictures: Path, version: str) -> None:
        self.page = page
        self.version = version
        self.foreign: list[str] = []
        self._pictures = pictures
        page.set_default_timeout(PATIENCE * 1000)
        page.on("request", self._note_foreign)

    def _note_foreign(self, request: Any) -> None:
        if not request.url.startswith((f"http://{HOST}:", "data:", "blob:", "about:")):
            self.foreign.append(request.url)

    def picture(self, name: str, part: Locator | None = None) -> None:
        """Take a picture of the window, or of a part of the page, once nothing moves any more."""
        self.page.set_viewport_size(TALL if part else WINDOW)  # a dialog is cut off where the window ends
        self.page.wait_for_function(AT_REST)
        (part or self.page).screenshot(path=self._pictures / f"{name}.png", animations="disabled")
        self.page.set_viewport_size(WINDOW)

    def rows(self) -> list[Row]:
        """Read what the form shows at present."""
        return [Row(**row) for row in self.page.evaluate(ROWS)]


@contextmanager
def browser(pictures: Path) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS, headless=True)
        try:
            page = chromium.new_page(viewport=WINDOW, color_scheme="light", locale="en-US")
            yield Browser(page, pictures, chromium.version)
        finally:
            chromium.close()


class Form(Protocol):
    """The form of a connection, whichever Airflow draws it. Fields have the names of ``connection_fields.py``."""

    def open_new(self, conn_id: str) -> None: ...
    def open_saved(self, conn_id: str) -> None: ...
    def rows(self) -> list[Row]: ...
    def field(self, name: str) -> Locator: ...
    def tick(self, name: str) -> None: ...
    def save(self) -> None: ...
    def test(self, conn_id: str, secret: str) -> str: ...


def fill(form: Form, values: dict[str, str]) -> None:
    for name, value in values.items():
        form.field(name).fill(value)


class Form3:
    """The form of Airflow 3: a dialog with sections, of which one is open."""

    def __init__(self, browser: Browser, url: str) -> None:
        self._browser = browser
        self._page = browser.page
        self._url = f"{url}/connections"
        self.dialog = self._page.get_by_role("dialog")

    def open_new(self, conn_id: str) -> None:
        self._page.goto(self._url)
        self._page.get_by_role("button", name="Add Connection").click()
        self.dialog.locator("[name=connection_id]").fill(conn_id)
        self.dialog.get_by_role("combobox").first.fill(TYPE_NAME)
        self._page.keyboard.press("Enter")
        self.dialog.get_by_text("AccessKey ID").wait_for()

    def open_saved(self, conn_id: str) -> None:
        self._page.goto(self._url)
        self._of(conn_id).get_by_role("button", name="Edit Connection").click()
        self.dialog.get_by_text("AccessKey ID").wait_for()

    def open_section(self, title: str) -> None:
        button = self.dialog.get_by_role("button", name=title, exact=True)
        if button.get_attribute("aria-expanded") != "true":
            button.click()
        self._page.wait_for_function(AT_REST)

    def rows(self) -> list[Row]:
        found: list[Row] = []
        for title in ("Standard Fields", *SECTIONS):
            self.open_section(title)
            found += [row for row in self._browser.rows() if row not in found]
        return found

    def field(self, name: str) -> Locator:
        where = [title for title, rows in SECTIONS.items() if name in [row.name for row in rows]]
        self.open_section(where[0] if where else "Standard Fields")
        return self.dialog.locator(f"[name=element_{name}]" if where else f"[name={name}]")

    def tick(self, name: str) -> None:
        self.field(name)  # opens its section
        self.dialog.locator(f"[id='switch:element_{name}']").click()
        expect(self.field(name)).to_be_checked()

    def save(self) -> None:
        self.dialog.get_by_role("button", name="Save").click()
        self.dialog.wait_for(state="hidden")

    def test(self, conn_id: str, secret: str) -> str:
        """Press the button in the row of the saved connection, which has its secret, and read the answer."""
        self._page.goto(self._url)
        self._of(conn_id).get_by_role("button", name="Test Connection").click()
        answer = self._page.get_by_role("status").filter(has_text=re.compile("^Test Connection"))
        answer.wait_for()
        return str(answer.inner_text())  # mypy also runs where playwright is not installed

    def _of(self, conn_id: str) -> Locator:
        return self._page.get_by_role("row").filter(has=self._page.get_by_text(conn_id, exact=True))


class Form2:
    """The form of Airflow 2: a page of its own.

    :param url: of the web server, which ``user`` may enter with the same word as password.
    """

    def __init__(self, browser: Browser, url: str, user: str) -> None:
        self._browser = browser
        self._page = browser.page
        self._url = url
        self._page.goto(f"{url}/login/")
        fields = self._page.locator("#username"), self._page.locator("#password")
        for field in fields:
            field.fill(user)
        self._page.locator("input[type=submit]").click()
        self._page.wait_for_url(lambda at: "/login" not in at)

    def open_new(self, conn_id: str) -> None:
        self._page.goto(f"{self._url}/connection/add")
        self._page.locator("#conn_id").fill(conn_id)
        self._page.locator("#conn_type").select_option(CONN_TYPE, force=True)
        self.field("region_id").wait_for()

    def open_saved(self, conn_id: str) -> None:
        self._page.goto(f"{self._url}/connection/list/")
        row = self._page.get_by_role("row").filter(has=self._page.get_by_text(conn_id, exact=True))
        row.locator("a[href*='/connection/edit/']").click()
        self.field("region_id").wait_for()

    def rows(self) -> list[Row]:
        return self._browser.rows()

    def field(self, name: str) -> Locator:
        of_extra = any(name == row.name for rows in SECTIONS.values() for row in rows)
        return self._page.locator(f"#extra__{CONN_TYPE}__{name}" if of_extra else f"#{name}")

    def tick(self, name: str) -> None:
        self.field(name).check()

    def save(self) -> None:
        # What it says afterwards is not always seen: it leads back to some page, whose own message may replace it.
        with self._page.expect_response(lambda response: response.request.method == "POST" and response.status == 302):
            self._page.get_by_role("button", name="Save").click()
        self._page.wait_for_load_state()

    def test(self, conn_id: str, secret: str) -> str:
        """Press the button in the form, which does not hold the saved secret, and read the answer."""
        self.open_saved(conn_id)
        self.field("password").fill(secret)
        with self._page.expect_response(lambda response: response.url.endswith("/connections/test")) as answered:
            self._page.locator("#test-connection").click()
        message: str = answered.value.json()["message"]
        self._page.locator(".container .alert").filter(has_text=message).wait_for()
        return message
