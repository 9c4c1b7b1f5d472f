r"""Which submissions are more alike than chance: names, comments and layout aside, and the more so the rarer.

Short right answers are alike by themselves, so what many students wrote counts little. A pair is a reason to read both,
and no proof of anything.

>>> first, second = "def f(x):\n    return x @ x.T - x.mean() * 3", "def g(y): # mine\n  return y @ y.T - y.mean()*3"
>>> alike({"ada": first, "bob": second, "eve": "import torch"}, least=5)
[Pair(first='ada', second='bob', share=1.0, same=False)]
"""

import io
import keyword
import math
import re
import tokenize
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

WINDOW = 6
"""Tokens in a row that are compared as one."""
LEAST = 40
"""Different windows that a submission needs: what is shorter says nothing."""
ALIKE = 0.75
SKIPPED = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)


class Pair(NamedTuple):
    """Two students whose code is alike, and the share that is, from 0 to 1."""

    first: str
    second: str
    share: float
    #: Whether it is the same letter for letter, comments and names included.
    same: bool


def alike(texts: Mapping[str, str], given: str = "", least: int = LEAST) -> list[Pair]:
    """The pairs of students whose code is alike, the most alike first; what was given to all does not count."""
    handed_out = windows(given)
    found = {student: windows(text) - handed_out for student, text in texts.items()}
    found = {student: seen for student, seen in found.items() if len(seen) >= least}
    spread = Counter(one for seen in found.values() for one in seen)
    weight = {one: math.log((len(found) + 1) / count) for one, count in spread.items()}
    total = {student: sum(weight[one] for one in seen) for student, seen in found.items()}
    pairs = []
    for first, second in combinations(sorted(found), 2):
        shared = sum(weight[one] for one in found[first] & found[second])
        share = shared / (total[first] + total[second] - shared)
        if share >= ALIKE:
            pairs.append(Pair(first, second, round(share, 3), texts[first].split() == texts[second].split()))
    return sorted(pairs, key=lambda pair: (-pair.same, -pair.share, pair.first))


class Group(NamedTuple):
    """Students whose code is alike: two, or all whose code is the same letter for letter."""

    students: list[str]
    share: float
    same: bool


def grouped(pairs: Sequence[Pair]) -> list[Group]:
    """What is the same letter for letter as one group, the largest first; then pairs, of each such group its first.

    >>> grouped([Pair("a", "b", 1, True), Pair("a", "c", 1, True), Pair("b", "c", 1, True), Pair("b", "d", 0.8, False)])
    [Group(students=['a', 'b', 'c'], share=1.0, same=True)]
    """
    first: dict[str, str] = {}
    for pair in pairs:
        if pair.same:
            first.setdefault(pair.second, first.get(pair.first, pair.first))
    same: dict[str, list[str]] = {}
    for student, one in first.items():
        same.setdefault(one, [one]).append(student)
    groups = [Group(sorted(students), 1.0, same=True) for students in same.values()]
    others = [pair for pair in pairs if not pair.same and not {pair.first, pair.second} & set(first)]
    found = [Group([pair.first, pair.second], pair.share, same=False) for pair in others]
    return sorted(groups, key=lambda group: -len(group.students)) + found


def windows(text: str) -> set[tuple[str, ...]]:
    """All runs of tokens of a text."""
    words = list(tokens(text))
    return {tuple(words[start : start + WINDOW]) for start in range(len(words) - WINDOW + 1)}


def tokens(text: str) -> Iterator[str]:
    """The tokens of a code without comments, in which all names but those behind a dot are one."""
    before = ""
    try:
        for one in tokenize.generate_tokens(io.StringIO(text).readline):
            is_own = one.type == tokenize.NAME and not keyword.iskeyword(one.string) and before != "."
            if one.type not in SKIPPED:
                yield "name" if is_own else one.string
            before = one.string
    except (tokenize.TokenError, SyntaxError):  # what could be read counts
        yield from re.findall(r"\w+", before)
