"""The engine of docs/engines.md, taken from the page itself."""

from __future__ import annotations

import re
from pathlib import Path

from fleet import engines

PAGE = Path(__file__).resolve().parents[2] / "docs" / "engines.md"
_MODULE, _ROW = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def module() -> str:
    """Its server class: the text of serving/raylab_serving/echo.py."""
    return str(_MODULE)


def row() -> dict[str, engines.Engine]:
    """Its row, as it would stand in ENGINES."""
    found: dict[str, engines.Engine] = eval(f"{{{_ROW}}}", vars(engines))
    return found
