"""Small hand-written HTML: pages that need no other file, in light and dark."""

import base64
import html
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

LOOK = Path(__file__).with_name("page.css")


def page(title: str, body: Iterable[str]) -> str:
    """A whole page."""
    head = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{text(title)}</title>",
        f"<style>{LOOK.read_text('utf-8')}</style></head>",
    ]
    return "\n".join([*head, "<body>", *body, "</body></html>", ""])


def text(value: Any) -> str:
    """A value as text that cannot be mistaken for HTML.

    Example:
        >>> text("a < b")
        'a &lt; b'
    """
    return html.escape(str(value))


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table; a wide one scrolls by itself."""
    top = "".join(f"<th>{text(cell)}</th>" for cell in head)
    lines = "".join("<tr>" + "".join(f"<td>{text(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><tr>{top}</tr>{lines}</table></div>'


def picture(path: Path, caption: str) -> str:
    """A picture inside the page itself, with its caption."""
    kind = path.suffix[1:].replace("jpg", "jpeg")
    source = f"data:image/{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"
    return figure(f'<img alt="{text(caption)}" src="{source}">', text(caption))


def figure(content: str, caption: str) -> str:
    """Any HTML with an HTML caption below."""
    return f"<figure>{content}<figcaption>{caption}</figcaption></figure>"


def section(title: str, parts: list[str]) -> list[str]:
    """A heading with what is below it, or nothing when there is nothing."""
    return [f"<h2>{text(title)}</h2>", *parts] if parts else []
