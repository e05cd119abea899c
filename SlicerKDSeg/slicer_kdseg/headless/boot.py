"""A MRML scene with the logics that a session needs, without an application.

The order matters: the scene first, then the application logic with empty view collections, then the
modules' logics, segmentations before the first segmentation node, remote input and output last
(a ``.mrb`` cannot be opened without it).
"""

from __future__ import annotations

import importlib.util
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slicer_kdseg.protocol.errors import KDSegError


class NoSlicerParts(KDSegError):
    """Slicer's C++ parts are missing or hidden by another package."""


@dataclass
class HeadlessSlicer:
    """A scene and the logics that keep it alive; hold on to it as long as the scene is used."""

    scene: Any
    application: Any
    volumes: Any
    segmentations: Any
    cache: tempfile.TemporaryDirectory[str]
    others: list[Any] = field(default_factory=list)

    def close(self) -> None:
        """Empty the scene and remove the cache folder.

        Whoever still observes the scene is let go: a session that nobody closed would otherwise be collected
        together with it, and called in the middle of that.
        """
        self.scene.Clear(True)
        self.scene.RemoveAllObservers()
        self.cache.cleanup()


def boot() -> HeadlessSlicer:
    """Start Slicer's parts. Raises :class:`NoSlicerParts` with a sentence when they are not installed."""
    require_slicer_core()
    import slicer
    import vtkmodules.vtkCommonCore as vtk

    cache = tempfile.TemporaryDirectory(prefix="kdseg-scene-")
    scene = slicer.vtkMRMLScene()
    scene.SetRootDirectory(cache.name)
    crosshair = slicer.vtkMRMLCrosshairNode()
    crosshair.SetCrosshairName("default")
    scene.AddNode(crosshair)
    application = slicer.vtkSlicerApplicationLogic()
    application.SetMRMLScene(scene)
    application.GetColorLogic().SetMRMLScene(scene)
    application.GetColorLogic().AddDefaultColorNodes()
    application.SetSliceLogics(vtk.vtkCollection())
    application.SetViewLogics(vtk.vtkCollection())

    colors = _module(slicer.vtkMRMLColorLogic(), "Colors", application, scene)
    volumes = _module(slicer.vtkSlicerVolumesLogic(), "Volumes", application, scene)
    segmentations = _module(slicer.vtkSlicerSegmentationsModuleLogic(), "Segmentations", application, scene)
    hierarchy = _module(slicer.vtkSlicerSubjectHierarchyModuleLogic(), "SubjectHierarchy", application, scene)
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene, True)
    transfer = _remote_input_and_output(slicer, application, scene, cache.name)
    return HeadlessSlicer(scene, application, volumes, segmentations, cache, [colors, hierarchy, *transfer])


def require_slicer_core() -> None:
    """PyPI's unrelated package 'slicer' owns the same import name and hides Slicer's classes."""
    found = importlib.util.find_spec("slicer")
    if found is None:
        raise NoSlicerParts(
            "Slicer's parts are not installed; run 'python3 run.py setup' or 'pip install slicer-core'."
        )
    folder = Path(found.origin or "").parent
    if not (folder / "slicer_core.py").exists() and not hasattr(_import_slicer(), "vtkMRMLScene"):
        raise NoSlicerParts(
            f"The package 'slicer' in '{folder.name}' of this Python is not 3D Slicer's but an unrelated one with the"
            " same name; run 'pip uninstall slicer' and then 'pip install --force-reinstall slicer-core'."
        )


def _import_slicer() -> Any:
    import slicer

    return slicer


def _module(logic: Any, name: str, application: Any, scene: Any) -> Any:
    logic.SetMRMLApplicationLogic(application)
    logic.SetMRMLScene(scene)
    application.SetModuleLogic(name, logic)
    return logic


def _remote_input_and_output(slicer: Any, application: Any, scene: Any, folder: str) -> list[Any]:
    remote = slicer.vtkMRMLRemoteIOLogic()
    remote.SetMRMLApplicationLogic(application)
    remote.GetCacheManager().SetRemoteCacheDirectory(folder)
    remote.SetMRMLScene(scene)
    transfers = slicer.vtkDataIOManagerLogic()
    transfers.SetMRMLApplicationLogic(application)
    transfers.SetAndObserveDataIOManager(remote.GetDataIOManager())
    transfers.SetMRMLScene(scene)
    remote.AddDataIOToScene()
    return [remote, transfers]
