"""How much a page may bring in. Above these it is refused with a sentence, before memory or disk are filled."""

from __future__ import annotations

UPLOAD_BYTES = 4 << 30
FILES = 20_000
UNPACKED_BYTES = 8 << 30
UNPACKED_RATIO = 200  # deflate reaches 1000 only on what holds nothing


def in_words(size: float) -> str:
    return f"{size / 2**30:.1f} GB" if size >= 2**30 else f"{max(size, 0) / 2**20:.1f} MB"
