"""What gives itself away is found, its neighbours not; hostile text is looked at briefly."""

import itertools
import time

import pytest

from broker.core.detection import CANDIDATES_MAX, KINDS, Detector, TooMuchToLookAt, tells

TEXT = 1_000_000  # characters
BRIEF_S = 4.0  # for what takes a tenth of it where nothing else runs; quadratic would be hours


def found(kind: str, text: str) -> list[str]:
    return [text[first:after] for first, after in Detector(kinds=frozenset({kind})).spans(text)]


# No token here was ever one: each is a prefix and a run of one character.
SECRETS = [
    "AKIA" + "A" * 16,
    "ASIA" + "7" * 16,
    "ghp_" + "a" * 36,
    "gho_" + "a" * 40,
    "ghu_" + "a" * 36,
    "ghs_" + "a" * 36,
    "ghr_" + "a" * 36,
    "github_pat_" + "a" * 22,
    "glpat-" + "a" * 20,
    "xoxb-" + "1" * 10,
    "sk_live_" + "a" * 16,
    "rk_test_" + "a" * 16,
    "sk-" + "a" * 20,
    "AIza" + "a" * 35,
    "npm_" + "a" * 36,
    "pypi-" + "a" * 50,
    "hf_" + "a" * 30,
    "cb_agent_" + "a" * 43,
    "eyJ" + "a" * 8 + ".eyJ" + "a" * 8 + "." + "a" * 20,
    "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----",
    "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA",
    "Bearer " + "a" * 20,
    "bearer  " + "a" * 20,
]


@pytest.mark.parametrize("secret", SECRETS)
def test_a_secret_is_found_whole_between_other_words(secret: str):
    assert "".join(found("secrets", f'it is "{secret}", keep it')).endswith(secret.lstrip("sr"))
    assert found("secrets", secret)


@pytest.mark.parametrize(
    "text",
    [
        "AKIA" + "A" * 15,
        "AKIA" + "A" * 17,
        "XAKIA" + "A" * 16,
        "akia" + "a" * 16,
        "ghp_" + "a" * 35,
        "sk-" + "a" * 19,
        "task-" + "a" * 30,
        "eyJhbGciOi.eyJzdWIi",
        "-----BEGIN PUBLIC KEY-----\nAAAA",
        "-----BEGIN CERTIFICATE-----",
        "bearer of good news",
        "https://example.com/a:b@c",
        "",
    ],
)
def test_what_is_like_a_secret_is_not_one(text: str):
    assert found("secrets", text) == []


def test_the_password_of_an_address_is_found():
    assert found("secrets", "postgres://shop:tea@db/x") == ["://shop:tea"]


@pytest.mark.parametrize(
    ("member", "is_telling"),
    [
        ("password", True),
        ("Client-Secret", True),
        ("api_key", True),
        ("apiKey", True),
        ("token", False),
        ("password_hint", False),
        ("", False),
        ("p" * 100_000, False),
    ],
)
def test_a_name_tells_what_it_holds(member: str, is_telling: bool):  # noqa: FBT001
    assert tells(member) is is_telling


@pytest.mark.parametrize(
    "card",
    ["4111111111111111", "4111 1111 1111 1111", "5500-0000-0000-0004", "3782 822463 10005"],
)
def test_a_card_is_found_by_its_check_digit(card: str):
    assert found("cards", f"paid with {card}, thanks") == [card]
    wrong = card[:-1] + str((int(card[-1]) + 1) % 10)
    assert found("cards", f"paid with {wrong}, thanks") == []


def test_a_card_is_found_after_a_year():
    assert found("cards", "2026 4111 1111 1111 1111") == ["4111 1111 1111 1111"]


@pytest.mark.parametrize("text", ["0" * 16, "4111-1111 1111 1111", "41111111111111110000000"])
def test_other_digits_are_no_card(text: str):
    assert found("cards", text) == []


@pytest.mark.parametrize(
    "account", ["DE89370400440532013000", "GB29 NWBK 6016 1331 9268 19", "NO9386011117947"]
)
def test_an_account_is_found_by_its_check_digits(account: str):
    assert found("accounts", f"to {account}, please") == [account]
    assert found("accounts", f"to {account} PLEASE TODAY") == [account]
    assert found("accounts", f"to {account[:-1]}{(int(account[-1]) + 1) % 10}, please") == []
    assert found("accounts", f"{account}0") == []


@pytest.mark.parametrize("text", ["DE89", "ZZ89370400440532013000", "de89370400440532013000"])
def test_other_letters_and_digits_are_no_account(text: str):
    assert found("accounts", text) == []


def test_mailboxes_are_found():
    text = "from <ann@example.com> to o'neil+x@mail.example.org, jörg@bücher.example; not @home"
    assert found("mailboxes", text) == [
        "ann@example.com",
        "o'neil+x@mail.example.org",
        "jörg@bücher.example",
    ]


def test_links_are_found():
    text = (
        "see https://example.com/a?b=c, ![x](//img.example.com/p) WWW.example.com/z "
        'JavaScript:alert(1) "data:text/html,x" ftp://h and/or 1//2 a: //'
    )
    assert found("links", text) == [
        "https://example.com/a?b=c,",
        "//img.example.com/p",
        "WWW.example.com/z",
        "JavaScript:alert(1",
        "data:text/html,x",
        "ftp://h",
    ]


HOSTILE = [
    *("a", "@", "a@", "a.", "eyJ", "eyJ-", "eyJaaaaaaaa.", "sk-", "4", "4 ", "4444 ", "4444-"),
    *("DE89 ", "DE89", "//", "://", "a://", "-----BEGIN ", "-----BEGIN PRIVATE KEY-----", "ghp_"),
    *("bearer ", "://a:b", "www.", "data:", "a@b.c ", " ", "xoxb-", "é", "a" * 64 + "@", "\x1e"),
]


@pytest.mark.parametrize("piece", HOSTILE)
def test_a_hostile_text_takes_no_longer_than_another(piece: str):
    text = (piece * (TEXT // len(piece) + 1))[:TEXT]
    detector = Detector(kinds=KINDS)
    began = time.process_time()
    try:
        spans = detector.spans(text)
    except TooMuchToLookAt:
        spans = []
    assert time.process_time() - began < BRIEF_S
    assert detector.candidates <= CANDIDATES_MAX + 1
    assert all(a < b <= c < d for (a, b), (c, d) in itertools.pairwise(spans))


def test_more_than_anybody_writes_is_too_much():
    detector = Detector(kinds=frozenset({"mailboxes"}))
    assert detector.spans("a@b.c " * CANDIDATES_MAX)
    with pytest.raises(TooMuchToLookAt):
        detector.spans("@")
