"""The variance through a layer: how far a single draw strays from the expectation."""

from tutorial_utils.claims.experiments import each, log_spread
from tutorial_utils.claims.registry import Effects, Method, Seeds, claim


@claim(
    "In a linear network of L layers and width n, with independent weights of mean zero and a finite fourth moment, the"
    " log of the second moment has variance 2 L / n over draws, to leading order in 1 / n.",
    source="derivation; cf. Hanin and Rolnick (2018)",
    quantity="variance over that prediction, n = 64, L = 4",
    criterion=Method.MEAN.within(0.8, 1.25, seeds=40),  # the next order is smaller by 1/n
)
def linear_spread_is_depth_over_width(seeds: Seeds) -> Effects:
    return each(seeds, lambda seed: log_spread(lambda z: z, "lecun_normal", seed) / (2 * 4 / 64))
