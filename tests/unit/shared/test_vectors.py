from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from lectern.embedder.v1 import vectors_pb2
from shared.vectors import pack, unpack

matrices = hnp.arrays(np.float32, st.tuples(st.integers(0, 5), st.integers(1, 8)), elements=st.floats(-10, 10, width=16))


@given(matrices)
def test_float32_vectors_come_back_bit_for_bit(vectors: NDArray[np.float32]) -> None:
    assert np.array_equal(unpack(pack(vectors)), vectors)


@given(matrices)
def test_float16_vectors_come_back_at_half_precision_in_half_the_bytes(vectors: NDArray[np.float32]) -> None:
    packed = pack(vectors, vectors_pb2.ELEMENT_TYPE_FLOAT16)
    assert len(packed.data) == vectors.size * 2
    assert np.array_equal(unpack(packed), vectors.astype(np.float16))


def test_bytes_of_the_wrong_length_are_refused() -> None:
    packed = pack(np.zeros((2, 3), np.float32))
    packed.count = 3
    with pytest.raises(ValueError, match="36 bytes, not 24"):
        unpack(packed)


def test_a_single_vector_is_not_a_matrix() -> None:
    with pytest.raises(ValueError, match="matrix"):
        pack(np.zeros(3, np.float32))


def test_an_unknown_element_type_is_refused() -> None:
    with pytest.raises(ValueError, match="FLOAT32 or FLOAT16"):
        unpack(vectors_pb2.PackedVectors())
