"""Text to terms: what the lexical arm indexes and searches."""
