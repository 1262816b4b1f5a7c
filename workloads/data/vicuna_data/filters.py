"""The optional filters: what a few lines can tell of a conversation's quality and safety, each with the reason it gives.

They are off unless asked for. They are no classifier: they find what is certain and common, and say what they found.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from .config import Quality, Safety

# A line shorter than this says nothing when it repeats ("}", "```", "Yes.").
LEAST_LINE = 20

_PERSONAL = {
    "an e-mail address": re.compile(
        r"\b[\w.+-]{1,64}@(?!example\.)[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){0,4}\.[A-Za-z]{2,24}\b"
    ),
    "a private key": re.compile(r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----"),
    "a cloud access key": re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"),
    "an API key": re.compile(r"\b(?:sk-[A-Za-z0-9_-]{20,}|gh[pousr]_[A-Za-z0-9]{36,}|xox[abprs]-[A-Za-z0-9-]{10,}|AIza[\w-]{35})"),
}
_CARD = re.compile(r"(?<!\d)(?:\d[ -]?){12,18}\d(?!\d)")


def poor_quality(answers: list[str], quality: Quality) -> str | None:
    """Why there is nothing to learn from these answers, or None."""
    words = sum(len(answer.split()) for answer in answers)
    if words < quality.min_answer_words * len(answers):
        return f"its answers have {words / len(answers):.1f} words on average"
    for answer in answers:
        lines = [line.strip() for line in answer.split("\n") if len(line.strip()) >= LEAST_LINE]
        repeated = len(lines) - len(set(lines))
        if repeated > quality.max_repeated_lines * len(lines):
            return f"{repeated} of an answer's {len(lines)} lines repeat an earlier one"
    return None


def unsafe(texts: Iterable[str], safety: Safety) -> str | None:
    """What should not be learned from these texts, or None. The finding itself is not repeated."""
    whole = "\n".join(texts)
    if safety.personal_data:
        for what, pattern in _PERSONAL.items():
            if pattern.search(whole):
                return f"it has {what}"
        if any(_is_card(found.group()) for found in _CARD.finditer(whole)):
            return "it has the number of a payment card"
    if safety.phrases:
        phrases = "|".join(re.escape(phrase) for phrase in safety.phrases)
        if re.search(rf"(?<!\w)(?:{phrases})(?!\w)", whole, re.IGNORECASE):
            return "it has one of filters.safety.phrases"
    return None


def _is_card(text: str) -> bool:
    """Luhn's check (ISO/IEC 7812-1) and a first digit of a bank's card."""
    digits = [int(character) for character in text if character.isdigit()]
    if not 13 <= len(digits) <= 19 or digits[0] not in (3, 4, 5, 6) or len(set(digits)) < 2:
        return False
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0
