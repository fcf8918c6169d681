"""OpenDocument files: one text for all kinds, of which styles say what is shown."""

from reading.found import Found, Refused
from reading.parts import WHITE, Parts, add_title, hide_texts
from reading.xml_parts import Element, parse

_TINY_POINTS = 2.0
_HIDDEN = {
    "annotation": "a comment",
    "deletion": "deleted text",
    "notes": "a speaker's notes",
    "hidden-text": "hidden text",
    "hidden-paragraph": "hidden text",
}


def read(parts: Parts) -> Found:
    """Read it.

    Raises:
        Refused: it is encrypted, or breaks a bound.
    """
    kind = parts.read("mimetype")[:100].decode("ascii", "replace").strip()
    found = Found(kind if kind.startswith("application/vnd.oasis.") else "application/zip")
    if b"encryption-data" in parts.read("META-INF/manifest.xml"):
        raise Refused("DOCUMENT_ENCRYPTED", "The document is encrypted.")
    hide_texts(parts.read("meta.xml"), found, "metadata", "description", "subject", "keyword")
    add_title(parts.read("meta.xml"), found)
    _content(parts.read("content.xml"), found)
    if parts.matching(r"(Basic|Scripts)/.+"):
        found.note("it has macros, which were not run")
    return found


def _content(content: bytes, found: Found) -> None:
    styles: dict[str, str] = {}
    style = ""
    open_hidden: list[str] = []  # per open element, how it hides what is in it

    def start(element: Element) -> None:
        nonlocal style
        if element.name == "style":
            style = element.get("name")
        elif element.name == "text-properties" and style:
            styles[style] = styles.get(style) or _hiding(element)
        how = _HIDDEN.get(element.name, "") or styles.get(element.get("style-name"), "")
        open_hidden.append((open_hidden[-1] if open_hidden else "") or how)
        if element.name in ("tab", "line-break", "s"):
            found.add({"tab": "\t", "line-break": "\n", "s": " "}[element.name])

    def text(_: str, piece: str) -> None:
        how = open_hidden[-1] if open_hidden else ""
        if how:
            found.hide(how, piece)
        else:
            found.add(piece)

    def end(name: str) -> None:
        hidden = open_hidden.pop() if open_hidden else ""
        if not hidden and name in ("p", "h", "table-row"):
            found.add("\n")
        elif not hidden and name == "table-cell":
            found.add("\t")

    parse(content, start=start, text=text, end=end)


def _hiding(element: Element) -> str:
    if element.get("display") == "none":
        return "hidden text"
    if WHITE.fullmatch(element.get("color")):
        return "white text"
    size = element.get("font-size")
    if size.endswith("pt") and size[:-2].replace(".", "", 1).isdecimal():
        return "a tiny font" if float(size[:-2]) <= _TINY_POINTS else ""
    return ""
