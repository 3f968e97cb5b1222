"""The page as `fiona-ledger serve` serves it, asked by a program and looked at in a browser."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import quote
from urllib.request import urlopen

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from tests.audit.conftest import Story
from tests.processes import ROOT
from tests.web.conftest import CONFIGURATION, EVIL_STUDY, HOSTILE, NUMBER

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")

_TOO_WIDE = """[...document.querySelectorAll("body *:not(.skip)")]
    .filter(element => element.getBoundingClientRect().right > arguments[0] + 1)
    .map(element => element.outerHTML.slice(0, 120))"""


@dataclass
class Served:
    """A page being served, and where."""

    process: subprocess.Popen[str]
    url: str

    def answers(self) -> bool:
        try:
            with urlopen(self.url, timeout=30) as answer:  # noqa: S310 - our own server
                return bool(answer.status == 200)
        except URLError:
            return False


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@pytest.fixture(scope="module")
def served(story: Story, migrated: tuple[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    config = tmp_path_factory.mktemp("served") / "fiona-ledger.toml"
    port = free_port()
    # The role that reads may be another one; here it is the same.
    config.write_text(
        f'[ledger]\nurl = "{story.url}"\nkey_file = "{migrated[1]}"\n[web]\nurl = "{story.url}"\nport = {port}\n'
        + CONFIGURATION
    )
    code = "from processors.cli.main import main; main()"
    command = [sys.executable, "-c", code, "--config", str(config), "serve"]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=dict(os.environ)
    ) as process:
        served = Served(process, f"http://127.0.0.1:{port}/")
        try:
            deadline = time.monotonic() + 60
            while not served.answers() and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.05)
            yield served
        finally:
            process.kill()


@contextmanager
def browser() -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM or ""
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


def screen(driver: webdriver.Chrome, *, width: int, scheme: str = "light", media: str = "screen") -> None:
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": features})


def seen(driver: webdriver.Chrome, expression: str, *arguments: Any) -> Any:
    return driver.execute_script(f"return {expression}", *arguments)


def ground(driver: webdriver.Chrome) -> Any:
    return seen(driver, "getComputedStyle(document.body).backgroundColor")


@pytest.mark.skipif(
    CHROMIUM is None or DRIVER is None,
    reason="No browser to look at the page with: apt-get install chromium chromium-driver.",
)
def test_a_browser_shows_it_on_any_screen_without_scripts_and_by_keyboard(served: Served) -> None:
    pages = ("", "search", f"study?uid={EVIL_STUDY}", f"project?name={quote(HOSTILE)}", "rule?record=9")
    with browser() as driver:
        for width in (1200, 360):
            screen(driver, width=width)
            for page in pages:
                driver.get(served.url + page)
                assert seen(driver, _TOO_WIDE, width) == [], page
                assert seen(driver, "getComputedStyle(document.querySelector('main')).maxWidth") != "none", "styled"
                assert not driver.find_elements(By.CSS_SELECTOR, "img, main script"), page
        light = ground(driver)
        screen(driver, width=1200, scheme="dark")
        assert ground(driver) != light
        screen(driver, width=1200, media="print")
        assert not driver.find_element(By.CSS_SELECTOR, ".find").is_displayed()
        screen(driver, width=1200)
        driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
        driver.get(served.url)
        # Skip link, brand, two pages, and the field that a study is found by.
        driver.switch_to.active_element.send_keys(Keys.TAB * 5)
        driver.switch_to.active_element.send_keys(NUMBER + Keys.ENTER)
        WebDriverWait(driver, 30).until(lambda page: page.title.startswith(f"Study {EVIL_STUDY}"))
        assert driver.current_url == f"{served.url}study?uid={EVIL_STUDY}"
        kept_out: list[Any] = driver.get_log("browser")  # type: ignore[no-untyped-call]
        assert kept_out == [], "nothing that the content security policy had to keep out"


def test_it_keeps_no_log_of_what_was_asked_and_ends_in_order(served: Served) -> None:
    with urlopen(f"{served.url}study?uid={EVIL_STUDY}", timeout=30) as answer:  # noqa: S310 - our own server
        assert "Verdict" in answer.read().decode()
        assert "server" not in answer.headers
    served.process.send_signal(signal.SIGTERM)
    out, _ = served.process.communicate(timeout=30)
    assert served.process.returncode == 0
    assert out == f"{served.url} for a web server on this machine; Ctrl-C ends it.\n"
