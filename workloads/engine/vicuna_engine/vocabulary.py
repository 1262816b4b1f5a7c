"""What each token id stands for, in bytes.

Text is put together from bytes, not by decoding ever longer lists of ids: a character may be spread over several tokens, and
only bytes say when it is whole.
"""

from __future__ import annotations

import json
from functools import cached_property
from typing import Any

from vicuna_trainer.exits import BAD_INPUT, TrainingError

_SPACE = "▁"


class Vocabulary:
    """The bytes of a fast Hugging Face tokenizer's tokens. Raises TrainingError (66) for a decoder it does not know."""

    def __init__(self, tokenizer: Any) -> None:
        backend = tokenizer.backend_tokenizer
        decoder = json.dumps(json.loads(backend.to_str())["decoder"])
        if '"ByteLevel"' in decoder:
            convert = _byte_level
        elif '"ByteFallback"' in decoder or '"Metaspace"' in decoder:
            convert = _sentence_piece
        else:
            raise TrainingError(BAD_INPUT, f"The tokenizer's decoder is none that this engine knows: {decoder[:200]}. Use vLLM.")
        added = backend.get_added_tokens_decoder()
        self.special = frozenset(token for token, content in added.items() if content.special)
        """Ids that stand for no text, such as the end of the sequence."""
        self._pieces = {token: convert(piece) for piece, token in backend.get_vocab(with_added_tokens=False).items()}
        self._pieces |= {token: content.content.encode() for token, content in added.items()}
        self.size = max(self._pieces) + 1
        self.longest = max(map(len, self._pieces.values()))
        """Bytes of the longest token."""

    def text_bytes(self, token: int) -> bytes:
        """What the token adds to an answer's text: nothing if it is special or unknown."""
        return b"" if token in self.special else self.all_bytes(token)

    def all_bytes(self, token: int) -> bytes:
        """What the token stands for, special or not."""
        return self._pieces.get(token, b"")


class _ByteLevel:
    """GPT-2's table: every byte has a printable character, the printable ones themselves."""

    @cached_property
    def table(self) -> dict[str, int]:
        printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
        others = [byte for byte in range(256) if byte not in printable]
        table = {chr(byte): byte for byte in printable}
        return table | {chr(256 + number): byte for number, byte in enumerate(others)}


_BYTE_LEVEL = _ByteLevel()


def _byte_level(piece: str) -> bytes:
    table = _BYTE_LEVEL.table
    return bytes(table[character] for character in piece) if all(c in table for c in piece) else piece.encode()


def _sentence_piece(piece: str) -> bytes:
    if len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">"):
        return bytes([int(piece[3:5], 16)])
    return piece.replace(_SPACE, " ").encode()
