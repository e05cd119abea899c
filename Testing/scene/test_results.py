from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer
from vtkmodules.util.numpy_support import vtk_to_numpy

from slicer_kdseg.headless.boot import HeadlessSlicer
from slicer_kdseg.headless.files import open_scene, save_node, save_scene
from slicer_kdseg.protocol.labels import LabelClass, LabelContract
from slicer_kdseg.scene.annotation import Annotation
from slicer_kdseg.scene.geometry import array_of_image, grid_of_volume, new_volume
from slicer_kdseg.scene.painting import Painter
from slicer_kdseg.scene.results import PreviewSegmentation, Provenance, find_preview
from slicer_kdseg.scene.segments import BINARY_LABELMAP, segments

SHAPE = (10, 40, 48)
Stroke = Callable[[int, int, slice], np.ndarray]


@pytest.fixture
def a_preview(a_scene: Any, a_volume: Any, a_contract: LabelContract) -> PreviewSegmentation:
    return PreviewSegmentation(a_scene, a_volume, a_contract)


def a_prediction(seed: int = 0) -> np.ndarray:
    blocks = np.random.default_rng(seed).choice(np.array([0, 1, 4], np.uint8), (5, 10, 12))
    return blocks.repeat(2, 0).repeat(4, 1).repeat(4, 2)


def voxels_of(node: Any) -> bytes:
    """Every layer of a segmentation node, extents included."""
    digest = hashlib.sha256()
    for segment in segments(node.GetSegmentation()):
        image = segment.GetRepresentation(BINARY_LABELMAP)
        digest.update(repr((image.GetExtent(), segment.GetLabelValue(), segment.GetName())).encode())
        digest.update(vtk_to_numpy(image.GetPointData().GetScalars()).tobytes())
    return digest.digest()


def test_it_equals_what_an_import_gives(
    a_slicer: HeadlessSlicer, a_volume: Any, a_preview: PreviewSegmentation
) -> None:
    labels = a_prediction()
    a_preview.show(labels)
    grid = grid_of_volume(a_volume)
    labelmap = new_volume(a_slicer.scene, "labels", labels, grid.affine, "vtkMRMLLabelMapVolumeNode")
    imported = a_slicer.scene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    imported.SetReferenceImageGeometryParameterFromVolumeNode(a_volume)
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    assert logic.ImportLabelmapToSegmentationNode(labelmap, imported)
    ours, theirs = a_preview.node.GetSegmentation(), imported.GetSegmentation()
    assert ours.GetNumberOfSegments() == theirs.GetNumberOfSegments() == 2
    for n in range(2):
        arrays = [_in_reference_geometry(node, n, a_volume) for node in (a_preview.node, imported)]
        assert arrays[0].tobytes() == arrays[1].tobytes()
        assert arrays[0].any()
    assert ours.GetConversionParameter("Reference image geometry") == theirs.GetConversionParameter(
        "Reference image geometry"
    )


def test_it_stays_one_layer_of_full_extent(a_preview: PreviewSegmentation) -> None:
    for seed in range(50):
        a_preview.show(a_prediction(seed))
    a_preview.show(np.zeros(SHAPE, np.uint8))
    segmentation = a_preview.node.GetSegmentation()
    assert segmentation.GetNumberOfLayers(BINARY_LABELMAP) == 1
    assert segmentation.GetNthSegment(0).GetRepresentation(BINARY_LABELMAP).GetExtent() == (0, 47, 0, 39, 0, 9)


def test_names_colours_and_terminology_come_from_the_contract(
    a_preview: PreviewSegmentation, a_contract: LabelContract
) -> None:
    shown = segments(a_preview.node.GetSegmentation())
    assert [segment.GetName() for segment in shown] == ["liver", "spleen"]
    assert shown[1].GetColor() == pytest.approx(a_contract.by_id(4).color)


def test_displays_are_told_of_an_update(a_preview: PreviewSegmentation) -> None:
    told: list[str] = []
    a_preview.node.AddObserver("AnyEvent", lambda caller, event: told.append(event))
    a_preview.update((slice(2, 3), slice(0, 5), slice(0, 5)), np.uint8(4))
    assert told


def test_strokes_are_never_written_to_and_undo_still_works(
    an_annotation_with_strokes: Annotation, a_painter: Painter, a_preview: PreviewSegmentation, stroke: Stroke
) -> None:
    before = voxels_of(an_annotation_with_strokes.node)
    a_painter.paint(1, stroke(5, 13, slice(10, 18)))
    after_stroke = voxels_of(an_annotation_with_strokes.node)
    for seed in range(50):
        a_preview.show(a_prediction(seed))
        a_preview.attribute(Provenance("job", "scribble", seed, "", "student", 1))
    assert voxels_of(an_annotation_with_strokes.node) == after_stroke
    a_painter.undo()
    assert an_annotation_with_strokes.read().counts == {0: 160, 1: 16, 4: 24}
    assert before != after_stroke
    assert np.array_equal(a_preview.labels, a_prediction(49))


def test_the_same_preview_is_found_again(a_scene: Any, a_volume: Any, a_contract: LabelContract) -> None:
    first = PreviewSegmentation(a_scene, a_volume, a_contract)
    first.show(a_prediction())
    second = PreviewSegmentation(a_scene, a_volume, a_contract)
    assert second.node is first.node
    assert np.array_equal(second.labels, a_prediction())


def test_a_class_that_was_added_gets_a_segment(a_scene: Any, a_volume: Any, a_contract: LabelContract) -> None:
    PreviewSegmentation(a_scene, a_volume, a_contract)
    wider = LabelContract((*a_contract.classes, LabelClass(9, "aorta", (1, 0, 0))))
    preview = PreviewSegmentation(a_scene, a_volume, wider)
    assert [segment.GetName() for segment in segments(preview.node.GetSegmentation())] == ["liver", "spleen", "aorta"]
    assert preview.node.GetSegmentation().GetNumberOfLayers(BINARY_LABELMAP) == 1


def test_a_preview_that_was_edited_by_hand_is_made_whole_again(a_preview: PreviewSegmentation) -> None:
    segmentation = a_preview.node.GetSegmentation()
    segmentation.SeparateSegmentLabelmap(segmentation.GetNthSegmentID(0))
    a_preview.show(a_prediction())
    assert segmentation.GetNumberOfLayers(BINARY_LABELMAP) == 1
    assert np.array_equal(a_preview.labels, a_prediction())


def test_provenance_and_labels_survive_a_saved_scene(
    a_slicer: HeadlessSlicer, a_preview: PreviewSegmentation, a_contract: LabelContract, tmp_path: Path
) -> None:
    a_preview.show(a_prediction())
    a_preview.attribute(Provenance("job-1", "scribble", 240, "3", "student", 2))
    assert a_preview.node.GetAttribute("KDSeg.JobId") == "job-1"
    save_scene(a_slicer, tmp_path / "scene.mrb")
    open_scene(a_slicer, tmp_path / "scene.mrb")
    volume = a_slicer.scene.GetFirstNodeByName("abdomen")
    assert find_preview(a_slicer.scene, volume) is not None
    kept = PreviewSegmentation(a_slicer.scene, volume, a_contract)
    assert np.array_equal(kept.labels, a_prediction())
    assert kept.provenance == Provenance("job-1", "scribble", 240, "3", "student", 2)


def test_segmentation_file_keeps_names_colours_and_terminology(
    a_slicer: HeadlessSlicer, a_preview: PreviewSegmentation, a_contract: LabelContract, tmp_path: Path
) -> None:
    import slicerio

    a_preview.show(a_prediction())
    save_node(a_slicer, a_preview.node, tmp_path / "segmentation.seg.nrrd")
    found = slicerio.read_segmentation(str(tmp_path / "segmentation.seg.nrrd"))
    assert {s["labelValue"]: s["name"] for s in found["segments"]} == {1: "liver", 4: "spleen"}
    assert found["segments"][0]["terminology"]["type"][2] == "Liver"
    assert found["segments"][1]["color"] == pytest.approx([0.6, 0.1, 0.4], abs=1e-3)


@pytest.mark.alone
def test_an_update_of_a_large_volume_is_cheap(a_scene: Any) -> None:
    shape = (300, 512, 512)
    volume = new_volume(a_scene, "large", np.zeros(shape, np.uint8), np.eye(4))
    contract = LabelContract(tuple(LabelClass(id_, f"class {id_}") for id_ in range(6)))
    preview = PreviewSegmentation(a_scene, volume, contract)
    labels = np.random.default_rng(0).integers(0, 6, shape, np.uint8)
    seconds = []
    for _ in range(7):
        began = time.process_time()
        preview.show(labels)
        seconds.append(time.process_time() - began)
    assert np.median(seconds) < 0.030, "measured 7 ms on a quiet core"
    assert preview.node.GetSegmentation().GetNumberOfLayers(BINARY_LABELMAP) == 1
    a_scene.Clear(False)
    began = time.process_time()
    preview.release()
    del preview
    assert time.process_time() - began < 0.5, "a destroyed shared layer took seconds"


def _in_reference_geometry(node: Any, n: int, volume: Any) -> np.ndarray:
    image = slicer.vtkOrientedImageData()
    slicer.vtkSlicerSegmentationsModuleLogic.GetSegmentBinaryLabelmapRepresentation(
        node, node.GetSegmentation().GetNthSegmentID(n), image
    )
    whole = np.zeros(grid_of_volume(volume).shape, np.uint8)
    x0, x1, y0, y1, z0, z1 = image.GetExtent()
    whole[z0 : z1 + 1, y0 : y1 + 1, x0 : x1 + 1] = array_of_image(image)
    return whole


def test_who_else_writes_to_a_preview_ends_what_it_held(
    a_preview: PreviewSegmentation, a_scene: Any, a_volume: Any, a_contract: LabelContract
) -> None:
    a_preview.labels[...] = 1
    a_preview.shown(7)
    assert a_preview.number == 7
    PreviewSegmentation(a_scene, a_volume, a_contract).show(np.zeros((10, 40, 48), np.uint8))
    assert a_preview.number is None
