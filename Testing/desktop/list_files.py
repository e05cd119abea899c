"""Write the lists of files in the CMakeLists.txt anew from the tree: ``python Testing/desktop/list_files.py``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MODULES, BACKEND = ROOT / "SlicerKDSeg", ROOT / "training_backend"
REVIEW = ("KDSegReview.py", "Resources/Icons/KDSegReview.png")


def main() -> None:
    resources = [f"Resources/{name}" for name in found(MODULES / "Resources", ".ui", ".png")]
    rewrite(
        MODULES / "CMakeLists.txt",
        KDSEG_SCRIPTS=[name for name in found(MODULES, ".py") if name not in REVIEW],
        KDSEG_RESOURCES=[name for name in resources if name not in REVIEW],
        KDSEG_REVIEW_SCRIPTS=[REVIEW[0]],
        KDSEG_REVIEW_RESOURCES=[REVIEW[1]],
        KDSEG_PRESETS=[f"Resources/Presets/{name}" for name in found(ROOT / "Resources" / "Presets", ".json")],
    )
    rewrite(BACKEND / "CMakeLists.txt", TRAINING_BACKEND_SCRIPTS=found(BACKEND, ".py"))


def found(folder: Path, *suffixes: str) -> list[str]:
    files = (p for p in folder.rglob("*") if p.suffix in suffixes and "__pycache__" not in p.parts)
    return sorted(p.relative_to(folder).as_posix() for p in files)


def rewrite(cmake: Path, **lists: Iterable[str]) -> None:
    text = cmake.read_text(encoding="utf-8")
    for name, files in lists.items():
        block = f"set({name}\n" + "".join(f"  {file}\n" for file in files) + "  )"
        text = re.sub(rf"set\({name}\n.*?\n  \)", lambda _, block=block: block, text, flags=re.DOTALL)
    cmake.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
