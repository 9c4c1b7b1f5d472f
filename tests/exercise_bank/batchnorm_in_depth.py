import math

import numpy as np
import torch
from torch.nn import functional

from exercise_bank import right, wrong

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


# --- depth-likeness ----------------------------------------------------------------------------------


@right("depth-likeness")
def kept_by_indices(first, last):
    found = []
    for h in (first, last):
        u = functional.normalize(h - h.mean(dim=0), dim=1)
        rows, columns = torch.triu_indices(len(h), len(h), offset=1)
        found.append((u @ u.T)[rows, columns])
    return torch.corrcoef(torch.stack(found))[0, 1]


@right("depth-likeness")
def kept_by_loop(first, last):
    def cosines(h):
        h = h - h.mean(0)
        return [
            float(h[i] @ h[j] / (h[i].norm() * h[j].norm())) for i in range(len(h)) for j in range(len(h)) if i != j
        ]

    return np.corrcoef(cosines(first), cosines(last))[0, 1]


@right("depth-likeness")
def kept_by_mask(first, last):
    different = ~torch.eye(len(first), dtype=torch.bool)
    x, y = (
        functional.cosine_similarity((h - h.mean(0))[:, None], (h - h.mean(0))[None], dim=2)[different]
        for h in (first, last)
    )
    x, y = x - x.mean(), y - y.mean()
    return (x * y).sum() / (x.square().sum() * y.square().sum()).sqrt()


@wrong("depth-likeness", "diagonal")
def kept_of_all_pairs(first, last):
    x, y = (functional.normalize(h - h.mean(0), dim=1) for h in (first, last))
    return torch.corrcoef(torch.stack([(x @ x.T).reshape(-1), (y @ y.T).reshape(-1)]))[0, 1].item()
