"""A chest CT for the tutorial, offered by Slicer's module Sample Data. Loaded only when somebody asks for it.

It is the CT that the slicerio package (MIT licence) carries in its repository.
"""

from __future__ import annotations

from pathlib import Path

from slicer.i18n import tr as _

AT = "https://raw.githubusercontent.com/lassoan/slicerio/d32d3c6123b375fd616b6f10c8e880aee5fe9595/slicerio/data/"
CHECKSUMS = {
    "CTChest4.nrrd": "439ee098e50ee8e3254bd80ed8bcf7f8d006da4cab35be7a65b61ccb30dd6a3d",
    "Segmentation.seg.nrrd": "1a35d7165f51521cf4c747d81278eb461e5f151b0ea43f1bfb38fba3453140cf",
}


def register(icons: str) -> None:
    import SampleData

    logic = SampleData.SampleDataLogic
    logic.registerCustomSampleDataCategory("KDSeg", title=_("KDSeg"))
    logic.registerCustomSampleDataSource(
        category="KDSeg",
        sampleName="KDSegChest",
        thumbnailFileName=str(Path(icons) / "KDSegChest.png"),
        uris=AT + "CTChest4.nrrd",
        fileNames="CTChest4.nrrd",
        checksums=f"SHA256:{CHECKSUMS['CTChest4.nrrd']}",
        nodeNames="KDSegChest",
    )
    logic.registerCustomSampleDataSource(
        category="KDSeg",
        sampleName="KDSegChestLabelled",
        thumbnailFileName=str(Path(icons) / "KDSegChestLabelled.png"),
        uris=[AT + "CTChest4.nrrd", AT + "Segmentation.seg.nrrd"],
        fileNames=["CTChest4.nrrd", "Segmentation.seg.nrrd"],
        loadFileTypes=["VolumeFile", "SegmentationFile"],
        checksums=[f"SHA256:{CHECKSUMS[name]}" for name in ("CTChest4.nrrd", "Segmentation.seg.nrrd")],
        nodeNames=["KDSegChestLabelled", "KDSegChestLabels"],
    )
