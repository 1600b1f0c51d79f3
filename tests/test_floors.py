"""Imports only go down: no module of a lower floor imports one of a higher."""

import ast
from pathlib import Path

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
    {"publishing", "serving"},
    {"pipeline"},
    {"cli", "local"},
)
ROOT = Path(recommender.__file__).parent
HEIGHT = {name: height for height, floor in enumerate(FLOORS) for name in floor}


def imports(path: Path) -> set[str]:
    """Rooms of the package that a module imports, at its top or inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module == "recommender":
            names = [f"recommender.{alias.name}" for alias in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("recommender.")}
    return found


def test_imports_only_go_down() -> None:
    wrong = []
    for path in sorted(ROOT.rglob("*.py")):
        room = path.relative_to(ROOT).parts[0].removesuffix(".py")
        for other in imports(path):
            if HEIGHT[other] > HEIGHT[room]:
                wrong.append(f"{path.relative_to(ROOT)} imports {other}")
    assert wrong == []


def test_every_room_has_a_floor() -> None:
    rooms = {path.name.removesuffix(".py") for path in ROOT.iterdir() if path.name != "__pycache__"}
    assert rooms <= set(HEIGHT)
