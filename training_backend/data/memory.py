"""How large a volume this computer can train on."""

from __future__ import annotations

import ctypes
import os
import sys

COPIES = 12
"""Working copies of a float32 volume while training: image, features of one step, targets, previews."""


def physical_bytes() -> int:
    """Installed memory; 8 GiB where the system does not tell."""
    if sys.platform == "win32":
        kilobytes = ctypes.c_ulonglong(0)
        found = ctypes.windll.kernel32.GetPhysicallyInstalledSystemMemory(ctypes.byref(kilobytes))
        return kilobytes.value * 1024 if found else 8 * 2**30
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return 8 * 2**30


def largest_volume_bytes() -> int:
    return physical_bytes() // COPIES
