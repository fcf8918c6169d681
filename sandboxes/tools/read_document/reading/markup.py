"""HTML: what a browser would show, and apart from it what a page hides.

No rule of style is followed further than its own words: `display: none` on an element, on a class
or on an id of the page's own sheet hides; sheets from elsewhere are not there.
"""

import re
from html.parser import HTMLParser

from reading.found import Found

DEPTH_MAX = 2_000
_VOID = frozenset(
    ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source")
)
_BLOCKS = frozenset({
    "address", "article", "aside", "blockquote", "br", "dd", "div", "dl", "dt", "fieldset",
    "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "li", "main", "nav",
    "ol", "p", "pre", "section", "table", "tr", "ul",
})  # fmt: skip
_UNSHOWN = {"template": "a template", "noscript": "noscript", "iframe": "a frame's fallback"}
_HIDES = (
    (re.compile(r"display\s*:\s*none"), "display: none"),
    (re.compile(r"visibility\s*:\s*(hidden|collapse)"), "visibility: hidden"),
    (re.compile(r"opacity\s*:\s*0*\.?0+\s*(;|!|$|%)"), "opacity: 0"),
    (re.compile(r"font-size\s*:\s*0*([01](\.\d+)?|\.\d+)\s*(px|pt|%|;|!|$)"), "a tiny font"),
    (re.compile(r"font-size\s*:\s*0*\.0\d*\s*r?em"), "a tiny font"),
    (
        re.compile(
            r"(?<![-\w])color\s*:\s*(white\b|#fff(fff)?\b|transparent\b"
            r"|rgb\(\s*255[\s,]+255[\s,]+255\s*\))"
        ),
        "white or transparent text",
    ),
    (re.compile(r"(left|top|text-indent|margin-left)\s*:\s*-\d{3,}"), "a place off the page"),
    (re.compile(r"(width|height)\s*:\s*0(px)?\s*(;|!|$)"), "no size"),
    (re.compile(r"clip(-path)?\s*:\s*(rect\(\s*0|inset\(\s*(50|100)%)"), "clipping"),
)
_RULE = re.compile(r"([^{}]{1,500})\{([^{}]{0,2000})\}")
_SIMPLE = re.compile(r"[a-z][a-z0-9]*|[.#][\w-]+|[a-z][a-z0-9]*[.#][\w-]+", re.ASCII)
_RULES_MAX = 2_000

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def read(text: str, found: "Found | None" = None) -> Found:
    """Read a page.

    Args:
        text: of the page.
        found: to put it into; a new one if left out.
    """
    into = Found("text/html") if found is None else found
    page = _Page(into)
    page.feed(text)
    page.close()
    return into


class _Page(HTMLParser):
    def __init__(self, found: Found) -> None:
        super().__init__(convert_charrefs=True)
        self._found = found
        self._open: list[tuple[str, str]] = []  # tag, and how it hides what is in it
        self._too_deep = 0
        self._title: list[str] = []
        self._rules: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: "list[tuple[str, str | None]]") -> None:
        given = {name: value or "" for name, value in attrs}
        self._tell_attributes(tag, given)
        if tag in _BLOCKS:
            self._found.add("\n")
        elif tag in {"td", "th"}:
            self._found.add("\t")
        if tag in _VOID:
            return
        if len(self._open) >= DEPTH_MAX:
            self._found.note(f"it is nested deeper than {DEPTH_MAX}")
            self._too_deep += 1
            return
        above = self._open[-1][1] if self._open else ""
        self._open.append((tag, above or self._hidden_by(tag, given)))

    def handle_endtag(self, tag: str) -> None:
        if tag in _BLOCKS:
            self._found.add("\n")
        for at in range(len(self._open) - 1, max(-1, len(self._open) - 64), -1):
            if self._open[at][0] == tag:
                del self._open[at:]
                return

    def handle_data(self, data: str) -> None:
        tag, hidden = self._open[-1] if self._open else ("", "")
        if tag == "style":
            self._keep_rules(data)
        elif tag == "script":
            self._found.note("it has scripts, which were not run")
        elif tag == "title":
            self._title.append(data)
            self._found.name("".join(self._title))
        elif hidden:
            self._found.hide(hidden, data)
        else:
            self._found.add(re.sub(r"\s+", " ", data))

    def handle_comment(self, data: str) -> None:
        self._found.hide("a comment", data)

    def unknown_decl(self, data: str) -> None:
        self._found.hide("a declaration", data)

    def _tell_attributes(self, tag: str, given: "dict[str, str]") -> None:
        for name in ("alt", "title", "aria-label", "placeholder"):
            if given.get(name):
                self._found.hide(f"an attribute ({name})", given[name])
        if tag == "meta" and given.get("content") and given.get("name", "").lower() != "viewport":
            self._found.hide("metadata", given["content"])
        if tag == "input" and given.get("value"):
            self._found.hide("a form's value", given["value"])
        if tag == "a" and given.get("href", "").lower().startswith("javascript:"):
            self._found.note("it has scripts, which were not run")

    def _hidden_by(self, tag: str, given: "dict[str, str]") -> str:
        if tag in _UNSHOWN:
            return _UNSHOWN[tag]
        if "hidden" in given:
            return "the attribute hidden"
        if given.get("aria-hidden", "").lower() == "true":
            return "aria-hidden"
        how = hiding(given.get("style", ""))
        names = [tag, *(f"#{one}" for one in given.get("id", "").split()[:4])]
        names += [f".{one}" for one in given.get("class", "").split()[:32]]
        for name in names if not how and self._rules else ():
            how = how or self._rules.get(name, "") or self._rules.get(tag + name, "")
        return how

    def _keep_rules(self, sheet: str) -> None:
        for selectors, style in _RULE.findall(sheet[:500_000]):
            how = hiding(style)
            for selector in selectors.split(",") if how else ():
                last = selector.strip().split()[-1:] or [""]
                if _SIMPLE.fullmatch(last[0]) and len(self._rules) < _RULES_MAX:
                    self._rules[last[0]] = how

    def error(self, message: str) -> "Any":
        """Python 3.9 asks for it."""
        raise ValueError(message)


def hiding(style: str) -> str:
    """How some style hides what it is put on; empty where it does not."""
    lower = style.lower()
    return next((how for pattern, how in _HIDES if pattern.search(lower)), "")
