"""NIfTI files that ITK reads as if nothing were wrong."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from slicer_kdseg.protocol.errors import BadImage
from training_backend.data.cases import read_image, write_volume

SHAPE = (6, 20, 22)


def a_file(path: Path, kind: str, bad: float = 0.0) -> bytes:
    image = np.random.default_rng(0).integers(0, 500, SHAPE).astype(kind)
    image[0, 0, :2] = bad
    write_volume(path, image, np.diag([1.0, 1.0, 3.0, 1.0]))
    return path.read_bytes()


@pytest.mark.parametrize("kind", ["int16", "uint8", "float32", "float64"])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_whole_file_is_read_and_one_that_lacks_a_voxel_is_not(tmp_path, kind, suffix):
    path = tmp_path / f"a{suffix}"
    whole = a_file(path, kind)
    assert read_image(path).array.shape == SHAPE
    unpacked = gzip.decompress(whole) if suffix == ".nii.gz" else whole
    for length in (400, len(unpacked) // 2, len(unpacked) - 1):
        path.write_bytes(gzip.compress(unpacked[:length]) if suffix == ".nii.gz" else unpacked[:length])
        with pytest.raises(BadImage, match=rf"'a{suffix}' is cut off"):
            read_image(path)
    path.write_bytes(whole[: len(whole) - 9])
    with pytest.raises(BadImage, match="is cut off"):
        read_image(path)


@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_none_are_counted_before_they_become_zero(tmp_path, kind, bad):
    a_file(tmp_path / "a.nii.gz", kind, bad)
    with pytest.raises(BadImage, match=r"'a\.nii\.gz' has 2 voxels that are NaN or infinite"):
        read_image(tmp_path / "a.nii.gz")


def test_several_compressed_members_and_bytes_behind_the_voxels_are_no_fault(tmp_path):
    whole = gzip.decompress(a_file(tmp_path / "a.nii.gz", "int16"))
    before = read_image(tmp_path / "a.nii.gz").array
    for content in (gzip.compress(whole[:900]) + gzip.compress(whole[900:]), gzip.compress(whole + b"behind")):
        (tmp_path / "a.nii.gz").write_bytes(content)
        assert np.array_equal(read_image(tmp_path / "a.nii.gz").array, before)
