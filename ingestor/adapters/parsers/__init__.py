"""Parsers, one module per format, and the pool of child processes that they run in.

Every format module has a blocking function ``parse(source, limits)`` that returns the ``ParsedDocument`` or raises
``DocumentRejected``. Where telling the type does not show yet that a file can be opened, ``check(source, limits)`` tries.
"""
