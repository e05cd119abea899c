"""Write the CMakeLists.txt anew where they repeat others: lists of files, and the address of ``KDSeg.json``.

``python Testing/desktop/list_files.py``. The catalogue reads whole lines of ``CMakeLists.txt``, so that the address
has to stand in them; its one source is ``scm_url``.
"""

from __future__ import annotations

import json
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
    set_address(ROOT / "CMakeLists.txt")
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


def repository() -> str:
    """Owner and name, as ``KDSeg.json`` has them."""
    url = json.loads((ROOT / "KDSeg.json").read_text(encoding="utf-8"))["scm_url"]
    return str(url).removeprefix("https://github.com/").removesuffix(".git")


def set_address(cmake: Path) -> None:
    text = cmake.read_text(encoding="utf-8")
    text = re.sub(r"(https://(?:github|raw\.githubusercontent)\.com/)[^/#\s]+/[^/#\s]+", rf"\g<1>{repository()}", text)
    cmake.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
