"""Table 1 of Glorot and Bengio, with seeds."""

from typing import Any

from tutorial_utils.claims.experiments import DIGITS, MNIST, best_accuracy, sweep
from tutorial_utils.claims.registry import Effects, Method, Seeds, claim


@claim(
    "The normalized init ends at a lower test error than the standard one.",
    source="Glorot and Bengio (2010), table 1",
    quantity="test accuracy, normalized minus standard, five hidden tanh layers, best of two rates",
    criterion=Method.MEDIAN.within(0.02, 1, seeds=8),  # two points; the paper's gaps for tanh are 0.1 to 11.6
    controls=("digits, on the way, 75 steps",),
    data=(DIGITS, MNIST),
    preprocessing=("global",),
    optimizer=("SGD",),
    budget="400 steps; the paper took millions",
    after_looking="the number of steps; at 100 the best rates differed less than their noise",
)
def glorot_beats_standard(seeds: Seeds) -> Effects:
    shared: dict[str, Any] = {"depth": 5, "activation": "tanh", "lr": [0.5, 1.0], "steps": 400, "at": (75, 400)}

    def ahead(on: str) -> list[list[float]]:
        normalized = sweep(seeds, scheme="xavier_uniform", on=on, **shared).curves
        standard = sweep(seeds, scheme="lecun_uniform", scale=3**-0.5, on=on, **shared).curves
        both = [[curves[curves.step == steps] for curves in (normalized, standard)] for steps in shared["at"]]
        return [list(best_accuracy(first, seeds) - best_accuracy(second, seeds)) for first, second in both]

    way, end = ahead(DIGITS)
    return {"digits, on the way, 75 steps": way, DIGITS: end, MNIST: ahead(MNIST)[-1]}
