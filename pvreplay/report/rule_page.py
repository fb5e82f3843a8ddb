"""A rule's documentation as Markdown, for readers that show help beside a finding."""

from __future__ import annotations

EXAMPLE = "Example"
"""Sections whose heading starts so hold command lines and what they print."""


def rule_markdown(doc: str) -> str:
    """The docstring of a rule's module (headings at the margin, text indented by four) as Markdown.

    >>> print(rule_markdown("H1 x: y\\n\\nWhy\\n    Because.\\n\\nExample that fires\\n    run\\n"))
    **H1 x: y**
    <BLANKLINE>
    ### Why
    <BLANKLINE>
    Because.
    <BLANKLINE>
    ### Example that fires
    <BLANKLINE>
    ```text
    run
    ```
    <BLANKLINE>
    """
    title, *sections = doc.strip().split("\n\n")
    out = [f"**{title}**"]
    code: list[str] = []

    def close() -> None:
        if code:
            out.append("\n".join(["```text", *code, "```"]))
            code.clear()

    example = False
    for section in sections:
        lines = section.splitlines()
        if not lines[0].startswith(" "):
            close()
            heading = lines.pop(0)
            example = heading.startswith(EXAMPLE)
            out.append(f"### {heading}")
        body = [line.removeprefix("    ") for line in lines]
        if example:
            code += body
        elif body:
            out.append("\n".join(body))
    close()
    return "\n\n".join(out) + "\n"
