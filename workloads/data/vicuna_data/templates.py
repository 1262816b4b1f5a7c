"""What a conversation looks like to the model, as far as the number of its tokens depends on it.

vicuna_v1.1 is the trainer's own format (vicuna_trainer.conversations; a test holds the two together):

    <s>SYSTEM USER: question ASSISTANT: answer</s>USER: question ASSISTANT: answer</s>

vicuna_v0 is the one of Vicuna's first weights, as FastChat's train.py of March 2023 wrote it:

    <s>SYSTEM\\n\\n### Human: question\\n### Assistant: answer\\n### Human: question\\n### Assistant: answer\\n
"""

from __future__ import annotations

from dataclasses import dataclass

from vicuna_trainer.conversations import SYSTEM, SYSTEM_V0


@dataclass(frozen=True)
class Template:
    """The texts around messages. `{}` of `prompt` is the question; `after` follows an answer, and is what a later round is read
    after; without it that is the token that ends an answer."""

    system: str
    after_system: str
    prompt: str
    after: str

    def question(self, question: str, system: str | None) -> str:
        """A round up to its answer; `system` where it opens a piece."""
        head = "" if system is None else system + self.after_system
        return head + self.prompt.replace("{}", question)

    def round(self, question: str, answer: str, system: str | None) -> str:
        """A whole round."""
        return f"{self.question(question, system)} {answer}{self.after}"


TEMPLATES = {
    "vicuna_v1.1": Template(SYSTEM, " ", "USER: {} ASSISTANT:", ""),
    "vicuna_v0": Template(SYSTEM_V0, "\n\n", "### Human: {}\n### Assistant:", "\n"),
}
