"""Which text may be shown, and when."""

from __future__ import annotations

import random

import pytest
from vicuna_engine.text import TextStream


def shown(pieces, stops=(), drop=""):
    """(what each piece lets be shown, what the end adds)."""
    stream = TextStream(tuple(stops), drop)
    return [stream.push(piece) for piece in pieces], stream.finish()


def test_a_character_is_shown_when_it_is_whole():
    pieces = [b"a", "é".encode()[:1], "é".encode()[1:], *(bytes([byte]) for byte in "🦙".encode()), b"!"]
    assert shown(pieces) == (["a", "", "é", "", "", "", "🦙", "!"], "")


def test_bytes_that_are_no_character_become_replacements_and_hold_nothing_up():
    assert shown([b"\xff", b"a", b"\xe4", b"b", b"\xf0\x9f"]) == (["\ufffd", "a", "", "\ufffdb", ""], "\ufffd")


@pytest.mark.parametrize(
    ("pieces", "stops", "expected"),
    [
        (["Hello", " STO", "P", " more"], ["STOP"], ["Hello", " ", "", ""]),
        (["a", "b", "c", "d"], ["abd"], ["", "", "abc", "d"]),
        (["aab", "aab", "aac"], ["aabaac"], ["", "aab", ""]),
        (["x\n", "\n", "y"], ["\n\n"], ["x", "", ""]),
        (["one", "two"], ["three", "o"], ["", ""]),
        (["ab"], ["abc", "b"], ["a"]),
        (["xab"], ["b", "ab"], ["x"]),
    ],
)
def test_nothing_of_a_stop_string_is_shown(pieces, stops, expected):
    assert shown([piece.encode() for piece in pieces], stops)[0] == expected


def test_what_was_held_back_is_shown_at_the_end_if_no_stop_string_came_of_it():
    assert shown([b"wait for ST"], ["STOP"]) == (["wait for "], "ST")


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([b" Hi", b" you"], ["Hi", " you"]),
        ([b" ", b" Hi"], ["", " Hi"]),
        ([b"Hi"], ["Hi"]),
        ([b"", b" ", b"Hi"], ["", "", "Hi"]),
    ],
)
def test_what_the_format_puts_before_an_answer_is_dropped_once(pieces, expected):
    assert shown(pieces, drop=" ")[0] == expected


def test_how_a_text_is_cut_into_tokens_changes_nothing_but_when_it_is_shown():
    chance = random.Random(1)
    for _ in range(3000):
        data = "".join(chance.choice("ab é🦙") for _ in range(chance.randrange(30))).encode()
        stops = ["".join(chance.choice("ab é") for _ in range(chance.randrange(1, 5))) for _ in range(chance.randrange(3))]
        results = set()
        for _ in range(4):
            cuts = sorted(chance.randrange(len(data) + 1) for _ in range(chance.randrange(8)))
            pieces = [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
            parts, end = shown(pieces, stops, " ")
            results.add("".join(parts) + end)
        assert len(results) == 1
        assert not any(stop in results.copy().pop() for stop in stops)
