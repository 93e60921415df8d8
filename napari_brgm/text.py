r"""Text from outside is data: names of files and series, cards, units, header fields, messages of other libraries.

It may hold what is no text (bytes of a name that are no UTF-8, as Python keeps them in surrogates), what a terminal
obeys (escape sequences, directions of writing) and what a renderer takes for its own language: a formula between two $,
[red], <script>. Whatever is shown or written goes through here first; nothing here looks like a fault of the text.
"""

from __future__ import annotations

import html
import re

__all__ = [
    "as_markdown", "as_markup", "as_rich_text", "file_stem", "plain_text", "sentence", "shortened", "well_formed",
]  # fmt: skip

# C0 but tab and line feed, DEL, C1, line separators, marks and overrides of direction, and the byte order mark
_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
_NO_CHARACTER = re.compile("[\ud800-\udfff]")  # half of a pair; a byte that is no text
_BREAKS = re.compile("\r\n?|[\x0b\x0c\x85]")
_NOT_IN_NAMES = re.compile('[\x00-\x1f\x7f-\x9f\ud800-\udfff\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff/\\\\:*?"<>|]+')
_TAG = re.compile(r"<(?=[A-Za-z/!?])(?!https?://[^\s<>]*>)")


def well_formed(text: str) -> str:
    r"""The same text in characters that UTF-8 has: U+FFFD for bytes of a name that were none.

    Examples
    --------
    >>> well_formed("Sch\udce4del")
    'Sch\ufffddel'
    """
    return _NO_CHARACTER.sub("\ufffd", text)


def plain_text(text: object) -> str:
    r"""The same text without what a screen would obey: control characters as \\x1b, bytes that are no text as U+FFFD.

    Line feeds and tabs stay.

    Examples
    --------
    >>> plain_text("Sch\udce4del \x1b[31mred")
    'Sch\ufffddel \\x1b[31mred'
    """
    known = well_formed(_BREAKS.sub("\n", str(text)))
    return _OBEYED.sub(lambda found: _visible(found[0]), known)


def sentence(text: object) -> str:
    r"""Plain text on one line.

    Examples
    --------
    >>> sentence("two\n lines")
    'two lines'
    """
    return " ".join(plain_text(text).split())


def shortened(text: object, most: int = 100) -> str:
    """Plain text on one line of at most so many characters, its middle left out.

    Examples
    --------
    >>> shortened("abcdefghij", 7)
    'abc…hij'
    """
    line = sentence(text)
    if len(line) <= most:
        return line
    half = (most - 1) // 2
    return f"{line[: most - 1 - half]}…{line[-half:]}"


def as_markup(text: object) -> str:
    r"""Text for rich, which takes [red] for a colour.

    Examples
    --------
    >>> as_markup("[red]x")
    '\\[red]x'
    """
    from rich.markup import escape

    return escape(plain_text(text))


def as_markdown(text: object) -> str:
    """Text within markdown whose HTML is shown as text; addresses in angle brackets stay links.

    Examples
    --------
    >>> as_markdown("a < b, <script>, <https://example.org>")
    'a < b, &lt;script>, <https://example.org>'
    """
    return _TAG.sub("&lt;", plain_text(text))


def as_rich_text(text: object) -> str:
    """Text for Qt where it guesses between plain and rich text (tool tips, boxes), as rich text that reads the same.

    Examples
    --------
    >>> as_rich_text("<b>&")
    '<qt>&lt;b&gt;&amp;</qt>'
    """
    return f"<qt>{html.escape(plain_text(text), quote=False)}</qt>".replace("\n", "<br>")


def file_stem(name: str, otherwise: str = "scan") -> str:
    r"""The beginning of names of files, made from another name; any system can hold it.

    Examples
    --------
    >>> file_stem("Sch\udce4del: T1"), file_stem("...")
    ('Sch_del_ T1', 'scan')
    """
    return _NOT_IN_NAMES.sub("_", name).strip(". ") or otherwise


def _visible(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
