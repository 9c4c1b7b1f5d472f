"""The variance through a layer: how far a single draw strays from the expectation."""

from tutorial_utils.claims.experiments import each, log_spread
from tutorial_utils.claims.registry import Effects, Method, Seeds, claim


@claim(
    "In a linear network of L layers and width n, with independent weights of mean zero and a finite fourth moment, and"
    " an input spread over many components, the log of the second moment has variance 2 L / n over draws, to leading"
    " order in 1 / n.",
    source="derivation; cf. Hanin and Rolnick (2018)",
    quantity="variance over that prediction, n = 64",
    criterion=Method.MEAN.within(0.8, 1.25, seeds=40),  # the next order is smaller by 1/n
    controls=("one input that is not zero, uniform weights, L = 1",),
)
def linear_spread_is_depth_over_width(seeds: Seeds) -> Effects:
    def ratio(scheme: str, layers: int, active: int, seed: int) -> float:
        return log_spread(lambda z: z, scheme, seed, layers=layers, active=active) / (2 * layers / 64)

    settings = {
        "normal weights, L = 4": ("lecun_normal", 4, 64),
        "uniform weights, L = 4": ("lecun_uniform", 4, 64),
        "uniform weights, L = 1": ("lecun_uniform", 1, 64),
        "one input that is not zero, uniform weights, L = 1": ("lecun_uniform", 1, 1),
    }
    return each(seeds, ratio, settings)
