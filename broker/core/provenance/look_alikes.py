"""Letters of other alphabets that look like Latin ones; the commonest of Unicode's UTS #39.

Each stands before the letter that it looks like. Accents and widths are not here: compatibility
decomposition takes those away.
"""

# ruff: noqa: RUF001 - looking alike is what they are here for

from typing import Final

_CYRILLIC: Final = "аaвbеeкkмmнhоoрpсcтtуyхxіiјjѕsԁdԛqԝwѵvһhґrгrзeпnӏlӕaԍgҽeҏpѡwӽx"  # fmt: skip
_GREEK: Final = "αaβbγyεeζzηnιiκkλlνvοoρpτtυuχxωwσoδdμu"
_ARMENIAN: Final = "օoոnսuհhյjցgքpզq"
_LATIN: Final = "ıiɩiɪiʟlɡgɑaꜱsᴀaᴄcᴅdᴇeᴋkᴍmɴnᴏoᴘpʀrᴛtᴜuᴠvᴡwᴢzøołlđdħhŧtɓbɗdɲnȷj"
_PAIRS: Final = _CYRILLIC + _GREEK + _ARMENIAN + _LATIN

LOOK_ALIKES: Final = str.maketrans(_PAIRS[::2], _PAIRS[1::2])
