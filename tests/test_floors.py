"""Imports only go down, and never in a circle."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import recommender

FLOORS = (
    {"columns", "errors", "progress", "__init__"},
    {"config"},
    {"storage"},
    {"data"},
    {"features", "retrieval"},
    {"training"},
    {"models"},
    {"evaluation"},
    {"experiments", "nightly"},
    {"publishing", "serving", "tuning"},
    {"pipeline"},
    {"backtest"},
    {"cli", "local"},
)
FEATURE_FLOORS = (
    {"kcore", "measures", "__init__"},
    {"attributes"},
    {"definitions"},
    {"affinity_keys", "encoding", "expectations", "pairs", "provenance"},
    {"snapshots"},
    {"inspection", "offline"},
    {"feast_objects", "online"},
    {"store", "values"},
    {"loading"},
)
ROOT = Path(recommender.__file__).parent
HOUSES = {"recommender": (ROOT, FLOORS), "recommender.features": (ROOT / "features", FEATURE_FLOORS)}


def imports(path: Path, package: str) -> set[str]:
    """Rooms of a package that a module imports, at its top or inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module == package:
            names = [f"{package}.{alias.name}" for alias in node.names]
        inside = [name.removeprefix(f"{package}.") for name in names if name.startswith(f"{package}.")]
        found |= {name.split(".")[0] for name in inside}
    return found


@pytest.mark.parametrize("package", HOUSES)
def test_imports_only_go_down(package: str) -> None:
    folder, floors = HOUSES[package]
    height = {name: number for number, floor in enumerate(floors) for name in floor}
    wrong = []
    for path in sorted(folder.rglob("*.py")):
        room = path.relative_to(folder).parts[0].removesuffix(".py")
        for other in imports(path, package):
            if height[other] > height[room]:
                wrong.append(f"{path.relative_to(ROOT)} imports {other}")
    assert wrong == []


@pytest.mark.parametrize("package", HOUSES)
def test_every_room_has_a_floor(package: str) -> None:
    folder, floors = HOUSES[package]
    rooms = {path.name.removesuffix(".py") for path in folder.iterdir() if path.name != "__pycache__"}
    assert rooms <= set().union(*floors)


def loaded(path: Path, modules: dict[str, Path]) -> set[str]:
    """Modules that must be there before a module is, its own packages and what functions import not among them."""
    name = module_name(path)
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    packages = {".".join(one.split(".")[:depth]) for one in found for depth in range(1, one.count(".") + 1)}
    return {one for one in found | packages if one in modules and not f"{name}.".startswith(f"{one}.")}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_no_imports_go_in_a_circle() -> None:
    modules = {module_name(path): path for path in ROOT.rglob("*.py")}
    try:
        list(TopologicalSorter({name: loaded(path, modules) for name, path in modules.items()}).static_order())
    except CycleError as error:
        pytest.fail(f"whichever is imported first finds another half made: {' <- '.join(error.args[1])}")
