"""A real Chromium without a screen, and what the tests do in it."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select

from tests.learner_service.fakes import wait_until

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
MISSING = "" if CHROMIUM and DRIVER else "Debian's chromium and chromium-driver are not installed"
PATIENCE_S = 60.0
SHOTS = os.environ.get("SCREENSHOTS", "")
"""Folder that screenshots are kept in; empty: nowhere."""


@dataclass
class Page:
    """A window, and what is in it."""

    driver: Any
    url: str

    def open(self, where: str) -> None:
        self.driver.get("about:blank")
        self.driver.get(self.url + where)

    def text(self) -> str:
        return str(self.driver.find_element(By.TAG_NAME, "body").text)

    def shows(self, *words: str) -> None:
        try:
            wait_until(lambda: all(word in self.text() for word in words), PATIENCE_S)
        except AssertionError:
            raise AssertionError(f"{words} are not all in:\n{self.text()}") from None

    def click(self, words: str) -> None:
        found = f"//*[self::a or self::button][normalize-space()='{words}']"
        wait_until(lambda: bool(self.driver.find_elements(By.XPATH, found)), PATIENCE_S)
        self.driver.find_element(By.XPATH, found).click()

    def button(self, words: str) -> Any:
        return self.driver.find_element(By.XPATH, f"//button[normalize-space()='{words}']")

    def choose(self, label: str, words: str) -> None:
        """Choose in the list that has this label, once it has such an entry."""
        found = f"//label[starts-with(normalize-space(), '{label}')]/select | //select[@aria-label='{label}']"
        chooser = self.driver.find_element(By.XPATH, found)
        chooser.click()  # some fill themselves when they are gone to
        wait_until(lambda: words in chooser.text, PATIENCE_S)
        Select(chooser).select_by_visible_text(words)

    def shot(self, name: str) -> None:
        if SHOTS:
            height = self.driver.execute_script("return document.body.scrollHeight")
            self.driver.set_window_size(self.driver.get_window_size()["width"], max(700, height + 100))
            self.driver.save_screenshot(str(Path(SHOTS) / f"{name}.png"))

    def errors(self) -> list[str]:
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]


def open_window(url: str, width: int = 1200, dark: bool = False, *, opened: list[Any]) -> Page:
    """A window of some size and colours on a gateway; its driver, which is to be quit, is put to `opened`."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM or ""
    for word in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(word)
    options.add_argument(f"--window-size={max(width, 500)},900")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    opened.append(driver)
    scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
    if width < 500:  # a window can't be so narrow
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": True}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    return Page(driver, url)
