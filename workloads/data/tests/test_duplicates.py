"""Duplicates are found whatever part of the rows fits into memory, and of those that are the same the first stays."""

import random

import numpy as np
import pytest
from vicuna_data import duplicates
from vicuna_data.duplicates import (
    DUPLICATE_ID,
    DUPLICATE_START,
    KEPT,
    NEAR_DUPLICATE,
    find_duplicates,
    hash64,
    row_type,
    validation_limit,
)
from vicuna_data.minhash import band_shape, signature

ALL = {"duplicateId", "duplicateStart", "nearDuplicates"}


def rows_of(*texts, ids=None):
    rows = np.zeros(len(texts), dtype=row_type(True))
    for number, text in enumerate(texts):
        given = number if ids is None else ids[number]
        identity = 0 if given is None else hash64(str(given))
        rows[number] = (0, number, identity, hash64(text), hash64("seed", str(number)), signature([text]))
    return rows


def decide(rows, tmp_path, rules=ALL, threshold=0.8):
    verdicts = find_duplicates(rows, rules, threshold, tmp_path, lambda done, total: None)
    return verdicts.reason.tolist(), verdicts.repeats.tolist()


def words(draw, count):
    return [f"w{draw.randrange(5000)}" for _ in range(count)]


def jaccard(one, other):
    sets = [{tuple(text[at : at + 5]) for at in range(len(text) - 4)} for text in (one, other)]
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


def test_the_signatures_estimate_the_similarity():
    draw = random.Random(1)
    for share in (0.0, 0.02, 0.1, 0.3):
        text = words(draw, 600)
        other = [word if draw.random() >= share else "new" for word in text]
        estimate = (signature([" ".join(text)]) == signature([" ".join(other)])).mean()
        assert abs(estimate - jaccard(text, other)) < 0.14  # four standard errors at worst


def test_signatures_are_the_same_on_every_machine():
    assert signature(["The quick brown fox jumps", "over the lazy dog"])[:4].tolist() == [18067, 14832, 8579, 61869]
    assert (signature(["A b"]) == signature(["a  B"])).all() and not (signature(["a b"]) == signature(["b a"])).all()
    assert len(signature([""])) == 128
    assert (signature(["今天天气很好我们去公园"]) == signature(["今天天气很好我们去学校"])).mean() > 0.2


def test_bands_find_a_pair_at_the_threshold():
    for threshold in (0.5, 0.8, 0.95, 1.0):
        bands, rows = band_shape(threshold)
        assert bands * rows <= 128 and 1 - (1 - threshold**rows) ** bands >= 0.99
    assert band_shape(0.8) == (21, 6)


@pytest.mark.parametrize("at_once", [2, 5, 1000])
def test_ids_then_first_rounds_then_near_duplicates(tmp_path, monkeypatch, at_once):
    monkeypatch.setattr(duplicates, "ROWS_AT_ONCE", at_once)
    monkeypatch.setattr(duplicates, "_CHUNK", 3)
    draw = random.Random(2)
    a, b, c = (words(draw, 300) for _ in range(3))
    near_a = [*a[:-1], "other"]
    texts = [" ".join(text) for text in (a, b, a, near_a, c, b, near_a, c)]
    reason, repeats = decide(rows_of(*texts, ids=["a", "b", "c", "d", "b", None, None, None]), tmp_path)
    assert reason == [KEPT, KEPT, DUPLICATE_START, NEAR_DUPLICATE, DUPLICATE_ID, DUPLICATE_START, DUPLICATE_START, KEPT]
    assert repeats == [-1, -1, 0, 0, 1, 1, 3, -1]


def test_rules_can_be_off(tmp_path):
    texts = ["one two three four five six"] * 2
    assert decide(rows_of(*texts, ids=["a", "a"]), tmp_path)[0] == [KEPT, DUPLICATE_ID]
    assert decide(rows_of(*texts, ids=["a", "a"]), tmp_path, {"duplicateStart"})[0] == [KEPT, DUPLICATE_START]
    assert decide(rows_of(*texts, ids=["a", "a"]), tmp_path, set())[0] == [KEPT, NEAR_DUPLICATE]
    assert decide(rows_of(*texts, ids=["a", "a"]), tmp_path, set(), None)[0] == [KEPT, KEPT]


def test_a_near_duplicate_repeats_one_that_stays(tmp_path):
    """Of a chain in which only neighbours are similar, every second one stays."""
    draw = random.Random(3)
    text = words(draw, 400)
    chain = [text]
    for _ in range(5):
        changed = list(chain[-1])
        for at in draw.sample(range(400), 8):
            changed[at] = f"new{draw.random()}"
        chain.append(changed)
    assert jaccard(chain[0], chain[1]) > 0.8 > 0.75 > jaccard(chain[0], chain[2])
    rows = rows_of(*(" ".join(text) for text in chain))
    reason, repeats = decide(rows, tmp_path, set(), 0.8)
    for row, other in enumerate(repeats):
        if reason[row] == NEAR_DUPLICATE:
            assert other < row and reason[other] == KEPT
            assert (rows["signature"][row] == rows["signature"][other]).mean() >= 0.8
    assert reason[0] == KEPT and NEAR_DUPLICATE in reason


def test_many_rows_that_are_alike_are_few_comparisons(tmp_path, monkeypatch):
    compared = 0
    original = duplicates._pairs

    def counting(rows, group, threshold):
        nonlocal compared
        compared += len(group)
        return original(rows, group, threshold)

    monkeypatch.setattr(duplicates, "_pairs", counting)
    reason, _ = decide(rows_of(*["the same words again and again"] * 3000), tmp_path, set())
    assert reason == [KEPT] + [NEAR_DUPLICATE] * 2999
    assert compared <= 3000 * 21


def test_no_rows(tmp_path):
    assert decide(rows_of(), tmp_path) == ([], [])


@pytest.mark.parametrize(("fraction", "expected"), [(0, 0), (0.001, 1), (0.1, 30), (0.5, 150)])
def test_the_validation_set_has_its_share_of_those_that_stay(tmp_path, fraction, expected):
    rows = rows_of(*(f"text number {number} of many" for number in range(310)))
    verdicts = find_duplicates(rows, ALL, None, tmp_path, lambda done, total: None)
    verdicts.reason[300:] = DUPLICATE_ID
    limit = validation_limit(rows, verdicts, fraction)
    chosen = rows["place"] < np.uint64(limit)
    assert int(chosen[:300].sum()) == expected


def test_one_conversation_alone_is_for_training(tmp_path):
    rows = rows_of("one")
    assert validation_limit(rows, find_duplicates(rows, ALL, None, tmp_path, lambda *_: None), 0.5) == 0
