"""When two e-mail addresses, or two phone numbers, are the same. Needs the standard library only.

The rule for both is the contract's, and `conversations find` follows it too. It never takes one
person for another: `gross@example.org` and `groß@example.org` are two addresses, although
`str.casefold` makes them equal.
"""

from unicodedata import category, decimal, normalize

# Blanks are those of `str.isspace`. Categories cover most dashes and all that is invisible.
_IGNORED_CATEGORIES = frozenset({"Pd", "Cf"})
# NFKC turns wide and small forms into the first ones. Then minus signs and the hyphen bullet,
# slashes, and the dots that people and keyboards put between digits.
_IGNORED = frozenset(
    "()/.-\u2212\u02d7\u2043\u2044\u2215\u00b7\u2022\u2027\u2219\u22c5\u30fb\u3002"
)


def comparable_email(email: str) -> str | None:
    """The form in which equal addresses are equal, or `None` if the text is blank."""
    # Twice: a small letter can be composed where its capital cannot, such as a J with a caron.
    return normalize("NFC", normalize("NFC", email.strip()).lower()) or None


def comparable_phone(phone: str) -> str | None:
    """The number's digits, in ASCII, or `None` if the text is not only a number.

    Ignores blanks, dashes, dots, slashes, parentheses, invisible characters and a `+` before the
    first digit. `+49 30…` and `49 30…` are the same number, and `0049 30…` is another.
    """
    digits = ""
    for character in phone:
        if character.isdecimal():
            digits += str(decimal(character))
        elif not (_is_ignored(character) or (not digits and normalize("NFKC", character) == "+")):
            return None
    return digits or None


def digits_of(text: str) -> str:
    """All decimal digits of a text, in ASCII, whatever else it holds."""
    return "".join(str(decimal(character)) for character in text if character.isdecimal())


def _is_ignored(character: str) -> bool:
    return (
        character in _IGNORED
        or character.isspace()
        or category(character) in _IGNORED_CATEGORIES
        or _IGNORED.issuperset(normalize("NFKC", character))
    )
