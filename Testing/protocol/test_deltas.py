"""Only what changed travels, and the target ends byte-equal to what the sender has."""

from __future__ import annotations

import contextlib
import time
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from slicer_kdseg.protocol.deltas import changes, decode_changes, encode_changes
from slicer_kdseg.protocol.errors import BadFrame
from slicer_kdseg.protocol.frames import encode_array


@settings(max_examples=80, deadline=None)
@given(st.data(), arrays.array_shapes(min_dims=3, max_dims=3, max_side=7), st.sampled_from(["", "zlib"]))
def test_applying_changes_turns_before_into_after(data, shape, compressor):
    few = st.integers(0, 3)
    before = data.draw(arrays.arrays(np.uint8, shape, elements=few, fill=st.just(0)))
    after = data.draw(arrays.arrays(np.uint8, shape, elements=few, fill=st.just(0)))
    update = decode_changes(encode_changes(changes(before, after), compressor))
    target = before.copy()
    update.apply(target)
    assert np.array_equal(target, after)
    assert update.voxels == (before != after).sum()
    where = np.argwhere(before != after)
    if len(where) == 0:
        assert update.box is None
    else:
        for (low, high), coordinate, side in zip(update.box, where.T, shape, strict=True):
            assert 0 <= low <= coordinate.min()
            assert coordinate.max() < high <= side


def test_a_known_box_finds_the_same_changes():
    before = np.zeros((6, 50, 70), np.uint8)
    after = before.copy()
    after[2:4, 10:20, 30:44] = 3
    known = changes(before, after, box=((1, 5), (8, 25), (30, 60)))
    assert known.box == changes(before, after).box == ((2, 4), (10, 20), (30, 44))
    target = before.copy()
    known.apply(target)
    assert np.array_equal(target, after)


def test_a_target_that_is_a_view_is_written_in_place():
    store = np.zeros((4, 6, 8), np.uint8)
    view = store[:, :, ::2]
    after = view.copy()
    after[1:3, 2:5, 1:3] = 7
    changes(view, after).apply(view)
    assert np.array_equal(store[:, :, ::2], after)
    assert not store[:, :, 1::2].any()


def test_changes_for_another_shape_are_refused():
    update = changes(np.zeros((2, 3, 4), np.uint8), np.ones((2, 3, 4), np.uint8))
    with pytest.raises(BadFrame, match="fetch it whole"):
        update.apply(np.zeros((2, 3, 5), np.uint8))


def test_changes_that_leave_the_volume_are_refused():
    small = changes(np.zeros((1, 1, 4), np.uint8), np.ones((1, 1, 4), np.uint8))
    body = encode_changes(small).replace(b'"shape":[1,1,4]', b'"shape":[1,1,3]')
    with pytest.raises(BadFrame, match="leave the label map"):
        decode_changes(body)
    with pytest.raises(BadFrame, match="does not hold label changes"):
        decode_changes(encode_array(np.zeros((1, 1, 4), np.uint8), "labels"))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damaged_changes_never_write_outside_or_raise_anything_else(data):
    before = np.zeros((3, 4, 5), np.uint8)
    after = before.copy()
    after[1, 1:3, 2:] = 2
    body = bytearray(encode_changes(changes(before, after), data.draw(st.sampled_from(["", "zlib"]))))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(BadFrame):
        decode_changes(bytes(body), max_bytes=1 << 20).apply(before)


def ellipsoids(shape: tuple[int, int, int]) -> np.ndarray:
    labels = np.zeros(shape, np.uint8)
    grid = np.ogrid[tuple(slice(0, side) for side in shape)]
    for id_, centre in enumerate((0.3, 0.42, 0.5, 0.6, 0.7), 1):
        distance = sum(((axis / side - centre) / 0.15) ** 2 for axis, side in zip(grid, shape, strict=True))
        labels[distance < 1] = id_
    return labels


def cpu_seconds(action) -> float:
    def once() -> float:
        start = time.process_time()
        action()
        return time.process_time() - start

    return sorted(once() for _ in range(5))[2]


@pytest.mark.alone
def test_changes_cost_a_fraction_of_a_compressed_label_map():
    """Bars of the whole path, with room for a loaded machine: 1/3 for a scattered update, 1/10 for a local edit."""
    before = ellipsoids((150, 256, 256))
    random = np.random.default_rng(0)
    scattered = before.copy()
    where = random.integers(0, before.size, int(0.0015 * before.size))
    scattered.reshape(-1)[where] = random.integers(0, 6, where.size)
    local = before.copy()
    local[70:80, 100:130, 100:130] = 3

    def whole() -> None:  # what gzip NRRD costs at the least
        zlib.decompress(zlib.compress(scattered.data, 1))

    def update(after: np.ndarray) -> None:
        decode_changes(encode_changes(changes(before, after))).apply(before.copy()[:])

    copying = cpu_seconds(lambda: before.copy())
    gzip = cpu_seconds(whole)
    assert cpu_seconds(lambda: update(scattered)) - copying <= gzip / 2.5
    assert cpu_seconds(lambda: update(local)) - copying <= gzip / 5
    assert len(encode_changes(changes(before, local))) < 20_000
