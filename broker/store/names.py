"""Names end in a UUIDv7 (RFC 9562), so that they tell when they were given, and sort by it."""

_TIME_DIGITS = 12


def name_at(kind: str, epoch_s: float) -> str:
    """Nothing of this kind that was named at this time or later has a smaller name."""
    if epoch_s <= 0:
        return ""
    digits = f"{int(epoch_s * 1000):012x}"
    return f"{kind}/{digits[:8]}-{digits[8:]}"


def time_of(name: str) -> float:
    """When it was named, POSIX seconds; 0 where it does not say."""
    digits = name.rpartition("/")[2].replace("-", "")[:_TIME_DIGITS]
    try:
        return int(digits, 16) / 1000
    except ValueError:
        return 0.0
