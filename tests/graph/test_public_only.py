"""We stand on LangGraph's public names alone."""

import ast
from pathlib import Path

import pytest

import mirt_sitniks

PACKAGE = Path(mirt_sitniks.__file__).parent
EXAMPLES = Path(__file__).parents[2] / "examples"
SOURCES = sorted({*PACKAGE.rglob("*.py"), *EXAMPLES.rglob("*.py")})


def imported(tree: ast.AST) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_no_private_name_is_imported(source: Path) -> None:
    """No import from LangGraph or LangChain has a part that begins with `_`, and none is from `langgraph.prebuilt`."""
    foreign = [name for name in imported(ast.parse(source.read_text())) if name.split(".")[0].startswith("lang")]
    assert [name for name in foreign if "._" in name or name.startswith("langgraph.prebuilt")] == []


@pytest.mark.parametrize("name", sorted(path.name for path in (PACKAGE / "graph").glob("*.py")))
def test_no_private_attribute_of_another_object_is_touched(name: str) -> None:
    """Attributes that begin with `_` are our own (`self._x`) or Python's (`__name__`)."""
    tree = ast.parse((PACKAGE / "graph" / name).read_text())
    foreign = [
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and node.attr.startswith("_")
        and not node.attr.endswith("__")
        and ast.unparse(node.value) != "self"
    ]
    assert foreign == []
