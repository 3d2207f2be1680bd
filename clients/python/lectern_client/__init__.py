"""Python client of a Lectern server.

```python
from lectern_client import Lectern

with Lectern("http://127.0.0.1:8080", api_key="lk_…") as lectern:
    lectern.documents.upload("handbook", "handbook.pdf", wait=True)
    answer = lectern.ask("How many days of leave do I have?", collections=["handbook"])
    print(answer.answer, [(c.document_name, c.page) for c in answer.citations])
```
"""

from lectern_client.async_client import AsyncLectern
from lectern_client.calls import RetryPolicy
from lectern_client.client import Lectern
from lectern_client.errors import ApiError, FieldError, LecternError, ProtocolError, TimedOutError, UnreachableError

__all__ = [
    "ApiError",
    "AsyncLectern",
    "FieldError",
    "Lectern",
    "LecternError",
    "ProtocolError",
    "RetryPolicy",
    "TimedOutError",
    "UnreachableError",
]
