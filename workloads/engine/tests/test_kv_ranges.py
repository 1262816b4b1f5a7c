"""Who has which rows of the cache."""

from __future__ import annotations

import random

from vicuna_engine.kv_ranges import Copy, KvRanges

PROMPT = list(range(100))


def test_ranges_never_overlap_and_all_rows_come_back():
    chance = random.Random(4)
    ranges, held = KvRanges(1000), []
    refused = 0
    for _ in range(3000):
        if held and chance.random() < 0.5:
            ranges.release(held.pop(chance.randrange(len(held))))
            continue
        tokens = [chance.randrange(3) for _ in range(chance.randrange(1, 100))]
        reserved = ranges.reserve(tokens, chance.randrange(len(tokens), 300))
        if reserved is None:
            refused += 1
            continue
        new, copy = reserved
        assert all(new.start + new.rows <= other.start or other.start + other.rows <= new.start for other in held)
        assert new.start + new.rows <= 1000
        assert copy is None or (copy.rows == new.computed < len(tokens) and copy.target == new.start)
        new.computed = len(tokens)
        held.append(new)
        assert ranges.used == sum(each.rows for each in held)
    assert refused > 100
    for each in held:
        ranges.release(each)
    assert ranges.used == 0
    assert ranges.reserve([9], 1000) is not None


def test_a_prefix_is_copied_from_who_has_the_longest():
    ranges = KvRanges(1000)
    for count in (40, 70):
        held, _ = ranges.reserve(PROMPT[:count], 100)
        held.computed = count
    new, copy = ranges.reserve(PROMPT, 120)
    assert copy == Copy(source=held.start, target=new.start, rows=70)


def test_the_last_token_is_computed_even_if_it_is_known():
    ranges = KvRanges(1000)
    held, _ = ranges.reserve(PROMPT, 120)
    held.computed = 100
    assert ranges.reserve(PROMPT, 120)[1].rows == 99


def test_a_finished_prompt_is_found_until_its_rows_are_needed():
    ranges = KvRanges(300)
    held, _ = ranges.reserve(PROMPT, 120)
    held.computed = 100
    ranges.release(held)
    other, copy = ranges.reserve([7] * 150, 150)
    assert copy is None
    again, copy = ranges.reserve(PROMPT, 50)
    assert copy is not None
    ranges.release(other)
    ranges.release(again)
    assert ranges.reserve([7] * 250, 300) == (held_at(0, 300), None)
    assert ranges.reserve(PROMPT, 10) is None


def test_what_is_copied_from_is_thrown_away_only_if_there_is_no_other_room():
    ranges = KvRanges(200)
    held, _ = ranges.reserve(PROMPT, 110)
    held.computed = 100
    ranges.release(held)
    assert ranges.reserve([*PROMPT, 1], 101) == (held_at(0, 101), None)


def held_at(start, rows):
    """Equal to a range there."""

    class Anything:
        def __eq__(self, other):
            return (other.start, other.rows) == (start, rows)

    return Anything()
