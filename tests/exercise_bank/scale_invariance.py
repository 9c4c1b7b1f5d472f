import numpy as np
import torch

from exercise_bank import right, wrong

# --- bn-matching-rate --------------------------------------------------------------------------------


@right("bn-matching-rate")
def rate_squared(optimizer, a, lr):
    return a * lr if optimizer == "Adam" else a * a * lr


@right("bn-matching-rate")
def rate_by_effective(optimizer, a, lr):
    norm = torch.tensor([3.0, 4.0]).norm()
    power = {"SGD": 2, "momentum": 2, "Adam": 1}[optimizer]
    return lr / norm**power * (a * norm) ** power


@right("bn-matching-rate")
def rate_numpy(optimizer, a, lr):
    return np.float64(lr) * (np.abs(a) if "dam" in optimizer else np.square(a))


@wrong("bn-matching-rate", "You multiplied by a squared in every case")
def rate_always_squared(optimizer, a, lr):
    return lr * a**2


# --- bn-decay-rates ----------------------------------------------------------------------------------


@right("bn-decay-rates")
def decay_by_loop(rates, decay):
    length, found = 1.0, []
    for rate in rates.tolist():
        shorter = length * (1 - rate * decay)
        found.append(rate / (length * shorter))
        length = shorter
    return found


@right("bn-decay-rates")
def decay_by_logarithms(rates, decay):
    logs = torch.log1p(-decay * rates)
    return rates * torch.exp(-2 * logs.cumsum(0) + logs)


@right("bn-decay-rates")
def decay_numpy(rates, decay):
    shrink = 1 - rates.numpy() * decay
    before = np.concatenate([[1], np.cumprod(shrink)[:-1]])
    return rates.numpy() / (before**2 * shrink)
