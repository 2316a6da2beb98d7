"""docs/conformance.md says what the tests show."""

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parent
DOCUMENT = TESTS.parents[2] / "docs" / "conformance.md"


def test_every_test_that_is_named_exists_and_names_the_item() -> None:
    docstrings = {
        f"{path.stem}::{node.name}": ast.get_docstring(node) or ""
        for path in TESTS.glob("test_*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    rows = re.findall(r"^\| (\d+) \| [^|]+ \| [^|]+ \| holds \| (.+) \|$", DOCUMENT.read_text(), re.MULTILINE)
    assert len(rows) > 90
    for item, cell in rows:
        for name in re.findall(r"`(\w+::\w+)`", cell):
            assert item in re.findall(r"\d+", docstrings.get(name, "")), f"{item}: {name}"
