import copy
import itertools
import math

import torch
from torch import nn

from exercise_bank import right, wrong
from tutorial_utils.exercises import EXERCISES

# --- audit-name --------------------------------------------------------------------------------------


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


@right("audit-name")
def name_by_bound(weight):
    """Where the draw is uniform, its largest entry shows the bound."""
    n_in, n_out = weight[0].numel(), weight[:, 0].numel()
    largest, std = weight.abs().max().item(), weight.std().item()
    if largest > 2 * std:
        return named(std, n_in, n_out, True)
    bounds = {"default": n_in**-0.5, "Glorot uniform": (6 / (n_in + n_out)) ** 0.5, "He uniform": (6 / n_in) ** 0.5}
    return next((name for name, bound in bounds.items() if abs(largest / bound - 1) < 0.04), "other")


@wrong("audit-name", "an embedding is normal")
def name_of_any_unit_deviation(weight):
    return "embedding" if 0.97 < weight.std() < 1.03 else EXERCISES["audit-name"].reference(weight)


@wrong("audit-name", "less than chance allows")
def name_to_a_thousandth(weight):
    n_in, n_out, size = weight[0].numel(), weight[:, 0].numel(), weight.std().item()
    kind = "normal" if weight.abs().max() > 2.5 * size else "uniform"
    known = {f"Glorot {kind}": 2 / (n_in + n_out), f"He {kind}": 2 / n_in}
    known |= {"default": 1 / (3 * n_in)} if kind == "uniform" else {"embedding": 1}
    near = (word for word, var in known.items() if math.isclose(size, math.sqrt(var), rel_tol=1e-3))
    return next(near, "other")


# --- audit-copies ------------------------------------------------------------------------------------


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
def copies_generator(model):
    return (name for name in copies_loop(model))


@wrong("audit-copies", "A constant may have any value")
def copies_of_more_than_zeros_and_ones(model):
    seen, names = [], []
    for name, p in model.named_parameters():
        if not set(p.flatten().tolist()) <= {0.0, 1.0}:
            names += [name] if any(torch.equal(p, other) for other in seen) else []
            seen.append(p)
    return names


@wrong("audit-copies", "Give it once")
def copies_of_each_earlier_one(model):
    pairs = itertools.combinations(model.named_parameters(), 2)
    return [two for (_, p), (two, q) in pairs if torch.equal(p, q) and len(p.unique()) > 1]


@wrong("audit-copies", "up to a tolerance")
def copies_nearly(model):
    named, found = list(model.named_parameters()), []
    for place, (name, parameter) in enumerate(named):
        earlier = [other for _, other in named[:place] if other.shape == parameter.shape]
        if parameter.std() > 0 and any(torch.allclose(parameter, other) for other in earlier):
            found.append(name)
    return found


# --- diagnose-guilty-layer ---------------------------------------------------------------------------


@right("diagnose-guilty-layer")
def guilty_by_hooks(model, x):
    ratios, handles = {}, []
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear):

            def keep(_, inputs, output, name=name):
                ratios[name] = (output.norm() / inputs[0].norm()).item()

            handles.append(module.register_forward_hook(keep))
    model(x)
    for handle in handles:
        handle.remove()
    middle = sorted(ratios.values())[len(ratios) // 2]
    return max(ratios, key=lambda name: max(ratios[name] / middle, middle / ratios[name]))


@right("diagnose-guilty-layer")
def guilty_by_logarithms(model, x):
    names, logs = [], []
    with torch.no_grad():
        for name, layer in model.named_children():
            y = layer(x)
            if name.startswith("linear"):
                names.append(name)
                logs.append((y.pow(2).mean() / x.pow(2).mean()).log())
            x = y
    logs = torch.stack(logs)
    return names[int((logs - logs.median()).abs().argmax())]


@right("diagnose-guilty-layer")
def guilty_by_deviations(model, x):
    """Standard deviations do as well where the layers have no biases."""
    ratios, best = {}, ("", 0.0)
    for name, layer in model.named_children():
        y = layer(x)
        if isinstance(layer, nn.Linear):
            ratios[name] = (y.std() / x.std()).item()
        x = y
    typical = torch.tensor(list(ratios.values())).median().item()
    for name, ratio in ratios.items():
        distance = ratio / typical if ratio > typical else typical / ratio
        if distance > best[1]:
            best = (name, distance)
    return best[0]


@wrong("audit-copies", "You compared each parameter with the one before it only")
def copies_of_neighbors(model):
    found, before = [], None
    for name, p in model.named_parameters():
        if before is not None and torch.equal(p, before) and not constant(p):
            found.append(name)
        before = p
    return found


@wrong("diagnose-guilty-layer", "no layer of the network by its name")
def guilty_parameter(model, x):
    return EXERCISES["diagnose-guilty-layer"].reference(model, x) + ".weight"


# --- diagnose-zero-scales ----------------------------------------------------------------------------


@right("diagnose-zero-scales")
def zeros_by_branches(net):
    for module in net.modules():
        if hasattr(module, "branch"):
            nn.init.zeros_(module.branch[-1].weight)
            nn.init.zeros_(module.branch[-1].bias)


@right("diagnose-zero-scales")
def zeros_in_data(net):
    for module in net.modules():
        if type(module).__name__ == "Residual":
            last = list(module.branch)[-1]
            last.weight.data.fill_(0)
            last.bias.data *= 0
    return net


@right("diagnose-zero-scales")
@torch.no_grad()
def zeros_by_names(net):
    names = [name for name, module in net.named_modules() if isinstance(module, nn.BatchNorm2d)]
    for name in names:
        block, _, place = name.rpartition(".")
        later = [one for one in names if one.rpartition(".")[0] == block and int(one.rpartition(".")[2]) > int(place)]
        if block.endswith("branch") and not later:
            for parameter in net.get_submodule(name).parameters():
                parameter.zero_()


@wrong("diagnose-zero-scales", "set it to 0, exactly")
def quiet_nearly(net):
    for module in net.modules():
        if hasattr(module, "branch"):
            nn.init.constant_(module.branch[-1].weight, 1e-8)
            nn.init.zeros_(module.branch[-1].bias)


# --- diagnose-cause ----------------------------------------------------------------------------------


@right("diagnose-cause")
def cause_by_questions(net, x, y):
    h = x
    for layer in net:
        before, h = h, layer(h)
        if isinstance(layer, nn.Linear):
            if not layer.weight.requires_grad:
                return "frozen weight"
            if torch.allclose(layer.weight, layer.weight[:1].expand_as(layer.weight)):
                return "equal units"
        if isinstance(layer, nn.BatchNorm1d):
            if layer.weight.abs().max() == 0:
                return "zero scale"
            batch = (before - before.mean(0)) / (before.var(0, correction=0) + layer.eps).sqrt()
            if (h - layer.weight * batch - layer.bias).std() > 0.5:
                return "stale statistics"
        if isinstance(layer, nn.ReLU) and (h.max(0).values == 0).sum() > h.shape[1] // 2:
            return "dead units"
    loss = nn.functional.cross_entropy(h, y)
    return "large head" if loss > 1.5 * math.log(h.shape[1]) else "healthy"


@right("diagnose-cause")
def cause_by_hooks(net, x, y):
    seen, handles = {}, []
    for name, module in net.named_modules():
        handles.append(module.register_forward_hook(lambda m, i, o, name=name: seen.update({name: (i[0], o)})))
    logits = net(x)
    for handle in handles:
        handle.remove()
    norms = {n: m for n, m in net.named_modules() if isinstance(m, nn.BatchNorm1d)}
    linears = [m for m in net.modules() if isinstance(m, nn.Linear)]
    if not all(p.requires_grad for p in net.parameters()):
        return "frozen weight"
    if any(len(m.weight.unique(dim=0)) == 1 for m in linears):
        return "equal units"
    if any(not m.weight.any() for m in norms.values()):
        return "zero scale"
    for name, norm in norms.items():
        received, returned = seen[name]
        if not torch.allclose(copy.deepcopy(norm).train()(received), returned, rtol=0.3, atol=0.3):
            return "stale statistics"
    for name, (_, returned) in seen.items():
        if name.startswith("relu") and ((returned == 0).all(0)).float().mean() > 0.5:
            return "dead units"
    guess = math.log(logits.shape[1])
    return "large head" if nn.functional.cross_entropy(logits, y) > 2 * guess else "healthy"


@right("diagnose-cause")
def cause_in_another_order(net, x, y):
    twin = copy.deepcopy(net)
    known = cause_by_questions(twin, x, y)
    return known.capitalize() if known == "healthy" else known


@wrong("diagnose-cause", "whatever the classes are")
def cause_by_a_fixed_loss(net, x, y):
    known = EXERCISES["diagnose-cause"].reference(net, x, y)
    large = nn.functional.cross_entropy(net(x), y) > 4
    return "large head" if known == "healthy" and large else known


@wrong("diagnose-cause", "a dead one is off for all of them")
def cause_by_zero_entries(net, x, y):
    known = EXERCISES["diagnose-cause"].reference(net, x, y)
    if known in ("healthy", "large head"):
        for layer in net:
            x = layer(x)
            if isinstance(layer, nn.ReLU) and (x == 0).double().mean() > 0.5:
                return "dead units"
    return known


def renamed(cause, word, *inputs):
    known = EXERCISES["diagnose-cause"].reference(*inputs)
    return word if known == cause else known


@wrong("diagnose-cause", "You do not see stale statistics")
def cause_without_statistics(*inputs):
    return renamed("stale statistics", "healthy", *inputs)


@wrong("diagnose-cause", "You do not see the zero scale")
def cause_without_scales(*inputs):
    return renamed("zero scale", "healthy", *inputs)


@wrong("diagnose-cause", "wrong with the healthy network")
def cause_without_patience(*inputs):
    return renamed("healthy", "large head", *inputs)


@wrong("diagnose-cause", "every network but the one with dead units")
def cause_by_the_loss_first(*inputs):
    return renamed("dead units", "large head", *inputs)
