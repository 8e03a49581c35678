"""Prints what people read. Every command of the console prints through here.

On a terminal, text from data or from the command line must not control it, hide or reorder what
stands beside it, or fill the screen: so it is escaped, and messages are cut. What goes to a file or
a pipe stays as it is.
"""

import json
import os
import re
import sys

import typer

LONGEST_LINE = 2000
# C0, DEL and C1; line and paragraph separators; lone surrogates; format characters that hide or
# reorder text. Not the joiners (U+200C, U+200D), which scripts and emoji need.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)


def tell(text: str = "", *, label: str = "", colour: str | None = None, err: bool = False) -> None:
    """Print a message, in one line.

    Args:
        text: the message.
        label: a word before it.
        colour: that of the label or, without one, of the message.
        err: print it on stderr.
    """
    stream = sys.stderr if err else sys.stdout
    if stream.isatty():
        text = visible(text, LONGEST_LINE)
        if colour and not os.environ.get("NO_COLOR"):
            if label:
                label = typer.style(label, fg=colour, bold=True)
            else:
                text = typer.style(text, fg=colour)
    print(f"{label} {text}" if label else text, file=stream, flush=True)


def show(text: str, *, err: bool = False) -> None:
    """Print lines that are never cut, such as a result. JSON stays the same JSON.

    Args:
        text: the lines.
        err: print them on stderr.
    """
    stream = sys.stderr if err else sys.stdout
    if stream.isatty():
        text = "\n".join(map(visible, text.split("\n")))
    print(text, file=stream, flush=True)


def visible(text: str, longest: int | None = None) -> str:
    """The text in one line, with escapes as in JSON for what must not reach a terminal."""
    rest = len(text) - longest if longest is not None else 0
    if rest > 0:
        return f"{visible(text[:longest])}… ({rest:,} more characters)"
    return _UNSAFE.sub(lambda match: json.dumps(match[0])[1:-1], text)
