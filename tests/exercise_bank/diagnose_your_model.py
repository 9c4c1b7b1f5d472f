"""Answers to the exercises of chapter 8, right and wrong, as students write them."""

import torch
from torch import nn

from exercise_bank import right, wrong

# --- audit-name ---------------------------------------------------------------------------------------


def named(std, n_in, n_out, normal):
    kind = "normal" if normal else "uniform"
    table = {f"Glorot {kind}": (2 / (n_in + n_out)) ** 0.5, f"He {kind}": (2 / n_in) ** 0.5}
    if normal:
        table["embedding"] = 1
    else:
        table["default"] = (3 * n_in) ** -0.5
    for name, value in table.items():
        if 0.96 < std / value < 1.04:
            return name
    return "other"


@right("audit-name")
def name_by_kurtosis(weight):
    square = weight**2
    kurtosis = (square**2).mean() / square.mean() ** 2
    return named(square.mean() ** 0.5, weight[0].numel(), weight[:, 0].numel(), kurtosis > 2.4)


@right("audit-name")
def name_by_largest(weight):
    kernel = weight[0, 0].numel()
    std = weight.std()
    largest = weight.abs().max() / std
    return named(std, weight.size(1) * kernel, weight.size(0) * kernel, largest > 2)


@right("audit-name")
def name_by_middle_share(weight):
    n_in, n_out = nn.init._calculate_fan_in_and_fan_out(weight)
    std = weight.std()
    share = (weight.abs() < std).double().mean()  # 0.68 if normal, 0.58 if uniform
    return named(std.item(), n_in, n_out, share > 0.63).lower()


@wrong("audit-name", "exchanged the fans")
def name_swapped(weight):
    return name_by_largest(weight.transpose(0, 1))


@wrong("audit-name", "forgot the kernel")
def name_channels(weight):
    std = weight.std()
    return named(std, weight.size(1), weight.size(0), weight.abs().max() > 2 * std)


@wrong("audit-name", "deviation only")
def name_by_deviation(weight):
    std, n_in = weight.std(), weight[0].numel()
    if abs(std * (3 * n_in) ** 0.5 - 1) < 0.04:
        return "default"
    return named(std, n_in, weight[:, 0].numel(), True)


@wrong("audit-name", "It is its bound")
def name_bound_as_std(weight):
    if weight.abs().max() < 2 * weight.std():
        if abs(weight.std() * weight[0].numel() ** 0.5 - 1) < 0.04:
            return "default"
        answer = name_by_largest(weight)
        return "other" if answer == "default" else answer
    return name_by_largest(weight)


@wrong("audit-name", "variance with a deviation")
def name_by_variance(weight):
    n_in, n_out = weight[0].numel(), weight[:, 0].numel()
    for name, value in {"He normal": (2 / n_in) ** 0.5, "Glorot normal": (2 / (n_in + n_out)) ** 0.5}.items():
        if abs(weight.var() - value) < 0.01 * value:
            return name
    return "other"


@wrong("audit-name", "forgot the embedding")
def name_no_embedding(weight):
    answer = name_by_largest(weight)
    return "other" if answer == "embedding" else answer


@wrong("audit-name", "nearest start")
def name_nearest(weight):
    n_in, n_out, std = weight[0].numel(), weight[:, 0].numel(), weight.std().item()
    kind = "normal" if weight.abs().max() > 2 * std else "uniform"
    table = {f"Glorot {kind}": (2 / (n_in + n_out)) ** 0.5, f"He {kind}": (2 / n_in) ** 0.5}
    table["embedding" if kind == "normal" else "default"] = 1 if kind == "normal" else (3 * n_in) ** -0.5
    return min(table, key=lambda name: abs(std / table[name] - 1))


# --- audit-copies -------------------------------------------------------------------------------------


def constant(parameter):
    return bool((parameter == parameter.flatten()[0]).all())


@right("audit-copies")
def copies_loop(model):
    named, found = list(model.named_parameters()), []
    for i, (name, p) in enumerate(named):
        if not constant(p) and any(torch.equal(p, q) for _, q in named[:i]):
            found.append(name)
    return found


@right("audit-copies")
def copies_keys(model):
    seen, found = set(), set()
    for name, p in model.named_parameters():
        key = (p.shape, p.detach().numpy().tobytes())
        if key in seen and p.std() > 1e-6:
            found.add(name)
        seen.add(key)
    return found


@right("audit-copies")
def copies_by_difference(model):
    found = []
    named = dict(model.named_parameters())
    names = list(named)
    for j in range(len(names)):
        for i in range(j):
            one, other = named[names[i]], named[names[j]]
            if one.shape == other.shape and (one - other).abs().sum() == 0 and other.unique().numel() > 1:
                found.append(names[j])
                break
    return found


def copies_where(model, keep):
    named = list(model.named_parameters())
    return [name for i, (name, p) in enumerate(named) if keep(p) and any(torch.equal(p, q) for _, q in named[:i])]


@wrong("audit-copies", "named constants")
def copies_constants(model):
    return copies_where(model, lambda p: True)


@wrong("audit-copies", "not ones")
def copies_ones(model):
    return copies_where(model, lambda p: p.abs().sum() > 0)


@wrong("audit-copies", "matrices only")
def copies_matrices(model):
    return copies_where(model, lambda p: p.ndim == 2)


@wrong("audit-copies", "originals")
def copies_both(model):
    named = [(name, p) for name, p in model.named_parameters() if not constant(p)]
    return [name for name, p in named if any(torch.equal(p, q) for other, q in named if other != name)]


@wrong("audit-copies", "tied weight")
def copies_tied(model):
    named = list(model.state_dict().items())
    return [
        name for i, (name, p) in enumerate(named) if not constant(p) and any(torch.equal(p, q) for _, q in named[:i])
    ]


@wrong("audit-copies", "finds nothing")
def copies_identity(model):
    seen, found = set(), []
    for name, p in model.named_parameters():
        if id(p) in seen:
            found.append(name)
        seen.add(id(p))
    return found


@wrong("audit-copies", "compared shapes")
def copies_shapes(model):
    seen, found = [], []
    for name, p in model.named_parameters():
        if p.shape in seen and not constant(p):
            found.append(name)
        seen.append(p.shape)
    return found


@wrong("audit-name", "by its deviation alone")
def name_default_first(weight):
    if abs(weight.std() * (3 * weight[0].numel()) ** 0.5 - 1) < 0.04:
        return "default"
    return name_by_largest(weight)


@right("audit-name")
def name_by_bound(weight):
    """Where the draw is uniform, its largest entry shows the bound."""
    n_in, n_out = weight[0].numel(), weight[:, 0].numel()
    largest, std = weight.abs().max().item(), weight.std().item()
    if largest > 2 * std:
        return named(std, n_in, n_out, True)
    bounds = {"default": n_in**-0.5, "Glorot uniform": (6 / (n_in + n_out)) ** 0.5, "He uniform": (6 / n_in) ** 0.5}
    return next((name for name, bound in bounds.items() if abs(largest / bound - 1) < 0.04), "other")


@wrong("audit-name", "fan_out lacks the kernel")
def name_half_kernel(weight):
    std = weight.std()
    return named(std, weight[0].numel(), weight.shape[0], weight.abs().max() > 2 * std)


@wrong("audit-name", "1 / fan_in for Glorot's variance")
def name_lecun(weight):
    n_in, std = weight[0].numel(), weight.std()
    return named(std, n_in, n_in, weight.abs().max() > 2 * std)


@wrong("audit-name", "everything for uniform")
def name_threshold(weight):
    std = weight.std()
    return named(std, weight[0].numel(), weight[:, 0].numel(), weight.abs().max() > 10 * std)


@wrong("audit-name", "exchanged normal and uniform")
def name_exchanged(weight):
    std = weight.std()
    return named(std, weight[0].numel(), weight[:, 0].numel(), weight.abs().max() < 2 * std)


@wrong("audit-name", "Only where both are 1")
def name_of_variance(weight):
    var = weight.var()
    return named(var, weight[0].numel(), weight[:, 0].numel(), weight.abs().max() > 2 * var**0.5)


@right("audit-copies")
def copies_generator(model):
    return (name for name in copies_loop(model))


@right("audit-copies")
def copies_keys_of_a_dict(model):
    return dict.fromkeys(copies_loop(model))


@wrong("audit-copies", "of which a copy follows")
def copies_originals(model):
    named = list(model.named_parameters())
    return [
        name
        for i, (name, p) in enumerate(named)
        if not constant(p) and any(torch.equal(p, q) for _, q in named[i + 1 :])
    ]


@wrong("audit-copies", "names of parameters")
def copies_modules(model):
    return {name.rpartition(".")[0] for name in copies_loop(model)}
