"""The support desk with its review pages, as `make run` starts it, for a browser."""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import StorageState

from tests.browser.visiting import Visitor
from tests.desk_process import desk_process

_LINK = re.compile(r"^Review\s+(http://\S+)", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """A desk that serves, with the calls of its agents decided and some waiting.

    Attributes:
        said: what it printed.
        state: its directory.
        link: a local reviewer's way in, good once.
    """

    said: str
    state: Path
    link: str

    @property
    def base_url(self) -> str:
        """Where its pages are, without a slash at the end."""
        parts = urlsplit(self.link)
        return f"{parts.scheme}://{parts.netloc}"

    def sign_in(self, visitor: Visitor) -> StorageState:
        """Use the link, which is good once; what other pages need in order to be signed in too."""
        visitor.base_url = self.base_url
        with visitor.page() as page:
            page.goto(self.link)
            page.get_by_role("main").get_by_role("button").click()
            page.wait_for_url(lambda url: "/sign-in" not in url)
            return page.context.storage_state()


def desk_in(said: str, state: Path) -> Desk:
    """The desk that said this, with its files in a directory."""
    found = _LINK.search(said)
    assert found is not None, f"the desk names no page to review at:\n{said}"
    return Desk(said=said, state=state, link=found[1])


@contextlib.contextmanager
def running_desk(state: Path) -> Iterator[Desk]:
    """Start it in `state`, wait until its agents are done, and stop it on leaving."""
    with desk_process(state) as (_, said):
        yield desk_in(said, state)
