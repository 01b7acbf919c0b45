"""Pages that are written by hand and hold tables that are measured: `<!-- NAME -->` … `<!-- end -->`."""


def between(text: str, name: str, table: str) -> str:
    """The page with another table between its marks; without them it stays."""
    begin, end = f"<!-- {name} -->\n", "<!-- end -->"
    if begin not in text:
        return text
    before, rest = text.split(begin, 1)
    return before + begin + table + end + rest.split(end, 1)[1]
