import copy
import math

import numpy as np
import torch
from torch import nn

from exercise_bank import right, wrong

# --- start-logit-spread -------------------------------------------------------------------------------


@right("start-logit-spread")
def spread_formula(classes, loss):
    return math.sqrt((loss - math.log(classes)) / (0.5 * (1 - 1 / classes)))


@right("start-logit-spread")
def spread_bisection(classes, loss):
    low, high = 0.0, 5.0
    for _ in range(60):
        middle = (low + high) / 2
        cost = np.log(classes) + 0.5 * (classes - 1) / classes * middle**2
        low, high = (middle, high) if cost < loss else (low, middle)
    return low


@right("start-logit-spread")
def spread_tensor(classes, loss):
    excess = torch.tensor(loss) - torch.tensor(float(classes)).log()
    return (2 * classes / (classes - 1) * excess).sqrt()


@wrong("start-logit-spread", "variance of the logits")
def spread_squared(classes, loss):
    return 2 * classes * (loss - math.log(classes)) / (classes - 1)


@wrong("start-logit-spread", "left out 1 - 1/C")
def spread_without_mean(classes, loss):
    return (2 * (loss - math.log(classes))) ** 0.5


@wrong("start-logit-spread", "one half")
def spread_without_half(classes, loss):
    return ((loss - math.log(classes)) * classes / (classes - 1)) ** 0.5


@wrong("start-logit-spread", "multiplied by 1 - 1/C")
def spread_times(classes, loss):
    return (2 * (loss - math.log(classes)) * (classes - 1) / classes) ** 0.5


@wrong("start-logit-spread", "above ln C")
def spread_whole(classes, loss):
    return (2 * classes * loss / (classes - 1)) ** 0.5


@wrong("start-logit-spread", "base 10")
def spread_base_ten(classes, loss):
    return float(np.sqrt(2 * (loss - np.log10(classes)) / (1 - 1 / classes)))


# --- start-first-moves --------------------------------------------------------------------------------


@right("start-first-moves")
def moves_tuple():
    return 4, 3, 2, 1, 2, 2, 1, 2, 0, 0, 0, 2


@right("start-first-moves")
def moves_list():
    return [*(4, 3, 2, 1), *(2, 2, 1, 2), *(0, 0, 0, 2)]


@right("start-first-moves")
def moves_array():
    return tuple(np.array([4, 3, 2, 1, 2, 2, 1, 2, 0, 0, 0, 2]))


@wrong("start-first-moves", "let all weights move in the first step")
def moves_at_once():
    return 1, 1, 1, 1, 2, 2, 1, 2, 0, 0, 0, 2


@wrong("start-first-moves", "let no weight ever move")
def moves_never():
    return 0, 0, 0, 0, 2, 2, 1, 2, 0, 0, 0, 2


@wrong("start-first-moves", "let the first layer begin")
def moves_from_below():
    return 1, 2, 3, 4, 2, 2, 1, 2, 0, 0, 0, 2


@wrong("start-first-moves", "W4 cannot")
def moves_top_at_once():
    return 4, 3, 2, 1, 2, 2, 1, 1, 0, 0, 0, 2


@wrong("start-first-moves", "froze W3")
def moves_zero_waits():
    return 4, 3, 2, 1, 2, 2, 2, 1, 0, 0, 0, 2


@wrong("start-first-moves", "do move, one step after")
def moves_below_never():
    return 4, 3, 2, 1, 0, 0, 1, 2, 0, 0, 0, 2


@wrong("start-first-moves", "free each other")
def moves_two_zeros():
    return 4, 3, 2, 1, 2, 2, 1, 2, 3, 2, 2, 1


@wrong("start-first-moves", "W4 does move")
def moves_nothing_at_all():
    return 4, 3, 2, 1, 2, 2, 1, 2, 0, 0, 0, 0


# --- start-ranks --------------------------------------------------------------------------------------


@right("start-ranks")
def ranks_formula(first, second):
    return first, min(first, second), min(second, 10)


@right("start-ranks")
def ranks_floats(first, second):
    return [float(first), float(min(first, second)), float(second)]


@right("start-ranks")
def ranks_measured(first, second):
    a, b = torch.arange(60) % first, torch.arange(60) % second
    w1, w2, w3 = torch.randn(first, 64)[a], torch.randn(second, first)[b][:, a], torch.randn(10, second)[:, b]
    return tuple(int(torch.linalg.matrix_rank(w)) for w in (w1, w2, w3))


@wrong("start-ranks", "all units of a layer for equal")
def ranks_one(first, second):
    return 1, 1, 1


@wrong("start-ranks", "training undo")
def ranks_full(first, second):
    return 60, 60, 10


@wrong("start-ranks", "the smaller number")
def ranks_larger(first, second):
    return first, max(first, second), second


@wrong("start-ranks", "multiplied the groups")
def ranks_product(first, second):
    return first, first * second, second


@wrong("start-ranks", "ten rows")
def ranks_classes(first, second):
    return first, min(first, second), 10


@wrong("start-ranks", "groups of layer 2")
def ranks_above(first, second):
    return second, min(first, second), second


# --- start-dead-units ---------------------------------------------------------------------------------


@right("start-dead-units")
def dead_by_largest(z):
    dims = tuple(d for d in range(z.dim()) if d != 1)
    return (z.amax(dim=dims) <= 0).double().mean()


@right("start-dead-units")
def dead_loop(z):
    dead = 0
    for unit in range(z.shape[1]):
        if not (z[:, unit] > 0).any():
            dead += 1
    return dead / z.shape[1]


@right("start-dead-units")
def dead_by_gradient(z):
    z = z.clone().requires_grad_()
    z.relu().sum().backward()
    reached = z.grad.movedim(1, 0).reshape(z.shape[1], -1).sum(1)
    return (reached == 0).to(z.dtype).mean().item()


@right("start-dead-units")
def dead_in_place(z):
    h = z.clone().relu_()
    while h.dim() > 2:
        h = h.sum(-1)
    return 1 - (h.sum(0) > 0).to(z.dtype).mean()


def per_unit(z):
    return z.movedim(1, 0).reshape(z.shape[1], -1)


@wrong("start-dead-units", "zeros among all activations")
def dead_zeros(z):
    return (z.relu() == 0).float().mean()


@wrong("start-dead-units", "not `any`")
def dead_any(z):
    return ((per_unit(z) <= 0).sum(1) > 0).float().mean()


@wrong("start-dead-units", "counted examples")
def dead_examples(z):
    return (z.reshape(len(z), -1).amax(1) <= 0).float().mean()


@wrong("start-dead-units", "mean is not positive")
def dead_mean(z):
    return (per_unit(z).mean(1) <= 0).float().mean()


@wrong("start-dead-units", "mean over the pixels")
def dead_pooled(z):
    pooled = z.mean((2, 3)) if z.dim() == 4 else z
    return (pooled.amax(0) <= 0).float().mean()


@wrong("start-dead-units", "every pixel for a unit")
def dead_pixels(z):
    return (z.amax(0) <= 0).float().mean()


@wrong("start-dead-units", "counted the dead units")
def dead_count(z):
    return int((per_unit(z).amax(1) <= 0).sum())


@wrong("start-dead-units", "living")
def dead_living(z):
    return (per_unit(z).amax(1) > 0).float().mean()


@wrong("start-dead-units", "No unit passes")
def dead_exact_zero(z):
    return (per_unit(z).abs().sum(1) == 0).float().mean()


# --- start-calm-logits --------------------------------------------------------------------------------


@right("start-calm-logits")
@torch.no_grad()
def calm_in_place(model, x, size):
    factor = size / model(x).square().mean().sqrt()
    for parameter in model[-1].parameters():
        parameter *= factor


@right("start-calm-logits")
def calm_data(model, x, size):
    rms = model(x).norm() / model(x).numel() ** 0.5
    model[-1].weight.data = model[-1].weight.data / rms * size
    model[-1].bias.data *= size / rms.detach()


@right("start-calm-logits")
def calm_new_parameters(model, x, size):
    logits = model(x).detach()
    rms = math.sqrt(sum(value**2 for value in logits.flatten().tolist()) / logits.numel())
    head = model[-1]
    head.weight = nn.Parameter(head.weight.detach() * size / rms)
    head.bias = nn.Parameter(head.bias.detach() * size / rms)
    return model


@wrong("start-calm-logits", "mean square of the logits")
@torch.no_grad()
def calm_mean_square(model, x, size):
    factor = size / (model(x) ** 2).mean()
    for parameter in model[-1].parameters():
        parameter *= factor


@wrong("start-calm-logits", "Divide by the size they have, too")
@torch.no_grad()
def calm_times_size(model, x, size):
    model[-1].weight *= size
    model[-1].bias *= size


@wrong("start-calm-logits", "left its bias")
def calm_weight_only(model, x, size):
    model[-1].weight.data *= size / (model(x).detach() ** 2).mean() ** 0.5


@wrong("start-calm-logits", "scaled every layer")
def calm_everything(model, x, size):
    rms = (model(x).detach() ** 2).mean() ** 0.5
    for parameter in model.parameters():
        parameter.data *= size / rms


@wrong("start-calm-logits", "ignores their mean")
@torch.no_grad()
def calm_biased_deviation(model, x, size):
    factor = size / model(x).var(correction=0) ** 0.5
    for parameter in model[-1].parameters():
        parameter *= factor


@wrong("start-calm-logits", "subtracts no mean")
@torch.no_grad()
def calm_deviation(model, x, size):
    factor = size / model(x).std()
    for parameter in model[-1].parameters():
        parameter *= factor


@wrong("start-calm-logits", "every class a factor")
@torch.no_grad()
def calm_each_class(model, x, size):
    factor = size / (model(x) ** 2).mean(dim=0) ** 0.5
    model[-1].weight *= factor[:, None]
    model[-1].bias *= factor


@wrong("start-calm-logits", "upside down")
@torch.no_grad()
def calm_inverse(model, x, size):
    factor = (model(x) ** 2).mean() ** 0.5 / size
    for parameter in model[-1].parameters():
        parameter *= factor


@right("start-calm-logits")
@torch.no_grad()
def calm_copy(model, x, size):
    calmed = copy.deepcopy(model)
    factor = size / (model(x) ** 2).mean() ** 0.5
    for parameter in calmed[-1].parameters():
        parameter *= factor
    return calmed


@wrong("start-calm-logits", "no multiple of the old ones")
def calm_redrawn(model, x, size):
    nn.init.normal_(model[-1].weight, std=size / model[-1].in_features ** 0.5)
    nn.init.zeros_(model[-1].bias)


# --- start-broken -------------------------------------------------------------------------------------


def linears(model):
    return [module for module in model.modules() if isinstance(module, nn.Linear)]


@right("start-broken")
def start_normal(model, generator):
    for layer in linears(model):
        nn.init.normal_(layer.weight, std=layer.in_features**-0.5, generator=generator)
        nn.init.zeros_(layer.bias)


@right("start-broken")
def start_from_above(model, generator):
    for layer in reversed(linears(model)):
        n_out, n_in = layer.weight.shape
        layer.weight.data = torch.stack([torch.randn(n_in, generator=generator) for _ in range(n_out)]) / n_in**0.5
        layer.bias.data = torch.zeros(n_out)


@right("start-broken")
@torch.no_grad()
def start_kaiming(model, generator):
    for layer in linears(model):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="linear", generator=generator)
        layer.bias *= 0
    return model


@wrong("start-broken", "begin alike")
def start_one_row(model, generator):
    for layer in linears(model):
        row = torch.randn(layer.in_features, generator=generator) / layer.in_features**0.5
        layer.weight.data[:] = row
        nn.init.zeros_(layer.bias)


@wrong("start-broken", "still divide by n_in")
def start_too_small(model, generator):
    for layer in linears(model):
        nn.init.normal_(layer.weight, std=1 / layer.in_features, generator=generator)
        nn.init.zeros_(layer.bias)


@wrong("start-broken", "no longer divide")
def start_too_large(model, generator):
    for layer in linears(model):
        nn.init.normal_(layer.weight, generator=generator)
        nn.init.zeros_(layer.bias)


@wrong("start-broken", "root of n_out")
def start_wrong_fan(model, generator):
    for layer in linears(model):
        nn.init.normal_(layer.weight, std=layer.out_features**-0.5, generator=generator)
        nn.init.zeros_(layer.bias)


@wrong("start-broken", "PyTorch's random ones")
def start_biases(model, generator):
    for layer in linears(model):
        nn.init.normal_(layer.weight, std=layer.in_features**-0.5, generator=generator)


@wrong("start-broken", "seed a generator anew")
def start_new_generator(model, generator):
    for layer in linears(model):
        again = torch.Generator().manual_seed(1)
        nn.init.normal_(layer.weight, std=layer.in_features**-0.5, generator=again)
        nn.init.zeros_(layer.bias)


@wrong("start-broken", "are uniform")
def start_uniform(model, generator):
    for layer in linears(model):
        nn.init.kaiming_uniform_(layer.weight, nonlinearity="linear", generator=generator)
        nn.init.zeros_(layer.bias)


# --- further answers ----------------------------------------------------------------------------------


@right("start-dead-units")
def dead_by_numpy(z):
    array = z.numpy()
    axes = tuple(axis for axis in range(array.ndim) if axis != 1)
    return np.mean(array.max(axis=axes) <= 0)


@wrong("start-dead-units", "columns mix channels")
def dead_reshaped(z):
    return (z.reshape(-1, z.shape[1]).amax(0) <= 0).float().mean()


@wrong("start-dead-units", "which units are dead")
def dead_mask(z):
    return per_unit(z).amax(1) <= 0


@wrong("start-dead-units", "percentage")
def dead_percent(z):
    return 100 * (per_unit(z).amax(1) <= 0).double().mean()


@right("start-calm-logits")
def calm_state(model, x, size):
    state = model.state_dict()
    rms = model(x).pow(2).mean().sqrt().item()
    for name in list(state)[-2:]:
        state[name] = state[name] * size / rms
    model.load_state_dict(state)


@wrong("start-calm-logits", "length of all logits")
@torch.no_grad()
def calm_by_norm(model, x, size):
    length = model(x).norm()
    for parameter in model[-1].parameters():
        parameter *= size / length


@wrong("start-calm-logits", "absolute values")
@torch.no_grad()
def calm_by_mean_size(model, x, size):
    mean = model(x).abs().mean()
    for parameter in model[-1].parameters():
        parameter *= size / mean


@wrong("start-calm-logits", "the size 1")
@torch.no_grad()
def calm_to_one(model, x, size):
    rms = model(x).square().mean().sqrt()
    for parameter in model[-1].parameters():
        parameter /= rms


@wrong("start-calm-logits", "compute something else now")
@torch.no_grad()
def calm_first_layer(model, x, size):
    rms = model(x).square().mean().sqrt()
    for parameter in model[0].parameters():
        parameter *= size / rms


@right("start-broken")
@torch.no_grad()
def start_out(model, generator):
    for layer in linears(model):
        torch.randn(layer.weight.shape, generator=generator, out=layer.weight.data)
        layer.weight /= math.sqrt(layer.in_features)
        layer.bias.fill_(0)


@wrong("start-broken", "one number for each row")
def start_one_column(model, generator):
    for layer in linears(model):
        column = torch.randn(layer.out_features, 1, generator=generator) / layer.in_features**0.5
        layer.weight.data = column.repeat(1, layer.in_features)
        nn.init.zeros_(layer.bias)


@wrong("start-broken", "multiply by the root")
def start_times_root(model, generator):
    for layer in linears(model):
        layer.weight.data = torch.randn(layer.weight.shape, generator=generator) * layer.in_features**0.5
        nn.init.zeros_(layer.bias)


@wrong("start-broken", "That is He's")
def start_he(model, generator):
    for layer in linears(model):
        nn.init.kaiming_normal_(layer.weight, generator=generator)
        nn.init.zeros_(layer.bias)


@wrong("start-broken", "that of Glorot")
def start_glorot(model, generator):
    for layer in linears(model):
        nn.init.xavier_normal_(layer.weight, generator=generator)
        nn.init.zeros_(layer.bias)


@wrong("start-broken", "gain 5/3")
def start_tanh_gain(model, generator):
    for layer in linears(model):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="tanh", generator=generator)
        nn.init.zeros_(layer.bias)


@wrong("start-broken", "global stream")
def start_global(model, generator):
    for layer in linears(model):
        nn.init.normal_(layer.weight, std=layer.in_features**-0.5)
        nn.init.zeros_(layer.bias)


@wrong("start-broken", "fixed seed")
def start_seeded(model, generator):
    torch.manual_seed(0)
    start_global(model, generator)
