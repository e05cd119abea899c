"""What can go wrong between a workspace and a backend, each with one HTTP status.

    KDSegError                     500
    ├── BadRequest                 400  the request does not fit the protocol
    │   ├── BadFrame               400  bytes that are not a whole, honest array frame
    │   ├── BadSettings            422  unknown method, unknown setting, value out of range
    │   ├── BadImage               422  an image that cannot be trained on
    │   └── BadAnnotation          422  labels outside the contract, missing classes, other geometry
    ├── NotAllowed                 401  missing or wrong token
    ├── NotFound                   404  no such case, job or model
    ├── Conflict                   409  the job is already over, the model is not verified
    ├── TooLarge                   413  more bytes than the backend accepts
    ├── Busy                       503  the backend cannot take the request now
    ├── OutOfSpace                 507  the disk is full
    ├── DeviceUnavailable          422  CUDA asked for and not usable
    └── BackendUnreachable         no status: raised by the client alone
        ├── WrongVersion           the other side speaks another protocol version
        └── NotKDSeg               something answered, but not a KDSeg backend

Every message is one sentence that says what was found, what was expected and what to do.
"""

from __future__ import annotations

from slicer_kdseg.protocol.words import said
from slicer_kdseg.protocol.words import tr as _


class KDSegError(Exception):
    """Base of every error with a sentence for the user."""

    status = 500

    @property
    def sentence(self) -> str:
        return said(self.args[0]) if self.args and isinstance(self.args[0], str) else str(self)


class BadRequest(KDSegError):
    status = 400


class BadFrame(BadRequest):
    status = 400


class BadSettings(BadRequest):
    status = 422


class BadImage(BadRequest):
    status = 422


class BadAnnotation(BadRequest):
    status = 422


class NotAllowed(KDSegError):
    status = 401


class NotFound(KDSegError):
    status = 404


class Conflict(KDSegError):
    status = 409


class TooLarge(KDSegError):
    status = 413


class Busy(KDSegError):
    status = 503


class OutOfSpace(KDSegError):
    status = 507


class DeviceUnavailable(KDSegError):
    status = 422


class BackendUnreachable(KDSegError):
    status = 0


class WrongVersion(BackendUnreachable):
    pass


class NotKDSeg(BackendUnreachable):
    pass


_BY_NAME = {
    error.__name__: error
    for error in (
        KDSegError,
        BadRequest,
        BadFrame,
        BadSettings,
        BadImage,
        BadAnnotation,
        NotAllowed,
        NotFound,
        Conflict,
        TooLarge,
        Busy,
        OutOfSpace,
        DeviceUnavailable,
    )
}


def to_json(error: KDSegError) -> dict[str, str]:
    """The body of an error answer: ``{"error": class name, "sentence": text}``."""
    return {"error": type(error).__name__, "sentence": error.sentence}


def from_json(body: dict[str, str]) -> KDSegError:
    """The typed error that ``body`` stands for; an unknown name becomes a plain :class:`KDSegError`."""
    return _BY_NAME.get(body.get("error", ""), KDSegError)(body.get("sentence", _("The backend gave no reason.")))
