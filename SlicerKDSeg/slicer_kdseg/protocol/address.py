"""Where a backend is, from whatever a person types into one field."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from slicer_kdseg.protocol.errors import BackendUnreachable, BadRequest
from slicer_kdseg.protocol.words import tr as _


def normalised(url: str) -> str:
    """``127.0.0.1:8765``, ``http://0.0.0.0:8765/`` and the like as ``http://127.0.0.1:8765``.

    0.0.0.0 is what a server binds to, not an address that can be reached. Raises :class:`BackendUnreachable`.
    """
    text = url.strip()
    if "://" not in text:
        text = f"http://{text}"
    try:
        parts = urlsplit(text)
        port = f":{parts.port}" if parts.port else ""
    except ValueError as error:
        raise BackendUnreachable(
            _("'{url}' is not an address ({error}); write for instance 127.0.0.1:8765.").format(url=url, error=error)
        ) from error
    spaced = any(letter.isspace() for letter in text)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or spaced:
        raise BackendUnreachable(
            _("'{url}' is not the address of a backend; write for instance 127.0.0.1:8765.").format(url=url)
        )
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(parts.hostname, parts.hostname)
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}{port}{parts.path.rstrip('/')}"


def is_loopback(host: str) -> bool:
    """Whether ``host`` (a name or an address, no port) can only mean this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_port(port: int) -> None:
    """Whether a server may ask for ``port``; 0 is any free one. Raises :class:`BadRequest`."""
    if not 0 <= port <= 65535:
        raise BadRequest(f"There is no port {port}; choose one from 1 to 65535, or 0 for a free one.")
