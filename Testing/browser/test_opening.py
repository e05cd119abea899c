"""Files that somebody sends: what is refused, with which sentence, before a reader sees it; and what is read."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from slicer_kdseg.browser.opening import judge
from slicer_kdseg.browser.stopping import Stopped
from slicer_kdseg.browser.unpacking import BLOCK_BYTES, safe_name, unpack
from slicer_kdseg.protocol.errors import KDSegError

SIDE, SLICES = 16, 5
NIFTI_1 = 348


def nrrd(sizes: str, kind: str = "int16", more: str = "", voxels: bytes = b"") -> bytes:
    head = f"NRRD0004\ntype: {kind}\ndimension: 3\nsizes: {sizes}\nencoding: raw\nendian: little\n{more}\n"
    return head.encode() + voxels


def nifti(sides: tuple[int, ...], kind: int = 4, voxels: bytes = b"") -> bytes:
    head = bytearray(NIFTI_1 + 4)
    struct.pack_into("<i", head, 0, NIFTI_1)
    struct.pack_into("<8h", head, 40, len(sides), *sides, *[1] * (7 - len(sides)))
    struct.pack_into("<2h", head, 70, kind, 16)
    struct.pack_into("<f", head, 108, NIFTI_1 + 4)
    head[344:348] = b"n+1\0"
    return bytes(head) + voxels


def locked(name: str) -> bytes:
    """An archive of one file that announces a password."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, b"secret")
    content = bytearray(buffer.getvalue())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


def one_slice(folder: Path, number: int, series: str, **lies: Any) -> Path:
    path = folder / f"{number:03d}"
    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    made = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    made.SOPClassUID, made.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    made.SeriesInstanceUID, made.StudyInstanceUID, made.Modality = series, generate_uid(), "CT"
    made.SeriesDescription, made.InstanceNumber = "chest", number
    made.Rows = made.Columns = SIDE
    made.BitsAllocated = made.BitsStored = 16
    made.HighBit, made.PixelRepresentation, made.SamplesPerPixel = 15, 1, 1
    made.PhotometricInterpretation = "MONOCHROME2"
    made.PixelSpacing, made.SliceThickness = [0.8, 0.8], 2.5
    made.ImageOrientationPatient, made.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, 2.5 * number]
    made.PixelData = np.full((SIDE, SIDE), 10 * number, np.int16).tobytes()
    for name, value in lies.items():
        setattr(made, name, value)
    made.save_as(path, enforce_file_format=True)
    return path


@pytest.fixture
def a_series(tmp_path: Path) -> list[Path]:
    folder = tmp_path / "series"
    folder.mkdir()
    uid = generate_uid()
    return [one_slice(folder, number, uid) for number in range(SLICES)]


@pytest.fixture
def refused(tmp_path: Path) -> Callable[[list[Path]], str]:
    """The sentence with which files are refused."""

    def sentence(files: list[Path]) -> str:
        with pytest.raises(KDSegError) as caught:
            judge(files, tmp_path / "unpacked")
        return caught.value.sentence

    return sentence


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_a_header_that_announces_ten_gigabytes_is_refused(tmp_path: Path, refused: Callable[..., str]) -> None:
    sides = "2048 2048 1280"
    assert "GB" in refused([written(tmp_path / "huge.nrrd", nrrd(sides))])
    assert "GB" in refused([written(tmp_path / "huge.seg.nrrd", nrrd(sides, "uint8"))])
    assert "GB" in refused([written(tmp_path / "huge.nii", nifti((2048, 2048, 1280)))])
    assert "GB" in refused([written(tmp_path / "huge.nii.gz", gzip.compress(nifti((2048, 2048, 1280))))])


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("cut.nrrd", nrrd("8 8 8", voxels=bytes(100)), "100 of 1024 bytes"),
        ("cut.nii", nifti((8, 8, 8), voxels=bytes(100)), "100 of 1024 bytes"),
        ("cut.nii.gz", gzip.compress(nifti((8, 8, 8), voxels=bytes(1024)), mtime=0)[:-40], "cut off"),
        ("elsewhere.nrrd", nrrd("8 8 8", more="data file: /etc/passwd\n"), "another file"),
        ("elsewhere.nhdr", nrrd("8 8 8", more="data file: ../secret.raw\n"), "another file"),
        ("negative.nrrd", nrrd("8 -8 8"), "sizes"),
        ("empty.nii", b"", "no NIfTI"),
        ("odd.nii", nifti((0, 0, 0)), "announces"),
        ("picture.png", b"\x89PNG", "does not read"),
        ("notes.nrrd", b"hello", "no NRRD"),
        ("broken.mrb", b"hello", "is damaged; send it again"),
        ("broken.zip", b"PK\x03\x04nothing", "is damaged; send it again"),
        ("empty.zip", b"", "is damaged; send it again"),
        ("locked.zip", locked("scan.nrrd"), "pack it again without a password"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_file_that_is_not_what_it_says_is_refused(
    name: str, content: bytes, words: str, tmp_path: Path, refused: Callable[..., str]
) -> None:
    sentence = refused([written(tmp_path / name, content)])
    assert words in sentence
    assert name in sentence


def zipped(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path, refused: Callable[..., str]) -> None:
    bomb = zipped(tmp_path / "bomb.zip", {"zeros.nrrd": bytes(64 << 20)})
    assert bomb.stat().st_size < 1 << 20
    assert "no images do" in refused([bomb])
    assert not list((tmp_path / "unpacked").rglob("zeros*"))


def test_an_archive_that_lies_about_its_sizes_is_stopped(tmp_path: Path) -> None:
    content = np.random.default_rng(1).bytes(100_000)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("image.nrrd", content)
    lying = buffer.getvalue().replace(struct.pack("<I", len(content)), struct.pack("<I", 1000))
    with pytest.raises(KDSegError):
        unpack(written(tmp_path / "lying.zip", lying), tmp_path / "out")
    assert sum(file.stat().st_size for file in (tmp_path / "out").rglob("*")) <= 1000


@pytest.mark.parametrize(
    "name", ["../../outside.nrrd", "/etc/cron.d/x.nrrd", "a/../../x.nrrd", "..\\x.nrrd", "C:x.nrrd", "x\0.nrrd", " "]
)
def test_a_name_that_leads_elsewhere_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(KDSegError, match="leads outside"):
        safe_name(name)
    if "\0" not in name:
        archive = zipped(tmp_path / "evil.zip", {name: b"x"})
        with pytest.raises(KDSegError, match="leads outside"):
            unpack(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_link_in_an_archive_is_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link.nrrd")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "link.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(KDSegError, match="link"):
        unpack(tmp_path / "link.zip", tmp_path / "out")


@pytest.mark.parametrize(
    "place",
    [
        '"/etc/passwd"',
        '"../../secret.nrrd"',
        '"file:///etc/passwd"',
        '"https://somewhere/x.nrrd"',
        "'/etc/passwd'",
        '"%2Fetc%2Fpasswd"',
        '"Data/%2e%2e/%2e%2e/secret.nrrd"',
        '"&#47;etc/passwd"',
    ],
)
def test_a_scene_that_names_files_outside_of_itself_is_refused(
    place: str, tmp_path: Path, refused: Callable[..., str]
) -> None:
    scene = f"<MRML><VolumeArchetypeStorage fileName={place}/></MRML>"
    path = zipped(tmp_path / "scene.mrb", {"scene/scene.mrml": scene.encode()})
    assert "outside of itself" in refused([path])


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"a.mrml": b"<MRML>"}, "is no scene"),
        ({"a.mrml": b"<!DOCTYPE x [<!ENTITY y 'z'>]><MRML/>"}, "is no scene"),
        ({"a.mrml": b"<MRML/>", "b.mrml": b"<MRML/>"}, "is no scene"),
        ({"Data/x.nrrd": b"hello"}, "is no scene"),
        ({"a.mrml": b"<MRML/>", "Data/x.mhd": b"ElementDataFile = /etc/passwd"}, "names another file"),
        ({"a.mrml": b"<MRML/>", "Data/x.nrrd": nrrd("2048 2048 1280")}, "GB"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_scene_that_is_not_what_it_says_is_refused(
    members: dict[str, bytes], words: str, tmp_path: Path, refused: Callable[..., str]
) -> None:
    assert words in refused([zipped(tmp_path / "scene.mrb", members)])


def test_opening_stops_within_an_archive_once_it_is_cancelled(tmp_path: Path, a_series: list[Path]) -> None:
    noise = np.random.default_rng(2).bytes(3 * BLOCK_BYTES)
    archive = zipped(tmp_path / "long.zip", {"noise.bin": noise, "series": a_series[0].read_bytes()})
    asked = iter([False, False, True])
    with pytest.raises(Stopped, match="cancelled"):
        judge([archive], tmp_path / "out", lambda: next(asked))
    assert sum(file.stat().st_size for file in (tmp_path / "out").rglob("*") if file.is_file()) < len(noise)
    with pytest.raises(Stopped):
        judge(a_series, tmp_path / "series-out", lambda: True)


def test_a_series_is_found_in_files_and_in_a_zip(a_series: list[Path], tmp_path: Path) -> None:
    assert [len(one.files) for one in judge(list(reversed(a_series)), tmp_path / "a").series] == [SLICES]
    assert judge(list(reversed(a_series)), tmp_path / "b").series[0].files == tuple(a_series)
    members = {f"IMAGES/{path.name}": path.read_bytes() for path in a_series}
    assert len(judge([zipped(tmp_path / "series.zip", members)], tmp_path / "c").series[0].files) == SLICES


@pytest.mark.parametrize(
    ("lies", "words"),
    [
        ({"Rows": 4000, "Columns": 4000}, "bytes of pixels"),
        ({"Rows": 0}, "which no image has"),
        ({"BitsAllocated": 7}, "which no image has"),
        ({"PixelData": b"\0" * 10}, "of the 512 bytes of pixels"),
        ({"ImagePositionPatient": [0, 0, 777]}, "are missing"),
        ({"ImagePositionPatient": [0, 0, 0]}, "lie in one place"),
        ({"ImageOrientationPatient": [0, 1, 0, 1, 0, 0]}, "differ in size or direction"),
        ({"PixelSpacing": [0, 0]}, "where its pixels lie"),
        ({"NumberOfFrames": 1000}, "several frames"),
        ({"SamplesPerPixel": 3}, "colour"),
    ],
)
def test_a_dicom_file_that_lies_is_refused(
    lies: dict[str, Any], words: str, a_series: list[Path], refused: Callable[..., str]
) -> None:
    uid = str(pydicom.dcmread(a_series[0]).SeriesInstanceUID)
    a_series[-1] = one_slice(a_series[-1].parent, SLICES - 1, uid, **lies)
    assert words in refused(a_series)


def test_a_dicom_file_that_is_cut_off_is_refused(a_series: list[Path], refused: Callable[..., str]) -> None:
    whole = a_series[2].read_bytes()
    for length in (140, 300, len(whole) - 100):
        a_series[2].write_bytes(whole[:length])
        refused(a_series)
