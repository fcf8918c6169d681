"""Whether what a page says can be read: which of its words are broken in two, and what is cut."""

from playwright.sync_api import Page

CHARACTERS_MAX = 25
"""Of a word; what is longer may be broken, as no column is that wide."""

# Shown as it was written, however it breaks: values, bytes, expressions, commands to be copied.
_ANYHOW = "pre, td.exact, .fenced, .quoted, .given, .command, .raw, .says, .unseen"
_BROKEN = """([anyhow, most]) => {
  const found = [];
  const range = document.createRange();
  const main = document.querySelector("main");
  const texts = document.createTreeWalker(main, NodeFilter.SHOW_TEXT);
  for (let text = texts.nextNode(); text; text = texts.nextNode()) {
    const at = text.parentElement;
    const head = at.closest("thead");
    const isClipped = head !== null && head.getBoundingClientRect().width < 2;
    if (isClipped || !at.checkVisibility() || at.closest(anyhow)) continue;
    for (const word of text.data.matchAll(/[\\p{L}\\p{N}_.]+/gu)) {
      if (word[0].length > most) continue;
      range.setStart(text, word.index);
      range.setEnd(text, word.index + word[0].length);
      const lines = [...range.getClientRects()].filter((one) => one.width > 0);
      if (new Set(lines.map((one) => Math.round(one.top))).size > 1) found.push(word[0]);
    }
  }
  return found;
}"""
_SIDEWAYS = """() => {
  const page = document.documentElement;
  return page.scrollWidth - page.clientWidth;
}"""


def broken_words(page: Page) -> list[str]:
    """Each word that stands on two lines, though it would fit on one."""
    return list(page.evaluate(_BROKEN, [_ANYHOW, CHARACTERS_MAX]))


def sideways(page: Page) -> int:
    """How much of the page, in pixels, is only seen by who scrolls it sideways."""
    return int(page.evaluate(_SIDEWAYS))


def assert_readable(page: Page) -> None:
    """Raise AssertionError where a word is broken, or the page is wider than the screen."""
    broken, wider = broken_words(page), sideways(page)
    assert (broken, wider) == ([], 0), f"{page.url}: {broken}, {wider} px too wide"
