"""Made-up mails and letters, the same in every run: the commoner a word, the shorter it is."""

import random
from typing import Any

PAGE_BYTES = 50_000
_LETTERS = "etaoinshrdlucmfwypvbgkjqxz"
_BODY_CHARACTERS = 900
_LENGTH_MIN = 1


def mails(page: int) -> dict[str, Any]:
    """About `PAGE_BYTES` of mails."""
    chance = random.Random(f"mails {page}")
    count = PAGE_BYTES // (_BODY_CHARACTERS + 100)
    return {
        "mails": [
            {
                "id": f"M-{page}-{number}",
                "from": f"person{number}@example.com",
                "body": text(chance, _BODY_CHARACTERS),
            }
            for number in range(count)
        ]
    }


def letter(number: int) -> dict[str, Any]:
    """What a call carries: an address, a title, a text, an amount and an account."""
    chance = random.Random(f"letter {number}")
    return {
        "to": f"lee{number}@example.com",
        "subject": "Quarterly figures " + text(chance, 20),
        "body": text(chance, 600),
        "amount_minor": chance.randrange(10_000, 1_000_000),
        "account": f"DE89{chance.randrange(10**17, 10**18)}",
    }


def text(chance: random.Random, characters: int) -> str:
    """Words, up to so many characters."""
    ranks = [int(8_000 ** chance.random()) for _ in range(characters // 4)]
    return " ".join(map(_word, ranks))[:characters].strip()


def _word(rank: int) -> str:
    chance = random.Random(rank)
    return "".join(
        chance.choices(_LETTERS, range(26, 0, -1), k=_LENGTH_MIN + len(str(rank * rank)))
    )
