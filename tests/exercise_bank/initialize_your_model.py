import copy
import hashlib
import math
import zlib

import torch
from torch import nn

from exercise_bank import right, wrong

# --- recipe-rare-classes -----------------------------------------------------------------------------


@right("recipe-rare-classes")
def rare_by_log_counts(head, counts):
    """Softmax does not notice a constant that is added to all logits."""
    with torch.no_grad():
        head.weight.zero_()
        head.bias.copy_(counts.log())
    p = counts / counts.sum()
    return -(p * p.log()).sum()


@right("recipe-rare-classes")
def rare_measured(head, counts):
    nn.init.zeros_(head.weight)
    head.bias.data = torch.log(counts / counts.sum())
    labels = torch.repeat_interleave(torch.arange(len(counts)), counts)
    logits = head.bias.detach().expand(len(labels), -1)
    return nn.functional.cross_entropy(logits, labels).item()


@right("recipe-rare-classes")
def rare_by_loop(head, counts):
    total, loss = counts.sum().item(), 0.0
    with torch.no_grad():
        head.weight.fill_(0)
        for c, count in enumerate(counts.tolist()):
            head.bias[c] = math.log(count / total)
            loss -= count / total * math.log(count / total)
    return loss


# --- recipe-example ----------------------------------------------------------------------------------


@right("recipe-example")
def example_isinstance(m, generator):
    if isinstance(m, nn.Linear):
        nn.init.xavier_uniform_(m.weight, generator=generator)
        if m.bias is not None:
            nn.init.constant_(m.bias, 0)


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


@wrong("recipe-example", "You drew the convolution, too")
def init_weights_of_both_kinds(m, generator):
    if isinstance(m, (nn.Linear, nn.Conv2d)):
        nn.init.xavier_uniform_(m.weight, generator=generator)
        if m.bias is not None:
            m.bias.data.zero_()


@wrong("recipe-example", "You initialized the children")
def example_children(m, generator):
    for child in m.children():
        if isinstance(child, nn.Linear):
            nn.init.xavier_uniform_(child.weight.data, generator=generator)
            if child.bias is not None:
                child.bias.data.fill_(0)


@wrong("recipe-example", "You went by the name of the class")
def example_by_name(m, generator):
    if m.__class__.__name__.find("Linear") != -1:
        nn.init.xavier_uniform_(m.weight, generator=generator)
        if m.bias is not None:
            m.bias.data.zero_()


# --- recipe-branch-ends ------------------------------------------------------------------------------


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
def ends_copied_into(blocks, generator):
    for end in ends(blocks):
        numbers = torch.randn(end.weight.shape, generator=generator)
        end.weight.data.copy_(numbers / math.sqrt(end.in_features * len(ends(blocks))))
        end.bias.data = torch.zeros_like(end.bias)


@wrong("recipe-branch-ends", "new parameters in place of the old ones")
def ends_replaced(blocks, generator):
    for end in ends(blocks):
        numbers = torch.randn(end.weight.shape, generator=generator)
        end.weight = nn.Parameter(numbers / math.sqrt(end.in_features * len(ends(blocks))))
        end.bias = nn.Parameter(torch.zeros_like(end.bias))


# --- recipe-unsteady ---------------------------------------------------------------------------------


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def differing(first, second):
    return [name for name in first if not torch.equal(first[name], second[name])]


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


@wrong("recipe-unsteady", "You compared up to a tolerance")
def unsteady_with_relative_tolerance(build, initialize):
    a, b = build(), build()
    for model in (a, b):
        initialize(model, seeded())
    state = b.state_dict()
    return [name for name, one in a.state_dict().items() if not torch.allclose(one, state[name], rtol=0.1)]


@wrong("recipe-unsteady", "You compared up to a tolerance")
def unsteady_with_default_tolerance(build, initialize):
    a, b = build(), build()
    for model in (a, b):
        initialize(model, seeded())
    state = b.state_dict()
    return [name for name, one in a.state_dict().items() if not torch.allclose(one, state[name])]


# --- recipe-by-name ----------------------------------------------------------------------------------


def digest(*parts):
    return int.from_bytes(hashlib.sha256("/".join(map(str, parts)).encode()).digest()[:7], "big")


@right("recipe-by-name")
def by_name_hashed(model, seed):
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(torch.randn(p.shape, generator=torch.Generator().manual_seed(digest(seed, name))))


@wrong("recipe-by-name", "Your numbers do not depend on `seed`")
def by_name_in_high_bits(model, seed):
    for name, p in model.named_parameters():
        g = torch.Generator()
        g.manual_seed(seed * 2**32 + zlib.crc32(name.encode()))
        nn.init.normal_(p, generator=g)


@wrong("recipe-by-name", "your numbers depend on the place")
def by_name_in_sorted_order(model, seed):
    g = seeded(seed)
    for _, p in sorted(model.named_parameters()):
        nn.init.normal_(p, generator=g)


@right("recipe-by-name")
def by_name_crc(model, seed):
    for name, p in model.named_parameters():
        g = torch.Generator()
        g.manual_seed(7919 * seed + zlib.crc32(name.encode()))
        nn.init.normal_(p, generator=g)
    return model


@right("recipe-by-name")
def by_name_of_layers(model, seed):
    for name, module in model.named_modules():
        for kind, p in module.named_parameters(recurse=False):
            p.data.normal_(generator=torch.Generator().manual_seed(digest(name, kind, seed)))


@wrong("recipe-by-name", "Python's own `hash`")
def by_name_with_pythons_hash(model, seed):
    names = [name for name, _ in model.named_parameters()]
    for parameter, number in zip(model.parameters(), map(hash, names), strict=True):
        nn.init.normal_(parameter, generator=torch.Generator().manual_seed(number % 2**32 + seed))


@wrong("recipe-by-name", "let the whole name enter")
def by_name_by_letters(model, seed):
    for name, p in model.named_parameters():
        nn.init.normal_(p, generator=seeded(10_000 * seed + sum(map(ord, name))))


@wrong("recipe-by-name", "let the whole name enter")
def by_name_by_kind(model, seed):
    for name, p in model.named_parameters():
        nn.init.normal_(p, generator=seeded(seed + zlib.crc32(name.rpartition(".")[2].encode())))


@wrong("recipe-by-name", "The seeds 0 and 1")
def by_name_without_zero(model, seed):
    for name, p in model.named_parameters():
        nn.init.normal_(p, generator=seeded((seed or 1) + zlib.crc32(name.encode())))


@wrong("recipe-by-name", "a product with 0 is 0")
def by_name_in_a_product(model, seed):
    for name, p in model.named_parameters():
        p.data = torch.randn(p.shape, generator=torch.Generator().manual_seed(zlib.crc32(name.encode()) * seed))


def of_two_models(found_in):
    """A test that compares what it finds in the tensors of two models."""

    def test(build, initialize):
        first, second = build(), build()
        for model in (first, second):
            initialize(model, torch.Generator().manual_seed(3))
        others = second.state_dict()
        return [name for name, one in first.state_dict().items() if found_in(one) != found_in(others[name])]

    return test


@wrong("recipe-unsteady", "one number of each tensor")
def unsteady_by_means(build, initialize):
    return of_two_models(lambda tensor: tensor.mean().item())(build, initialize)


@wrong("recipe-unsteady", "one number of each tensor")
def unsteady_by_lengths(build, initialize):
    return of_two_models(lambda tensor: float(tensor.norm()))(build, initialize)


# --- answers that a reader gave, and a check once took or misnamed ------------------------------------


@wrong("recipe-rare-classes", "can never learn")
def start_and_freeze(head, counts):
    for parameter in head.parameters():
        parameter.requires_grad = False
    head.weight.fill_(0)
    head.bias.copy_(counts.to(head.bias.dtype).log())
    return torch.distributions.Categorical(counts.double()).entropy()


@wrong("recipe-by-name", "left the others as they were")
def draw_weights_by_name(model, seed):
    for name, parameter in model.named_parameters():
        if not name.endswith("bias"):
            own = torch.Generator().manual_seed(zlib.crc32(f"{seed}/{name}".encode()))
            with torch.no_grad():
                parameter.normal_(generator=own)
