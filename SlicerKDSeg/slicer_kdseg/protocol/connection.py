"""HTTP with a cause for every failure: what a client sends and receives, and nothing about KDSeg's endpoints.

Every call has a connect and a read time limit. Proxies, netrc and the like are off for a loopback address:
hospital proxy settings otherwise apply even to 127.0.0.1.
"""

from __future__ import annotations

import io
import time
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import BaseAdapter, HTTPAdapter

from slicer_kdseg.protocol import errors, wire
from slicer_kdseg.protocol.address import is_loopback, normalised
from slicer_kdseg.protocol.words import tr as _

CONNECT_SECONDS = 3.0
READ_SECONDS = 30.0
# The backend closes what has been idle for 30 seconds; a request that crosses its goodbye on a busy machine is lost.
IDLE_SECONDS = 20.0


class Connection:
    """One backend's address, token and pooled session. ``transport`` replaces the network (tests)."""

    def __init__(self, url: str, token: str | None = None, transport: BaseAdapter | None = None) -> None:
        self.url = normalised(url)
        self.local = is_loopback(urlsplit(self.url).hostname or "")
        self._session = requests.Session()
        self._session.trust_env = not self.local
        self._transport = transport or HTTPAdapter(pool_maxsize=4)
        self._session.mount(self.url, self._transport)
        self._last_used = time.monotonic()
        self._session.auth = partial(_signed, token)  # else a password of the user's netrc would go out in its place

    def close(self) -> None:
        self._session.close()

    def json(self, method: str, path: str, content: Any = None, read_seconds: float = READ_SECONDS) -> Any:
        """The JSON answer. Raises the typed error of the backend, or :class:`BackendUnreachable`."""
        response = self._send(method, path, read_seconds, json=content)
        if "json" not in response.headers.get("Content-Type", ""):
            raise self._stranger(response)
        return wire.parse(response.content, "The backend's answer")

    def download(self, path: str, read_seconds: float = READ_SECONDS) -> bytes:
        response = self._send("GET", path, read_seconds)
        if response.headers.get("Content-Type") != "application/octet-stream":
            raise self._stranger(response)
        return response.content

    def upload(self, method: str, path: str, body: bytes, read_seconds: float = 120.0) -> Any:
        """Send ``body``; the time limit of a connection's socket then counts for each block, not for all of it."""
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(len(body))}
        response = self._send(method, path, read_seconds, data=io.BytesIO(body), headers=headers)
        return wire.parse(response.content, "The backend's answer")

    def stream(self, path: str, headers: dict[str, str], silence_seconds: float) -> requests.Response:
        """An open response; it fails when nothing at all arrives for ``silence_seconds``. The caller closes it."""
        return self._send("GET", path, silence_seconds, headers=headers, stream=True)

    def _send(self, method: str, path: str, read_seconds: float, **arguments: Any) -> requests.Response:
        timeout = (CONNECT_SECONDS, read_seconds)
        if time.monotonic() - self._last_used > IDLE_SECONDS:
            self._transport.close()  # idle sockets only; a stream that is open stays so
        self._last_used = time.monotonic()
        try:
            response = self._session.request(
                method, self.url + path, timeout=timeout, allow_redirects=False, **arguments
            )
        except requests.RequestException as error:
            raise self.unreachable(error) from error
        if response.status_code < 300:
            return response
        try:
            raise self._refusal(response)
        finally:
            response.close()

    def unreachable(self, error: Exception) -> errors.BackendUnreachable:
        """Why no answer came, in a sentence that names the cause."""
        text = str(error)
        if isinstance(error, requests.exceptions.ProxyError):
            cause = _("the proxy of this computer blocks the request; add the host to the proxy's exceptions")
        elif isinstance(error, requests.exceptions.SSLError):
            cause = _(
                "its certificate is not trusted or it does not speak https; check whether the address needs http://"
            )
        elif isinstance(error, requests.exceptions.ConnectTimeout):
            cause = _("no connection within {seconds:.0f} s; check the address, the network and the firewall").format(
                seconds=CONNECT_SECONDS
            )
        elif isinstance(error, requests.exceptions.Timeout) or "timed out" in text.lower():
            cause = _("it was reached but did not answer in time; it may be busy, try again in a moment")
        elif "refused" in text.lower():
            cause = _("nothing listens there (connection refused); start the backend, or check the port")
        elif "resolve" in text.lower() or "getaddrinfo" in text.lower():
            cause = _("the name of the host is unknown; check its spelling")
        else:
            cause = _("the connection broke; check that the backend is running")
        return errors.BackendUnreachable(
            _("The backend at {url} cannot be reached: {cause}.").format(url=self.url, cause=cause)
        )

    def _refusal(self, response: requests.Response) -> errors.KDSegError:
        if "json" in response.headers.get("Content-Type", ""):
            try:
                body = response.json()
            except ValueError:
                return self._stranger(response)
            if isinstance(body, dict) and isinstance(body.get("sentence"), str):
                return errors.from_json({"error": str(body.get("error")), "sentence": body["sentence"]})
        return self._stranger(response)

    def _stranger(self, response: requests.Response) -> errors.NotKDSeg:
        kind = response.headers.get("Content-Type", "nothing")
        what = _("a web page, perhaps a proxy's or a login page") if "html" in kind else kind
        return errors.NotKDSeg(
            _(
                "Something answers at {url}, but it is not a KDSeg backend (status {status},"
                " {what}); check the address and the port."
            ).format(url=self.url, status=response.status_code, what=what)
        )


def _signed(token: str | None, request: requests.PreparedRequest) -> requests.PreparedRequest:
    if token:
        request.headers["Authorization"] = f"Bearer {token}"
    return request
