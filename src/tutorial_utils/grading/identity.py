r"""Whose numbers a notebook is about: what it says of its author, against what the folder and the roster know.

A notebook in which `student_id` was left at None is about the book's numbers, and one with an e-mail address about
those of that address. That is what its author saw, so that is what is graded, with a note. For somebody else's id
there are no points, and words. Where the platform hid who handed in, nobody can tell: what the notebook says counts.

>>> settle(claimed(["import torch\nstudent_id = 'eve'"]), Person("ada")).note
"Your notebook says student_id = 'eve', and 'ada' handed it in: ..."
"""

import ast
import re
from collections.abc import Iterable
from typing import NamedTuple

from tutorial_utils.grading.roster import Person, same

ASSIGNED = re.compile(r"^student_id\s*(?::[^=\n]*)?=(?!=)\s*(.+)$", re.MULTILINE)
SAYS_NOTHING = ("", "None")


class Numbers(NamedTuple):
    """Whose numbers are right for a notebook."""

    #: The id from which they are drawn; None for the book's own.
    id: str | None
    #: What the student and who grades should know; "" if all is as asked for.
    note: str = ""
    #: Whether the notebook names somebody else, so that none of its numbers can be right.
    foreign: bool = False


def claimed(cells: Iterable[str]) -> str | None:
    """What a notebook says: the last `student_id = "..."`, "" for None, None if it is not said in plain words."""
    said = None
    for text in (text for cell in cells for text in ASSIGNED.findall(cell)):
        try:
            said = str(ast.literal_eval(text.strip()))
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            said = None
    return "" if said in SAYS_NOTHING else said


def settle(claim: str | None, person: Person, book_counts: bool = True) -> Numbers:
    """Whose numbers to grade with, for a notebook that was handed in by a person.

    ``book_counts`` says whether the book's own numbers are good for points where the id was left at None.
    """
    if claim is None or same(claim) == same(person.id):
        return Numbers(person.id)
    if not claim.strip():
        own = "your id" if person.is_anonymous else repr(person.id)
        note = f"Your notebook leaves student_id at None: write {own} there, to get numbers of your own."
        return Numbers(None, f"{note} These are the book's.") if book_counts else Numbers(person.id, note, foreign=True)
    if person.is_anonymous:
        return Numbers(claim, f"Your notebook says student_id = {claim!r}; it came without a name to compare with.")
    if is_own(claim, person):
        return Numbers(
            claim, f"Your notebook says student_id = {claim!r}; you hand in as {person.id!r}. Both are fine."
        )
    note = f"Your notebook says student_id = {claim!r}, and {person.id!r} handed it in: its numbers are not yours."
    return Numbers(person.id, f"{note} Write {person.id!r} there, and run it again.", foreign=True)


def is_own(claim: str, person: Person) -> bool:
    """Whether an id is another name of a person: an e-mail address, a name, the platform's number."""
    before_at, own = claim.partition("@")[0], person.id.partition("@")[0]
    return (
        person.is_called(claim)
        or same(claim) == same(person.lms)
        or _plain(before_at) in (_plain(own), _plain(person.id))
    )


def _plain(text: str) -> str:
    """What a folder's name keeps of an id: `Ada Lovelace` may be collected as `Ada_Lovelace`."""
    return re.sub(r"[\W_]+", "_", same(text)).strip("_")
