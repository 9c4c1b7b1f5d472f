"""Exercises about what BatchNorm buys."""

import math
from functools import partial
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from tutorial_utils.exercises.compare import Outcome
from tutorial_utils.exercises.registry import Function, Inputs, When, exercise
from tutorial_utils.exercises.toolbox import between, normal

# --- the learning rate of an honest comparison --------------------------------------------------------


def _accuracies(*, generator: torch.Generator) -> Inputs:
    """Accuracies of every learning rate and seed; no way of choosing finds what another one finds."""
    while True:
        validation, test = torch.rand(2, 4, 5, generator=generator, dtype=torch.float64).round(decimals=2)
        ways = _medians(validation), validation.mean(1), validation.amax(1), _medians(test)
        ties = any(len(scores.unique()) < len(scores) for scores in (*ways, test.mean(1)))
        if not ties and len({int(scores.argmax()) for scores in ways}) == len(ways):
            return validation, test


def _medians(table: Tensor) -> Tensor:
    return table.median(1).values


def _score(by: Function = lambda validation, test: _medians(validation), report: Function = torch.median) -> Function:
    """An answer, right unless told otherwise: what it chooses the learning rate by, and what it reports."""
    return lambda validation, test: report(test[by(validation, test).argmax()])


@exercise(
    "buys-honest-rate",
    inputs=_accuracies,
    right="the learning rate is chosen on validation data, by the median of the seeds, and reported on test data.",
    mistakes={
        "You chose the learning rate by its test accuracy. Then the test digits have helped to train, and the score is "
        "too high: choose on `validation`, report on `test`.": _score(by=lambda validation, test: _medians(test)),
        "You reported the validation accuracy of the learning rate, by which it was chosen. The best of several is "
        "lucky: report the test accuracy.": lambda validation, test: _medians(validation).max(),
        "You chose the seed that is in the middle on validation, and reported its test accuracy. Report the median of "
        "all seeds on `test`.": lambda validation, test: test.gather(1, validation.median(1).indices[:, None])[
            _medians(validation).argmax(), 0
        ],
        "You took the median over all learning rates. Choose one on `validation` first, and report its median on "
        "`test`.": lambda validation, test: test.median(),
        "You chose a learning rate for each seed. A reader has one learning rate to set: choose one for all "
        "seeds.": lambda validation, test: test.gather(0, validation.argmax(0, keepdim=True)).median(),
        "You chose the learning rate by the mean. The chapter compares medians.": _score(
            by=lambda validation, test: validation.mean(1)
        ),
        "You used means twice, to choose the learning rate and to report. The chapter compares medians.": _score(
            by=lambda validation, test: validation.mean(1), report=torch.mean
        ),
        "You chose the learning rate of the best single run on validation. One lucky seed decides then: compare the "
        "medians over the seeds.": _score(by=lambda validation, test: validation.amax(1)),
        "You returned the number of the learning rate. The exercise asks for the accuracy that it reaches on "
        "`test`.": lambda validation, test: _medians(validation).argmax(),
        "You reported the mean of the seeds. The chapter reports the median.": _score(report=torch.mean),
        "You reported the best seed. Another reader draws another seed: report the median.": _score(report=torch.max),
        "You took the single best run on validation, and its own test accuracy. One lucky seed decides then: compare "
        "medians over the seeds, and report a median.": lambda validation, test: test.flatten()[validation.argmax()],
        "You took medians over the learning rates. Each row is a learning rate, and the seeds are its columns: "
        "`median(dim=1)`.": lambda validation, test: test.median(0).values[validation.median(0).values.argmax()],
    },
)
def buys_honest_rate(validation: Tensor, test: Tensor) -> Tensor:
    """The median test accuracy at the learning rate with the largest median validation accuracy."""
    return test[_medians(validation).argmax()].median()


# --- the sign test ------------------------------------------------------------------------------------


def _pairs(*, generator: torch.Generator) -> Inputs:
    """Pairs with some ties, the second a little worse."""
    import_module("scipy.stats")  # a second or more, which should not count as the answer's time
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


def _counting(formula: Function) -> Function:
    """An answer from the numbers of wins, losses and ties of `a`."""
    return lambda a, b: formula(int((a > b).sum()), int((a < b).sum()), int((a == b).sum()))


def _exactly(wins: int, throws: int) -> float:
    return math.comb(throws, wins) * 0.5**throws


def _tail(wins: int, throws: int) -> float:
    """The chance of at least so many wins with a fair coin."""
    return sum(_exactly(number, throws) for number in range(wins, throws + 1))


def _two_sided(wins: int, losses: int) -> float:
    return min(1.0, 2 * _tail(max(wins, losses), wins + losses))


def _scipy(test: str) -> Function:
    """An answer by another test."""

    def answer(a: Tensor, b: Tensor) -> float:
        from scipy import stats

        return float(getattr(stats, test)(a, b).pvalue)

    return answer


@exercise(
    "buys-sign-test",
    inputs=(_pairs, _behind, _even),
    right="the number is that of scipy's exact two-sided binomial test.",
    mistakes={
        "You counted one side only. Unless you said before which method would lead, an equally large lead of the other "
        "one would surprise as "
        "much: double the smaller tail.": _counting(lambda wins, losses, ties: _tail(max(wins, losses), wins + losses)),
        "You asked how often `a` wins as much as here or more. `b` may have the lead, and that would surprise as much: "
        "take "
        "the tail of whichever leads, and double it.": _counting(lambda wins, losses, ties: _tail(wins, wins + losses)),
        "You doubled the tail of `a`. Where `b` leads, that is most of the distribution: double the tail of whichever "
        "leads.": _counting(lambda wins, losses, ties: min(1.0, 2 * _tail(wins, wins + losses))),
        "Your coin is thrown for ties, too. A tie says nothing: leave it out of the throws.": _counting(
            lambda wins, losses, ties: min(1.0, 2 * _tail(max(wins, losses), wins + losses + ties))
        ),
        "You counted ties among the throws, as losses. A tie says nothing: leave it out of both counts.": _counting(
            lambda wins, losses, ties: _two_sided(wins, losses + ties)
        ),
        "You counted a tie as half a win. A tie says nothing: leave it out of both counts.": _counting(
            lambda wins, losses, ties: min(1.0, 2 * _tail(max(wins, losses) + (ties + 1) // 2, wins + losses + ties))
        ),
        "You counted ties as wins. A tie says nothing: leave it out of both counts.": _counting(
            lambda wins, losses, ties: _two_sided(wins + ties, losses)
        ),
        "You counted leads larger than the one you have, but not one that is as large. Include it: P(at least as many "
        "wins).": _counting(lambda wins, losses, ties: 2 * _tail(max(wins, losses) + 1, wins + losses)),
        "With as many wins as losses your number is above 1. The two tails then overlap: "
        "no probability exceeds 1.": _counting(lambda wins, losses, ties: 2 * _tail(max(wins, losses), wins + losses)),
        "That is the chance of exactly this many wins. Larger leads would be surprising as well: add up the whole "
        "tail, and double it.": _counting(lambda wins, losses, ties: _exactly(wins, wins + losses)),
        "You doubled the chance of exactly this many wins. Larger leads would be surprising as well: add up the whole "
        "tail first.": _counting(lambda wins, losses, ties: 2 * _exactly(wins, wins + losses)),
        "You took the normal distribution for the binomial one. So few pairs can be counted exactly.": _counting(
            lambda wins, losses, ties: math.erfc(abs(wins - losses) / math.sqrt(2 * (wins + losses)))
        ),
        "That is Wilcoxon's test, which ranks the differences. The sign test only counts heads and tails.": _scipy(
            "wilcoxon"
        ),
        "You used the t-test. It assumes normal differences; the sign test only counts heads and tails.": _scipy(
            "ttest_rel"
        ),
        "That is one minus the p-value. A small p-value says that luck alone would hardly give such a lead.": _counting(
            lambda wins, losses, ties: 1 - _two_sided(wins, losses)
        ),
    },
)
def buys_sign_test(a: Tensor, b: Tensor) -> float:
    """The two-sided p-value of the sign test, ties left out."""
    return _two_sided(int((a > b).sum()), int((a < b).sum()))


# --- an interval of pairs -----------------------------------------------------------------------------


def _leads(*, generator: torch.Generator) -> Inputs:
    """Accuracies whose differences spread much less than they do, as those of pairs should."""
    import_module("scipy.stats")  # a second or more, which should not count as the answer's time
    count = between(6, 12, generator=generator)
    level = normal(count, generator=generator, mean=80, std=4)
    lead = normal(count, generator=generator, mean=2, std=1.5)
    return level + lead, level


def _interval(
    spread: Function = lambda a, b: (a - b).std() / math.sqrt(len(a)),
    *,
    quantile: Function = lambda count: _student(0.975, count - 1),
    center: Function = lambda a, b: (a - b).mean(),
) -> Function:
    """Half-width and ends from a spread and a quantile, right unless told otherwise."""

    def interval(a: Tensor, b: Tensor) -> tuple[float, float]:
        middle, half = float(center(a, b)), float(quantile(len(a)) * spread(a, b))
        return middle - half, middle + half

    return interval


def _student(level: float, freedom: int) -> float:
    from scipy import stats

    return float(stats.t.ppf(level, freedom))


def _unpaired(a: Tensor, b: Tensor) -> Tensor:
    return ((a.var() + b.var()) / len(a)).sqrt()


def _of_1_96(given: Outcome, right: Outcome, a: Tensor, b: Tensor) -> bool:
    """Whether the half-width is about 1.96 standard errors, with however many digits."""
    half, error = (float(given["high"]) - float(given["low"])) / 2, float((a - b).std()) / math.sqrt(len(a))
    centered = math.isclose(float(given["high"]) + float(given["low"]), right["high"] + right["low"], rel_tol=1e-3)
    return centered and 1.955 < half / error < 1.965


@exercise(
    "buys-paired-interval",
    inputs=_leads,
    parts=("low", "high"),
    right="the pairs share most of what varies, and their differences are all that counts.",
    mistakes={
        "You treated the two methods as independent samples. They share seeds, so most of the spread cancels in the "
        "differences: make one list of differences first.": _interval(_unpaired),
        "You treated the two methods as independent samples, with their degrees of freedom. They share seeds: make one "
        "list of differences first.": _interval(_unpaired, quantile=lambda count: _student(0.975, 2 * count - 2)),
        "That interval holds most of the single differences. The exercise asks where the *mean* difference lies: "
        "divide the standard deviation by the square root of their number.": _interval(lambda a, b: (a - b).std()),
        "You used the normal distribution's 1.96. With so few pairs the standard deviation is uncertain, too: take "
        "Student's t with one degree of freedom fewer than there are pairs.": When(_of_1_96),
        "You took two standard errors. With so few pairs Student's t is larger than 2: take its quantile.": _interval(
            quantile=lambda count: 2.0
        ),
        "You put the median of the differences in the middle. Student's interval is one for their mean.": _interval(
            center=lambda a, b: (a - b).median()
        ),
        "You used Student's t with as many degrees of freedom as there are pairs. The mean takes one away.": _interval(
            quantile=lambda count: _student(0.975, count)
        ),
        "Your interval leaves out 5 percent on each side, so it is one of 90 percent. Leave out 2.5 percent on "
        "each.": _interval(quantile=lambda count: _student(0.95, count - 1)),
        "Your standard deviation divides by the number of pairs. Student's t goes with the unbiased one, which divides "
        "by one fewer.": _interval(lambda a, b: (a - b).std(correction=0) / math.sqrt(len(a))),
        "You divided the standard deviation by the number of pairs instead of its square root.": _interval(
            lambda a, b: (a - b).std() / len(a)
        ),
        "Your interval is that of `b` minus `a`.": _interval(center=lambda a, b: (b - a).mean()),
        "That is an interval of 99 percent.": _interval(quantile=lambda count: _student(0.995, count - 1)),
        "Those are quantiles of the single differences. The exercise asks where their *mean* lies: take Student's "
        "interval.": lambda a, b: tuple((a - b).quantile(level) for level in (0.025, 0.975)),
        "You gave the middle and the half-width. The exercise asks for both ends.": lambda a, b: (
            sum(_interval()(a, b)) / 2,
            (_interval()(a, b)[1] - _interval()(a, b)[0]) / 2,
        ),
        "You used the variance of the differences. Take its root, the standard deviation.": _interval(
            lambda a, b: (a - b).var() / math.sqrt(len(a))
        ),
    },
)
def buys_paired_interval(a: Tensor, b: Tensor) -> tuple[float, float]:
    """Both ends of Student's 95 percent interval for the mean difference."""
    low, high = _interval()(a, b)
    return low, high


# --- an evaluation that disturbs ----------------------------------------------------------------------


def _images(training: bool, frozen: bool, *, generator: torch.Generator) -> Inputs:
    """Weights, inputs and labels, and the modes of the network and of its BatchNorm: training or not."""
    weight, x = normal(4, 3, generator=generator), normal(60, 3, generator=generator, mean=1, std=2)
    labels = torch.randint(4, (60,), generator=generator)
    return weight, x, labels, training, training and not frozen


def _evaluated(
    answer: Function, weight: Tensor, x: Tensor, labels: Tensor, training: bool, norm_training: bool
) -> Outcome:
    """What an evaluation returns, whether gradients are on meanwhile, and what it leaves behind."""
    torch.manual_seed(0)  # of dropout, where it is active
    norm, linear = nn.BatchNorm1d(3), nn.Linear(3, 4, bias=False)
    recorded: list[bool] = []
    linear.weight = nn.Parameter(weight)
    net = nn.Sequential(nn.Sequential(norm, nn.Dropout(0.8)), linear).to(x.dtype).train(training)
    norm.train(norm_training)
    linear.register_forward_hook(lambda *call: recorded.append(call[-1].requires_grad))
    share = answer(net, x, labels)
    return {
        "accuracy": share,
        "gradients are recorded": any(recorded),
        "gradients are on afterward": torch.is_grad_enabled(),
        "running mean afterward": norm.running_mean,
        "training mode afterward": net.training,
        "training mode of its block afterward": net[0].training,
        "training mode of its BatchNorm afterward": norm.training,
        "parameters learn afterward": all(parameter.requires_grad for parameter in net.parameters()),
    }


def _share(net: nn.Module, x: Tensor, labels: Tensor, *, gradients: bool = False) -> float:
    with torch.set_grad_enabled(gradients):
        return float((net(x).argmax(1) == labels).double().mean())


def _norms(net: nn.Module) -> list[nn.Module]:
    return [module for module in net.modules() if isinstance(module, nn.BatchNorm1d)]


def _without_gradients(net: nn.Module, modes: dict[nn.Module, bool]) -> None:
    _restore(net, modes)
    torch.set_grad_enabled(False)


def _restore(net: nn.Module, modes: dict[nn.Module, bool]) -> None:
    for module, training in modes.items():
        module.training = training


def _evaluate(
    afterward: Function = _restore,
    report: Function = lambda share, labels: share,
    *,
    remembered: Function = nn.Module.modules,
    switched: Function = lambda net: [net],
    gradients: bool = False,
) -> Function:
    """An answer, right unless told otherwise: what it does to the network after measuring, and what it reports."""

    def answer(net: nn.Module, x: Tensor, labels: Tensor) -> Any:
        modes = {module: module.training for module in remembered(net)}
        for module in switched(net):
            module.eval()
        share = _share(net, x, labels, gradients=gradients)
        afterward(net, modes)
        return report(share, labels)

    return answer


def _with_statistics_put_back(net: nn.Module, x: Tensor, labels: Tensor) -> Any:
    before = {name: value.clone() for name, value in net.state_dict().items()}
    share = _evaluate(switched=lambda net: [])(net, x, labels)
    net.load_state_dict(before)
    return share


@exercise(
    "buys-evaluation",
    inputs=(partial(_images, True, False), partial(_images, True, True), partial(_images, False, False)),
    observe=_evaluated,
    rtol32=None,
    right="the accuracy is that of eval mode, and the network is as it was.",
    mistakes={
        "Your network is measured in the mode it is in. In training mode BatchNorm uses the statistics of the test "
        "batch, and moves its running statistics: call `eval()`.": _share,
        "Your network is left in eval mode. If it was training, the steps that follow train without BatchNorm's batch "
        "statistics: put the mode back.": _evaluate(lambda net, modes: None),
        "Your network is always left in training mode. Put back the mode that each module was in.": _evaluate(
            lambda net, modes: net.train()
        ),
        "You put back one mode for all modules. A BatchNorm that is frozen, in eval mode in a network that trains, is "
        "now training, too: remember the mode of each module.": _evaluate(lambda net, modes: net.train(modes[net])),
        "The parameters have lost `requires_grad`, and no longer learn. `torch.no_grad()` switches gradients off for a "
        "few lines only.": _evaluate(lambda net, modes: _restore(net.requires_grad_(False), modes)),
        "You put back the modes of the network and of its children. A module may lie deeper, in a block: `modules()` "
        "lists all of them.": _evaluate(remembered=lambda net: [net, *net.children()]),
        "You put back the modes of the children, and not that of the network itself, and not those of modules that "
        "lie deeper: `modules()` lists all of them.": _evaluate(remembered=nn.Module.children),
        "You switched BatchNorm to eval mode and nothing else. Dropout goes on dropping units: call `eval()` on the "
        "whole network.": _evaluate(switched=_norms),
        "You put the running statistics back, but measured in training mode, so an answer depends on the other images. "
        "Call `eval()`; then nothing moves.": _with_statistics_put_back,
        "You measured with gradients on, so that every layer keeps what a backward pass would need, and nobody calls "
        "for one. Measure under `torch.no_grad()`.": _evaluate(gradients=True),
        "Gradients are switched off when you are done, and nothing learns anymore. Measure in a block, `with "
        "torch.no_grad():`, which puts that back.": _evaluate(_without_gradients),
        "You returned how many are right. The exercise asks for the share.": _evaluate(
            report=lambda share, labels: share * len(labels)
        ),
        "You returned a percentage. The exercise asks for the share, between 0 and 1.": _evaluate(
            report=lambda share, labels: 100 * share
        ),
        "You returned the share of wrong answers. The exercise asks for that of right ones.": _evaluate(
            report=lambda share, labels: 1 - share
        ),
    },
)
def evaluate(net: nn.Module, x: Tensor, labels: Tensor) -> float:
    """The share of right answers in eval mode; the mode of each module is put back."""
    share: float = _evaluate()(net, x, labels)
    return share
