"""What a diagnosis consists of: the kinds of finding, the limits, one finding, and which finding follows from which."""

import textwrap
from collections.abc import Iterable
from dataclasses import dataclass, replace

#: Every kind of finding with what it means, roots before what follows from them.
KINDS = {
    "uninitialized": "Memory that was reserved but never written: magnitudes that no initializer gives.",
    "not-finite": "NaN or infinity in the batch, a parameter, an output or a gradient.",
    "input-scale": "The batch itself is too large, too small, shifted, constant, or dominated by a few columns.",
    "target-scale": "The targets are far from what the outputs can reach at first, or all alike.",
    "running-statistics": "The stored statistics of a batch normalization do not fit the batch, or never settle.",
    "small-batch": "Batch normalization takes its statistics from too few numbers.",
    "equal-units": "Units of one layer start as copies of each other and can never become different.",
    "zero-initialized": "A weight is exactly zero. At the end of a branch or of the model that may be meant.",
    "parameter-scale": "A parameter is out of proportion to what it is combined with.",
    "forward-scale": "The signal grows or shrinks by orders of magnitude, in one layer or layer after layer.",
    "saturated-units": "Most outputs of an activation, or of attention, lie where its slope is near zero.",
    "dead-units": "Most units of a layer are switched off for every example.",
    "lost-input": "The outputs hardly depend on the input any more.",
    "normalization-explosion": "Normalization enlarges the gradient in every layer, or makes noise of rounding errors.",
    "exploding-gradient": "The gradient is orders of magnitude larger at the first layers than at the last.",
    "vanishing-gradient": "The gradient is orders of magnitude smaller at the first layers than at the last.",
    "output-activation": "The outputs went through an activation that the loss applies itself, or lack one it needs.",
    "first-loss": "The first loss is far above that of a guess: confident and wrong.",
    "no-gradient": "No gradient comes back to a parameter that should learn.",
    "unregistered": "The model computes with trainable tensors that are not among its parameters.",
    "frozen": "A parameter does not train.",
    "bias-before-norm": "A bias that the normalization behind it removes again.",
}

#: Where a number becomes a finding. They are conventions about orders of magnitude, not tests.
LIMITS = {
    "gain": 30.0,  # one layer's rms out over rms in, either way: more than a scheme's convention explains
    "peers": 6.0,  # one layer's gain over that of the others, where these agree; LeCun's and He's differ by 1.4
    "trend": 300.0,  # of the signal over the whole depth, if it grows or shrinks all the way
    "gradient": 1e3,  # between the first layers and the last, for the same relative change
    "steady gradient": 50.0,  # the same if it grows at nearly every layer and nothing is normalized
    "normalized gradient": 20.0,  # the same behind 20 and more batch normalizations, if it grows at each of them
    "input rms": 10.0,  # of the batch, where 1 is meant
    "small input rms": 0.01,
    "offset": 10.0,  # mean over standard deviation of the batch
    "column": 100.0,  # largest column over the typical one
    "target rms": 30.0,  # of regression targets, about what outputs are at first
    "norm scale": 20.0,  # a normalization's weight, either way
    "log odds": 12.0,  # of a last bias: one in 160,000
    "bias": 30.0,  # rms of a bias over that of its layer's output without it
    "equal units": 0.5,  # share of units that are copies
    "dead share": 0.6,  # of the units: most of them
    "saturated share": 0.7,  # of the outputs: most of them
    "recurrence": 3.0,  # rms of a recurrent matrix times sqrt(width): an orthogonal one has 1
    "gate": 12.0,  # rms of what the gates of a recurrent layer receive
    "dropout": 0.9,
    "lost input": 1e-3,  # share of the inputs' differences that is left: a thousandth
    "excess loss": 4.0,  # nats above a guess; logits of standard deviation 2 cost about 2
    "values per channel": 4.0,  # a variance of so few is off by a factor of two
    "statistics shift": 3.0,  # standard deviations between running and batch mean
    "statistics scale": 10.0,  # batch over running variance, either way
    "momentum": 0.5,  # the last batch is half of the running statistics
}

#: What a report calls the topics that findings point to: the titles of their chapters.
TITLES = {
    "why-the-start-matters": "Why the start matters",
    "variance-through-a-layer": "Variance through a layer",
    "glorot": "Glorot: one variance for both directions",
    "he": "He (Kaiming) initialization for ReLU",
    "any-activation-any-layer": "Any activation, any layer",
    "reset-parameters": "What PyTorch does by default",
    "initialize-your-model": "Initialize your model",
    "diagnose-your-model": "Diagnose your model",
    "batchnorm-training": "BatchNorm while training",
    "batchnorm-inference": "BatchNorm at inference",
    "batchnorm-clinic": "A clinic for BatchNorm",
    "what-batchnorm-buys": "What BatchNorm buys",
    "batchnorm-in-depth": "BatchNorm in deep networks",
}

BY_GAIN = "with the gain of your activation (tutorial_utils.gains.gain)"
"""How most cures say to draw weights."""

LOCAL = {"forward-scale", "saturated-units", "dead-units", "lost-input"}
SIGNAL = {"forward-scale", "parameter-scale", "saturated-units", "dead-units", "lost-input"}
GRADIENT = {"vanishing-gradient", "exploding-gradient", "normalization-explosion", "no-gradient"}
AFTER = SIGNAL | GRADIENT | {"first-loss", "running-statistics", "small-batch"}
#: What may follow from a finding of each kind.
EXPLAINS: dict[str, set[str]] = {
    "not-finite": set(KINDS) - {"not-finite", "uninitialized"},
    "uninitialized": AFTER | {"not-finite", "equal-units", "output-activation", "zero-initialized"},
    "input-scale": AFTER,
    "running-statistics": AFTER | {"not-finite"},
    "small-batch": {"lost-input", "dead-units", "saturated-units", "first-loss"} | GRADIENT,
    "equal-units": {"lost-input", "dead-units", "saturated-units", "forward-scale", "first-loss"} | GRADIENT,
    "zero-initialized": {"lost-input", "dead-units", "forward-scale", "first-loss"} | GRADIENT,
    "parameter-scale": AFTER - {"parameter-scale"},
    "forward-scale": AFTER - {"forward-scale"} | {"output-activation"},
    "saturated-units": GRADIENT | {"lost-input", "first-loss", "dead-units", "forward-scale"},
    "dead-units": GRADIENT | {"lost-input", "first-loss", "forward-scale"},
    "lost-input": GRADIENT | {"dead-units", "saturated-units", "forward-scale"},
    "normalization-explosion": {"exploding-gradient"},
    "output-activation": {"first-loss", "lost-input", "vanishing-gradient", "dead-units"},
    "no-gradient": {"vanishing-gradient"},
    "target-scale": {"first-loss", "exploding-gradient"},
    "frozen": {"no-gradient"},
}
#: The position of a finding that follows from no other.
ALONE = -1
WIDTH, INDENT = 77, " " * 11


@dataclass(frozen=True)
class Finding:
    """What is wrong: of which kind, where, by which number, why, what helps, what to read.

    ``kind`` is a key of :data:`KINDS`; ``layer`` a module's name, a parameter's for those of the model itself, or "the
    batch" or "the target"; ``topic`` the slug of a topic of the book, such as "glorot". ``severity`` counts powers of
    ten beyond the limit; 0 is a note: worth knowing, not wrong. ``consequences`` are findings that follow from this
    one.
    """

    kind: str
    layer: str
    measured: str
    cause: str
    cure: str
    topic: str
    severity: float
    consequences: tuple["Finding", ...] = ()
    position: int = 0  # of the layer, in the order of the calls

    def __str__(self) -> str:
        """A few lines to read, folded where they are long."""
        lines = [
            f"{named(self.layer)}: {self.measured} [{self.kind}]",
            f"    cause: {self.cause}",
            f"    cure:  {self.cure}",
        ]
        if self.consequences:
            followers = [f"{named(follower.layer)}: {follower.measured}" for follower in self.consequences]
            lines.append("    so:    " + "; ".join(followers[:3]) + ("; ..." if len(followers) > 3 else ""))
        lines.append(f'    read:  "{TITLES.get(self.topic, self.topic)}"')
        return "\n".join(fold(line) for line in lines)


def named(layer: str) -> str:
    """A layer as a sentence names it: one of ``nn.Sequential`` has a number for a name.

    >>> named("10"), named("conv2_3")
    ('layer 10', 'conv2_3')
    """
    return f"layer {layer}" if layer[:1].isdigit() else layer


def fold(line: str) -> str:
    """Break a long line between words, as the reports do."""
    return textwrap.fill(line, WIDTH, subsequent_indent=INDENT, break_on_hyphens=False, break_long_words=False)


def grouped(found: Iterable[Finding]) -> list[Finding]:
    """The findings that explain themselves, each with what follows from it, roots first and notes last.

    >>> def one(kind, severity=1.0): return Finding(kind, "1", "", "", "", "", severity)
    >>> roots = grouped([one("first-loss"), one("frozen", 0.0), one("input-scale")])
    >>> [(root.kind, [f.kind for f in root.consequences]) for root in roots]
    [('input-scale', ['first-loss']), ('frozen', [])]
    """
    # Of a signal too small, units without a slope and examples that are alike, what comes first in the model is root.
    order = {kind: min(n, list(KINDS).index("forward-scale")) if kind in LOCAL else n for n, kind in enumerate(KINDS)}
    ranked = sorted(found, key=lambda f: _rank(f, order))
    roots: list[Finding] = []
    for finding in ranked:
        above = next((n for n, root in enumerate(roots) if _explains(root, finding)), None)
        if above is None:
            roots.append(finding)
        else:
            roots[above] = replace(roots[above], consequences=(*roots[above].consequences, finding))
    return roots


def _rank(finding: Finding, order: dict[str, int]) -> tuple[bool, int, int, int, float]:
    position = finding.position if finding.kind in LOCAL else 0
    return finding.severity == 0, order[finding.kind], position, list(KINDS).index(finding.kind), -finding.severity


def _explains(root: Finding, finding: Finding) -> bool:
    if root.severity == 0 or finding.severity == 0 or finding.position == ALONE:
        return False
    return finding.kind in EXPLAINS.get(root.kind, set())


def without(found: Iterable[Finding], ignored: Iterable[str]) -> list[Finding]:
    """The findings left when some kinds are ignored; what followed from an ignored one stands on its own again."""
    ignored = set(check_kinds(ignored))
    flat = [one for finding in found for one in (replace(finding, consequences=()), *finding.consequences)]
    return grouped(finding for finding in flat if finding.kind not in ignored)


def check_kinds(kinds: Iterable[str]) -> list[str]:
    """The kinds as a list, each of them known."""
    given = [kinds] if isinstance(kinds, str) else list(kinds)
    for kind in given:
        if kind not in KINDS:
            raise ValueError(f"{kind!r} is no kind of finding; the kinds are {', '.join(KINDS)}")
    return given


def limits_with(overrides: dict[str, float] | None) -> dict[str, float]:
    """The limits with some replaced."""
    for name, limit in (overrides or {}).items():
        if name not in LIMITS:
            raise ValueError(f"limits has {name!r}, but the limits are {', '.join(LIMITS)}")
        if isinstance(limit, bool) or not isinstance(limit, int | float) or not limit > 0:
            raise ValueError(f"limits[{name!r}] = {limit!r}, but it must be a positive number")
    return LIMITS | (overrides or {})
