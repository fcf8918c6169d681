"""Answers with what it was given: all that is measured is the way there and back."""


def run(call, *, text):
    """The text again."""
    del call
    return {"text": text}
