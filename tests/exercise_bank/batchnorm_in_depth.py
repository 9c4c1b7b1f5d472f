import math

import torch

from exercise_bank import right

# --- buys-gradient-growth ----------------------------------------------------------------------------


@right("buys-gradient-growth")
def growth(slope, layers):
    passed = (1 + slope**2) / 2
    return (passed / (passed - (1 - slope) ** 2 / (2 * math.pi))) ** (layers / 2)


@right("buys-gradient-growth")
def growth_by_integration(slope, layers):
    z = torch.linspace(-12, 12, 200_001, dtype=torch.float64)
    density = torch.exp(-z.square() / 2) / math.sqrt(2 * math.pi) * (z[1] - z[0])
    y, slopes = torch.where(z > 0, z, slope * z), torch.where(z > 0, 1.0, slope)
    variance = (density * y.square()).sum() - (density * y).sum() ** 2
    return ((density * slopes.square()).sum() / variance).sqrt() ** layers


@right("buys-gradient-growth")
def growth_by_loop(slope, layers):
    norm, passed = 1.0, 0.5 * (1 + slope * slope)
    mean = (1 - slope) * (2 * math.pi) ** -0.5
    for _ in range(layers):
        norm *= math.sqrt(passed / (passed - mean * mean))
    return norm
