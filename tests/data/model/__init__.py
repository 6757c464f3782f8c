"""The tables in this directory; README.md says where they come from."""

import json
from pathlib import Path
from typing import Any


def rows(table: str) -> list[dict[str, Any]]:
    """The rows of `table`.jsonl."""
    text = (Path(__file__).parent / f"{table}.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]
