"""What a compiled notebook must and must not contain: rules that need no execution."""

import hashlib
import re
from collections.abc import Iterator

from nbformat import NotebookNode

KERNEL_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
    "TQDM_DISABLE": "1",
}
"""One thread and fixed hashes: what is printed does not depend on the machine's load or size."""
ALLOWED_TAGS = frozenset({"hide-input", "hide-cell", "remove-cell", "raises-exception", "nbval-ignore-output"})
"""Cell tags with a meaning here; any other is a typing error that would silently do nothing."""

UNREPRODUCIBLE = re.compile(r"\b0x[0-9a-f]{6,}|ipykernel_\d+|/(?:home|Users|root|tmp|private)/|[A-Z]:\\Users\\")
"""Memory addresses and paths of one computer."""

NBVAL_COMMENT = re.compile(r"^\s*#+\s*(NBVAL_\w+|PYTEST_VALIDATE_IGNORE_OUTPUT)", re.MULTILINE)
EXPLORER_PICTURE = "explorer_picture"
"""Key in the metadata of an output that is the picture of the explorer below it (tools/explorer_picture.py)."""
LIVE_VIEW = "application/vnd.jupyter.widget-view+json"
"""The kind of output that is a widget, which a page without a kernel cannot show."""


def digest(text: str) -> str:
    """Sixteen hexadecimal digits that stand for a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def content_name(cell: NotebookNode) -> str:
    """The first part of a compiled cell's id: the digest of what it says."""
    return digest(f"{cell.cell_type}\n{cell.source}")


def tags(cell: NotebookNode) -> set[str]:
    """The tags of a cell."""
    return set(cell.metadata.get("tags", []))


def is_folded(cell: NotebookNode) -> bool:
    """Whether a page shows the code of a cell only when the reader asks for it."""
    return bool({"hide-input", "hide-cell"} & tags(cell))


def caption(cell: NotebookNode) -> str:
    """What a folded cell is called: its first line, if that is a comment."""
    first = str(cell.source).partition("\n")[0]
    return first.removeprefix("#").strip() if first.startswith("# ") else ""


def code_cells(nb: NotebookNode) -> list[NotebookNode]:
    """The code cells of a notebook."""
    return [cell for cell in nb.cells if cell.cell_type == "code"]


def is_explorer_picture(output: NotebookNode) -> bool:
    """Whether an output is the picture of an explorer, which no cell makes itself."""
    return EXPLORER_PICTURE in output.get("metadata", {})


def own_outputs(cell: NotebookNode) -> list[NotebookNode]:
    """The outputs that a cell made itself."""
    return [output for output in cell.outputs if not is_explorer_picture(output)]


def source_findings(cell: NotebookNode) -> Iterator[str]:
    """What is wrong with the code and the tags of a cell."""
    if unknown := tags(cell) - ALLOWED_TAGS:
        yield f"unknown tag {', '.join(sorted(unknown))} (allowed: {', '.join(sorted(ALLOWED_TAGS))})"
    if comment := NBVAL_COMMENT.search(cell.source):
        yield f"comment {comment.group(1)} (readers see it: use a tag)"
    if not cell.source.strip():
        yield "empty code cell"
    if cell.source.rstrip().endswith(";"):
        yield "trailing ';' (write `plt.show()` or `_ = ...` instead)"


def _text(output: NotebookNode) -> str:
    data = output.get("data", {})
    texts = [str(value) for mime, value in data.items() if mime.startswith("text/")]
    return "\n".join([output.get("text", ""), *texts, output.get("evalue", "")])


def _alternative(cell: NotebookNode) -> str:
    return str(cell.metadata.get("mystnb", {}).get("image", {}).get("alt", ""))


def output_findings(cell: NotebookNode) -> Iterator[str]:
    """What is wrong with the stored outputs of a cell."""
    explorers = sum("<good-explorer" in _text(output) for output in cell.outputs)
    if explorers != len(cell.outputs) - len(own_outputs(cell)):
        yield "explorer without its picture"
    for output in cell.outputs:
        data = output.get("data", {})
        if output.output_type == "error" and "raises-exception" not in tags(cell):
            yield f"stored error {output.ename}: {output.evalue}"
        if output.get("name") == "stderr":
            yield f"output on stderr: {output.text.strip().splitlines()[-1]}"
        if found := UNREPRODUCIBLE.search(_text(output)):
            yield f"address or path of one computer in the output: {found.group()}"
        if "image/svg+xml" in data or re.search(r"<(svg|img|canvas)\b", str(data.get("text/html", ""))):
            yield "figure that is not a PNG (svg or html)"
        if "image/png" in data and not (is_explorer_picture(output) or _alternative(cell)):
            yield "figure without alt text (mystnb: image: alt: in the cell's metadata)"


def findings(nb: NotebookNode) -> Iterator[str]:
    """What is wrong with a stored notebook, one line each; cells are counted as code cells, from 1."""
    for number, cell in enumerate(code_cells(nb), 1):
        for finding in [*source_findings(cell), *output_findings(cell)]:
            yield f"code cell {number}: {finding}"
