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


# --- from a second look: what else students write -----------------------------------------------------


@wrong("recipe-head", "variance of the logits. It is the sum")
def head_stops_at_logits(classes, n, q, excess):
    return 2 * excess * classes / (classes - 1)


@wrong("recipe-head", "You multiplied by 1 - 1/C")
def head_upside_down(classes, n, q, excess):
    return math.sqrt(2 * excess * (1 - 1 / classes) / (n * q))


@wrong("recipe-head", "excess itself")
def head_excess_is_variance(classes, n, q, excess):
    return math.sqrt(excess / n / q)


@right("recipe-example")
class ExampleCallable:
    """Not a function, and called all the same."""

    def __new__(cls, m, generator):
        return example_copy(m, generator)


@right("recipe-example")
def example_detached(m, generator):
    """A detached parameter shares the version counter, so autograd notices."""
    if isinstance(m, nn.Linear):
        nn.init.xavier_uniform_(m.weight.detach(), generator=generator)
        if m.bias is not None:
            m.bias.detach().zero_()


@wrong("recipe-example", "passed over the layer without a bias")
def example_only_with_bias(m, generator):
    if isinstance(m, nn.Linear) and m.bias is not None:
        nn.init.xavier_uniform_(m.weight, generator=generator)
        nn.init.zeros_(m.bias)


@wrong("recipe-example", "gain of ReLU")
def example_gain(m, generator):
    if isinstance(m, nn.Linear):
        nn.init.xavier_uniform_(m.weight, gain=nn.init.calculate_gain("relu"), generator=generator)
        if m.bias is not None:
            nn.init.zeros_(m.bias)


@wrong("recipe-example", "bound is Glorot's deviation")
def example_deviation_as_bound(m, generator):
    if isinstance(m, nn.Linear):
        bound = math.sqrt(2 / (m.in_features + m.out_features))
        nn.init.uniform_(m.weight, -bound, bound, generator=generator)
        if m.bias is not None:
            nn.init.zeros_(m.bias)


@wrong("recipe-example", "He's normal weights")
def example_he_normal(m, generator):
    if isinstance(m, nn.Linear):
        nn.init.kaiming_normal_(m.weight, generator=generator)
        if m.bias is not None:
            nn.init.zeros_(m.bias)


@wrong("recipe-example", "such as that of the normalization")
def example_all_biases(m, generator):
    if isinstance(m, nn.Linear):
        nn.init.xavier_uniform_(m.weight, generator=generator)
    if getattr(m, "bias", None) is not None:
        nn.init.zeros_(m.bias)


@wrong("recipe-example", "packed matrix of the attention itself")
def example_attention(m, generator):
    if isinstance(m, (nn.Linear, nn.MultiheadAttention)):
        for p in m.parameters(recurse=False):
            if p.dim() > 1:
                nn.init.xavier_uniform_(p, generator=generator)
            else:
                nn.init.zeros_(p)


@wrong("recipe-example", "went by the shapes")
def example_by_parameters(m, generator):
    for name, p in m.named_parameters(recurse=False):
        if p.dim() > 1:
            nn.init.xavier_uniform_(p, generator=generator)
        elif name.endswith("bias"):
            nn.init.zeros_(p)


@wrong("recipe-example", "do not depend on `generator`")
def example_seeded(m, generator):
    torch.manual_seed(0)
    if isinstance(m, nn.Linear):
        nn.init.xavier_uniform_(m.weight)
        if m.bias is not None:
            nn.init.zeros_(m.bias)


@wrong("recipe-example", "changed no module")
def example_of_a_copy(m, generator):
    m = copy.deepcopy(m)
    example_isinstance(m, generator)
    return m


@right("recipe-branch-ends")
def ends_replaced(blocks, generator):
    for end in ends(blocks):
        numbers = torch.randn(end.weight.shape, generator=generator)
        end.weight = nn.Parameter(numbers / math.sqrt(end.in_features * len(ends(blocks))))
        end.bias = nn.Parameter(torch.zeros_like(end.bias))


@wrong("recipe-branch-ends", "three branches of one block")
def ends_of_one_block(blocks, generator):
    for block in blocks:
        for name in NAMES:
            std = 1 / math.sqrt(block[name].in_features * len(NAMES))
            nn.init.normal_(block[name].weight, std=std, generator=generator)
            nn.init.zeros_(block[name].bias)


@wrong("recipe-branch-ends", "two branches a block")
def ends_as_gpt2(blocks, generator):
    for end in ends(blocks):
        nn.init.normal_(end.weight, std=(2 * len(blocks) * end.in_features) ** -0.5, generator=generator)
        nn.init.zeros_(end.bias)


@wrong("recipe-branch-ends", "started `down` only")
def ends_down(blocks, generator):
    for block in blocks:
        end = block["down"]
        nn.init.normal_(end.weight, std=(3 * len(blocks) * end.in_features) ** -0.5, generator=generator)
        nn.init.zeros_(end.bias)


@wrong("recipe-branch-ends", "average fan_in and fan_out")
def ends_glorot(blocks, generator):
    for end in ends(blocks):
        nn.init.xavier_normal_(end.weight, gain=(3 * len(blocks)) ** -0.5, generator=generator)
        nn.init.zeros_(end.bias)


@wrong("recipe-branch-ends", "seeded another one")
def ends_seeded(blocks, generator):
    ends_normal(blocks, torch.Generator().manual_seed(42))


@wrong("recipe-branch-ends", "changed nothing")
def ends_of_a_copy(blocks, generator):
    blocks = copy.deepcopy(blocks)
    ends_normal(blocks, generator)
    return blocks


@right("recipe-unsteady")
def unsteady_generator(build, initialize):
    return (name for name in unsteady_two_models(build, initialize))


@right("recipe-unsteady")
def unsteady_keys(build, initialize):
    return dict.fromkeys(unsteady_two_models(build, initialize)).keys()


@right("recipe-unsteady")
def unsteady_from_fills(build, initialize):
    states = []
    for number in (1.0, 2.0):
        model = build()
        with torch.no_grad():
            for tensor in model.state_dict().values():
                tensor.fill_(number)
        initialize(model, seeded())
        states.append(model.state_dict())
    return differing(*states)


@wrong("recipe-unsteady", "buffers only")
def unsteady_buffers(build, initialize):
    a, b = build(), build()
    initialize(a, seeded())
    initialize(b, seeded())
    return differing(dict(a.named_buffers()), dict(b.named_buffers()))


@wrong("recipe-unsteady", "every tensor")
def unsteady_not_started(build, initialize):
    return differing(build().state_dict(), build().state_dict())
