"""The language of a text, by CLD2: the detector that FastChat uses (through polyglot), and the same way of asking it."""

from __future__ import annotations

import re

import pycld2

UNKNOWN = "un"
# CLD2 refuses these, and nothing in them tells a language.
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufdd0-\ufdef\ufffe\uffff]")


def language_of(text: str) -> str:
    """The code of the text's main language (`en`, `zh`, `zh-Hant`, …), or `un` where CLD2 is not sure of any."""
    try:
        return _ask(text)
    except pycld2.error:
        pass
    try:
        return _ask(_CONTROLS.sub(" ", text))
    except pycld2.error:
        return UNKNOWN  # a character beyond its Unicode version


def _ask(text: str) -> str:
    for best_effort in (False, True):
        reliable, _, details = pycld2.detect(text, isPlainText=True, bestEffort=best_effort)
        if reliable:
            return details[0][1]
    return UNKNOWN
