import copy
import math

import numpy as np
import torch
from scipy import stats

from exercise_bank import right, wrong

# --- buys-honest-rate --------------------------------------------------------------------------------


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


# --- buys-sign-test ----------------------------------------------------------------------------------


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
def sign_by_enumeration(a, b):
    wins, losses = int((a > b).sum()), int((a < b).sum())
    n = wins + losses
    return sum(math.comb(n, k) for k in range(n + 1) if abs(n - 2 * k) >= abs(wins - losses)) / 2**n


# --- buys-evaluation ---------------------------------------------------------------------------------


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
    twin = copy.deepcopy(net).eval().requires_grad_(False)
    return sum(int(twin(one[None]).argmax()) == int(label) for one, label in zip(x, labels, strict=True)) / len(x)


@right("buys-evaluation")
def evaluation_finally(net, x, labels):
    modes = {module: module.training for module in net.modules()}
    try:
        net.eval()
        with torch.inference_mode():
            return torch.mean((net(x).max(1).indices == labels).to(x.dtype))
    finally:
        for module, mode in modes.items():
            module.training = mode


@wrong("buys-evaluation", "of its children")
def evaluation_of_children(net, x, labels):
    before = {module: module.training for module in (net, *net.children())}
    net.eval()
    with torch.no_grad():
        result = (net(x).argmax(1) == labels).double().mean().item()
    for module, mode in before.items():
        module.training = mode
    return result


@wrong("buys-evaluation", "Dropout goes on")
def evaluation_of_norms(net, x, labels):
    norms = [module for module in net.modules() if "Norm" in type(module).__name__ and module.training]
    for norm in norms:
        norm.eval()
    with torch.inference_mode():
        result = (net(x).argmax(1) == labels).double().mean().item()
    for norm in norms:
        norm.train()
    return result


@wrong("buys-evaluation", "with gradients on")
def evaluation_with_a_graph(net, x, labels):
    before = [(module, module.training) for module in net.modules()]
    result = (net.eval()(x).detach().argmax(1) == labels).double().mean().item()
    for module, mode in before:
        module.training = mode
    return result


@wrong("buys-evaluation", "nothing learns anymore")
def evaluation_that_switches_gradients_off(net, x, labels):
    torch.set_grad_enabled(False)
    return evaluation(net, x, labels)


# --- buys-paired-interval ----------------------------------------------------------------------------


@right("buys-paired-interval")
def interval_by_scipy(a, b):
    return tuple(stats.ttest_rel(a, b).confidence_interval(0.95))


@right("buys-paired-interval")
def interval_by_formula(a, b):
    d = (a - b).numpy()
    half = stats.t.ppf(0.975, len(d) - 1) * d.std(ddof=1) / len(d) ** 0.5
    return d.mean() - half, d.mean() + half


@right("buys-paired-interval")
def interval_named(a, b):
    d = (a - b).tolist()
    low, high = stats.t.interval(0.95, len(d) - 1, np.mean(d), stats.sem(d))
    return {"high": high, "low": float(low)}


@wrong("buys-paired-interval", "the normal distribution's 1.96")
def interval_of_the_normal_distribution(a, b):
    d = a - b
    half = 1.96 * d.std() / math.sqrt(len(d))
    return (d.mean() - half).item(), (d.mean() + half).item()
