"""Exercises about what BatchNorm buys."""

import math
from functools import partial

import torch
from scipy import stats
from torch import Tensor, nn

from tutorial_utils.exercises.compare import Outcome
from tutorial_utils.exercises.registry import Function, Inputs, Mistake, exercise
from tutorial_utils.exercises.toolbox import between, normal

# --- the rate of an honest comparison -----------------------------------------------------------------


def _accuracies(*, generator: torch.Generator) -> Inputs:
    """Accuracies of every rate and seed; no way of choosing finds what another one finds."""
    while True:
        validation, test = (torch.rand(4, 5, generator=generator, dtype=torch.float64).round(decimals=2) for _ in "vt")
        rates = {choice(validation, test) for choice in (_by_median, _by_mean, _on_test, _best_run)}
        if len(rates) == 4 and not _has_ties(validation) and not _has_ties(test):
            return validation, test


def _has_ties(table: Tensor) -> bool:
    distinct = (table.median(1).values.unique(), table.mean(1).unique())
    return any(len(values) < len(table) for values in distinct)


def _by_median(validation: Tensor, test: Tensor) -> int:
    return int(validation.median(1).values.argmax())


def _by_mean(validation: Tensor, test: Tensor) -> int:
    return int(validation.mean(1).argmax())


def _on_test(validation: Tensor, test: Tensor) -> int:
    return int(test.median(1).values.argmax())


def _best_run(validation: Tensor, test: Tensor) -> int:
    return int(validation.argmax()) // validation.shape[1]


def _per_seed(validation: Tensor, test: Tensor) -> Tensor:
    return test.gather(0, validation.argmax(0, keepdim=True)).median()


@exercise(
    "buys-honest-rate",
    inputs=_accuracies,
    right="the rate is chosen on validation data, by the median of the seeds, and reported on test data.",
    mistakes=(
        Mistake(
            "You chose the rate by its test accuracy. Then the test digits have helped to train, and the score is too "
            "high: choose on `validation`, report on `test`.",
            lambda v, t: t[_on_test(v, t)].median(),
        ),
        Mistake(
            "You reported the validation accuracy of the rate it was chosen by. The best of several is lucky: report "
            "the test accuracy.",
            lambda v, t: v[_by_median(v, t)].median(),
        ),
        Mistake(
            "You chose a rate for each seed. A reader has one rate to set: choose one for all seeds.",
            _per_seed,
        ),
        Mistake(
            "You chose the rate by the mean. The chapter compares medians.", lambda v, t: t[_by_mean(v, t)].median()
        ),
        Mistake(
            "You used means twice, to choose the rate and to report. The chapter compares medians.",
            lambda v, t: t[_by_mean(v, t)].mean(),
        ),
        Mistake(
            "You chose the rate of the best single run on validation. One lucky seed decides then: compare the medians "
            "over the seeds.",
            lambda v, t: t[_best_run(v, t)].median(),
        ),
        Mistake(
            "You returned the number of the rate. Asked for is the accuracy that it reaches on `test`.",
            lambda v, t: float(_by_median(v, t)),
        ),
        Mistake(
            "You reported the mean of the seeds. The chapter reports the median.",
            lambda v, t: t[_by_median(v, t)].mean(),
        ),
        Mistake(
            "You reported the best seed. Another reader draws another seed: report the median.",
            lambda v, t: t[_by_median(v, t)].max(),
        ),
    ),
)
def buys_honest_rate(validation: Tensor, test: Tensor) -> Tensor:
    """The median test accuracy at the rate with the largest median validation accuracy."""
    return test[_by_median(validation, test)].median()


# --- the sign test ------------------------------------------------------------------------------------


def _pairs(*, generator: torch.Generator) -> Inputs:
    """Pairs with some ties, the second a little worse."""
    count, ties = between(9, 14, generator=generator), between(2, 3, generator=generator)
    a = normal(count, generator=generator).round(decimals=1)
    gap = (normal(count, generator=generator, mean=0.8).abs() + 0.1).round(decimals=1)
    signs = torch.ones(count, dtype=torch.float64)
    signs[: between(1, 2, generator=generator)] = -1
    signs[-ties:] = 0
    return a, a - gap * signs


def _behind(*, generator: torch.Generator) -> Inputs:
    """Pairs of which the second leads."""
    return _pairs(generator=generator)[::-1]


def _even(*, generator: torch.Generator) -> Inputs:
    """As many wins as losses."""
    half = between(3, 5, generator=generator)
    a = normal(2 * half, generator=generator)
    return a, a - torch.tensor([1.0, -1.0], dtype=torch.float64).repeat(half)


def _sign_test(a: Tensor, b: Tensor) -> float:
    wins, losses = int((a > b).sum()), int((a < b).sum())
    return float(stats.binomtest(wins, wins + losses).pvalue)


def _tail(wins: int, count: int) -> float:
    return float(stats.binom.sf(wins - 1, count, 0.5))


def _one_sided(a: Tensor, b: Tensor) -> float:
    return _tail(int((a > b).sum()), int((a != b).sum()))


def _leader_only(a: Tensor, b: Tensor) -> float:
    wins, losses = int((a > b).sum()), int((a < b).sum())
    return _tail(max(wins, losses), wins + losses)


def _doubled(a: Tensor, b: Tensor) -> float:
    return min(1.0, 2 * _one_sided(a, b))


def _ties_thrown(a: Tensor, b: Tensor) -> float:
    return min(1.0, 2 * _tail(max(int((a > b).sum()), int((a < b).sum())), len(a)))


def _ties_lose(a: Tensor, b: Tensor) -> float:
    return float(stats.binomtest(int((a > b).sum()), len(a)).pvalue)


def _ties_win(a: Tensor, b: Tensor) -> float:
    return float(stats.binomtest(int((a >= b).sum()), len(a)).pvalue)


def _strictly_more(a: Tensor, b: Tensor) -> float:
    wins, losses = int((a > b).sum()), int((a < b).sum())
    return 2 * _tail(max(wins, losses) + 1, wins + losses)


def _lead(a: Tensor, b: Tensor) -> int:
    return int((a > b).sum()) - int((a < b).sum())


def _exactly(a: Tensor, b: Tensor) -> float:
    return float(stats.binom.pmf(int((a > b).sum()), int((a != b).sum()), 0.5))


def _not_capped(a: Tensor, b: Tensor) -> float:
    wins, losses = int((a > b).sum()), int((a < b).sum())
    return 2 * _tail(max(wins, losses), wins + losses)


@exercise(
    "buys-sign-test",
    inputs=(_pairs, _behind, _even),
    right="the number is that of scipy's exact two-sided binomial test.",
    mistakes=(
        Mistake(
            "You counted one side only. Without a direction stated before, so large a lead of the other one would "
            "surprise as much: double the smaller tail.",
            _leader_only,
        ),
        Mistake(
            "You asked how often `a` wins as much as here or more. The lead may be that of `b`, and either would "
            "surprise: take the tail of whichever leads, and double it.",
            _one_sided,
        ),
        Mistake(
            "You doubled the tail of `a`. Where `b` leads, that is most of the distribution: double the tail of "
            "whichever leads.",
            _doubled,
        ),
        Mistake("Your coin is thrown for ties, too. A tie says nothing: leave it out of the throws.", _ties_thrown),
        Mistake(
            "You counted ties among the throws, as losses. A tie says nothing: leave it out of both counts.", _ties_lose
        ),
        Mistake("You counted ties as wins. A tie says nothing: leave it out of both counts.", _ties_win),
        Mistake(
            "You counted leads larger than the one you have, not those as large. Include it: P(at least as many wins).",
            _strictly_more,
        ),
        Mistake(
            "With as many wins as losses your number is above 1. The two tails then overlap: no probability exceeds 1.",
            _not_capped,
        ),
        Mistake(
            "That is the chance of exactly this many wins. Surprising are larger leads as well: add up the whole tail, "
            "and double it.",
            _exactly,
        ),
        Mistake(
            "You doubled the chance of exactly this many wins. Surprising are larger leads as well: add up the whole "
            "tail first.",
            lambda a, b: 2 * _exactly(a, b),
        ),
        Mistake(
            "You took the normal distribution for the binomial one. So few pairs can be counted exactly.",
            lambda a, b: float(2 * stats.norm.sf(abs(_lead(a, b)) / math.sqrt(int((a != b).sum())))),
        ),
        Mistake(
            "That is Wilcoxon's test, which ranks the differences. The sign test counts heads and tails only.",
            lambda a, b: float(stats.wilcoxon(a, b).pvalue),
        ),
        Mistake(
            "You used the t-test. It assumes normal differences; the sign test counts heads and tails only.",
            lambda a, b: float(stats.ttest_rel(a, b).pvalue),
        ),
    ),
)
def buys_sign_test(a: Tensor, b: Tensor) -> float:
    """The two-sided p-value of the sign test, ties left out."""
    return _sign_test(a, b)


# --- an evaluation that disturbs ----------------------------------------------------------------------


def _images(training: bool, frozen: bool, *, generator: torch.Generator) -> Inputs:
    """Weights, inputs and labels, and the modes of the network and of its BatchNorm: training or not."""
    weight, x = normal(4, 3, generator=generator), normal(12, 3, generator=generator, mean=1, std=2)
    labels = torch.randint(4, (12,), generator=generator)
    return weight, x, labels, training, training and not frozen


def _evaluated(
    answer: Function, weight: Tensor, x: Tensor, labels: Tensor, training: bool, norm_training: bool
) -> Outcome:
    """What an evaluation returns and what it leaves behind."""
    norm, linear = nn.BatchNorm1d(3), nn.Linear(3, 4, bias=False)
    linear.weight = nn.Parameter(weight)
    net = nn.Sequential(norm, linear).to(x.dtype).train(training)
    norm.train(norm_training)
    share = answer(net, x, labels)
    return {
        "accuracy": share,
        "running mean afterward": norm.running_mean,
        "training mode afterward": net.training,
        "training mode of its BatchNorm afterward": norm.training,
        "parameters learn afterward": all(parameter.requires_grad for parameter in net.parameters()),
    }


def _share(net: nn.Module, x: Tensor, labels: Tensor) -> float:
    with torch.no_grad():
        return float((net(x).argmax(1) == labels).double().mean())


def _without_eval(net: nn.Module, x: Tensor, labels: Tensor) -> float:
    return _share(net, x, labels)


def _left_in_eval(net: nn.Module, x: Tensor, labels: Tensor) -> float:
    return _share(net.eval(), x, labels)


def _always_to_training(net: nn.Module, x: Tensor, labels: Tensor) -> float:
    share = _left_in_eval(net, x, labels)
    net.train()
    return share


def _one_mode_for_all(net: nn.Module, x: Tensor, labels: Tensor) -> float:
    before = net.training
    share = _left_in_eval(net, x, labels)
    net.train(before)
    return share


def _without_gradients(net: nn.Module, x: Tensor, labels: Tensor) -> float:
    net.requires_grad_(False)
    return float(evaluate(net, x, labels))


def _count(net: nn.Module, x: Tensor, labels: Tensor) -> float:
    return float(evaluate(net, x, labels) * len(labels))


def _in_percent(net: nn.Module, x: Tensor, labels: Tensor) -> float:
    return float(100 * evaluate(net, x, labels))


@exercise(
    "buys-evaluation",
    inputs=(partial(_images, True, False), partial(_images, True, True), partial(_images, False, False)),
    observe=_evaluated,
    rtol32=None,
    right="the accuracy is that of eval mode, and the network is as it was.",
    mistakes=(
        Mistake(
            "Your network is measured in the mode it is in. In training mode BatchNorm uses the statistics of the test "
            "batch, and moves its running statistics: call `eval()`.",
            _without_eval,
        ),
        Mistake(
            "Your network is left in eval mode. If it was training, the steps that follow train without BatchNorm's "
            "batch statistics: put the mode back.",
            _left_in_eval,
        ),
        Mistake(
            "Your network is left in training mode always. Put back the mode that each module was in.",
            _always_to_training,
        ),
        Mistake(
            "You put one mode back everywhere. A BatchNorm that is frozen, in eval mode in a network that trains, is "
            "now training, too: remember the mode of each module.",
            _one_mode_for_all,
        ),
        Mistake(
            "The parameters have lost `requires_grad`, and learn no more. `torch.no_grad()` switches gradients off for "
            "a few lines only.",
            _without_gradients,
        ),
        Mistake("You returned how many are right. Asked for is the share.", _count),
        Mistake("You returned percent. Asked for is the share, between 0 and 1.", _in_percent),
    ),
)
def evaluate(net: nn.Module, x: Tensor, labels: Tensor) -> float:
    """The share of right answers in eval mode; the mode of each module is put back."""
    before = [(module, module.training) for module in net.modules()]
    share = _share(net.eval(), x, labels)
    for module, training in before:
        module.training = training
    return share
