"""Imported before all else by a benchmark that may be started as a file.

Python then looks in the file's own folder first, and would find `embedder.py` here instead of the service of that name.
"""

import sys
from pathlib import Path

sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != Path(__file__).parent]
