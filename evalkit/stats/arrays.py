"""Array types and the one place where input arrays are checked."""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

FloatArray: TypeAlias = npt.NDArray[np.float64]
BoolArray: TypeAlias = npt.NDArray[np.bool_]
IntArray: TypeAlias = npt.NDArray[np.int64]


def floats(values: npt.ArrayLike, name: str, *, ndim: int = 1) -> FloatArray:
    """Convert to float64 and refuse NaN and infinity.

    Args:
        values: Anything NumPy can read as numbers.
        name: What the values are called in the error message.
        ndim: Number of axes the array must have.

    Raises:
        ValueError: On a wrong number of axes or a value that is not finite.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != ndim:
        raise ValueError(f"{name} must have {ndim} axes but has shape {array.shape}")
    if not np.isfinite(array).all():
        where = np.argwhere(~np.isfinite(array))[0].tolist()
        raise ValueError(f"{name} must be finite but has {array[tuple(where)]} at {where}; drop failed rows first")
    return array


def indices(values: npt.ArrayLike, name: str, *, size: int | None = None, length: int | None = None) -> IntArray:
    """Convert to int64 indices and check their range.

    Args:
        values: Whole numbers from 0.
        name: What the values are called in the error message.
        size: Values must be below this.
        length: The array must be this long.

    Raises:
        ValueError: On fractions, negative or too large values, or a wrong length.
    """
    array = np.asarray(values)
    if array.ndim != 1:
        raise ValueError(f"{name} must have 1 axis but has shape {array.shape}")
    if array.size and array.dtype.kind not in "iub":
        raise ValueError(f"{name} must hold integers but is {array.dtype}")
    if length is not None and array.size != length:
        raise ValueError(f"{name} must have length {length} but has {array.size}")
    result = array.astype(np.int64, copy=False)
    if array.size and result.min() < 0:
        raise ValueError(f"{name} must not be negative but has {result.min()}")
    if size is not None and array.size and result.max() >= size:
        raise ValueError(f"{name} must be below {size} but has {result.max()}")
    return result


def same_length(**arrays: npt.NDArray[np.generic]) -> int:
    """Return the common length of the first axes.

    Raises:
        ValueError: If they differ, naming each with its length.
    """
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"arrays must have the same length but have {lengths}")
    return next(iter(lengths.values()))


def renumbered(values: IntArray) -> tuple[IntArray, IntArray]:
    """Distinct codes in order, and the place of each value among them, as by np.unique; by counting where that is less.

    Args:
        values: [N] whole numbers from 0.
    """
    span = int(values.max(initial=-1)) + 1
    if span > max(4 * values.size, 1 << 16):
        distinct, place = np.unique(values, return_inverse=True)
        return distinct, place
    present = np.zeros(span, dtype=np.bool_)
    present[values] = True
    places: IntArray = np.cumsum(present, dtype=np.int64) - 1
    return np.flatnonzero(present), places[values]


def sigmoid(x: FloatArray) -> FloatArray:
    """Logistic function 1/(1+exp(-x)), without overflow."""
    result: FloatArray = 0.5 * (1.0 + np.tanh(0.5 * x))
    return result


def totals(index: IntArray, values: FloatArray, size: int) -> FloatArray:
    """Sum of the values at each index 0..size-1."""
    result: FloatArray = np.bincount(index, values, size).astype(np.float64, copy=False)
    return result
