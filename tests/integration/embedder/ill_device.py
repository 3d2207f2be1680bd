"""The embedder with a device that falls ill on order.

    python -m tests.integration.embedder.ill_device ORDERS

Once the file ORDERS exists, its content says what the next batch meets: ``lost`` or ``hung``. The order is carried out once.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from unittest.mock import patch

from embedder.__main__ import main
from embedder.adapters.openvino.encoder import OpenVINOEncoder, PaddedArrays
from embedder.domain.encoding import EncoderFailed, Vectors

_encode_core = OpenVINOEncoder.encode_core


def _obey(encoder: OpenVINOEncoder, prepared: PaddedArrays) -> Vectors:
    orders = Path(sys.argv[1])
    try:
        order = orders.read_text()
        orders.unlink()
    except FileNotFoundError:
        return _encode_core(encoder, prepared)
    if order == "hung":
        threading.Event().wait()
    raise EncoderFailed("the device is gone")


if __name__ == "__main__":
    with patch.object(OpenVINOEncoder, "encode_core", _obey):
        main()
