"""From tokens' bytes to the text that may be shown: whole characters only, and nothing that may yet become a stop string."""

from __future__ import annotations

import codecs


class TextStream:
    """One answer's text as it grows. Deterministic in the tokens alone: pushing the same tokens again gives the same pieces."""

    def __init__(self, stops: tuple[str, ...], drop: str = "") -> None:
        """`stops` end the text before them. `drop` is taken off the text's beginning, if it begins so."""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._stops = stops
        self._drop = drop
        self._held = ""
        self.stopped = False
        """Whether a stop string has come."""

    def push(self, piece: bytes) -> str:
        """What can be shown after one more token's bytes."""
        return self._show(self._decoder.decode(piece), last=False)

    def finish(self) -> str:
        """What is left to show at the end; a character that was never completed becomes U+FFFD."""
        return self._show(self._decoder.decode(b"", True), last=True)

    def _show(self, text: str, last: bool) -> str:
        if self.stopped:
            return ""
        self._held += text
        if self._drop:
            if self._drop.startswith(self._held) and len(self._held) < len(self._drop):
                return self._held if last else ""
            self._held = self._held.removeprefix(self._drop)
            self._drop = ""
        if (end := _first_stop(self._held, self._stops)) is not None:
            self.stopped = True
            return self._held[:end]
        keep = 0 if last else _open_stop(self._held, self._stops)
        shown, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return shown


def _first_stop(text: str, stops: tuple[str, ...]) -> int | None:
    """Where the stop string begins that is complete first (of several that end together, the longest)."""
    found = [(start + len(stop), start) for stop in stops if (start := text.find(stop)) >= 0]
    return min(found)[1] if found else None


def _open_stop(text: str, stops: tuple[str, ...]) -> int:
    """Length of the longest end of `text` that a stop string begins with."""
    longest = max(map(len, stops), default=1) - 1
    for length in range(min(longest, len(text)), 0, -1):
        end = text[len(text) - length :]
        if any(stop.startswith(end) for stop in stops):
            return length
    return 0
