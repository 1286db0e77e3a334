"""A page as a strict parser sees it: the tree of its elements, or the first thing that is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

__all__ = ["Element", "parse_page"]

_EMPTY = {"meta", "br", "link", "img", "input", "hr"}
_SHOWN = ("id", "class", "role", "aria-label", "scope", "href", "x", "width")


@dataclass
class Element:
    """An element; `text` is what stands directly in it."""

    tag: str
    attributes: dict[str, str | None]
    children: list[Element] = field(default_factory=list)
    text: str = ""

    def all(self, tag: str = "") -> list[Element]:
        """Elements below this one, in the order of the page, of one kind or of all."""
        below = [one for child in self.children for one in (child, *child.all())]
        return [one for one in below if tag in ("", one.tag)]

    def words(self) -> str:
        """All text in it."""
        return " ".join(" ".join([self.text, *(child.words() for child in self.children)]).split())

    def outline(self, depth: int = 0) -> str:
        """A line per element: tag, telling attributes, text."""
        shown = "".join(f" {name}={self.attributes[name]!r}" for name in _SHOWN if name in self.attributes)
        text = " ".join(self.text.split()) if self.tag != "style" else "..."
        line = f"{'  ' * depth}{self.tag}{shown}{f': {text}' if text else ''}"
        return "\n".join([line, *(child.outline(depth + 1) for child in self.children)])


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.root = Element("page", {})
        self.open = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"an attribute twice in <{tag}> at {self.getpos()}"
        element = Element(tag, dict(attrs))
        self.open[-1].children.append(element)
        if tag not in _EMPTY:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _EMPTY:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1].tag == tag, f"</{tag}> closes <{self.open[-1].tag}> at {self.getpos()}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].text += data


def parse_page(text: str) -> Element:
    """The tree of a page.

    Raises:
        AssertionError: an element is not closed, closed twice, or has an attribute twice.
    """
    parser = _Parser()
    parser.feed(text)
    parser.close()
    assert parser.open == [parser.root], f"never closed: {[one.tag for one in parser.open[1:]]}"
    return parser.root
