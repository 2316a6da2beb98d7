"""docs/conformance.md says what the tests show."""

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parent
ROOT = TESTS.parents[2]
DOCUMENT = ROOT / "docs" / "conformance.md"
OTHERS = [*(ROOT / "services").glob("*/tests"), ROOT / "tests" / "system"]


def docstrings_in(folder: Path, prefix: str) -> dict[str, str]:
    return {
        f"{prefix}{path.stem}::{node.name}": ast.get_docstring(node) or ""
        for path in folder.glob("test_*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def test_every_test_that_is_named_exists_and_names_the_item() -> None:
    """Names without a folder are tests of the gateway."""
    docstrings = docstrings_in(TESTS, "")
    for folder in OTHERS:
        docstrings |= docstrings_in(folder, f"{folder.parent.name if folder.name == 'tests' else folder.name}/")
    rows = re.findall(r"^\| (\d+) \| [^|]+ \| [^|]+ \| holds \| (.+) \|$", DOCUMENT.read_text(), re.MULTILINE)
    assert len(rows) > 90
    for item, cell in rows:
        for name in re.findall(r"`((?:[\w-]+/)?\w+::\w+)`", cell):
            assert item in re.findall(r"\d+", docstrings.get(name, "")), f"{item}: {name}"
