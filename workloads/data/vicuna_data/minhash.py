"""Signatures by which nearly equal texts are found: MinHash (Broder, 1997) of the sets of five words in a row.

The share of equal entries of two signatures estimates the Jaccard similarity of the sets, with a standard error of
sqrt(s (1 - s) / 128), 0.035 at 0.8. Banding (Leskovec, Rajaraman, Ullman: Mining of Massive Datasets, 3.4) finds pairs
without comparing all.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable

import numpy as np

PERMUTATIONS = 128
WORDS = 5
# Least probability that a pair at the threshold has a band in common.
RECALL = 0.99

# A character of a script without spaces counts as a word.
_WORD = re.compile(
    r"[\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]|[^\W\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]+"
)
# Shingles hashed at once: their hashes stay in a core's cache.
_BLOCK = 512

_draws = np.random.Generator(np.random.PCG64(20230330)).integers(0, 2**32, size=(2, PERMUTATIONS), dtype=np.uint32)
_FACTORS = _draws[0] | np.uint32(1)
_TERMS = _draws[1]
_POWERS = np.array([pow(0x9E3779B97F4A7C15, power, 2**64) for power in range(WORDS)], dtype=np.uint64)


def signature(texts: Iterable[str]) -> np.ndarray:
    """PERMUTATIONS numbers (uint16) of the words of all texts, in order and without regard to case."""
    words = [zlib.crc32(word.encode()) for word in _WORD.findall("\n".join(texts).lower())]
    shingles = (_shingles(np.array(words or [0], dtype=np.uint64)) >> np.uint64(32)).astype(np.uint32)
    least = np.full(PERMUTATIONS, 2**32 - 1, dtype=np.uint32)
    for start in range(0, len(shingles), _BLOCK):
        hashes = shingles[start : start + _BLOCK, None] * _FACTORS + _TERMS
        np.minimum(least, hashes.min(axis=0), out=least)
    return (_mixed(least.astype(np.uint64)) & np.uint64(0xFFFF)).astype(np.uint16)


def band_shape(threshold: float) -> tuple[int, int]:
    """(bands, rows of each): as many rows as still find a pair at the threshold with RECALL, for the fewest idle comparisons."""
    shapes = [(PERMUTATIONS // rows, rows) for rows in range(1, PERMUTATIONS + 1)]
    return max((shape for shape in shapes if 1 - (1 - threshold ** shape[1]) ** shape[0] >= RECALL), key=lambda shape: shape[1])


def band_keys(signatures: np.ndarray, band: int, rows: int) -> np.ndarray:
    """One number (uint64) per signature: equal where the band's rows are."""
    keys = np.full(len(signatures), band, dtype=np.uint64)
    for row in range(band * rows, (band + 1) * rows):
        keys = _mixed(keys * np.uint64(0x9E3779B97F4A7C15) + signatures[:, row].astype(np.uint64))
    return keys


def _shingles(words: np.ndarray) -> np.ndarray:
    words = _mixed(words)
    width = min(WORDS, len(words))
    count = len(words) - width + 1
    total = np.zeros(count, dtype=np.uint64)
    for place in range(width):
        total += words[place : place + count] * _POWERS[place]
    return _mixed(total)


def _mixed(values: np.ndarray) -> np.ndarray:
    """SplitMix64's finalizer: every bit of the result depends on every bit of the value."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
