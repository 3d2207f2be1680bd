"""A document's way from bytes to searchable, one module a stage. Every stage may be repeated from its beginning without harm."""
