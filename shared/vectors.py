"""Vectors as packed little-endian bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lectern.embedder.v1 import vectors_pb2

_DTYPES: dict[int, np.dtype[Any]] = {
    vectors_pb2.ELEMENT_TYPE_FLOAT32: np.dtype("<f4"),
    vectors_pb2.ELEMENT_TYPE_FLOAT16: np.dtype("<f2"),
}


def pack(
    vectors: NDArray[np.floating], element_type: vectors_pb2.ElementType.ValueType = vectors_pb2.ELEMENT_TYPE_FLOAT32
) -> vectors_pb2.PackedVectors:
    """Pack a matrix for the wire.

    Shapes:
        vectors: (count, dimension).

    Raises:
        ValueError: ``vectors`` is not a matrix, or ``element_type`` is unspecified.
    """
    if vectors.ndim != 2:  # noqa: PLR2004
        raise ValueError(f"Vectors are packed as a matrix of (count, dimension), not of shape {vectors.shape}.")
    dtype = _dtype(element_type)
    count, dimension = vectors.shape
    data = np.ascontiguousarray(vectors, dtype=dtype).tobytes()
    return vectors_pb2.PackedVectors(data=data, count=count, dimension=dimension, element_type=element_type)


def unpack(packed: vectors_pb2.PackedVectors) -> NDArray[np.floating]:
    """The matrix that was packed, without copying; read-only.

    Shapes:
        returns: (count, dimension), in the element type that was sent.

    Raises:
        ValueError: the bytes are not count x dimension elements long.
    """
    dtype = _dtype(packed.element_type)
    expected = packed.count * packed.dimension * dtype.itemsize
    if len(packed.data) != expected:
        raise ValueError(f"{packed.count} x {packed.dimension} vectors of {dtype.name} are {expected} bytes, not {len(packed.data)}.")
    return np.frombuffer(packed.data, dtype=dtype).reshape(packed.count, packed.dimension)


def _dtype(element_type: vectors_pb2.ElementType.ValueType) -> np.dtype[Any]:
    try:
        return _DTYPES[element_type]
    except KeyError:
        raise ValueError("The element type of vectors must be FLOAT32 or FLOAT16.") from None
