"""Integer arithmetic for the layers that hold the weights.

Source: Xiao et al. 2023, SmoothQuant: a few input channels of a layer are far larger than the others and would take all of the
range of eight bits, so part of each channel's size is moved into the weights first, where it does no harm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import openvino
from numpy.typing import NDArray
from openvino import opset13 as ops

from embedder.domain.encoding import TokenIds

# How much of a channel's size moves into the weights. Measured on the packaged model between 0.5 and 0.9: the least cosine is best here.
_MOVED = 0.7
_LARGEST_MOVE = 10.0
_ACTIVATION_LEVELS = 256
_WEIGHT_LEVELS = 255
_SMALLEST = np.float32(1e-5)

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Range:
    """Smallest and largest value that each input channel of a layer took.

    Shapes:
        low, high: (channels,).
    """

    low: Floats
    high: Floats


def quantise(model: openvino.Model, texts: Sequence[TokenIds]) -> openvino.Model:
    """A copy of ``model`` whose layers multiply 8-bit weights with 8-bit activations. Blocking: about a second.

    Args:
        model: in float32.
        texts: what to observe the layers' inputs on.
    """
    ranges = _observe(model, texts)
    copy = model.clone()
    for layer, seen in zip(_layers(copy), ranges, strict=True):
        _replace(layer, seen)
    copy.validate_nodes_and_infer_types()
    return copy


def _layers(model: openvino.Model) -> list[openvino.Node]:
    """Multiplications of an activation with constant weights."""
    return [
        node
        for node in model.get_ordered_ops()
        if node.get_type_name() == "MatMul" and node.input_value(1).get_node().get_type_name() == "Constant"
    ]


def _observe(model: openvino.Model, texts: Sequence[TokenIds]) -> list[_Range]:
    watched = model.clone()
    outputs = []
    for layer in _layers(watched):
        values = layer.input_value(0)  # (…, channels)
        axes = np.arange(values.get_partial_shape().rank.get_length() - 1)
        outputs += [ops.result(ops.reduce_min(values, axes)), ops.result(ops.reduce_max(values, axes))]
    watched.add_results(outputs)
    compiled = openvino.Core().compile_model(watched, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    extremes = [list(compiled(_one_row(ids)).values())[1:] for ids in texts]
    by_layer = list(zip(*extremes, strict=True))
    return [_Range(np.min(low, axis=0), np.max(high, axis=0)) for low, high in zip(by_layer[::2], by_layer[1::2], strict=True)]


def _one_row(ids: TokenIds) -> list[NDArray[np.int64]]:
    row = np.asarray([ids], dtype=np.int64)
    return [row, np.ones_like(row)]


def _replace(layer: openvino.Node, seen: _Range) -> None:
    weights = np.asarray(layer.input_value(1).get_node().data, dtype=np.float32)
    if not layer.get_attributes()["transpose_b"]:
        weights = weights.T
    move = _move(weights, seen)  # (channels,)
    values = ops.divide(layer.input_value(0), ops.constant(move))
    product = ops.matmul(_quantised_values(values, seen, move), _quantised_weights(weights * move), transpose_a=False, transpose_b=True)
    for reader in layer.output(0).get_target_inputs():
        reader.replace_source_output(product.output(0))


def _move(weights: Floats, seen: _Range) -> Floats:
    """What each input channel is divided by, and its weights multiplied with.

    Shapes:
        weights: (outputs, channels).
        returns: (channels,).
    """
    values = np.maximum(np.maximum(np.abs(seen.low), np.abs(seen.high)), _SMALLEST)
    largest = np.maximum(np.abs(weights).max(axis=0), _SMALLEST)
    move = values**_MOVED / largest ** (1 - _MOVED)
    relative: Floats = np.clip(move / np.exp(np.log(move).mean()), 1 / _LARGEST_MOVE, _LARGEST_MOVE).astype(np.float32)
    return relative


def _quantised_values(values: openvino.Node, seen: _Range, move: Floats) -> openvino.Node:
    """One scale for the whole tensor, with zero on a level of its own."""
    low, high = min(0.0, float((seen.low / move).min())), max(0.0, float((seen.high / move).max()))
    step = max((high - low) / (_ACTIVATION_LEVELS - 1), float(_SMALLEST))
    below = round(-low / step)
    low, high = -below * step, (_ACTIVATION_LEVELS - 1 - below) * step
    return _on_levels(values, np.float32(low), np.float32(high), _ACTIVATION_LEVELS)


def _quantised_weights(weights: Floats) -> openvino.Node:
    """One scale an output."""
    largest = np.maximum(np.abs(weights).max(axis=1, keepdims=True), _SMALLEST)
    return _on_levels(ops.constant(weights), -largest, largest, _WEIGHT_LEVELS)


def _on_levels(values: openvino.Node, low: np.float32 | Floats, high: np.float32 | Floats, levels: int) -> openvino.Node:
    """Mark values as being on one of ``levels`` steps between ``low`` and ``high``; the compiler turns such layers into integer ones."""
    ends = [ops.constant(end) for end in (low, high, low, high)]
    return ops.fake_quantize(values, *ends, levels)
