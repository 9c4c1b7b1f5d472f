"""Answers to the exercises of chapter 11, right and wrong, as students write them."""

import math

import numpy as np
import torch
from scipy import stats

from exercise_bank import right, wrong

# --- buys-honest-rate ---------------------------------------------------------------------------------


@right("buys-honest-rate")
def honest(validation, test):
    return test[validation.median(dim=1).values.argmax()].median()


@right("buys-honest-rate")
def honest_by_loop(validation, test):
    best, chosen = -1.0, 0
    for rate, row in enumerate(validation.tolist()):
        middle = sorted(row)[len(row) // 2]
        if middle > best:
            best, chosen = middle, rate
    return sorted(test[chosen].tolist())[len(test[chosen]) // 2]


@right("buys-honest-rate")
def honest_by_numpy(validation, test):
    return float(np.median(test.numpy(), axis=1)[np.argmax(np.median(validation.numpy(), axis=1))])


@wrong("buys-honest-rate", "by its test accuracy")
def honest_on_test(validation, test):
    return test.median(1).values.max()


@wrong("buys-honest-rate", "validation accuracy")
def honest_validation(validation, test):
    return validation.median(1).values.max()


@wrong("buys-honest-rate", "for each seed")
def honest_per_seed(validation, test):
    best = validation.argmax(0)
    return torch.stack([test[rate, seed] for seed, rate in enumerate(best)]).median()


@wrong("buys-honest-rate", "by the mean")
def honest_mean_choice(validation, test):
    return test[validation.mean(1).argmax()].median()


@wrong("buys-honest-rate", "mean of the seeds")
def honest_mean(validation, test):
    return test[validation.median(1).values.argmax()].mean()


@wrong("buys-honest-rate", "best seed")
def honest_best(validation, test):
    return test[validation.median(1).values.argmax()].max()


# --- buys-sign-test -----------------------------------------------------------------------------------


@right("buys-sign-test")
def sign_by_scipy(a, b):
    return stats.binomtest(int((a > b).sum()), int((a != b).sum())).pvalue


@right("buys-sign-test")
def sign_by_counting(a, b):
    wins, n = int((a > b).sum()), int((a != b).sum())
    most = max(wins, n - wins)
    tail = sum(math.comb(n, k) for k in range(most, n + 1)) / 2**n
    return min(1.0, 2 * tail)


@right("buys-sign-test")
def sign_by_other_tail(a, b):
    difference = (a - b)[a != b]
    least = min((difference > 0).sum().item(), (difference < 0).sum().item())
    return min(1.0, 2 * float(stats.binom.cdf(least, len(difference), 0.5)))


@wrong("buys-sign-test", "how often `a` wins")
def sign_of_a(a, b):
    wins, n = int((a > b).sum()), int((a != b).sum())
    return sum(math.comb(n, k) for k in range(wins, n + 1)) / 2**n


@wrong("buys-sign-test", "as losses")
def sign_ties_lose(a, b):
    return stats.binomtest(int((a > b).sum()), len(a)).pvalue


@wrong("buys-sign-test", "as wins")
def sign_ties_win(a, b):
    return stats.binomtest(int((a >= b).sum()), a.numel()).pvalue


@wrong("buys-sign-test", "as large")
def sign_strict(a, b):
    wins, n = int((a > b).sum()), int((a != b).sum())
    return 2 * sum(math.comb(n, k) for k in range(max(wins, n - wins) + 1, n + 1)) / 2**n


@wrong("buys-sign-test", "above 1")
def sign_above_one(a, b):
    wins, n = int((a > b).sum()), int((a != b).sum())
    return 2 * sum(math.comb(n, k) for k in range(max(wins, n - wins), n + 1)) / 2**n


@wrong("buys-sign-test", "t-test")
def sign_t(a, b):
    return stats.ttest_rel(a, b).pvalue


# --- buys-evaluation ----------------------------------------------------------------------------------


@right("buys-evaluation")
def evaluation(net, x, labels):
    training = [module for module in net.modules() if module.training]
    net.eval()
    with torch.no_grad():
        result = (net(x).argmax(1) == labels).float().mean().item()
    for module in training:
        module.training = True
    return result


@right("buys-evaluation")
def evaluation_of_a_copy(net, x, labels):
    import copy

    twin = copy.deepcopy(net).eval()
    return sum(int(twin(one[None]).argmax()) == int(label) for one, label in zip(x, labels, strict=True)) / len(x)


@right("buys-evaluation")
def evaluation_finally(net, x, labels):
    modes = {module: module.training for module in net.modules()}
    try:
        net.eval()
        return torch.mean((net(x).detach().max(1).indices == labels).to(x.dtype))
    finally:
        for module, mode in modes.items():
            module.training = mode


@wrong("buys-evaluation", "mode it is in")
def evaluation_training(net, x, labels):
    return (net(x).argmax(1) == labels).double().mean().item()


@wrong("buys-evaluation", "left in eval")
def evaluation_stays(net, x, labels):
    net.eval()
    return (net(x).argmax(1) == labels).double().mean().item()


@wrong("buys-evaluation", "training mode always")
def evaluation_trains(net, x, labels):
    result = evaluation_stays(net, x, labels)
    net.train()
    return result


@wrong("buys-evaluation", "how many")
def evaluation_count(net, x, labels):
    return evaluation(net, x, labels) * len(labels)


@wrong("buys-evaluation", "percent")
def evaluation_percent(net, x, labels):
    return 100 * evaluation(net, x, labels)


@wrong("buys-sign-test", "one side only")
def sign_leader(a, b):
    wins, losses = int((a > b).sum()), int((a < b).sum())
    n = wins + losses
    return sum(math.comb(n, k) for k in range(max(wins, losses), n + 1)) / 2**n


@wrong("buys-sign-test", "doubled the tail of `a`")
def sign_doubled(a, b):
    wins, n = int((a > b).sum()), int((a != b).sum())
    return min(1.0, 2 * sum(math.comb(n, k) for k in range(wins, n + 1)) / 2**n)


@wrong("buys-sign-test", "thrown for ties")
def sign_ties_thrown(a, b):
    lead, n = max(int((a > b).sum()), int((b > a).sum())), len(a)
    return min(1.0, 2 * sum(math.comb(n, k) for k in range(lead, n + 1)) / 2**n)


@wrong("buys-evaluation", "lost `requires_grad`")
def evaluation_switched_off(net, x, labels):
    for parameter in net.parameters():
        parameter.requires_grad = False
    return evaluation(net, x, labels)


@right("buys-honest-rate")
def honest_by_quantile(validation, test):
    return test.quantile(0.5, dim=1)[validation.quantile(0.5, dim=1).argmax()]


@wrong("buys-honest-rate", "means twice")
def honest_all_means(validation, test):
    return test[validation.mean(1).argmax()].mean()


@wrong("buys-honest-rate", "best single run")
def honest_best_run(validation, test):
    rate, _ = divmod(int(validation.argmax()), validation.shape[1])
    return test[rate].median()


@wrong("buys-honest-rate", "number of the rate")
def honest_index(validation, test):
    return validation.median(dim=1).values.argmax()


@right("buys-sign-test")
def sign_by_enumeration(a, b):
    wins, losses = int((a > b).sum()), int((a < b).sum())
    n = wins + losses
    return sum(math.comb(n, k) for k in range(n + 1) if abs(n - 2 * k) >= abs(wins - losses)) / 2**n


@wrong("buys-sign-test", "That is the chance of exactly")
def sign_exactly(a, b):
    wins, n = int((a > b).sum()), int((a != b).sum())
    return math.comb(n, wins) / 2**n


@wrong("buys-sign-test", "doubled the chance of exactly")
def sign_exactly_doubled(a, b):
    return 2 * sign_exactly(a, b)


@wrong("buys-sign-test", "normal distribution for the binomial")
def sign_normal(a, b):
    wins, losses = int((a > b).sum()), int((a < b).sum())
    return math.erfc(abs(wins - losses) / math.sqrt(2 * (wins + losses)))


@wrong("buys-sign-test", "Wilcoxon")
def sign_wilcoxon(a, b):
    return stats.wilcoxon(a, b).pvalue


@wrong("buys-evaluation", "one mode back everywhere")
def evaluation_one_mode(net, x, labels):
    mode = net.training
    share = evaluation_stays(net, x, labels)
    net.train(mode)
    return share
