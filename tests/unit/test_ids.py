"""Names sort by the time at which they were made."""

import uuid

from broker.ids import UuidFactory


def test_each_name_is_a_uuid_of_version_seven_and_sorts_after_the_one_before():
    factory = UuidFactory(lambda: 1_800_000_000.123)
    names = [factory() for _ in range(10_000)]
    assert names == sorted(set(names))
    assert {uuid.UUID(n).version for n in names} == {7}
    assert {uuid.UUID(n).variant for n in names} == {uuid.RFC_4122}


def test_a_clock_that_steps_back_does_not_turn_the_order():
    times = iter([100.0, 50.0, 50.0, 101.0])
    factory = UuidFactory(lambda: next(times))
    names = [factory() for _ in range(4)]
    assert names == sorted(names)


def test_the_first_48_bits_are_the_time_in_milliseconds():
    assert uuid.UUID(UuidFactory(lambda: 1_234.567)()).int >> 80 == 1_234_567
