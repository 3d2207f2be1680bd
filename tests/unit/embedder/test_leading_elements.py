from __future__ import annotations

import numpy as np
import pytest

from embedder.domain.embedding import leading_elements
from shared.errors import AppError

VECTORS = np.array([[0.6, 0.0, 0.8], [3.0, 4.0, 12.0]], dtype=np.float32)


@pytest.mark.parametrize("dimensions", [0, 3])
def test_all_elements_are_the_vectors_as_they_are(dimensions: int) -> None:
    assert leading_elements(VECTORS, dimensions, normalise=True) is VECTORS


def test_a_model_that_normalises_gives_cut_vectors_of_length_one() -> None:
    np.testing.assert_allclose(leading_elements(VECTORS, 2, normalise=True), np.array([[1.0, 0.0], [0.6, 0.8]]), rtol=1e-6)


def test_a_model_that_does_not_normalise_gives_its_elements_unchanged() -> None:
    np.testing.assert_array_equal(leading_elements(VECTORS, 2, normalise=False), VECTORS[:, :2])


def test_a_vector_whose_leading_elements_are_all_zero_is_refused() -> None:
    with pytest.raises(AppError, match="VECTOR_WITHOUT_LENGTH"):
        leading_elements(np.array([[0.0, 0.0, 1.0]], dtype=np.float32), 2, normalise=True)
