"""For the web site: links that lead out of docs/, to files of the repository, become names of those files."""

from __future__ import annotations

import re
from typing import Any

_OUTWARD = re.compile(r"\[([^\]]+)\]\(\.\./([^)#]+)(?:#[^)]*)?\)")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """`[text](../path)` as text, with the path behind it where the text is another."""

    def named(match: re.Match[str]) -> str:
        text, path = match.groups()
        return text if path in text or text.strip("`") in path else f"{text} (`{path}` in the repository)"

    return _OUTWARD.sub(named, markdown)
