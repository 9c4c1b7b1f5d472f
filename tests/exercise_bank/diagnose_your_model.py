import torch
from torch import nn

from exercise_bank import right

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
