"""One field takes whatever a person types."""

from __future__ import annotations

import pytest

from slicer_kdseg.protocol.address import is_loopback, normalised
from slicer_kdseg.protocol.errors import BackendUnreachable


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("127.0.0.1:8000", "http://127.0.0.1:8000"),
        (" http://0.0.0.0:8000/ ", "http://127.0.0.1:8000"),
        ("localhost", "http://localhost"),
        ("https://gpu.example.org/kdseg/", "https://gpu.example.org/kdseg"),
        ("[::]:80", "http://[::1]:80"),
    ],
)
def test_addresses_are_completed(typed, meant):
    assert normalised(typed) == meant


@pytest.mark.parametrize("typed", ["", "ftp://a", "http://", "host:99999", "my host", "http://user:secret@host"])
def test_what_is_no_address_is_said(typed):
    with pytest.raises(BackendUnreachable, match="write for instance"):
        normalised(typed)


def test_only_this_machine_is_loopback():
    assert is_loopback("localhost")
    assert is_loopback("127.3.2.1")
    assert is_loopback("::1")
    assert not is_loopback("localhost.example.org")
    assert not is_loopback("10.0.0.1")
