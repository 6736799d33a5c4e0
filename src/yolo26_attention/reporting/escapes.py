"""Names that people chose, as text in Markdown, CSV and LaTeX; in HTML the templates do it."""

import re

LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "−": "$-$", "<": "$<$", ">": "$>$",
    "×": r"$\times$", "Δ": r"$\Delta$", "✓": r"$\checkmark$", "|": r"\textbar{}", "\n": " ",
}  # fmt: skip


def in_markdown(text: str) -> str:
    """Text on one line without what Markdown takes for HTML, code, emphasis or the end of a cell."""
    return re.sub(r"([\\|<`*])", r"\\\1", text.replace("\n", " "))


def in_csv(value: object) -> object:
    """A value as it is; a text that a spreadsheet would compute, such as =1+1, behind an apostrophe."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


def in_latex(text: str) -> str:
    """Text that may begin a row of a table: there LaTeX takes a bracket or a star for an argument of the row above."""
    escaped = "".join(LATEX.get(character, character) for character in text)
    return "{}" + escaped if text.startswith(("[", "*")) else escaped


def latex_label(text: str) -> str:
    r"""Text without what does not belong into a \label."""
    return re.sub("[^A-Za-z0-9-]", "-", text)
