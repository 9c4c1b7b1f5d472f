import math

import numpy as np
import torch
from scipy import stats

from exercise_bank import right, wrong
from tutorial_utils.exercises.claim_on_trial import fingerprint, interval_of, outcome_of, verdict_of

CONDITIONS = ["wine", "digits"]


def registered(**changes):
    return {
        "statement": "A wider layer needs a smaller learning rate than a narrow one.",
        "quantity": "log2 of the largest usable rate, narrow less wide",
        "why": "The grid has steps of a factor of two.",
        "conditions": CONDITIONS,
        "band": [0.5, math.inf],
        "seeds": list(range(100, 125)),
    } | changes


# --- trial-registration ------------------------------------------------------------------------------


@right("trial-registration")
def plain_registration():
    return registered()


@right("trial-registration")
def registration_of_tuples():
    return registered(conditions=tuple(CONDITIONS), band=(-math.inf, 0), seeds=range(30))


@right("trial-registration")
def registration_of_arrays():
    return registered(band=np.array([0.5, 2]), seeds=torch.arange(20))


@wrong("trial-registration", "Use at least twenty seeds")
def registration_of_three_seeds():
    return registered(seeds=[1, 2, 3])


@wrong("trial-registration", "`True` is none")
def registration_with_a_truth_value():
    return plain_registration() | {"seeds": [True, 0, *range(2, 20)]}


@wrong("trial-registration", "The band needs two numbers")
def registration_with_truth_values_for_a_band():
    return plain_registration() | {"band": [False, True]}


# --- trial-result ------------------------------------------------------------------------------------


def measure(condition, seed):
    return float(np.random.default_rng([CONDITIONS.index(condition), seed]).normal(1.2))


def report(**changes):
    own = registered()
    effects = {one: [measure(one, seed) for seed in own["seeds"]] for one in CONDITIONS}
    intervals = {one: interval_of(row) for one, row in effects.items()}
    outcomes = {one: outcome_of(ends, own["band"]) for one, ends in intervals.items()}
    result = {"registration": own, "fingerprint": fingerprint(own), "effects": effects, "intervals": intervals}
    result |= {"outcomes": outcomes, "verdict": verdict_of(list(outcomes.values())), "measure": measure}
    return result | changes


@right("trial-result")
def result_by_the_functions():
    return report()


@right("trial-result")
def result_by_scipy():
    found = report()
    for one, row in found["effects"].items():
        found["intervals"][one] = stats.t.interval(0.95, len(row) - 1, np.mean(row), stats.sem(row))
        found["effects"][one] = np.array(row)
    return found


@right("trial-result")
def result_by_bits():
    """Words in capitals, and a registration of its own."""
    found = report()
    return found | {
        "verdict": found["verdict"].upper(),
        "outcomes": {k: v.title() for k, v in found["outcomes"].items()},
    }


@wrong("trial-result", "not one effect for each registered seed")
def result_without_the_worst():
    found = report()
    return found | {"effects": {one: sorted(row)[1:] for one, row in found["effects"].items()}}


@wrong("trial-result", "it gave another number than you report")
def result_with_made_up_numbers():
    made_up = {one: [2.0 + 0.01 * seed for seed in range(25)] for one in CONDITIONS}
    intervals = {one: interval_of(row) for one, row in made_up.items()}
    return report(
        effects=made_up, intervals=intervals, outcomes=dict.fromkeys(CONDITIONS, "agrees"), verdict="supported"
    )
