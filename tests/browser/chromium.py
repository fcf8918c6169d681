"""The distribution's Chromium, driven by Playwright: headless, with the typefaces of the pictures.

Playwright's blocking interface keeps an event loop in its thread for as long as it is started.
Whoever starts it in pytest's own thread therefore stops it before any test of another module, and
no test beside it may be a coroutine.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
START_MS = 60_000

# What pages call by a general name is the same typeface on every machine that has these.
_FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "urn:fontconfig:fonts.dtd">
<fontconfig>
  <include ignore_missing="yes">/etc/fonts/fonts.conf</include>
  {aliases}
</fontconfig>
"""
_ALIAS = """<match target="pattern">
    <test name="family"><string>{general}</string></test>
    <edit name="family" mode="prepend" binding="strong"><string>{ours}</string></edit>
  </match>"""
_TYPEFACES = {
    "system-ui": "Inter",
    "sans-serif": "Inter",
    "ui-monospace": "JetBrains Mono",
    "monospace": "JetBrains Mono",
}


def chromium_path() -> str:
    """The program that set-up installed.

    Raises:
        FileNotFoundError: there is none; the message says how to have one.
    """
    for name in PROGRAMS:
        if (found := shutil.which(name)) is not None:
            return found
    raise FileNotFoundError("Chromium is missing. Run `apt-get install chromium`.")


@contextlib.contextmanager
def running_chromium() -> Iterator[Browser]:
    """A browser until the block ends; nothing of its profile is kept."""
    with tempfile.TemporaryDirectory(prefix="chromium-") as directory:
        fonts = Path(directory, "fonts.conf")
        aliases = (_ALIAS.format(general=g, ours=o) for g, o in _TYPEFACES.items())
        fonts.write_text(_FONTS.format(aliases="\n  ".join(aliases)), "utf-8")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=chromium_path(),
                args=["--font-render-hinting=none", "--disable-lcd-text"],
                chromium_sandbox=os.geteuid() != 0,  # it refuses to start as root otherwise
                env={**os.environ, "FONTCONFIG_FILE": str(fonts)},
                timeout=START_MS,
            )
            try:
                yield browser
            finally:
                browser.close()
