"""Runs infinity's engine for `bench/contenders.py`, in an interpreter that has infinity installed.

One JSON list of texts a line comes in; when they are embedded and saved, {"seconds": CPU seconds of this process so far} goes out.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

import numpy as np
from infinity_emb import AsyncEmbeddingEngine, EngineArgs  # type: ignore[import-not-found]  # never in our own environment


async def main(model: str, vectors: Path) -> None:
    answers = sys.stdout
    sys.stdout = sys.stderr  # infinity and its libraries print there
    engine = AsyncEmbeddingEngine.from_args(EngineArgs(model_name_or_path=model, engine="torch", device="cpu"))
    async with engine:
        print(json.dumps({"seconds": time.process_time()}), file=answers, flush=True)
        for line in sys.stdin:
            embedded, _ = await engine.embed(sentences=json.loads(line))
            np.save(vectors, np.stack(embedded))
            print(json.dumps({"seconds": time.process_time()}), file=answers, flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
