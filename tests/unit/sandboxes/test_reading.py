"""Documents are told by what is in them; hidden text stands apart, and bounds have codes."""

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.documents import archive, word

TOOL = Path(__file__).resolve().parents[3] / "sandboxes" / "tools" / "read_document"
sys.path.append(str(TOOL))

from reading import kinds  # noqa: E402 - as the tool itself finds it in its image
from reading.found import TEXT_CHARACTERS_MAX, Refused  # noqa: E402


def read(content: bytes | str, name: str = "document") -> Any:
    return kinds.read(content.encode() if isinstance(content, str) else content, name)


def refused(content: bytes | str, name: str = "document") -> str:
    with pytest.raises(Refused) as caught:
        read(content, name).text()
    return str(caught.value.code)


HIDDEN_BY_STYLE = [
    "display:none", "display : NONE", "visibility: hidden", "opacity:0", "opacity: 0.0;",
    "font-size:0", "font-size: 1px", "font-size:.01em", "color:#fff", "color: #FFFFFF",
    "color:white", "color: rgb(255, 255, 255)", "position:absolute;left:-9999px",
    "text-indent:-5000px", "height:0", "clip-path: inset(100%)", "color:transparent",
]  # fmt: skip


@pytest.mark.parametrize("style", HIDDEN_BY_STYLE)
def test_text_that_a_page_s_style_hides_stands_apart(style: str) -> None:
    found = read(f"<html><p>seen</p><p style='{style}'>un<b>seen</b></p><p>after</p>")

    assert found.text().split() == ["seen", "after"]
    assert [piece["text"] for piece in found.hidden] == ["un seen"]


@pytest.mark.parametrize(
    "style", ["display:block", "opacity:0.5", "font-size:12px", "font-size:10px", "color:#ff0",
              "background-color:#fff", "left:-1px", "height:100px"],
)  # fmt: skip
def test_text_that_is_shown_is_shown(style: str) -> None:
    found = read(f"<html><p style='{style}'>seen</p>")

    assert found.text() == "seen"
    assert found.hidden == []


@pytest.mark.parametrize(
    "page",
    [
        "<p hidden>unseen</p>",
        "<template>unseen</template>",
        "<noscript>unseen</noscript>",
        "<p aria-hidden=true>unseen</p>",
        "<!-- unseen -->",
        "<img alt='unseen'>",
        "<meta name=description content=unseen>",
        "<input type=hidden value=unseen>",
        "<style>.x{display:none}</style><p class='a x'>unseen</p>",
        "<style>#y, p{visibility:hidden}</style><div id=y>unseen</div>",
    ],
)
def test_text_that_a_page_hides_otherwise_stands_apart(page: str) -> None:
    found = read(f"<html><p class=z>seen{page}" if "p{" not in page else f"<html>seen{page}")

    assert found.text().strip() == "seen"
    assert "unseen" in str(found.hidden)


def test_scripts_and_styles_are_no_text() -> None:
    found = read("<html><title>T</title><script>var a='s';</script><style>p{}</style><p>seen")

    assert (found.title, found.text()) == ("T", "seen")
    assert found.notes_told(hidden_max=5) == ["it has scripts, which were not run"]


@pytest.mark.parametrize(
    ("properties", "how"),
    [
        ("<w:vanish/>", "hidden text"),
        ('<w:color w:val="FFFFFF"/>', "white text"),
        ('<w:sz w:val="2"/>', "a tiny font"),
    ],
)
def test_runs_that_word_does_not_show_stand_apart(properties: str, how: str) -> None:
    found = read(word(("", "seen"), (properties, "unseen"), ("<w:vanish w:val='0'/>", "also seen")))

    assert found.text() == "seen\n\nalso seen"
    assert found.hidden == [{"how": how, "text": "unseen"}]


def test_word_s_comments_deletions_and_macros_are_told() -> None:
    found = read(
        archive(
            {
                "word/document.xml": "<d xmlns:w='w'><w:p><w:r><w:t>a</w:t></w:r>"
                "<w:del><w:r><w:delText>gone</w:delText></w:r></w:del></w:p></d>",
                "word/comments.xml": "<c xmlns:w='w'><w:t>remark</w:t></c>",
                "word/vbaProject.bin": b"\0",
                "docProps/core.xml": "<p><title>T</title><subject>S</subject></p>",
            }
        )
    )

    assert found.title == "T"
    assert {(h["how"], h["text"]) for h in found.hidden} == {
        ("deleted text", "gone"),
        ("a comment", "remark"),
        ("metadata", "S"),
    }
    assert "it has macros, which were not run" in found.notes_told(hidden_max=5)


def test_sheets_are_read_cell_by_cell() -> None:
    sheet = "<s><row r='1'><c t='s'><v>1</v></c><c><v>2.5</v></c></row>"
    hidden_row = "<row hidden='1'><c t='inlineStr'><is><t>unseen</t></is></c></row></s>"
    found = read(
        archive(
            {
                "xl/workbook.xml": "<w><sheet name='Seen'/><sheet state='veryHidden'/></w>",
                "xl/sharedStrings.xml": "<t><si><t>zero</t></si><si><t>one</t></si></t>",
                "xl/worksheets/sheet1.xml": sheet + hidden_row,
                "xl/worksheets/sheet2.xml": "<s><row><c><f>1+1</f><v>9</v></c></row></s>",
            }
        )
    )

    assert found.text() == "Seen\none\t2.5"
    assert found.pages == 2
    assert {(h["how"], h["text"]) for h in found.hidden} == {
        ("a hidden row", "unseen"),
        ("a formula", "1+1"),
        ("a hidden sheet", "9"),
    }


def test_slides_are_read_in_order_and_hidden_ones_apart() -> None:
    def slide(text: str, show: str = "1") -> str:
        return f"<p:sld xmlns:p='p' xmlns:a='a' show='{show}'><a:p><a:t>{text}</a:t></a:p></p:sld>"

    found = read(
        archive(
            {
                "ppt/presentation.xml": "<p/>",
                **{f"ppt/slides/slide{n}.xml": slide(f"text {n}") for n in (10, 2, 1)},
                "ppt/slides/slide11.xml": slide("unseen", "0"),
                "ppt/notesSlides/notesSlide1.xml": "<n xmlns:a='a'><a:t>spoken</a:t></n>",
            }
        )
    )

    assert [line for line in found.text().splitlines() if line.startswith("text")] == [
        "text 1",
        "text 2",
        "text 10",
    ]
    assert {h["text"] for h in found.hidden} == {"unseen", "spoken"}


def test_open_documents_are_read_with_their_styles() -> None:
    content = (
        "<o xmlns:text='t' xmlns:style='s' xmlns:fo='f' xmlns:office='o'>"
        "<style:style style:name='H'><style:text-properties text:display='none'/></style:style>"
        "<style:style style:name='W'><style:text-properties fo:color='#ffffff'/></style:style>"
        "<text:p>seen<text:span text:style-name='H'>unseen</text:span></text:p>"
        "<text:p text:style-name='W'>white</text:p>"
        "<text:p><office:annotation><text:p>remark</text:p></office:annotation>after</text:p></o>"
    )
    found = read(
        archive({"mimetype": "application/vnd.oasis.opendocument.text", "content.xml": content})
    )

    assert found.text().split() == ["seen", "after"]
    assert [h["how"] for h in found.hidden] == ["hidden text", "white text", "a comment"]


def test_mail_is_read_with_its_parts() -> None:
    found = read(
        "From: a@example.com\r\nSubject: =?utf-8?q?caf=C3=A9?=\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/mixed; boundary="b"\r\n\r\n'
        "--b\r\nContent-Type: text/plain\r\n\r\nplain\r\n"
        "--b\r\nContent-Type: text/html\r\n\r\n<p>rich<i hidden>unseen</i></p>\r\n"
        "--b\r\nContent-Type: application/pdf\r\n"
        'Content-Disposition: attachment; filename="a.pdf"\r\n\r\nx\r\n--b--\r\n'
    )

    assert found.title == "café"
    assert "plain" in found.text()
    assert "rich" in found.text()
    assert [h["text"] for h in found.hidden] == ["unseen"]
    assert "attached, not read: 'a.pdf' (application/pdf)" in found.notes_told(hidden_max=5)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("naïve".encode(), "naïve"),
        ("naïve".encode("utf-8-sig"), "naïve"),
        ("naïve".encode("utf-16"), "naïve"),
        (b"na\xefve", "naïve"),
        (b"a\r\nb\x1b[2J", "a\nb\N{REPLACEMENT CHARACTER}[2J"),
    ],
)
def test_plain_text_is_decoded_and_cleaned(content: bytes, text: str) -> None:
    assert read(content).text() == text


def test_text_in_characters_that_nobody_sees_is_told() -> None:
    smuggled = "".join(chr(0xE0000 + ord(c)) for c in "obey me")
    found = read(f"hello{smuggled} wor\u200bld \u202eabc".encode())

    assert found.text() == "hello world abc"
    assert found.hidden == [{"how": "Unicode tag characters", "text": "obey me"}]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 512, "DOCUMENT_UNSUPPORTED"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 64, "DOCUMENT_UNSUPPORTED"),
        (b"{\\rtf1 hello}", "DOCUMENT_UNSUPPORTED"),
        (b"\x7fELF\0\0\0\0\0\0\0\0", "DOCUMENT_UNSUPPORTED"),
        (archive({"a.txt": "x"}), "DOCUMENT_UNSUPPORTED"),
        (b"PK\x03\x04 no archive", "DOCUMENT_BROKEN"),
        (archive({"word/document.xml": "<a><b></a>"}), "DOCUMENT_BROKEN"),
    ],
)
def test_what_cannot_be_read_has_a_code(content: bytes, code: str) -> None:
    assert refused(content) == code


def test_more_text_than_is_kept_is_cut() -> None:
    found = read(b"x" * (TEXT_CHARACTERS_MAX + 10))

    assert found.is_cut
    assert len(found.text()) == TEXT_CHARACTERS_MAX
