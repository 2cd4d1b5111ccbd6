"""How wide a text is on a terminal, and the same text cut or filled to a width.

Widths are in cells: a Chinese character has two, a mark that combines with another character none.
"""


def cells(text: str) -> int:
    """How many cells `text` takes, which has no control characters."""
    if text.isascii():
        return len(text)
    from unicodedata import category, east_asian_width  # Most of what is shown is ASCII.

    def width(character: str) -> int:
        if category(character) in ("Mn", "Me", "Cf"):
            return 0
        return 2 if east_asian_width(character) in ("W", "F") else 1

    return sum(map(width, text))


def fitted(text: str, width: int) -> str:
    """`text`, or as much of it as fits into `width` cells together with an ellipsis."""
    if cells(text) <= width:
        return text
    kept = text[: max(width - 1, 0)]
    while kept and cells(kept) >= width:
        kept = kept[:-1]
    return f"{kept}…" if width > 0 else ""


def filled(text: str, width: int) -> str:
    """`text` with spaces behind it up to `width` cells."""
    return text + " " * (width - cells(text))
