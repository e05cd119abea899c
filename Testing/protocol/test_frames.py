"""Frames carry arrays unchanged, and nothing that is not a frame gets past them."""

from __future__ import annotations

import json
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from slicer_kdseg.protocol.codecs import ENCODINGS
from slicer_kdseg.protocol.errors import BadFrame
from slicer_kdseg.protocol.frames import decode_array, decode_frames, encode_array, encode_frames
from slicer_kdseg.protocol.header import DTYPES

OBLIQUE = np.array([[0, -1.5, 0.2, 10], [1.5, 0, 0, -20], [0, 0.3, 5, 3.25], [0, 0, 0, 1]])


@settings(max_examples=60, deadline=None)
@given(
    data=st.data(),
    dtype=st.sampled_from(DTYPES),
    shape=arrays.array_shapes(min_dims=3, max_dims=3, max_side=6),
    encoding=st.sampled_from(ENCODINGS),
)
def test_any_array_comes_back_bit_for_bit(data, dtype, shape, encoding):
    array = data.draw(arrays.arrays(dtype, shape))
    frame = decode_array(encode_array(array, "image", OBLIQUE, encoding, {"a": [1]}))
    assert frame.array.dtype == array.dtype
    assert frame.array.tobytes() == array.tobytes()
    assert np.array_equal(frame.affine, OBLIQUE)
    assert frame.extra == {"a": [1]}
    frame.array[...] = 0  # writable


def test_views_big_endian_and_fortran_order_travel_as_their_values():
    array = np.arange(60).reshape(3, 4, 5)
    for odd in (array[::-1, :, ::2], array.astype(">i4"), np.asfortranarray(array.astype("int16"))):
        wanted = odd if odd.dtype != np.int64 else odd.astype("int32")
        assert np.array_equal(decode_array(encode_array(wanted, "image")).array, odd)


def test_several_frames_share_a_body():
    first, second = np.zeros((2, 3, 4), np.uint8), np.ones((1, 5, 5), np.float32)
    body = encode_frames([encode_array(first, "labels", encoding="rle"), encode_array(second, "growcut")])
    assert [frame.kind for frame in decode_frames(body)] == ["labels", "growcut"]
    with pytest.raises(BadFrame, match="behind the last of 1"):
        decode_array(body)


def a_frame(**changes) -> bytes:
    """A valid raw frame of (2, 2, 2) uint8 zeros, with header fields replaced."""
    payload = changes.pop("payload", bytes(8))
    header = {
        "kind": "image",
        "dtype": "uint8",
        "shape": [2, 2, 2],
        "affine": None,
        "encoding": "raw",
        "payload_bytes": len(payload),
        "runs": 0,
        "extra": {},
    } | changes
    text = json.dumps(header).encode()
    return struct.pack("<4sHI", b"KDSF", 1, len(text)) + text + payload


def runs(values: list[int], lengths: list[int]) -> dict[str, object]:
    payload = bytes(values) + np.array(lengths, "<u4").tobytes()
    return {"encoding": "rle", "runs": len(values), "payload": payload}


HOSTILE = {
    "nothing": b"",
    "other file": b"\x89PNG\r\n\x1a\n" + bytes(40),
    "cut header": a_frame()[:20],
    "cut payload": a_frame()[:-1],
    "trailing": a_frame() + b"x",
    "future layout": b"KDSF" + struct.pack("<HI", 9, 4) + b"{}  ",
    "header bomb": b"KDSF" + struct.pack("<HI", 1, 2**31) + b"{}",
    "header not json": b"KDSF" + struct.pack("<HI", 1, 2) + b"{]",
    "deep json": b"KDSF" + struct.pack("<HI", 1, 60000) + b"[" * 60000,
    "list header": b"KDSF" + struct.pack("<HI", 1, 2) + b"[]",
    "object dtype": a_frame(dtype="object"),
    "complex dtype": a_frame(dtype="complex128"),
    "pickle encoding": a_frame(encoding="pickle"),
    "unknown kind": a_frame(kind="program"),
    "four axes": a_frame(shape=[2, 2, 2, 3]),
    "empty axis": a_frame(shape=[0, 2, 2]),
    "negative axis": a_frame(shape=[-2, 2, 2]),
    "float axis": a_frame(shape=[2.0, 2, 2]),
    "true axis": a_frame(shape=[True, 2, 4]),
    "huge shape": a_frame(shape=[60000, 60000, 60000]),
    "short payload": a_frame(payload=bytes(7)),
    "lying length": a_frame(payload_bytes=10**9),
    "negative length": a_frame(payload_bytes=-1),
    "no length": a_frame(payload_bytes=None),
    "affine 3x3": a_frame(affine=np.eye(3).tolist()),
    "affine text": a_frame(affine="eye"),
    "affine ragged": a_frame(affine=[[1, 0], [1]]),
    "affine nan": a_frame(affine=[[float("nan"), 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]),
    "affine infinite": a_frame(affine=[[float("inf"), 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]),
    "affine singular": a_frame(affine=np.diag([1, 1, 0, 1]).tolist()),
    "affine projective": a_frame(affine=[[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1]]),
    "extra list": a_frame(extra=[]),
    "zlib noise": a_frame(encoding="zlib", payload=b"not zlib"),
    "zlib bomb": a_frame(encoding="zlib", payload=zlib.compress(bytes(10_000_000))),
    "zlib short": a_frame(encoding="zlib", payload=zlib.compress(bytes(7))),
    "zlib tail": a_frame(encoding="zlib", payload=zlib.compress(bytes(8)) + b"tail"),
    "zlib cut": a_frame(encoding="zlib", payload=zlib.compress(bytes(range(8)))[:-3]),
    "no runs": a_frame(**runs([], [])),
    "runs too long": a_frame(**runs([1, 2], [4, 5])),
    "runs too short": a_frame(**runs([1, 2], [4, 3])),
    "run of zero": a_frame(**runs([1, 2, 3], [4, 0, 4])),
    "runs overflow": a_frame(**runs([1, 2], [2**32 - 1, 9])),
    "more runs than voxels": a_frame(**runs([1] * 9, [1] * 9)),
    "runs without end": a_frame(encoding="rle", runs=3, payload=b"\1\2"),
    "changes as array": a_frame(kind="changes"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bytes_are_refused_with_a_sentence(name):
    with pytest.raises(BadFrame) as caught:
        decode_array(HOSTILE[name])
    assert len(caught.value.sentence) < 400
    assert caught.value.sentence.endswith(".")


def test_a_size_limit_holds_for_all_frames_of_a_body_together():
    body = a_frame() + a_frame()
    assert len(decode_frames(body, max_bytes=16)) == 2
    with pytest.raises(BadFrame, match="at most 7"):
        decode_frames(body, max_bytes=15)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_frames_never_raise_anything_but_bad_frame(data):
    array = np.zeros((3, 4, 5), np.uint8)
    array[1, 2:, 1:3] = 4
    encoding = data.draw(st.sampled_from(ENCODINGS))
    body = bytearray(encode_array(array, "labels", OBLIQUE, encoding))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    body = body[: data.draw(st.integers(0, len(body)))] if data.draw(st.booleans()) else body
    try:
        frames = decode_frames(bytes(body), max_bytes=1 << 20)
    except BadFrame:
        return
    assert all(frame.array.nbytes <= 1 << 20 for frame in frames)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.dictionaries(st.sampled_from(["shape", "dtype", "affine", "runs"]), st.integers()))
def test_noise_never_raises_anything_but_bad_frame(noise, fields):
    for body in (noise, b"KDSF" + noise, a_frame(**fields, payload=noise)):
        try:
            decode_array(body, max_bytes=1 << 20)
        except BadFrame as error:
            assert error.sentence  # noqa: PT017


def test_arrays_that_no_frame_can_hold_are_refused_when_sending():
    with pytest.raises(BadFrame, match="one channel"):
        encode_array(np.zeros((2, 2, 2, 3), np.uint8), "image")
    with pytest.raises(BadFrame, match="complex64"):
        encode_array(np.zeros((2, 2, 2), np.complex64), "image")
    with pytest.raises(BadFrame, match="finite"):
        encode_array(np.zeros((2, 2, 2), np.uint8), "image", np.full((4, 4), np.nan))
