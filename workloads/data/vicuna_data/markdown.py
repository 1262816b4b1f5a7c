"""HTML of ShareGPT's pages → markdown.

FastChat gives this work to markdownify, which reads about 1 MB/s; a set of 70,000 conversations has hundreds of MB. Here an HTML5
parser in C makes the tree, and one walk writes CommonMark with GitHub's tables. Where the two differ on purpose:

- nothing is escaped: `snake_case` stays as it is, where markdownify writes `snake\\_case`, and a model learns the backslashes;
- a formula (KaTeX) is its TeX source between dollar signs, not the three copies that the page has;
- headings are `# …` at every level, lists are indented as CommonMark needs it, `<br>` is the end of a line;
- the language of a code block is found block by block, so that a block without one stays whole.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from typing import Any

from selectolax.lexbor import LexborHTMLParser

# The parser's time grows with the square of the depth; no answer has this many elements.
MAX_TAGS = 20_000
MAX_DEPTH = 200

# fmt: off
_BLOCKS = frozenset((
    "p", "div", "section", "article", "main", "header", "footer", "figure", "figcaption", "details", "summary", "form", "fieldset",
    "address", "dl", "dt", "dd", "nav", "aside", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "pre", "table", "blockquote", "hr",
    "html", "body",
))
# fmt: on
_SILENT = frozenset(("script", "style", "head", "title", "svg", "template", "noscript", "-comment"))
_HEADINGS = {f"h{level}": "#" * level for level in range(1, 7)}
_EMPHASIS = {"strong": "**", "b": "**", "em": "*", "i": "*", "del": "~~", "s": "~~"}
_BLANKS = re.compile(r"[ \t\r\f\v]*[\t\r\f\v][ \t\r\f\v]*| {2,}")
_AROUND_NEWLINE = re.compile(r" ?\n ?")
_COPY = "Copy code"
_LANGUAGE = re.compile(r"[A-Za-z0-9+#._-]{1,30}")
_FENCE = re.compile(r"^(`{3,})[^\n]*\n.*?^\1[ \t]*$", re.DOTALL | re.MULTILINE)
_BLANK_LINES = re.compile(r"\n{3,}")


class HtmlError(Exception):
    """Why HTML cannot be read."""


@dataclass
class Markdown:
    """The text, and which rules about code blocks changed it."""

    text: str
    edits: set[str]


def to_markdown(html: str, code_fences: bool = True, empty_code_fences: bool = True) -> Markdown:
    """Markdown of a piece of HTML, without white space at either end. Raises HtmlError.

    `code_fences`: the button's words `Copy code` are cut out of code blocks and the language goes behind the fence;
    `empty_code_fences`: code blocks with nothing but that button are left out.
    """
    if html.count("<") > MAX_TAGS:
        raise HtmlError(f"a message has more than {MAX_TAGS} tags")
    writer = _Writer(code_fences, empty_code_fences)
    body = LexborHTMLParser(html).body
    text = "\n\n".join(writer.blocks(body, 0)) if body is not None else ""
    return Markdown(text.strip(), writer.edits)


def without_blank_lines(text: str) -> str:
    """Two and more blank lines in a row become one, except in code blocks."""
    if "\n\n\n" not in text:
        return text
    parts, position = [], 0
    for fence in _FENCE.finditer(text):
        parts += [_BLANK_LINES.sub("\n\n", text[position : fence.start()]), fence.group()]
        position = fence.end()
    return "".join([*parts, _BLANK_LINES.sub("\n\n", text[position:])])


class _Writer:
    def __init__(self, code_fences: bool, empty_code_fences: bool) -> None:
        self._code_fences = code_fences
        self._empty_code_fences = empty_code_fences
        self.edits: set[str] = set()

    def blocks(self, node: Any, depth: int) -> list[str]:
        """The blocks of an element's content; text between them is a paragraph."""
        if depth > MAX_DEPTH:
            raise HtmlError(f"a message has more than {MAX_DEPTH} elements in each other")
        found: list[str] = []
        run: list[str] = []

        def flush() -> None:
            text = _paragraph("".join(run))
            run.clear()
            if text:
                found.append(text)

        child = node.child
        while child is not None:
            tag = child.tag
            if tag in _BLOCKS or (tag == "span" and _is_formula(child) and "display" in _classes(child)):
                flush()
                found += self._block(child, tag, depth)
            else:
                run.append(self._inline(child, tag, depth))
            child = child.next
        flush()
        return found

    def _block(self, node: Any, tag: str, depth: int) -> list[str]:
        if tag in _HEADINGS:
            text = _one_line(self._inside(node, depth))
            return [f"{_HEADINGS[tag]} {text}"] if text else []
        if tag == "pre":
            return self._code(node)
        if tag in ("ul", "ol"):
            return self._list(node, tag == "ol", depth)
        if tag == "table":
            return self._table(node, depth)
        if tag == "hr":
            return ["---"]
        if tag == "span":
            return [f"$$\n{_formula(node)}\n$$"]
        blocks = self.blocks(node, depth + 1)
        if tag == "blockquote" and blocks:
            return ["\n".join(f"> {line}".rstrip() for line in "\n\n".join(blocks).split("\n"))]
        return blocks

    def _inline(self, node: Any, tag: str, depth: int) -> str:
        if tag == "-text":
            text = node.text_content or ""
            if "  " in text or not text.isprintable():  # most have nothing to replace, and there are many
                text = _AROUND_NEWLINE.sub("\n", _BLANKS.sub(" ", text))
            return text
        if tag == "br":
            return "\n"
        if tag in _SILENT:
            return ""
        if tag == "code":
            return _inline_code(_text_of(node))
        if tag == "img":
            attributes = node.attributes
            source = attributes.get("src")
            return f"![{attributes.get('alt') or ''}]({source})" if source else attributes.get("alt") or ""
        if tag == "span" and _is_formula(node):
            return f"${_formula(node)}$"
        text = self._inside(node, depth)
        if tag in _EMPHASIS:
            return _around(text, _EMPHASIS[tag])
        if tag == "a":
            target = node.attributes.get("href")
            if target and text.strip():
                return f"<{target}>" if text.strip() == target else f"[{_one_line(text)}]({target})"
        return text

    def _inside(self, node: Any, depth: int) -> str:
        """The text of an element in which blocks are no more than lines."""
        if depth > MAX_DEPTH:
            raise HtmlError(f"a message has more than {MAX_DEPTH} elements in each other")
        parts = []
        child = node.child
        while child is not None:
            tag = child.tag
            if tag in _BLOCKS:
                parts.append("\n" + "\n".join(self._block(child, tag, depth + 1)) + "\n")
            else:
                parts.append(self._inline(child, tag, depth + 1))
            child = child.next
        return "".join(parts)

    def _code(self, node: Any) -> list[str]:
        whole, language = _text_of(node), ""
        head, button, code = whole.partition(_COPY)
        if button and self._empty_code_fences and not code.strip():
            self.edits.add("emptyCodeFences")
            return []
        if button and self._code_fences:
            self.edits.add("codeFences")
            while code.startswith(_COPY):
                code = code.removeprefix(_COPY)
            whole = code
            language = head.strip() if _LANGUAGE.fullmatch(head.strip()) else ""
        if not language:
            inner = node.css_first("code")
            classes = _classes(inner).split() if inner is not None else []
            named = [name.removeprefix("language-") for name in classes if name.startswith("language-")]
            language = named[0] if named and _LANGUAGE.fullmatch(named[0]) else ""
        fence = "```"
        while fence in whole:
            fence += "`"
        return [f"{fence}{language}\n{whole.strip(chr(10)).rstrip()}\n{fence}"]

    def _list(self, node: Any, numbered: bool, depth: int) -> list[str]:
        start = node.attributes.get("start") or "" if numbered else ""
        number = int(start) if start.isdecimal() and len(start) < 9 else 1
        items = []
        loose = False
        child = node.child
        while child is not None:
            if child.tag == "li":
                blocks = self.blocks(child, depth + 1)
                marker = f"{number}. " if numbered else "* "
                # A list right after the item's text needs no blank line; anything else does.
                text = blocks[0] if blocks else ""
                for before, block in itertools.pairwise(blocks):
                    tight = _is_list(block) and not _is_list(before)
                    loose = loose or not tight
                    text += ("\n" if tight else "\n\n") + block
                items.append((marker + _indented(text, len(marker))).rstrip())
                number += 1
            elif child.tag in ("ul", "ol") and items:
                items[-1] += "\n" + _indented("\n".join(["", *self._block(child, child.tag, depth + 1)]), 2)[1:]
            elif child.tag in _BLOCKS:
                items += self._block(child, child.tag, depth + 1)
            child = child.next
        text = ("\n\n" if loose else "\n").join(items)
        return [text] if text else []

    def _table(self, node: Any, depth: int) -> list[str]:
        rows = [[_one_line(self._inside(cell, depth)).replace("|", "\\|") for cell in row.css("th, td")] for row in node.css("tr")]
        rows = [row for row in rows if row]
        if not rows:
            return []
        width = max(len(row) for row in rows)
        head, *body = [row + [""] * (width - len(row)) for row in rows]
        return ["\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * width, *body])]


def _indented(text: str, width: int) -> str:
    """All lines but the first moved to the right; empty ones stay empty."""
    first, *rest = text.split("\n")
    return "\n".join([first, *(" " * width + line if line else "" for line in rest)])


def _text_of(node: Any) -> str:
    return node.text(deep=True, separator="", strip=False) or ""


def _paragraph(text: str) -> str:
    return text.strip(" \n")


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _around(text: str, mark: str) -> str:
    """Emphasis marks stand against the words, or they are none."""
    inner = text.strip()
    if not inner:
        return text
    before = text[: len(text) - len(text.lstrip())]
    return f"{before}{mark}{inner}{mark}{text[len(text.rstrip()) :]}"


def _inline_code(text: str) -> str:
    if not text:
        return ""
    ticks = "`"
    while ticks in text:
        ticks += "`"
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{ticks}{pad}{text}{pad}{ticks}"


def _is_list(block: str) -> bool:
    return re.match(r"(\* |\d+\. )", block) is not None


def _classes(node: Any) -> str:
    return node.attributes.get("class") or ""


def _is_formula(node: Any) -> bool:
    return "katex" in _classes(node) and node.css_first("annotation") is not None


def _formula(node: Any) -> str:
    return _text_of(node.css_first("annotation")).strip()
