from __future__ import annotations

import subprocess
import sys

# numpy is not among them: `/v1/embeddings` writes millions of numbers, which Python alone would do on the event loop's time.
HEAVY = ("torch", "transformers", "pymilvus", "alembic", "sqlalchemy", "httpx", "openai", "mcp")


def test_the_gateway_loads_nothing_heavy() -> None:
    code = f"import sys, gateway.server; print(*[name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == ""
