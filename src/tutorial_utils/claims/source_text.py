"""The thirteen statements of the text that this book grew from: what each would take, and what became of it.

The text is a page on initialization before and after batch normalization. Nothing here measures: every statement names
the claims that do, and its verdict follows from theirs.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import pandas as pd

from tutorial_utils.claims.ledger import Entry, claim_by_id, load
from tutorial_utils.claims.registry import Outcome, Verdict

#: The columns of :func:`over_data`: what a condition's name says of data and preprocessing.
COLUMNS = (
    *(f"{data}, {how}" for data in ("digits", "mnist") for how in ("global", "pixel")),
    "wine, pixel",
    "breast_cancer, pixel",
)
#: What a cell of that table says of an outcome, in this order.
WORDS = {Outcome.AGREES: "holds", Outcome.REFUTES: "fails", Outcome.OPEN: "open"}


class Statement(NamedTuple):
    """One statement of the source text."""

    #: A few words for it.
    name: str
    #: As it stands there.
    quote: str
    #: What must hold for it to be true.
    needs: str
    #: The ids of the claims that measure it.
    claims: tuple[str, ...]
    #: What the ledger says, in its words; the sentence rests on it, and a test compares the two.
    verdict: Verdict
    #: What a teacher could say instead.
    sentence: str


STATEMENTS = (
    Statement(
        "two typical methods",
        "There are two typical methods for initialization of the parameters.",
        "Glorot's and He's methods cover what a library offers and what networks need.",
        ("two-typical-methods",),
        Verdict.REFUTED,
        "Glorot and He are two among many: which start fits depends on the activation and on what the layer is.",
    ),
    Statement(
        "Glorot's mean and variance",
        "It initializes the weights of neural networks with a distribution having a zero mean and a specific variance.",
        "The mean is 0, and the variance is 2 / (fan_in + fan_out).",
        ("glorot-has-specific-variance",),
        Verdict.SUPPORTED,
        "Glorot's weights have mean 0 and variance 2 / (fan_in + fan_out), be they normal or uniform.",
    ),
    Statement(
        "He follows the previous layer",
        "The randomized weights are depends on the size of the previous layer of neurons.",
        "The variance follows fan_in, in every mode.",
        ("he-weights-follow-previous-layer",),
        Verdict.IN_SOME_CASES,
        "With fan_in, PyTorch's default, He's weights follow the layer before; with fan_out they follow the next one.",
    ),
    Statement(
        "both snippets",
        "torch.nn.Linear's weight initilzation function; net.apply(init_weights)",
        "The first snippet is what Linear does and an example of He; the second initializes every matrix of a network.",
        (
            "quoted-reset-draws-the-same",
            "default-is-he",
            "quoted-bound-counts-inputs",
            "xavier-without-underscore-works",
            "data-fill-is-safe",
            "apply-reaches-every-matrix",
            "small-positive-bias-helps",
        ),
        Verdict.IN_SOME_CASES,
        "The first snippet draws what Linear draws, a third of He's variance; the second reaches Linear layers only.",
    ),
    Statement(
        "outputs are bounded",
        "Normalization is performs on each batch so that outputs of each NNs are bounded.",
        "One bound holds for batches of every size.",
        ("bn-outputs-bounded",),
        Verdict.IN_SOME_CASES,
        "A normalized value of a batch of m lies within √(m - 1); that bound grows with the batch, and eval has none.",
    ),
    Statement(
        "test statistics are wrong",
        "If normalization is performed through the values input during inference, [...] it's wrong !",
        "The statistics of test batches cost accuracy, whatever the batches.",
        ("bn-test-batch-statistics-are-wrong",),
        Verdict.IN_SOME_CASES,
        "Small or sorted test batches cost accuracy, large mixed ones hardly any, and on shifted images they gain it.",
    ),
    Statement(
        "moving averages",
        "Using the moving average of the mini-batch stored in advance.",
        "Moving averages are as accurate as averages with the final weights.",
        ("bn-moving-averages-suffice",),
        Verdict.IN_SOME_CASES,
        "Moving averages suffice once they have forgotten their start; after a few steps with a slow one they do not.",
    ),
    Statement(
        "deterministic",
        "Normalization is performed using a fixed mean and variance to make the result deterministic.",
        "With fixed statistics an example's output does not depend on its companions.",
        ("bn-fixed-statistics-are-deterministic",),
        Verdict.SUPPORTED,
        "In eval mode an example gets the same output whatever else is in its batch.",
    ),
    Statement(
        "fewer local optima",
        "Normalization reduces possibility of a local optimum [...] by reducing dent of the local minimum.",
        "The barriers between solutions are lower with BatchNorm, as the network evaluates them.",
        ("bn-fewer-dents",),
        Verdict.IN_SOME_CASES,
        "The barrier between two solutions is no lower with BatchNorm, unless its statistics are recomputed there.",
    ),
    Statement(
        "covariate shift",
        "Instability is caused by 'Internal Covariance Shift' [...]. 'Batch Norm' also prevents this disadvantage.",
        "What a layer sees, and what its gradient is, change less when the layers before it learn.",
        ("bn-less-covariate-shift", "bn-less-gradient-shift"),
        Verdict.IN_SOME_CASES,
        "Each input's mean and standard deviation change less; how inputs vary together, and the gradient, need not.",
    ),
    Statement(
        "larger learning rate",
        "The learning rate could be increased",
        "The largest usable rate is larger with BatchNorm.",
        ("bn-larger-learning-rate",),
        Verdict.SUPPORTED,
        "With BatchNorm a network bears a several times larger rate.",
    ),
    Statement(
        "less dependence on the start",
        "Performance of training becomes less dependence on weight initial value selection.",
        "More scales of the start lead to a good network with BatchNorm, and nearly all do.",
        ("bn-less-dependence-on-the-start", "bn-free-from-initialization"),
        Verdict.IN_SOME_CASES,
        "With BatchNorm more scales of the weights work, not all; equal weights stay equal, and β is a start, too.",
    ),
    Statement(
        "less overfitting",
        "It could reduce the risk of over-fitting",
        "The gap between training and test accuracy is smaller with BatchNorm, at a common rate and at its own.",
        ("bn-less-overfitting",),
        Verdict.IN_SOME_CASES,
        "The gap was smaller in one case, digits with centered pixels at own rates; at a common rate it can be larger.",
    ),
)


def verdict(statement: Statement, entries: Mapping[str, Entry]) -> Verdict:
    """Say what follows for a statement: it must hold under all conditions of all claims that measure it.

    Raises:
        ValueError: for an id that no claim has.
    """
    first, *_ = (claim_by_id(id) for id in statement.claims)
    return first.verdict(_outcomes(statement, entries).values())


def over_data(entries: Mapping[str, Entry] | None = None) -> pd.DataFrame:
    """The statements over data sets and preprocessings.

    Args:
        entries: the ledger; without it, the one that the book prints.

    Returns:
        A row for each statement, by its name, with its verdict, the sentence and, for each of :data:`COLUMNS`, what the
        conditions there say: "holds", "fails" or "open", or several of these, such as "fails, open", if they differ; ""
        where nothing was trained.

    >>> over_data().loc["deterministic", "verdict"]
    'supported'
    """
    ledger = load() if entries is None else entries
    rows = {one.name: _row(one, ledger) for one in STATEMENTS}
    return pd.DataFrame.from_dict(rows, orient="index")


def _row(statement: Statement, entries: Mapping[str, Entry]) -> dict[str, str]:
    outcomes = _outcomes(statement, entries)
    cells = {column: _cell([one for name, one in outcomes.items() if column in name]) for column in COLUMNS}
    return {"verdict": str(verdict(statement, entries)), **cells, "sentence": statement.sentence}


def _outcomes(statement: Statement, entries: Mapping[str, Entry]) -> dict[str, Outcome]:
    """What each condition of each claim says, by claim and condition; controls do not count."""
    return {
        f"{id}: {condition}": outcome
        for id in statement.claims
        for condition, outcome in entries[id].outcomes.items()
        if outcome is not Outcome.CONTROL
    }


def _cell(outcomes: Iterable[Outcome]) -> str:
    """What several conditions say, each answer once."""
    found = set(outcomes)
    return ", ".join(word for outcome, word in WORDS.items() if outcome in found)
