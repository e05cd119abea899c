"""What the catalogue and a build would find: lists, names, pictures, imports. Replays ExtensionsIndex's
scripts/check_description_files.py without its network: addresses are resolved to files of this tree."""

from __future__ import annotations

import ast
import json
import re
import struct
import sys
from pathlib import Path

import pytest

from Testing.desktop.list_files import repository

ROOT = Path(__file__).parents[2]
EXTENSION = ROOT / "SlicerKDSeg"
CMAKE = (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")
ENTRY = json.loads((ROOT / "KDSeg.json").read_text(encoding="utf-8"))
REPOSITORY = repository()
PREFIX = f"https://raw.githubusercontent.com/{REPOSITORY}/main/"
AT_FILE_SCOPE = sys.stdlib_module_names | {"slicer", "vtk", "qt", "ctk", "numpy", "scipy", "SimpleITK"}
SCHEMA = (
    "https://raw.githubusercontent.com/Slicer/Slicer/main/Schemas/slicer-extension-catalog-entry-schema-v1.0.1.json#"
)
DECLARES = ast.Import | ast.ImportFrom | ast.ClassDef | ast.FunctionDef | ast.Assign | ast.AnnAssign
SHELLS = (EXTENSION / "KDSeg.py", EXTENSION / "KDSegReview.py")


def listed(cmake: Path, names: tuple[str, ...]) -> set[str]:
    text = cmake.read_text(encoding="utf-8")
    return {item for name in names for item in re.search(rf"set\({name}\n(.*?)\n  \)", text, re.S)[1].split()}


def there(folder: Path, pattern: str) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob(pattern) if "__pycache__" not in p.parts}


def png_size(path: Path) -> tuple[int, int]:
    content = path.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", content[16:24])


def test_every_file_of_the_modules_is_packed() -> None:
    cmake = EXTENSION / "CMakeLists.txt"
    assert listed(cmake, ("KDSEG_SCRIPTS", "KDSEG_REVIEW_SCRIPTS")) == there(EXTENSION, "*.py")
    resources = listed(cmake, ("KDSEG_RESOURCES", "KDSEG_REVIEW_RESOURCES"))
    assert resources == {f"Resources/{name}" for name in there(EXTENSION / "Resources", "*.*")}
    presets = {f"Resources/Presets/{name}" for name in there(ROOT / "Resources" / "Presets", "*.json")}
    assert listed(cmake, ("KDSEG_PRESETS",)) == presets


def test_every_file_of_the_backend_is_packed() -> None:
    folder = ROOT / "training_backend"
    assert listed(folder / "CMakeLists.txt", ("TRAINING_BACKEND_SCRIPTS",)) == there(folder, "*.py")


def test_the_package_lists_of_python_hold_the_same() -> None:
    import tomllib

    packages = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    folders = {p.parent for base in ("slicer_kdseg", "training_backend") for p in _sources(base)}
    assert {".".join(p.relative_to(_base(p)).parts) for p in folders} <= set(packages)


def _sources(package: str) -> list[Path]:
    base = EXTENSION if package == "slicer_kdseg" else ROOT
    return [p for p in (base / package).rglob("*.py") if "__pycache__" not in p.parts]


def _base(path: Path) -> Path:
    return EXTENSION if EXTENSION in path.parents else ROOT


def test_the_version_is_one() -> None:
    import tomllib

    from slicer_kdseg.protocol.version import VERSION

    assert tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"] == VERSION


def test_the_entry_of_the_catalogue() -> None:
    raw = (ROOT / "KDSeg.json").read_bytes()
    assert b"\r" not in raw
    assert set(ENTRY) == {
        *("$schema", "build_dependencies", "build_subdirectory", "category"),
        *("scm_revision", "scm_url", "tier"),
    }
    assert ENTRY["$schema"] == SCHEMA
    assert all(isinstance(name, str) for name in ENTRY["build_dependencies"])
    assert {type(ENTRY[key]) for key in ("scm_url", "scm_revision", "build_subdirectory")} == {str}
    assert ENTRY["category"] == "Segmentation"
    assert ENTRY["tier"] in (1, 3, 5)
    assert re.match(r"(https|git)://[^/]+/.+/Slicer\w+\.git$", ENTRY["scm_url"])


def test_the_names_agree_and_do_not_begin_with_slicer() -> None:
    name = re.findall(r"project\s*\(\s*([^\s\)\n\r]+)", CMAKE, re.I | re.M)[0]
    assert name == "KDSeg"
    assert not name.lower().startswith("slicer")
    assert (ROOT / f"{name}.json").is_file()


def test_the_lines_that_the_catalogue_reads() -> None:
    icon = re.findall(r'set\s*\(EXTENSION_ICONURL\s*"([^"]+)"[ ]*\)', CMAKE, re.I | re.M)
    shots = re.findall(r'set\s*\(EXTENSION_SCREENSHOTURLS\s*"([^"]+)"\)', CMAKE, re.I | re.M)
    assert png_size(local(icon[0])) == (128, 128)
    for url in shots[0].split():
        assert min(png_size(local(url))) > 200
    for word in ("HOMEPAGE", "CONTRIBUTORS", "DESCRIPTION", "DEPENDS"):
        assert re.search(rf'^set\(EXTENSION_{word} "[^"\n]+"\)$', CMAKE, re.M)
    depends = re.search(r'set\(EXTENSION_DEPENDS "([^"]+)"\)', CMAKE)[1].split()
    assert depends == ENTRY["build_dependencies"]


def test_the_address_has_one_source() -> None:
    """``scm_url`` of the entry; ``list_files.py`` carries it to the other lines."""
    assert f'"https://github.com/{REPOSITORY}#readme"' in CMAKE
    found = re.findall(r"https://(?:github|raw\.githubusercontent)\.com/([^/\s]+/[^/#\s]+)", CMAKE)
    assert set(found) == {REPOSITORY}
    elsewhere = (*ROOT.glob("*.md"), *(ROOT / "Resources").rglob("*.md"), *EXTENSION.rglob("*.py"))
    assert not [path.name for path in elsewhere if REPOSITORY in path.read_text(encoding="utf-8")]


def local(url: str) -> Path:
    assert url.startswith(PREFIX)
    return ROOT / url.removeprefix(PREFIX)


def test_licence_and_size() -> None:
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert sum(p.stat().st_size for p in (EXTENSION / "Resources").rglob("*") if p.is_file()) < 5 << 20


def test_modules_have_an_icon_of_their_name() -> None:
    for shell in SHELLS:
        assert png_size(EXTENSION / "Resources" / "Icons" / f"{shell.stem}.png") == (128, 128)
    for name in ("KDSegChest", "KDSegChestLabelled"):
        assert png_size(EXTENSION / "Resources" / "Icons" / f"{name}.png") == (260, 280)


@pytest.mark.parametrize("shell", SHELLS, ids=lambda path: path.stem)
def test_a_shell_imports_nothing_foreign_and_does_nothing_when_imported(shell: Path) -> None:
    tree = ast.parse(shell.read_text(encoding="utf-8"))
    for node in tree.body:
        assert isinstance(node, ast.Import | ast.ImportFrom | ast.ClassDef | ast.FunctionDef | ast.Expr)
        assert not isinstance(node, ast.Expr) or isinstance(node.value, ast.Constant), "only the docstring"
        if isinstance(node, ast.Import):
            assert {alias.name.partition(".")[0] for alias in node.names} <= AT_FILE_SCOPE
        if isinstance(node, ast.ImportFrom):
            assert (node.module or "").partition(".")[0] in AT_FILE_SCOPE


def test_what_slicer_imports_of_us_needs_nothing_beyond_what_slicer_brings() -> None:
    """Panels, scene and protocol import stdlib, what Slicer bundles (requests too) and each other, at file scope."""
    allowed = AT_FILE_SCOPE | {"vtkmodules", "requests", "urllib3", "slicer_kdseg"}
    for package in ("desktop", "scene", "protocol"):
        for file in (EXTENSION / "slicer_kdseg" / package).glob("*.py"):
            for node in ast.parse(file.read_text(encoding="utf-8")).body:
                does_nothing = isinstance(node, DECLARES) or isinstance(getattr(node, "value", None), ast.Constant)
                assert does_nothing, f"{file.name}:{node.lineno} is run when it is imported"
                if isinstance(node, ast.ImportFrom):
                    assert (node.module or "").partition(".")[0] in allowed, file.name
                if isinstance(node, ast.Import):
                    assert {alias.name.partition(".")[0] for alias in node.names} <= allowed, file.name


def test_the_questions_of_the_reviewers_can_be_answered_with_yes() -> None:
    """Those of ExtensionsIndex's scripts/extension_ai_analysis.py that a file can answer; the page answers the rest."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    description = re.search(r'set\(EXTENSION_DESCRIPTION "([^"]+)"\)', CMAKE)[1]
    assert description.count(". ") >= 1
    assert len(readme.split("\n\n")[1]) > 100, "a short description"
    assert re.search(r"!\[[^\]]+\]\(Resources/Screenshots/\w+\.png\)", readme)
    for title in ("KDSeg", "KDSeg Review"):
        assert re.search(rf"^\| \*\*{title}\*\* \| \S+ \S+", readme, re.M), "one sentence for each module"
    assert "## How to cite" in readme
    assert "(Resources/Documentation/tutorial.md)" in readme
    assert "Sample Data" in (ROOT / "Resources" / "Documentation" / "tutorial.md").read_text(encoding="utf-8")
    code = "".join(path.read_text(encoding="utf-8") for path in EXTENSION.rglob("*.py"))
    assert "pip_install" not in code
    page = (ROOT / "Resources" / "Documentation" / "catalogue.md").read_text(encoding="utf-8")
    for asked in ("executable code", "upload data", "at import", "file scope", "pip and torch", "Disk"):
        assert asked in page


def test_no_text_of_the_panels_is_built_before_it_is_translated() -> None:
    for file in (EXTENSION / "slicer_kdseg" / "desktop").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "_":
                assert isinstance(node.args[0], ast.Constant), f"{file.name}: f-strings cannot be looked up"


def test_no_colours_of_our_own_so_that_dark_themes_work() -> None:
    for file in (EXTENSION / "Resources" / "UI").glob("*.ui"):
        text = file.read_text(encoding="utf-8")
        assert "styleSheet" not in text
        assert "palette" not in text
