"""Answers in words that stand beside the place to answer: found, and put before the person who grades them.

Where the place to answer was left as it was handed out, nbgrader gives 0 by itself. So what a student wrote nearby, in
a cell of their own or into the text of the exercise, is copied into that place; it then waits for a person.
"""

from collections.abc import Iterator, Mapping, Sequence

from nbformat import NotebookNode

from tutorial_utils.grading.submissions import Submitted, about, assign, is_answer, is_check

FOUND = "(The place to answer was left as it was. Text was added nearby:)"
LONG = 40
"""Characters of a text that may be an answer wherever it stands; a shorter one, such as a name, only nearby."""


def is_by_hand(cell: NotebookNode) -> bool:
    """Whether a person grades the cell."""
    return is_answer(cell) and bool(about(cell).get("grade"))


def gather(nb: NotebookNode, released: NotebookNode, submitted: Sequence[Submitted]) -> None:
    """Copy into each place to answer of a rebuilt notebook that was left alone what was written nearby."""
    owner, filled = assign(released, submitted), {about(cell).get("grade_id"): cell for cell in nb.cells}
    for index, cell in enumerate(released.cells):
        place = filled.get(about(cell).get("grade_id"))
        if is_by_hand(cell) and place is not None and place.source.strip() == cell.source.strip():
            found = beside(index, released, submitted, owner)
            if texts := [text for text in found if _letters(text) != _letters(cell.source)]:
                place.source = "\n\n".join([cell.source, FOUND, *map(_quoted, texts)])


def beside(
    index: int, released: NotebookNode, submitted: Sequence[Submitted], owner: Mapping[int, int]
) -> Iterator[str]:
    """What a student added that may answer a question: anything near its place, and longer texts anywhere.

    ``owner`` says for which cell handed out a submitted one stands, by their numbers.
    """
    marks = [number for number, cell in enumerate(released.cells) if is_answer(cell) or is_check(cell)]
    begin = max((number for number in marks if number < index), default=-1)
    end = min((number for number in marks if number > index), default=len(released.cells))
    last = -1
    for number, one in enumerate(submitted):
        last = owner.get(number, last)
        if number in owner:
            text, near = _added(released.cells[last], one), begin < last < end
        else:
            text, near = one.source.strip(), begin + (one.kind == "code") <= last < end
        if text and (near or (one.kind != "code" and len(text) >= LONG)):
            yield text


def _added(cell: NotebookNode, one: Submitted) -> str:
    """The lines that a student added to a cell that was handed out; those of an answer have their own place."""
    if is_answer(cell) or is_check(cell):
        return ""
    given = {line.strip() for line in cell.source.splitlines()}
    return "\n".join(line for line in one.source.splitlines() if line.strip() not in given).strip()


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text))


def _quoted(text: str) -> str:
    """As Markdown that shows a text as it was written."""
    return "\n".join(f"    {line}" for line in text.splitlines())
