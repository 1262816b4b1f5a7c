"""A conversation → pieces that fit into the model's context, cut between rounds. A round is a question with its answer.

FastChat's split_long_conversation loses the last round when that one overflows, keeps a round that is too long whole, and does not
count the system prompt. Here every round is in exactly one piece or counted as dropped, and a piece's tokens are the trainer's.
"""

from __future__ import annotations

from collections import Counter as Tally
from dataclasses import dataclass

from .clean import Conversation
from .config import Split
from .templates import TEMPLATES
from .tokens import Counter

# A cut answer keeps this many tokens more than fit: the trainer's limit then ends it without the token that ends an answer, which
# would teach the model to stop in the middle of a sentence.
BEYOND = 8


@dataclass(frozen=True)
class Piece:
    """Rounds of one conversation. `tokens`: what the trainer makes of it, at most Split.max_tokens."""

    id: str
    model: str | None
    system: str | None
    messages: tuple[str, ...]
    tokens: int


def split(conversation: Conversation, rules: Split, counter: Counter) -> tuple[list[Piece], Tally[str]]:
    """Pieces in order, and how many rounds were cut (`longRounds`) or dropped (`droppedRounds`)."""
    return _Splitter(conversation, rules, counter).run()


class _Splitter:
    def __init__(self, conversation: Conversation, rules: Split, counter: Counter) -> None:
        self._conversation = conversation
        self._limit = rules.max_tokens
        self._cuts = rules.long_rounds == "cut"
        self._template = TEMPLATES[rules.template]
        self._counter = counter
        self._system = conversation.system or self._template.system
        self._ends = 0 if self._template.after else 1  # the token that ends an answer
        self._after = self._template.after or counter.anchor
        self._pieces: list[Piece] = []
        self._tally: Tally[str] = Tally()
        self._open: list[str] = []
        self._begins_at = 0
        self._tokens = 0

    def run(self) -> tuple[list[Piece], Tally[str]]:
        messages = self._conversation.messages
        for at in range(0, len(messages), 2):
            self._add(at, messages[at], messages[at + 1])
        self._close()
        return self._pieces, self._tally

    def _add(self, at: int, question: str, answer: str) -> None:
        if self._open:
            more = self._count(question, answer, None)
            if self._tokens + more <= self._limit:
                self._open += [question, answer]
                self._tokens += more
                return
            self._close()
        alone = int(self._counter.begins) + self._count(question, answer, self._system)
        self._begins_at = at
        if alone <= self._limit:
            self._open, self._tokens = [question, answer], alone
            return
        shorter = self._cut(question, answer) if self._cuts else None
        if shorter is None:
            self._tally["droppedRounds"] += 1
            return
        self._tally["longRounds"] += 1
        self._open, self._tokens = [question, shorter], self._limit
        self._close()

    def _close(self) -> None:
        if self._open:
            whole = self._conversation
            self._pieces.append(Piece(f"{whole.id}_{self._begins_at}", whole.model, whole.system, tuple(self._open), self._tokens))
        self._open, self._tokens = [], 0

    def _count(self, question: str, answer: str, system: str | None) -> int:
        after = self._after if system is None else ""
        return self._counter.count(self._template.round(question, answer, system), after) + self._ends

    def _cut(self, question: str, answer: str) -> str | None:
        """The answer's beginning that fills the limit; None where the question leaves no room for any."""
        prompt = self._template.question(question, self._system) + " "
        ends = self._counter.ends(prompt + answer)
        room = self._limit - int(self._counter.begins)
        if len(ends) < room or ends[room - 1] <= len(prompt):
            return None
        beyond = BEYOND
        while True:
            shorter = answer[: max(0, ends[min(room + beyond, len(ends)) - 1] - len(prompt))]
            # The same words can be fewer tokens where the text ends.
            if room + beyond >= len(ends) or self._counter.count(prompt + shorter) >= room:
                return shorter.rstrip() or None
            beyond *= 2
