"""A backend on another machine: one field, a token that the system keeps if it can, a consent that names the host."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from types import ModuleType
from urllib.parse import urlsplit

from slicer_kdseg.protocol.address import is_loopback, normalised
from slicer_kdseg.protocol.client import BackendClient
from slicer_kdseg.protocol.messages import BackendInfo
from slicer_kdseg.protocol.words import tr as _

SERVICE = "KDSeg backend"
PATIENCE_SECONDS = 10.0  # for the first answer; trying a graphics card for the first time takes longer


@dataclass(frozen=True)
class Tested:
    """A backend that answered: what it can do, in one sentence."""

    url: str
    info: BackendInfo

    @property
    def sentence(self) -> str:
        return _("KDSeg {version} answers at {url}. {device}").format(
            version=self.info.version, url=self.url, device=device_sentence(self.info)
        )


def test_connection(url: str, token: str) -> Tested:
    """Blocks for seconds. Raises :class:`KDSegError`, whose sentence names the cause."""
    with BackendClient(url, token or None) as client:
        client.info(patience_seconds=PATIENCE_SECONDS)
        return Tested(client.url, client.info(devices=True))


def device_sentence(info: BackendInfo) -> str:
    """What it trains on, and why not on a graphics card that is there and cannot be used."""
    cards = [device for device in info.devices if device.name != "cpu"]
    good = [device for device in cards if device.usable]
    if good:
        return _("It trains on {name}.").format(name=good[0].name)
    if cards:
        return _("It trains on the processor: {name} is there but cannot be used ({reason}).").format(
            name=cards[0].name, reason=cards[0].reason
        )
    return _("It trains on the processor; it has no graphics card that can be used.")


def host_of(url: str) -> str:
    """Raises :class:`BackendUnreachable` for what is no address."""
    return urlsplit(normalised(url)).hostname or ""


def needs_consent(url: str) -> bool:
    """Nothing leaves this machine over a loopback address, an SSH tunnel's end included as far as we can see."""
    return not is_loopback(host_of(url))


def stored_token(url: str) -> str:
    """From the system's keyring; empty where there is none or it does not answer."""
    keyring = _keyring()
    if keyring is None:
        return ""
    with contextlib.suppress(Exception):  # a back end of any system may raise anything
        return keyring.get_password(SERVICE, normalised(url)) or ""
    return ""


def store_token(url: str, token: str) -> bool:
    """False where the system has no keyring: then the token is kept until Slicer ends, and never in a file."""
    keyring = _keyring()
    if keyring is None:
        return False
    with contextlib.suppress(Exception):
        keyring.set_password(SERVICE, normalised(url), token)
        return True
    return False


def _keyring() -> ModuleType | None:
    try:
        import keyring
    except ImportError:
        return None
    return keyring
