"""The arithmetic of deltas, on chunks of raw little-endian tensor data as NumPy arrays of unsigned integers.

*exact*: bits of the target minus bits of the base as integers that wrap around; adding them gives the target's very bits,
NaN payloads and all. Where base and target have different floats, the base is first rounded to the target's.
*additive*: FastChat's (fastchat/model/make_delta.py): both as float16, subtracted and added as float16.
"""

from __future__ import annotations

import numpy as np

# safetensors' names of what can be rounded into each other.
FLOATS = ("F32", "F16", "BF16")
SIZES = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2"), 1),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 2),
    **dict.fromkeys(("U32", "I32", "F32"), 4),
    **dict.fromkeys(("U64", "I64", "F64"), 8),
}
_UNSIGNED = {1: np.dtype("<u1"), 2: np.dtype("<u2"), 4: np.dtype("<u4"), 8: np.dtype("<u8")}
# safetensors' names of integers by width, for exact deltas.
INTEGERS = {1: "I8", 2: "I16", 4: "I32", 8: "I64"}
_QUIET_NAN = {"F32": 0x7FC00000, "F16": 0x7E00, "BF16": 0x7FC0}


def as_bits(raw: bytes | memoryview, dtype: str) -> np.ndarray:
    """Raw tensor data as unsigned integers of its width."""
    return np.frombuffer(raw, dtype=_UNSIGNED[SIZES[dtype]])


def cast(bits: np.ndarray, source: str, target: str) -> np.ndarray:
    """Bits of floats rounded to another float (nearest, ties to even); NaNs become one NaN on every machine."""
    if source == target:
        return bits
    wide = _to_float32(bits, source)
    is_nan = np.isnan(wide)
    if target == "F32":
        out = wide.view("<u4")
    elif target == "F16":
        with np.errstate(over="ignore"):
            out = wide.astype("<f2").view("<u2")
    else:
        whole = wide.view("<u4")
        out = ((whole + 0x7FFF + ((whole >> 16) & 1)) >> 16).astype("<u2")
    if is_nan.any():
        out = np.where(is_nan, out.dtype.type(_QUIET_NAN[target]), out)
    return out


def exact_difference(target: np.ndarray, base: np.ndarray) -> np.ndarray:
    """target - base; wraps around."""
    return target - base


def exact_sum(base: np.ndarray, delta: np.ndarray) -> np.ndarray:
    """base + delta; wraps around, and undoes `exact_difference`."""
    return base + delta


def additive_difference(target: np.ndarray, base: np.ndarray) -> np.ndarray:
    """target - base, all three bits of float16."""
    return _half(target, base, np.subtract)


def additive_sum(base: np.ndarray, delta: np.ndarray) -> np.ndarray:
    """base + delta, all three bits of float16."""
    return _half(base, delta, np.add)


def not_finite(half: np.ndarray) -> int:
    """How many float16 are infinite or no number."""
    return int(np.count_nonzero((half & 0x7C00) == 0x7C00))


def _half(a: np.ndarray, b: np.ndarray, operation: np.ufunc) -> np.ndarray:
    # One operation in float32, rounded once more, is the operation in float16: 24 bits hold twice 11 and two more.
    with np.errstate(over="ignore", invalid="ignore"):
        wide = operation(a.view("<f2").astype("<f4"), b.view("<f2").astype("<f4"))
        return wide.astype("<f2").view("<u2")


def _to_float32(bits: np.ndarray, source: str) -> np.ndarray:
    if source == "F32":
        return bits.view("<f4")
    if source == "F16":
        return bits.view("<f2").astype("<f4")
    return (bits.astype("<u4") << 16).view("<f4")
