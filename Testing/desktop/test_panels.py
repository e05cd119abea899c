"""Both modules from their .ui files: every button in every state, over a real scene and a real backend process."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
import slicer

import Testing.desktop.needs_qt  # noqa: F401  first
from slicer_kdseg.protocol.labels import LabelClass, LabelContract
from slicer_kdseg.protocol.method_settings import SETTINGS
from slicer_kdseg.scene.annotation import Annotation, find_annotation, find_finished, new_annotation
from slicer_kdseg.scene.choices import Choices
from slicer_kdseg.scene.displaying import backgrounds
from slicer_kdseg.scene.geometry import new_volume
from slicer_kdseg.scene.results import PreviewSegmentation, Provenance
from slicer_kdseg.scene.state import PreviewShown
from slicer_kdseg.scene.uncertainty import UncertaintyVolume
from slicer_kdseg.scene.workplace import FIRST_CLASSES
from Testing.desktop.standin.application import Desktop, Module
from Testing.desktop.standin.pythonqt import Proxy, unwrap

Wait = Callable[..., None]
Draw = Callable[..., None]


@pytest.fixture
def a_panel(the_module: Module, a_volume: Any) -> Any:
    return the_module.open().panel


@pytest.fixture
def a_drawn_panel(a_panel: Any, draw: Draw) -> Any:
    annotation = a_panel.workplace.session.annotation
    for d in (3, 6):
        draw(annotation, 0, d, 3, slice(4, 44))
        draw(annotation, 1, d, 13, slice(10, 18))
    return a_panel


@pytest.fixture
def a_training_panel(a_drawn_panel: Any, wait: Wait) -> Any:
    a_drawn_panel.ui.tabs.currentIndex = 1
    a_drawn_panel.train.ui.trainButton.click()
    state = a_drawn_panel.workplace.session
    wait(lambda: state.state.phase == "training" and state.state.preview_source == "student", 60)
    return a_drawn_panel


def buttons(panel: Any) -> list[Proxy]:
    """All that can be pressed, of all panels."""
    kinds = ("QPushButton", "QCheckBox", "QRadioButton", "QToolButton")
    return [w for w in slicer.util.findChildren(panel.widget) if w.className() in kinds]


def press_all(panel: Any, wait: Wait, but: tuple[str, ...] = ()) -> int:
    pressed = 0
    for button in buttons(panel):
        if button.enabled and button.name not in but:
            button.click()
            wait(lambda: True)
            pressed += 1
    return pressed


def test_opening_the_module_is_enough_to_draw(a_panel: Any, a_volume: Any) -> None:
    session = a_panel.workplace.session
    assert session.annotation.volume is a_volume
    assert [label.name for label in session.annotation.contract.classes] == ["background", "class 1"]
    editor = unwrap(a_panel.annotate.ui.editor)
    assert editor.segmentationNode() is session.annotation.node
    assert editor.sourceVolumeNode() is a_volume
    assert editor.activeEffect().property("name") == "Paint"
    assert editor.mrmlSegmentEditorNode().GetAttribute("BrushRelativeDiameter") == "2"
    assert editor.currentSegmentID() == session.annotation.segment_id_of(1)


def test_hints_follow_the_strokes(a_panel: Any, draw: Draw, wait: Wait) -> None:
    label = a_panel.annotate.ui.coverageLabel
    assert label.text == "○ background: no stroke yet\n○ class 1: no stroke yet"
    draw(a_panel.workplace.session.annotation, 1, 3, 13, slice(10, 18))
    wait(lambda: "✓ class 1: 8 voxels on 1 slice" in label.text)


def test_grow_cut_follows_the_strokes_without_a_backend(a_panel: Any, draw: Draw, wait: Wait) -> None:
    a_panel.annotate.ui.growBox.click()
    annotation = a_panel.workplace.session.annotation
    for d in (3, 6):
        draw(annotation, 0, d, 3, slice(4, 44))
        draw(annotation, 1, d, 13, slice(10, 18))
    wait(lambda: a_panel.workplace.session.preview is not None and a_panel.workplace.session.preview.labels.any())
    assert a_panel.workplace.link.state.stage == "none"


def test_next_slice_moves_the_views_and_says_why(a_drawn_panel: Any, a_desktop: Desktop) -> None:
    a_drawn_panel.annotate.ui.nextSliceButton.click()
    assert "farthest from every stroke" in a_drawn_panel.annotate.ui.nextSliceLabel.text


def test_a_click_too_early_is_a_sentence_in_the_panel(a_panel: Any) -> None:
    a_panel.train.ui.trainButton.click()
    a_panel.models.ui.predictButton.enabled = True
    a_panel.models.ui.predictButton.click()
    assert "no current model yet" in a_panel.ui.messageLabel.text
    a_panel.review.ui.refreshButton.click()
    a_panel.review.ui.acceptButton.enabled = True
    a_panel.review.ui.acceptButton.click()
    assert a_panel.ui.messageLabel.text == "Choose a case in the table first."


def test_train_starts_the_backend_and_shows_the_preview(a_training_panel: Any, wait: Wait) -> None:
    ui, session = a_training_panel.train.ui, a_training_panel.workplace.session
    assert (ui.trainButton.enabled, ui.stopButton.enabled, ui.cancelButton.enabled) == (False, True, True)
    assert ui.correctButton.enabled
    assert "left" in ui.timeLabel.text
    assert "local backend runs" in a_training_panel.backend.ui.linkLabel.text
    ui.outlineBox.click()
    display = session.preview.node.GetDisplayNode()
    assert not display.GetVisibility2DFill()
    ui.previewBox.click()
    assert not display.GetVisibility()
    ui.opacitySlider.value = 0.25
    assert display.GetOpacity2DFill() == 0.25
    ui.uncertaintyBox.click()
    composite = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLSliceCompositeNode")
    wait(lambda: bool(composite.GetForegroundVolumeID()))
    ui.uncertaintyBox.click()
    assert not composite.GetForegroundVolumeID()


def test_the_users_own_foreground_comes_back(a_panel: Any, a_desktop: Desktop, a_volume: Any) -> None:
    box, scene = a_panel.preview.ui.uncertaintyBox, a_desktop.scene
    unsure = UncertaintyVolume(scene, a_volume).node
    pet, other = (new_volume(scene, name, np.zeros((4, 20, 20), np.float32), np.eye(4)) for name in ("PET", "other"))
    red, yellow, green = (view.GetSliceCompositeNode() for view in slicer.app.layoutManager().mrmlSliceLogics())

    def in_front() -> list[str | None]:
        return [view.GetForegroundVolumeID() for view in (red, yellow, green)]

    red.SetForegroundVolumeID(pet.GetID())
    red.SetForegroundOpacity(0.4)
    box.click()
    assert in_front() == [unsure.GetID()] * 3
    green.SetForegroundVolumeID(other.GetID())
    box.click()
    assert in_front() == [pet.GetID(), None, other.GetID()]
    assert red.GetForegroundOpacity() == 0.4
    box.click()
    scene.RemoveNode(pet)
    box.click()
    assert in_front() == [None, None, other.GetID()]


def test_the_overlay_of_another_image_is_not_what_comes_back(a_panel: Any, a_desktop: Desktop, a_volume: Any) -> None:
    box, scene = a_panel.preview.ui.uncertaintyBox, a_desktop.scene
    other = new_volume(scene, "other", np.zeros((10, 40, 48), np.float32), np.eye(4))
    overlays = [UncertaintyVolume(scene, volume).node for volume in (a_volume, other)]
    (red, *_) = (view.GetSliceCompositeNode() for view in slicer.app.layoutManager().mrmlSliceLogics())
    box.click()
    assert red.GetForegroundVolumeID() == overlays[0].GetID()
    a_panel.annotate.ui.volumeSelector.setCurrentNodeID(other.GetID())
    a_panel.workplace.session.signals.preview_arrived.emit(PreviewShown("student", 1, 1))
    assert red.GetForegroundVolumeID() == overlays[1].GetID()
    box.click()
    assert red.GetForegroundVolumeID() is None


def test_a_correction_joins_and_stop_keeps_a_model(a_training_panel: Any, draw: Draw, wait: Wait) -> None:
    session = a_training_panel.workplace.session
    draw(session.annotation, 1, 4, 13, slice(10, 18))
    a_training_panel.train.ui.correctButton.click()
    wait(lambda: session.state.joined_revision == 2)
    a_training_panel.train.ui.stopButton.click()
    wait(lambda: session.state.can_train and session.state.models)
    table = a_training_panel.models.ui.modelTable
    assert table.rowCount == 1
    assert table.item(0, 1).text() == "●"
    assert a_training_panel.train.ui.trainButton.enabled


def test_cancel_discards_and_the_strokes_stay(a_training_panel: Any, wait: Wait) -> None:
    session = a_training_panel.workplace.session
    before = session.annotation.read().labels
    a_training_panel.train.ui.cancelButton.click()
    wait(lambda: session.state.can_train)
    assert session.state.job_state == "cancelled"
    assert np.array_equal(session.annotation.read().labels, before)


def test_a_training_that_no_scene_shows_any_more_makes_way(
    a_training_panel: Any, a_desktop: Desktop, draw: Draw, wait: Wait
) -> None:
    session, ui = a_training_panel.workplace.session, a_training_panel.train.ui
    orphan = session.state.job_id
    a_desktop.scene.Clear(False)
    noise = np.random.default_rng(4).normal(0, 4, (10, 40, 48)).astype(np.float32)
    new_volume(a_desktop.scene, "next", noise, np.eye(4))
    wait(lambda: session.annotation is not None)
    draw(session.annotation, 0, 3, 3, slice(4, 44))
    draw(session.annotation, 1, 3, 13, slice(10, 18))
    assert unwrap(ui.otherButton).isHidden()
    ui.trainButton.click()
    wait(lambda: session.state.job_state == "queued" and session.state.job_id != orphan)
    assert "Waits for another training (scribble)" in ui.stateLabel.text
    assert not unwrap(ui.otherButton).isHidden()
    ui.otherButton.click()
    assert "Stopping the other training" in ui.stateLabel.text
    assert unwrap(ui.otherButton).isHidden()
    wait(lambda: session.state.job_state == "training")
    assert [model.job for model in session.backend().models()] == [orphan], "its best model so far was kept"


def test_cancel_while_the_backend_starts(a_drawn_panel: Any, wait: Wait) -> None:
    place, ui = a_drawn_panel.workplace, a_drawn_panel.train.ui
    ui.trainButton.click()
    assert ui.stateLabel.text == "Starting the local backend."
    assert not ui.trainButton.enabled
    ui.cancelButton.click()
    wait(lambda: place.link.state.stage == "connected", 60)
    wait(lambda: place.session.state.can_train)
    assert not place.session.state.job_id


def test_choices_are_kept_in_the_scene(a_panel: Any, a_desktop: Desktop) -> None:
    a_panel.train.ui.tenMinutesButton.click()
    a_panel.annotate.ui.backgroundBox.click()
    other = new_volume(a_desktop.scene, "pelvis", np.zeros((4, 20, 20), np.float32), np.eye(4))
    unwrap(a_panel.train.ui.othersSelector).check(other)
    choices = a_panel.workplace.choices
    assert (choices.budget, choices.automatic_background, choices.others) == ("10 min", False, (other.GetID(),))
    assert choices.settings["seconds"] == 600


def test_a_finished_segmentation_is_the_labelled_case(a_panel: Any, a_desktop: Desktop, a_volume: Any) -> None:
    node = a_desktop.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "atlas")
    node.SetReferenceImageGeometryParameterFromVolumeNode(a_volume)
    node.GetSegmentation().AddEmptySegment("", "liver")
    a_panel.annotate.ui.atlasButton.click()
    unwrap(a_panel.annotate.ui.atlasSelector).setCurrentNode(node)
    assert a_panel.workplace.session.annotation.node is node
    assert unwrap(a_panel.annotate.ui.editor).segmentationNode() is node


def finished_segmentation(scene: Any, volume: Any, name: str) -> Any:
    """A small block, complete."""
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    segment = node.GetSegmentation().AddEmptySegment("", "liver")
    block = np.zeros(slicer.util.arrayFromVolume(volume).shape, np.uint8)
    block[1:3, 5:9, 5:9] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(block, node, segment, volume)
    return node


def test_another_images_strokes_are_not_taken_for_a_finished_segmentation(
    a_panel: Any, a_desktop: Desktop, a_volume: Any, draw: Draw
) -> None:
    ui, place = a_panel.annotate.ui, a_panel.workplace
    drawn = place.session.annotation.node
    draw(place.session.annotation, 1, 3, 13, slice(10, 18))
    other = new_volume(a_desktop.scene, "other", np.zeros((10, 40, 48), np.float32), np.diag([1.0, 1.0, 4.0, 1.0]))
    ui.volumeSelector.setCurrentNodeID(other.GetID())
    ui.atlasButton.click()
    ui.atlasSelector.setCurrentNodeID(drawn.GetID())
    assert "belongs to the image 'abdomen' and not to 'other'" in a_panel.ui.messageLabel.text
    assert ui.atlasSelector.currentNode() is None, "what was refused is not shown as chosen"
    assert find_annotation(a_desktop.scene, a_volume) is drawn
    assert drawn not in (place.session.annotation.node, find_finished(a_desktop.scene, other))


def test_labels_of_another_grid_are_refused_before_anything_is_written(
    a_panel: Any, a_desktop: Desktop, a_volume: Any
) -> None:
    tilted = new_volume(a_desktop.scene, "tilted", np.zeros((4, 20, 20), np.float32), np.diag([1.5, 1.5, 3.0, 1.0]))
    node = finished_segmentation(a_desktop.scene, tilted, "elsewhere")
    a_panel.annotate.ui.atlasButton.click()
    a_panel.annotate.ui.atlasSelector.setCurrentNodeID(node.GetID())
    assert "different grids" in a_panel.ui.messageLabel.text
    assert list(node.GetAttributeNames()) == []
    assert node.GetNodeReferenceID("KDSeg.SourceVolume") is None
    assert a_panel.annotate.ui.atlasSelector.currentNode() is None


def test_the_selectors_show_what_is_worked_on(a_panel: Any, a_desktop: Desktop, a_volume: Any) -> None:
    ui, session = a_panel.annotate.ui, a_panel.workplace.session
    one, two = (finished_segmentation(a_desktop.scene, a_volume, name) for name in ("one", "two"))
    other = new_volume(a_desktop.scene, "other", np.zeros((10, 40, 48), np.float32), np.eye(4))
    ui.atlasButton.click()
    for node in (one, two, one):
        ui.atlasSelector.setCurrentNodeID(node.GetID())
        assert ui.atlasSelector.currentNode() is session.annotation.node is node
    ui.atlasSelector.setCurrentNodeID("")
    assert ui.atlasSelector.currentNode() is one
    ui.volumeSelector.setCurrentNodeID(other.GetID())
    assert ui.atlasSelector.currentNode() is None
    ui.volumeSelector.setCurrentNodeID("")
    assert ui.volumeSelector.currentNode() is session.annotation.volume is other
    ui.volumeSelector.setCurrentNodeID(a_volume.GetID())
    assert ui.atlasSelector.currentNode() is session.annotation.node is one


def test_the_two_big_choices_open_what_they_learn_from(a_drawn_panel: Any, a_desktop: Desktop, a_volume: Any) -> None:
    panel, train = a_drawn_panel, a_drawn_panel.train.ui
    session, editor = panel.workplace.session, unwrap(panel.annotate.ui.editor)
    drawn = session.annotation.node
    train.oneCaseButton.click()
    assert panel.annotate.ui.atlasButton.checked
    assert "Choose the segmentation that is complete" in panel.annotate.ui.coverageLabel.text
    train.trainButton.click()
    assert "and these are strokes" in panel.ui.messageLabel.text
    node = a_desktop.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "finished")
    node.SetReferenceImageGeometryParameterFromVolumeNode(a_volume)
    node.GetSegmentation().AddEmptySegment("", "liver")
    unwrap(panel.annotate.ui.atlasSelector).setCurrentNode(node)
    assert panel.annotate.ui.coverageLabel.text == "○ liver: no stroke yet"
    train.scribblesButton.click()
    assert (session.annotation.node, editor.segmentationNode()) == (drawn, drawn)
    train.methodBox.setCurrentText("supervised")
    assert (session.annotation.node, editor.segmentationNode()) == (node, node)
    panel.annotate.ui.scribbleButton.click()
    assert train.scribblesButton.checked
    panel.annotate.ui.atlasButton.click()
    assert train.oneCaseButton.checked


def test_strokes_without_background_are_not_taken_for_complete_either(a_panel: Any, draw: Draw) -> None:
    """Background is added where it is safe, so that many draw none."""
    draw(a_panel.workplace.session.annotation, 1, 3, 13, slice(10, 18))
    a_panel.train.ui.oneCaseButton.click()
    a_panel.train.ui.trainButton.click()
    assert "and these are strokes" in a_panel.ui.messageLabel.text


def test_what_was_said_goes_with_the_next_click(a_panel: Any) -> None:
    a_panel.train.ui.folderButton.click()
    assert a_panel.ui.messageLabel.text
    a_panel.train.ui.tenMinutesButton.click()
    assert not a_panel.ui.messageLabel.text
    a_panel.train.ui.folderButton.click()
    a_panel.ui.tabs.currentIndex = 2
    assert not a_panel.ui.messageLabel.text


def test_a_message_begins_where_a_tab_does(a_panel: Any) -> None:
    tab = unwrap(a_panel.annotate.widget)
    assert unwrap(a_panel.ui.messageLabel).margin() == tab.layout().contentsMargins().left() > 0


def test_a_folder_of_images_takes_part_one_by_one(a_panel: Any, wait: Wait, tmp_path: Path) -> None:
    import slicerio

    folder = tmp_path / "cases" / "images"
    folder.mkdir(parents=True)
    for name in ("one", "two"):
        (folder / f"{name}.nrrd").write_bytes((Path(slicerio.__file__).parent / "data" / "CTChest4.nrrd").read_bytes())
    a_panel.train.ui.folderButton.click()
    assert a_panel.ui.messageLabel.text == "Choose a folder with images first."
    a_panel.train.ui.folderEdit.currentPath = str(tmp_path / "cases")
    a_panel.train.ui.folderButton.click()
    assert not a_panel.workplace.choices.others, "the click itself loads nothing"
    wait(lambda: "part: 1 of 2;" in a_panel.ui.messageLabel.text)
    wait(lambda: "part: 2 of 2;" in a_panel.ui.messageLabel.text)
    assert len(a_panel.workplace.choices.others) == 2
    (folder / "three.nrrd").write_text("no image")
    a_panel.train.ui.folderButton.click()
    wait(lambda: "'three.nrrd' cannot be read" in a_panel.ui.messageLabel.text)
    assert a_panel.train.ui.folderButton.enabled


def test_a_case_folder_brings_strokes_and_labels_too(
    a_panel: Any, a_desktop: Desktop, wait: Wait, tmp_path: Path
) -> None:
    import slicerio

    sample = Path(slicerio.__file__).parent / "data"
    image, labels = (sample / name for name in ("CTChest4.nrrd", "Segmentation.seg.nrrd"))
    files = {"images/anna.nrrd": image, "images/ben.nrrd": image, "images/cleo.nrrd": image}
    files |= {"scribbles/anna.seg.nrrd": labels, "labels/ben.seg.nrrd": labels}
    for name, source in files.items():
        (tmp_path / "cases" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "cases" / name).write_bytes(source.read_bytes())
    a_panel.train.ui.folderEdit.currentPath = str(tmp_path / "cases")
    a_panel.train.ui.folderButton.click()
    wait(lambda: "3 of 3; with strokes or labels: 2." in a_panel.ui.messageLabel.text)
    anna, ben, cleo = (a_desktop.scene.GetNodeByID(id_) for id_ in a_panel.workplace.choices.others)
    drawn, finished = find_annotation(a_desktop.scene, anna), find_finished(a_desktop.scene, ben)
    assert Annotation(anna, drawn).spoken_classes() == Annotation(ben, finished).spoken_classes() != set()
    assert not drawn.GetDisplayNode().GetVisibility()
    assert find_annotation(a_desktop.scene, cleo) is find_finished(a_desktop.scene, cleo) is None

    before = a_desktop.scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode")
    (tmp_path / "cases" / "scribbles" / "anna.seg.nrrd").write_text("no segmentation")
    a_panel.train.ui.folderButton.click()
    wait(lambda: "'anna.seg.nrrd' cannot be read as a segmentation" in a_panel.ui.messageLabel.text)
    assert a_desktop.scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == before
    assert a_panel.train.ui.folderButton.enabled


def test_every_button_in_every_state(a_drawn_panel: Any, wait: Wait, tmp_path: Path) -> None:
    """Faults in slots fail the fixture; refusals are sentences."""
    session, link = a_drawn_panel.workplace.session, a_drawn_panel.workplace.link
    ends = ("cleanUpButton", "installButton", "connectButton", "lookButton", "sureBox")
    assert press_all(a_drawn_panel, wait, but=ends) > 25
    wait(lambda: not link.state.busy, 60)
    if link.state.stage != "connected":
        a_drawn_panel.backend.ui.startButton.click()
        wait(lambda: link.state.stage == "connected", 60)
    if session.state.can_train:
        a_drawn_panel.annotate.ui.scribbleButton.click()
        a_drawn_panel.train.ui.trainButton.click()
        wait(lambda: session.state.phase == "training", 60)
    assert press_all(a_drawn_panel, wait, but=("stopButton", "cancelButton", *ends)) > 20
    wait(lambda: not link.state.busy, 60)


def test_the_review_module_needs_no_backend(the_review_module: Module, a_volume: Any, a_desktop: Desktop) -> None:
    panel = the_review_module.open().panel
    assert panel.review.ui.countLabel.text == "There is no case to review yet."
    panel.review.ui.nextButton.click()
    assert panel.message.text == "There is no case to review yet."
    for button in buttons(panel):
        if button.enabled:
            button.click()
    the_review_module.leave()


def predicted(scene: Any, volume: Any) -> PreviewSegmentation:
    """A student's preview of ``volume``: a case to review."""
    contract = LabelContract((LabelClass(0, "background"), LabelClass(1, "liver")))
    preview = PreviewSegmentation(scene, volume, contract)
    preview.labels[2:8, 8:20, 8:20] = 1
    preview.shown()
    preview.attribute(Provenance(source="student"))
    return preview


def test_review_by_buttons(
    the_review_module: Module, a_volume: Any, a_desktop: Desktop, wait: Wait, tmp_path: Path
) -> None:
    preview = predicted(a_desktop.scene, a_volume)
    panel = the_review_module.open().panel
    ui = panel.review.ui
    ui.nextButton.click()
    assert ui.acceptButton.enabled
    ui.noteEdit.text = "left border"
    panel.review.note_written()
    ui.correctButton.click()
    editor = unwrap(ui.reviewEditor)
    wait(lambda: editor.segmentationNode() is not None)
    assert editor.segmentationNode() is not preview.node
    assert editor.segmentationNode().GetName() == "abdomen reviewed"
    ui.reportEdit.currentPath = str(tmp_path / "report")
    ui.reportButton.click()
    wait(lambda: "The report is in" in panel.message.text)
    assert ui.reportButton.enabled
    assert "left border" in (tmp_path / "report" / "kdseg_review.csv").read_text()
    wait(lambda: ui.differenceTable.rowCount == 1)
    assert ui.differenceTable.item(0, 3).text() == "1.000"
    ui.acceptButton.click()
    assert editor.activeEffect() is None, "what has its verdict is not drawn on"
    the_review_module.leave()


def correcting(panel: Any, scene: Any, volume: Any) -> Any:
    """The review's widgets after a click on Correct; the copy is on its way."""
    predicted(scene, volume)
    panel.ui.tabs.currentIndex = 2
    panel.review.ui.nextButton.click()
    panel.review.ui.correctButton.click()
    return panel.review.ui


@pytest.mark.parametrize("elsewhere", ["in another tab", "in another module"])
def test_a_copy_that_arrives_while_nobody_sees_it_leaves_the_mouse_alone(
    a_panel: Any, the_module: Module, a_desktop: Desktop, a_volume: Any, wait: Wait, elsewhere: str
) -> None:
    ui = correcting(a_panel, a_desktop.scene, a_volume)
    if elsewhere == "in another tab":
        a_panel.ui.tabs.currentIndex = 0
    else:
        the_module.leave()
    editor = unwrap(ui.reviewEditor)
    wait(lambda: editor.segmentationNode() is not None)
    copy = editor.segmentationNode()
    assert (editor.activeEffect(), editor.shortcuts, editor.observing) == (None, False, False)
    if elsewhere == "in another tab":
        a_panel.ui.tabs.currentIndex = 2
    else:
        the_module.open()
    assert editor.activeEffect().property("name") == "Paint"
    assert editor.segmentationNode() is copy
    assert copy.GetDisplayNode().GetVisibility()


def test_the_views_look_at_the_next_patient_wherever_it_lies(a_panel: Any, a_desktop: Desktop, a_volume: Any) -> None:
    place = np.diag([1.0, 1.0, 4.0, 1.0])
    place[:3, 3] = 400, -300, 900
    far = new_volume(a_desktop.scene, "far", np.ones((10, 40, 48), np.float32), place)
    for volume in (a_volume, far):
        predicted(a_desktop.scene, volume)

    def look_at(volume: Any) -> bool:
        low, high = np.reshape(ras_bounds(volume), (3, 2)).T
        views = [logic.GetSliceNode() for logic in slicer.app.layoutManager().mrmlSliceLogics()]
        middles = [[view.GetSliceToRAS().GetElement(row, 3) for row in range(3)] for view in views]
        return bool(np.all((low <= middles) & (middles <= high)))

    selector, ui = a_panel.annotate.ui.volumeSelector, a_panel.review.ui
    assert look_at(a_volume)
    selector.setCurrentNodeID(far.GetID())
    assert look_at(far)
    a_panel.ui.tabs.currentIndex = 2
    ui.nextButton.click()
    assert look_at(a_volume)
    ui.nextButton.click()
    assert look_at(far)
    ui.rejectButton.click()
    assert look_at(a_volume)
    a_panel.ui.tabs.currentIndex = 0
    assert look_at(far)


def ras_bounds(volume: Any) -> list[float]:
    bounds = [0.0] * 6
    volume.GetRASBounds(bounds)
    return bounds


def test_a_closed_scene_leaves_no_keys_of_the_editor_behind(
    a_panel: Any, a_desktop: Desktop, a_volume: Any, wait: Wait
) -> None:
    ui = correcting(a_panel, a_desktop.scene, a_volume)
    editor = unwrap(ui.reviewEditor)
    wait(lambda: editor.shortcuts)
    a_desktop.scene.Clear(False)
    assert (editor.shortcuts, editor.observing, editor.activeEffect()) == (False, False, None)


def test_defaults_are_those_of_the_data_class(a_panel: Any) -> None:
    choices = a_panel.workplace.choices
    assert (choices.budget, choices.method, choices.way) == (Choices.budget, Choices.method, Choices.way)


def test_what_was_chosen_stays_pressed(a_panel: Any) -> None:
    ui = a_panel.train.ui
    assert ui.scribblesButton.checked
    assert ui.twoMinutesButton.checked
    ui.untilGoodButton.click()
    assert (ui.scribblesButton.checked, ui.untilGoodButton.checked, ui.twoMinutesButton.checked) == (True, True, False)
    assert a_panel.workplace.choices.budget == "until good"


def test_one_labelled_case_and_an_unlabelled_image_teach_a_student(
    a_panel: Any, a_desktop: Desktop, a_volume: Any, wait: Wait
) -> None:
    if "one_shot" not in SETTINGS:
        assert not a_panel.train.ui.oneCaseButton.visible
        return
    node = a_desktop.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "finished")
    node.SetReferenceImageGeometryParameterFromVolumeNode(a_volume)
    segment = node.GetSegmentation().AddEmptySegment("", "liver")
    block = np.zeros((10, 40, 48), np.uint8)
    block[2:8, 8:20, 8:20] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(block, node, segment, a_volume)
    other = new_volume(a_desktop.scene, "pelvis", np.random.default_rng(1).normal(size=(8, 30, 32)), np.eye(4))
    a_panel.annotate.ui.atlasButton.click()
    unwrap(a_panel.annotate.ui.atlasSelector).setCurrentNode(node)
    a_panel.ui.tabs.currentIndex = 1
    a_panel.train.ui.oneCaseButton.click()
    unwrap(a_panel.train.ui.othersSelector).check(other)
    a_panel.train.ui.trainButton.click()
    session = a_panel.workplace.session
    wait(lambda: session.state.phase == "training" and session.state.step > 5, 60)
    assert session.state.method == "one_shot"
    assert a_panel.train.ui.failureLabel.text == ""
    a_panel.train.ui.cancelButton.click()
    wait(lambda: session.state.can_train)


def test_strokes_are_not_taken_for_a_finished_segmentation_and_come_back(
    a_drawn_panel: Any, a_desktop: Desktop, a_volume: Any
) -> None:
    panel, drawn = a_drawn_panel, a_drawn_panel.workplace.session.annotation.node
    panel.workplace.choose(method="supervised", way="atlas")
    panel.train.ui.trainButton.click()
    assert "and these are strokes" in panel.ui.messageLabel.text
    node = a_desktop.scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "finished")
    node.SetReferenceImageGeometryParameterFromVolumeNode(a_volume)
    node.GetSegmentation().AddEmptySegment("", "liver")
    unwrap(panel.annotate.ui.atlasSelector).setCurrentNode(node)
    assert panel.workplace.session.annotation.node is node
    panel.annotate.ui.scribbleButton.click()
    assert panel.workplace.session.annotation.node is drawn
    panel.annotate.ui.atlasButton.click()
    assert panel.workplace.session.annotation.node is node
    assert [case.prediction for case in panel.review.cases] == []


def test_no_request_is_made_on_the_main_thread(
    a_drawn_panel: Any, draw: Draw, wait: Wait, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_main: list[str] = []
    ask = requests.Session.request

    def watched(self: requests.Session, method: str, url: str, **others: Any) -> requests.Response:
        if threading.current_thread() is threading.main_thread():
            on_main.append(f"{method} {url}")
        return ask(self, method, url, **others)

    monkeypatch.setattr(requests.Session, "request", watched)
    session, ui = a_drawn_panel.workplace.session, a_drawn_panel.train.ui
    ui.trainButton.click()
    wait(lambda: session.state.preview_source == "student", 60)
    draw(session.annotation, 1, 4, 13, slice(10, 18))
    ui.correctButton.click()
    wait(lambda: session.state.joined_revision == 2)
    ui.stopButton.click()
    wait(lambda: session.state.can_train and session.state.models)
    a_drawn_panel.backend.ui.addressEdit.text = a_drawn_panel.workplace.link.state.address
    a_drawn_panel.backend.ui.testButton.click()
    wait(lambda: not a_drawn_panel.workplace.link.state.busy)
    assert on_main == []


def test_an_image_that_is_loaded_while_the_panel_is_seen_is_taken(
    the_module: Module, a_desktop: Desktop, wait: Wait
) -> None:
    panel = the_module.open().panel
    assert panel.workplace.session.annotation is None
    image = new_volume(a_desktop.scene, "late", np.zeros((4, 20, 24), np.float32), np.eye(4))
    wait(lambda: panel.workplace.session.annotation is not None)
    assert panel.workplace.session.annotation.volume is image
    assert panel.annotate.ui.volumeSelector.currentNode() is image


def test_an_image_that_is_loaded_while_another_tab_is_seen_is_opened(
    the_module: Module, a_desktop: Desktop, wait: Wait
) -> None:
    panel = the_module.open().panel
    for tab in (1, 2):
        panel.ui.tabs.currentIndex = tab
        volume = new_volume(a_desktop.scene, "late", np.random.default_rng(1).normal(size=(8, 32, 32)), np.eye(4))
        wait(lambda: panel.workplace.session.annotation is not None)
        assert panel.workplace.session.annotation.volume is volume
        a_desktop.scene.Clear(False)


def test_the_brush_draws_on_the_image_that_is_shown(
    a_drawn_panel: Any, a_desktop: Desktop, a_volume: Any, draw: Draw
) -> None:
    other = new_volume(a_desktop.scene, "other", np.random.default_rng(1).normal(size=(10, 40, 48)), np.eye(4))
    theirs = new_annotation(a_desktop.scene, other, FIRST_CLASSES)
    theirs.node.GetDisplayNode().SetVisibility(True)
    slicer.util.setSliceViewerLayers(background=other)
    a_drawn_panel.ui.tabs.currentIndex = 2
    a_drawn_panel.ui.tabs.currentIndex = 0
    assert set(backgrounds(a_desktop.scene)) == {a_volume}
    assert not theirs.node.GetDisplayNode().GetVisibility()
    assert a_drawn_panel.workplace.session.annotation.node.GetDisplayNode().GetVisibility()


def test_other_images_that_are_taken_back_are_not_ticked(a_panel: Any, a_desktop: Desktop) -> None:
    other = new_volume(a_desktop.scene, "other", np.random.default_rng(1).normal(size=(10, 40, 48)), np.eye(4))
    a_panel.workplace.choose(others=(other.GetID(),))
    assert other in a_panel.train.ui.othersSelector.checkedNodes()
    a_panel.workplace.choose(others=())
    assert not a_panel.train.ui.othersSelector.checkedNodes()


def test_train_asks_for_strokes_before_it_asks_for_packages(a_panel: Any) -> None:
    a_panel.train.ui.trainButton.click()
    assert "draw some" in a_panel.ui.messageLabel.text
    assert not a_panel.workplace.waits_for_backend


def test_nothing_is_logged_by_the_threads_that_talk_to_a_backend(a_panel: Any) -> None:
    """Slicer's log handler makes Qt objects in whatever thread logs, at the level DEBUG."""
    assert not logging.getLogger("urllib3.connectionpool").isEnabledFor(logging.DEBUG)
