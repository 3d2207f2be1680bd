"""What an API key looks like, how one is made and what of it is kept."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field

KEY_FORM = "lk_<prefix>_<secret>, with 6 to 32 letters or digits and 32 to 128 letters, digits, '-' or '_'"
_FORM = re.compile(r"lk_([A-Za-z0-9]{6,32})_([A-Za-z0-9_-]{32,128})")
_PREFIX_BYTES = 6
_SECRET_BYTES = 24


@dataclass(frozen=True, slots=True)
class KeyText:
    """An API key as its owner holds it.

    Attributes:
        prefix: shown in lists, and where the key is looked up.
        text: the whole key; never stored.
    """

    prefix: str
    text: str = field(repr=False)

    @property
    def digest(self) -> bytes:
        """What is stored: SHA-256 of the whole key. The secret has 192 random bits, so a slow hash would protect nothing."""
        return hashlib.sha256(self.text.encode()).digest()

    def matches(self, digest: bytes) -> bool:
        """Whether ``digest`` was made of this key, in time that does not depend on where they differ."""
        return hmac.compare_digest(self.digest, digest)


def new_key() -> KeyText:
    prefix = secrets.token_hex(_PREFIX_BYTES)
    return KeyText(prefix, f"lk_{prefix}_{secrets.token_hex(_SECRET_BYTES)}")


def parse_key(text: str) -> KeyText | None:
    """The key that ``text`` is; None when it cannot be one."""
    form = _FORM.fullmatch(text)
    return KeyText(form.group(1), text) if form else None
