"""Answers to the exercises of chapter 7, right and wrong, as students write them."""

import copy
import math

import torch
from torch import nn

from exercise_bank import right, wrong

# --- recipe-head --------------------------------------------------------------------------------------


@right("recipe-head")
def head_formula(classes, n, q, excess):
    return math.sqrt(2 * excess * classes / ((classes - 1) * n * q))


@right("recipe-head")
def head_in_steps(classes, n, q, excess):
    v = excess / (0.5 * (1 - 1 / classes))
    return torch.tensor(v / n / q).sqrt()


@right("recipe-head")
def head_by_search(classes, n, q, excess):
    low, high = 0.0, 10.0
    for _ in range(60):
        std = (low + high) / 2
        too_large = 0.5 * (1 - 1 / classes) * n * q * std**2 > excess
        low, high = (low, std) if too_large else (std, high)
    return low


@wrong("recipe-head", "its root")
def head_variance(classes, n, q, excess):
    return 2 * excess / (1 - 1 / classes) / n / q


@wrong("recipe-head", "1 - 1/C")
def head_many_classes(classes, n, q, excess):
    return math.sqrt(2 * excess / n / q)


@wrong("recipe-head", "one half")
def head_no_half(classes, n, q, excess):
    return math.sqrt(excess / (1 - 1 / classes) / n / q)


@wrong("recipe-head", "forgot the hidden units' second moment")
def head_no_q(classes, n, q, excess):
    return math.sqrt(2 * excess / (1 - 1 / classes) / n)


@wrong("recipe-head", "He's deviation")
def head_he(classes, n, q, excess):
    return math.sqrt(2 / n)


@wrong("recipe-head", "fan_out")
def head_fan_out(classes, n, q, excess):
    return math.sqrt(2 * excess / (1 - 1 / classes) / classes / q)


# --- recipe-example -----------------------------------------------------------------------------------


@right("recipe-example")
def example_isinstance(m, generator):
    if isinstance(m, nn.Linear):
        nn.init.xavier_uniform_(m.weight, generator=generator)
        if m.bias is not None:
            nn.init.constant_(m.bias, 0)


@right("recipe-example")
def example_bound(m, generator):
    with torch.no_grad():
        if isinstance(m, nn.Linear):
            bound = math.sqrt(6 / (m.in_features + m.out_features))
            m.weight.uniform_(-bound, bound, generator=generator)
            for name, p in m.named_parameters(recurse=False):
                if name == "bias":
                    p.zero_()


@right("recipe-example")
def example_copy(m, generator):
    if isinstance(m, nn.Linear):
        n_out, n_in = m.weight.shape
        unit = 2 * torch.rand(n_out, n_in, generator=generator) - 1
        with torch.no_grad():
            m.weight.copy_(unit * (6 / (n_in + n_out)) ** 0.5)
            if m.bias is not None:
                m.bias.mul_(0)
    return m


@wrong("recipe-example", "out_proj")
def example_type(m, generator):
    if type(m) == nn.Linear:  # noqa: E721
        example_isinstance(m, generator)


@wrong("recipe-example", "`.data`")
def example_data(m, generator):
    if isinstance(m, nn.Linear):
        bound = math.sqrt(6 / (m.in_features + m.out_features))
        m.weight.data.uniform_(-bound, bound, generator=generator)
        if m.bias is not None:
            m.bias.data.fill_(0)


@wrong("recipe-example", "is None")
def example_no_bias(m, generator):
    if isinstance(m, nn.Linear):
        nn.init.xavier_uniform_(m.weight, generator=generator)
        with torch.no_grad():
            m.bias.zero_()


@wrong("recipe-example", "small constant")
def example_constant(m, generator):
    if isinstance(m, nn.Linear):
        nn.init.xavier_uniform_(m.weight, generator=generator)
        if m.bias is not None:
            nn.init.constant_(m.bias, 0.01)


@wrong("recipe-example", "as they were")
def example_weights_only(m, generator):
    if isinstance(m, nn.Linear):
        nn.init.xavier_uniform_(m.weight, generator=generator)


@wrong("recipe-example", "rows are no fan")
def example_by_dimension(m, generator):
    if hasattr(m, "weight") and m.weight.dim() > 1:
        nn.init.xavier_uniform_(m.weight, generator=generator)
        if getattr(m, "bias", None) is not None:
            nn.init.zeros_(m.bias)


@wrong("recipe-example", "optimizer made before")
def example_new_parameters(m, generator):
    if isinstance(m, nn.Linear):
        m.weight = nn.Parameter(torch.empty_like(m.weight))
        nn.init.xavier_uniform_(m.weight, generator=generator)
        if m.bias is not None:
            m.bias = nn.Parameter(torch.zeros_like(m.bias))


@wrong("recipe-example", "global stream")
def example_global(m, generator):
    if isinstance(m, nn.Linear):
        nn.init.xavier_uniform_(m.weight)
        if m.bias is not None:
            nn.init.zeros_(m.bias)


@wrong("recipe-example", "uniform ones")
def example_normal(m, generator):
    if isinstance(m, nn.Linear):
        nn.init.xavier_normal_(m.weight, generator=generator)
        if m.bias is not None:
            nn.init.zeros_(m.bias)


# --- recipe-branch-ends -------------------------------------------------------------------------------

NAMES = ("self_out", "cross_out", "down")


def ends(blocks):
    return [block[name] for block in blocks for name in NAMES]


@right("recipe-branch-ends")
def ends_normal(blocks, generator):
    for end in ends(blocks):
        nn.init.normal_(end.weight, 0, (3 * len(blocks) * end.in_features) ** -0.5, generator=generator)
        nn.init.zeros_(end.bias)


@right("recipe-branch-ends")
def ends_scaled(blocks, generator):
    with torch.no_grad():
        for name in reversed(NAMES):
            for block in blocks:
                nn.init.kaiming_normal_(block[name].weight, nonlinearity="relu", generator=generator)
                block[name].weight /= math.sqrt(2 * 3 * len(blocks))
                block[name].bias *= 0


@right("recipe-branch-ends")
def ends_copied(blocks, generator):
    for end in ends(blocks):
        unit = torch.randn(*end.weight.shape, generator=generator)
        end.load_state_dict(
            {
                "weight": unit * math.sqrt(1 / end.in_features / len(ends(blocks))),
                "bias": torch.zeros(end.out_features),
            }
        )


@wrong("recipe-branch-ends", "counted blocks")
def ends_blocks(blocks, generator):
    for end in ends(blocks):
        nn.init.normal_(end.weight, std=1 / math.sqrt(end.in_features * len(blocks)), generator=generator)
        nn.init.zeros_(end.bias)


@wrong("recipe-branch-ends", "divide by its root")
def ends_no_root(blocks, generator):
    for end in ends(blocks):
        nn.init.kaiming_normal_(end.weight, nonlinearity="linear", generator=generator)
        nn.init.zeros_(end.bias)
        with torch.no_grad():
            end.weight /= len(blocks) * 3


@wrong("recipe-branch-ends", "doubles with each branch")
def ends_unscaled(blocks, generator):
    for end in ends(blocks):
        nn.init.kaiming_normal_(end.weight, nonlinearity="linear", generator=generator)
        nn.init.zeros_(end.bias)


@wrong("recipe-branch-ends", "He's weights")
def ends_he(blocks, generator):
    for end in ends(blocks):
        nn.init.kaiming_normal_(end.weight, generator=generator)
        nn.init.zeros_(end.bias)
        with torch.no_grad():
            end.weight /= math.sqrt(len(blocks) * 3)


@wrong("recipe-branch-ends", "fan_out of `down`")
def ends_fan_out(blocks, generator):
    for end in ends(blocks):
        nn.init.normal_(end.weight, std=(3 * len(blocks) * end.weight.shape[0]) ** -0.5, generator=generator)
        nn.init.zeros_(end.bias)


@wrong("recipe-branch-ends", "as they were")
def ends_biases(blocks, generator):
    for end in ends(blocks):
        nn.init.normal_(end.weight, std=(3 * len(blocks) * end.in_features) ** -0.5, generator=generator)


@wrong("recipe-branch-ends", "what stood in the weights")
def ends_only_scaled(blocks, generator):
    with torch.no_grad():
        for end in ends(blocks):
            end.weight /= math.sqrt(len(ends(blocks)))
            end.bias.zero_()


@wrong("recipe-branch-ends", "uniform numbers")
def ends_uniform(blocks, generator):
    for end in ends(blocks):
        bound = (len(blocks) * end.in_features) ** -0.5
        nn.init.uniform_(end.weight, -bound, bound, generator=generator)
        nn.init.zeros_(end.bias)


@wrong("recipe-branch-ends", "same weights")
def ends_alike(blocks, generator):
    ends_normal(blocks, generator)
    with torch.no_grad():
        for block in blocks[1:]:
            for name in NAMES:
                block[name].weight.copy_(blocks[0][name].weight)


# --- recipe-unsteady ----------------------------------------------------------------------------------


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def differing(first, second):
    return [name for name in first if not torch.equal(first[name], second[name])]


@right("recipe-unsteady")
def unsteady_two_models(build, initialize):
    first, second = build(), build()
    initialize(first, seeded(7))
    initialize(second, seeded(7))
    return differing(first.state_dict(), second.state_dict())


@right("recipe-unsteady")
def unsteady_with_rewind(build, initialize):
    generator, states = seeded(), []
    for _ in range(2):
        model = build()
        generator.manual_seed(5)
        initialize(model, generator)
        states.append(copy.deepcopy(model.state_dict()))
    return set(differing(*states))


@right("recipe-unsteady")
def unsteady_by_difference(build, initialize):
    a, b = build(), build()
    for model in (a, b):
        initialize(model, seeded())
    pairs = zip([*a.named_parameters(), *a.named_buffers()], [*b.parameters(), *b.buffers()], strict=True)
    return tuple(name for (name, one), other in pairs if (one - other).abs().max() > 0)


@wrong("recipe-unsteady", "names nothing")
def unsteady_alias(build, initialize):
    model = build()
    initialize(model, seeded())
    before = model.state_dict()
    initialize(model, seeded())
    return differing(before, model.state_dict())


@wrong("recipe-unsteady", "parameters only")
def unsteady_parameters(build, initialize):
    a, b = build(), build()
    initialize(a, seeded())
    initialize(b, seeded())
    return differing(dict(a.named_parameters()), dict(b.named_parameters()))


@wrong("recipe-unsteady", "moved on")
def unsteady_one_generator(build, initialize):
    a, b, generator = build(), build(), seeded()
    initialize(a, generator)
    initialize(b, generator)
    return differing(a.state_dict(), b.state_dict())


@wrong("recipe-unsteady", "began with the same numbers")
def unsteady_deepcopy(build, initialize):
    a = build()
    b = copy.deepcopy(a)
    initialize(a, seeded())
    initialize(b, seeded())
    return differing(a.state_dict(), b.state_dict())


@wrong("recipe-unsteady", "started one model twice")
def unsteady_one_model(build, initialize):
    model = build()
    initialize(model, seeded())
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    initialize(model, seeded())
    return differing(before, model.state_dict())


@wrong("recipe-unsteady", "sentinel")
def unsteady_sentinel(build, initialize):
    model = build()
    with torch.no_grad():
        for tensor in (*model.parameters(), *model.buffers()):
            tensor.fill_(float("nan"))
    initialize(model, seeded())
    return [name for name, tensor in model.state_dict().items() if tensor.isnan().any()]


@wrong("recipe-unsteady", "that agree")
def unsteady_reversed(build, initialize):
    a, b = build(), build()
    initialize(a, seeded())
    initialize(b, seeded())
    b = b.state_dict()
    return [name for name, tensor in a.state_dict().items() if torch.equal(tensor, b[name])]


@wrong("recipe-branch-ends", "left out `cross_out`")
def ends_two_of_three(blocks, generator):
    for block in blocks:
        for end in (block["self_out"], block["down"]):
            nn.init.normal_(end.weight, std=(3 * len(blocks) * end.in_features) ** -0.5, generator=generator)
            nn.init.zeros_(end.bias)
