"""Exercises about the clinic for BatchNorm."""

import copy
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from tutorial_utils.exercises.compare import Outcome
from tutorial_utils.exercises.registry import Function, Inputs, exercise
from tutorial_utils.exercises.toolbox import between, normal, scramble, sizes, uniform

# --- freezing -----------------------------------------------------------------------------------------


def _fine_tuning(*, generator: torch.Generator) -> Inputs:
    return normal(2, 3, 4, 4, generator=generator, mean=2), normal(5, 6, generator=generator, mean=2)


class OwnBatchNorm1d(nn.BatchNorm1d):
    """A BatchNorm of somebody's own, which is one nevertheless."""


def _frozen(answer: Function, images: Tensor, vectors: Tensor) -> list[Any]:
    """Let an answer change a network in training; what its normalizations do then, what learns, and what trains."""
    block = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU())
    body = nn.Sequential(nn.Sequential(block))  # too deep for two loops over children
    net = nn.Sequential(body, nn.Flatten(), nn.Linear(12, 6), OwnBatchNorm1d(6), nn.Dropout(0.5)).to(images.dtype)
    for buffer in net.train().buffers():
        buffer.add_(1)  # other statistics than those of a new module
    before = block[1], net[3]
    answer(net)
    after = block[1], net[3]  # an answer may have put modules of its own in their places
    collected = {
        "output of BatchNorm2d": after[0](images),
        "output of BatchNorm1d": after[1](vectors),
        "running mean of BatchNorm2d after a batch": before[0].running_mean,
        "running mean of BatchNorm1d after a batch": before[1].running_mean,
    }
    learned = {name: parameter.numel() for name, parameter in net.named_parameters() if parameter.requires_grad}
    return [collected, learned, [name for name, module in net.named_modules() if module.training]]


def _and_all_else(raw: tuple[Outcome, dict[str, int], list[str]], images: Tensor, vectors: Tensor) -> Outcome:
    """The same, and whether all else trains as before."""
    collected, learned, training = raw
    of_norms = {name: count for name, count in learned.items() if name.startswith(("0.0.0.1.", "3."))}
    return collected | {
        "learned numbers in both": sum(of_norms.values()),
        "weights are learned": {"0.0.0.0.weight", "0.0.0.0.bias", "2.weight", "2.bias"} <= set(learned),
        "dropout is on": "4" in training,
    }


def _change(*changes: Function, kind: type[nn.Module] = _BatchNorm, among: Function = nn.Module.modules) -> Function:
    """An answer that does something to each BatchNorm, of one kind or among some modules only."""

    def answer(net: nn.Module) -> None:
        for module in among(net):
            if isinstance(module, kind):
                for change in changes:
                    change(module)

    return answer


def _no_gradient(norm: nn.Module) -> None:
    norm.requires_grad_(False)


def _throw_away(norm: Any) -> None:
    norm.running_mean = norm.running_var = None


def _momentum(value: float | None) -> Function:
    return lambda norm: setattr(norm, "momentum", value)


@exercise(
    "eval-freeze",
    inputs=_fine_tuning,
    observe=_frozen,
    describe=_and_all_else,
    cases=2,
    rtol32=None,
    right="every BatchNorm uses and keeps its running statistics, and all else trains on.",
    mistakes={
        "Dropout is off: not only the BatchNorm modules are in eval mode. Change only these.": nn.Module.eval,
        "You switched gradients off. The running statistics are not parameters: they move in every forward pass in "
        "training mode. Put the modules in eval mode.": _change(_no_gradient),
        "The stored statistics stay, and the module still normalizes with those of the batch: momentum 0 and "
        "track_running_stats off do no more than that. Put it in eval mode.": _change(_momentum(0.0)),
        "You set momentum to 1. In PyTorch that is the weight of the new batch, so each batch replaces the stored "
        "statistics; and the module normalizes with those of the batch. Put it in eval mode.": _change(_momentum(1.0)),
        "With momentum=None the stored statistics become the average over all batches: they move, and the module "
        "normalizes with those of the batch. Put it in eval mode.": _change(_momentum(None)),
        "The BatchNorm2d inside the block is still training. `children()` stops at the top level, `modules()` goes "
        "down; and nn.BatchNorm1d is one of several classes.": _change(nn.Module.eval, among=nn.Module.children),
        "All BatchNorm modules still train as before. The network that was tried has a BatchNorm2d inside a block, "
        "where `modules()` looks and `children()` does not, and "
        "a BatchNorm1d. Put both in eval mode.": _change(nn.Module.eval, kind=nn.BatchNorm2d, among=nn.Module.children),
        "The BatchNorm2d keeps its statistics, and still normalizes with those of the batch: put it in eval mode. The "
        "BatchNorm1d trains as before.": _change(_momentum(0.0), kind=nn.BatchNorm2d),
        "The statistics of the BatchNorm2d are frozen, but so are its gamma and beta, which should go on learning. The "
        "BatchNorm1d is still training.": _change(nn.Module.eval, _no_gradient, kind=nn.BatchNorm2d),
        "The BatchNorm1d is still training: nn.BatchNorm2d is one of several classes, and each may have subclasses, as "
        "here: ask by `isinstance`.": _change(nn.Module.eval, kind=nn.BatchNorm2d),
        "gamma and beta no longer learn. Only the statistics should be frozen.": _change(nn.Module.eval, _no_gradient),
        "One of gamma and beta no longer learns. Only the statistics should be frozen.": _change(
            nn.Module.eval, lambda norm: norm.bias.requires_grad_(False)
        ),
        "You threw the stored statistics away. A BatchNorm without them normalizes with those of the batch in any "
        "mode: keep them, and put it in eval mode.": _change(_throw_away),
    },
)
def eval_freeze(net: nn.Module) -> None:
    """Put every BatchNorm of a network into eval mode."""
    _change(nn.Module.eval)(net)


# --- a target network ---------------------------------------------------------------------------------


@torch.no_grad()
def _two_networks(*, trains: bool, generator: torch.Generator) -> Inputs:
    """Two networks of one kind that agree in nothing, the target in either mode, and a rate."""

    def network() -> nn.Module:
        net = scramble(
            nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2)), generator=generator
        )
        norm: Any = net.get_submodule("1")
        norm.running_mean.normal_(generator=generator)
        norm.running_var.uniform_(1, 3, generator=generator)
        norm.num_batches_tracked.fill_(between(10, 99, generator=generator))
        return net.train()

    target, online = network(), network()
    return target.train(trains), online, uniform(0.05, 0.3, generator=generator)


def _followed(answer: Function, target: nn.Module, online: nn.Module, rate: float) -> dict[str, Any]:
    """What the target holds after a step, what the other network does, and how both are left."""
    target, online = copy.deepcopy(target), copy.deepcopy(online)
    known = dict(target.named_parameters())
    answer(target, online, rate)
    theirs = {value.data_ptr() for value in online.state_dict().values()}
    return {
        "shared": any(value.data_ptr() in theirs for value in target.state_dict().values()),
        "target": {name: value.detach().clone() for name, value in target.state_dict().items()},
        "online": {name: value.detach().clone() for name, value in online.state_dict().items()},
        "same": all(known.get(name) is parameter for name, parameter in target.named_parameters()),
        "free": all(parameter.is_leaf for parameter in target.parameters()),
        "mode": target.training,
        "online mode": online.training,
    }


def _parameters_and_buffers(raw: dict[str, Any], target: nn.Module, online: nn.Module, rate: float) -> Outcome:
    """Each parameter and buffer of the target, and whether all else is as it was."""
    before = online.state_dict()
    return {
        **raw["target"],
        "the parameters are the same objects": raw["same"],
        "the parameters belong to no graph": raw["free"],
        "the two share memory": raw["shared"],
        "the target is in training mode": raw["mode"],
        "the online network is in training mode": raw["online mode"],
        "the online network is as before": all(torch.equal(raw["online"][name], before[name]) for name in before),
    }


def _follow(
    *,
    buffers: Function = lambda ours, theirs, rate: ours.copy_(theirs),
    weights: Function = lambda rate: rate,
    afterward: Function = lambda target: None,
) -> Function:
    """Moves a target network, right unless told otherwise."""

    @torch.no_grad()
    def follow(target: nn.Module, online: nn.Module, rate: float) -> None:
        for ours, theirs in zip(target.parameters(), online.parameters(), strict=True):
            ours.lerp_(theirs, weights(rate))
        for mine, others in zip(target.buffers(), online.buffers(), strict=True):
            buffers(mine, others, rate)
        afterward(target)

    return follow


def _averaged(ours: Tensor, theirs: Tensor, rate: float) -> None:
    if ours.is_floating_point():
        ours.lerp_(theirs, rate)


def _only_counts(ours: Tensor, theirs: Tensor, rate: float) -> None:
    if not ours.is_floating_point():
        ours.copy_(theirs)


def _only_statistics(ours: Tensor, theirs: Tensor, rate: float) -> None:
    if ours.is_floating_point():
        ours.copy_(theirs)


def _all_averaged(ours: Tensor, theirs: Tensor, rate: float) -> None:
    ours.copy_(ours + rate * (theirs - ours))


@torch.no_grad()
def _replaced(target: nn.Module, online: nn.Module, rate: float) -> None:
    """Puts new parameters in place of the old ones."""
    _follow()(target, online, rate)
    for module in target.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            setattr(module, name, nn.Parameter(parameter.clone()))


@torch.no_grad()
def _shared(target: nn.Module, online: nn.Module, rate: float) -> None:
    """Hands the online network's buffers to the target."""
    _follow()(target, online, rate)
    for module, other in zip(target.modules(), online.modules(), strict=True):
        for name, buffer in other.named_buffers(recurse=False):
            setattr(module, name, buffer)


@torch.no_grad()
def _backward(target: nn.Module, online: nn.Module, rate: float) -> None:
    """Moves the online network in place of the target."""
    _follow()(online, target, rate)


@torch.no_grad()
def _without_shrinking(target: nn.Module, online: nn.Module, rate: float) -> None:
    """Adds a share of the online network to the target as it is."""
    _follow(weights=lambda rate: 0)(target, online, rate)
    for ours, theirs in zip(target.parameters(), online.parameters(), strict=True):
        ours.add_(theirs, alpha=rate)


@exercise(
    "clinic-follow",
    inputs=tuple(partial(_two_networks, trains=trains) for trains in (False, True)),
    observe=_followed,
    describe=_parameters_and_buffers,
    cases=4,
    right="the parameters move a little, the statistics come along, and the target stays in its mode.",
    mistakes={
        "You moved the parameters only. `parameters()` has no buffers, so the target still normalizes by what it "
        "was born with: copy the buffers as well.": _follow(buffers=lambda ours, theirs, rate: None),
        "You moved the running statistics by the rate, too. The exercise asks you to copy the buffers; statistics that "
        "lag behind belong to no network.": _follow(buffers=_averaged),
        "You averaged every buffer, the counter of batches among them. It is a whole number: copy it.": _follow(
            buffers=_all_averaged
        ),
        "You copied the counter of batches and left the running statistics behind.": _follow(buffers=_only_counts),
        "You copied the running statistics and left out `num_batches_tracked`. It is a buffer, too.": _follow(
            buffers=_only_statistics
        ),
        "You gave the online network the weight 1 - rate, so the target follows almost at once. `rate` is the weight "
        "of the online network.": _follow(weights=lambda rate: 1 - rate),
        "You copied the parameters outright. The target should move a small part of the way, `rate`.": _follow(
            weights=lambda rate: 1.0
        ),
        "You left the target in train mode. Then it would answer by its batch, and its statistics would move by "
        "themselves.": _follow(afterward=nn.Module.train),
        "You put new parameters in place of the old ones. Change those that are there, in place, so that whoever holds "
        "them sees the change.": _replaced,
        "You put the target in eval mode. Keep the mode that it is in: who calls your function decides it.": _follow(
            afterward=nn.Module.eval
        ),
        "The target now holds the online network's own buffers, so they change with every step of that network. Copy "
        "the numbers: `copy_`.": _shared,
        "Your function changed nothing. Move the parameters of `target` itself, in place.": lambda *inputs: None,
        "You moved the online network toward the target. The target follows: change `target` alone.": _backward,
        "You added a share of the online network and kept all of the target. The two weights add up to 1: the target "
        "keeps 1 - rate.": _without_shrinking,
    },
)
def clinic_follow(target: nn.Module, online: nn.Module, rate: float) -> None:
    """Move the parameters of a target network toward those of another one, and copy the buffers."""
    _follow()(target, online, rate)


# --- padding ------------------------------------------------------------------------------------------


def _sequences(*, generator: torch.Generator) -> Inputs:
    """Sequences of different lengths, filled up with zeros; which steps are real, also where they are zero."""
    n, channels, steps = sizes(3, 3, 6, generator=generator)
    lengths = torch.randint(1, steps + 1, (n,), generator=generator)
    lengths[:2] = torch.tensor([steps, steps - 1])
    real = torch.arange(steps) < lengths[:, None]
    features = normal(n, channels, steps, generator=generator, mean=3) * real[:, None]
    features[0, 0, -1] = 0  # as a ReLU gives it
    features[1, :, 0] = 0
    return features, real, uniform(0.3, 1, generator=generator)


def _masked(
    *,
    counted: Function = lambda real: real,
    correction: int = 0,
    fill: Function = lambda result, features: torch.zeros_like(result),
    center: Function = lambda mean: mean,
    over: tuple[int, ...] = (0, 2),
    root: Function = lambda var, eps: (var + eps).sqrt(),
) -> Function:
    """Normalizes the real steps of sequences, right unless told otherwise."""

    def normalize(features: Tensor, real: Tensor, eps: float) -> Tensor:
        mask = counted(real)[:, None].to(features.dtype)
        count = mask.expand_as(features).sum(over, keepdim=True)
        mean = (features * mask).sum(over, keepdim=True) / count
        square = ((features - mean).square() * mask).sum(over, keepdim=True)
        result = (features - center(mean)) / root(square / (count - correction), eps)
        return torch.where(real[:, None], result, fill(result, features))

    return normalize


def _normalized_by(mean: Function, of_squares: Function | None = None) -> Function:
    """Normalizes by an average over the real steps, made from numbers and mask, and by one of squares if it differs."""

    def normalize(features: Tensor, real: Tensor, eps: float) -> Tensor:
        mask = real[:, None].to(features.dtype)
        centered = features - mean(features, mask)
        var = (of_squares or mean)(centered.square(), mask)
        result: Tensor = centered / (var + eps).sqrt() * mask
        return result

    return normalize


def _of_real_steps(numbers: Tensor, mask: Tensor) -> Tensor:
    return (numbers * mask).sum((0, 2), keepdim=True) / mask.sum()


def _of_means(numbers: Tensor, mask: Tensor) -> Tensor:
    """Averages over each sequence first, then over the sequences."""
    return ((numbers * mask).sum(2) / mask.sum(2)).mean(0)[:, None]


def _without_zeros(features: Tensor, real: Tensor, eps: float) -> Tensor:
    """Asks the numbers where the padding is."""
    mask = (features != 0).to(features.dtype)
    count = mask.sum((0, 2), keepdim=True)
    mean = features.sum((0, 2), keepdim=True) / count
    var = ((features - mean) * mask).square().sum((0, 2), keepdim=True) / count
    return (features - mean) / (var + eps).sqrt() * mask


@exercise(
    "clinic-padding",
    inputs=_sequences,
    right="the real steps are normalized among themselves, and the padding stays zero.",
    mistakes={
        "Your statistics count the padding. Its zeros lower the mean and change the variance: use the real steps "
        "only.": _masked(counted=torch.ones_like),
        "Your padding is not zero afterward. The exercise asks for zeros where there is no real step.": _masked(
            fill=lambda result, features: result
        ),
        "Your mean is right, but your variance counts the padding, too.": _normalized_by(
            _of_real_steps, lambda squares, mask: squares.mean((0, 2), keepdim=True)
        ),
        "You added eps to the standard deviation. It belongs under the root.": _masked(
            root=lambda var, eps: var.sqrt() + eps
        ),
        "You left out `eps`. It is added to the variance, under the root.": _masked(root=lambda var, eps: var.sqrt()),
        "You divided by the variance. Divide by its root.": _masked(root=lambda var, eps: var + eps),
        "You divided the squares by the number of real steps minus one. BatchNorm normalizes by the biased variance.": (
            _masked(correction=1)
        ),
        "You gave each sequence its own statistics. Every channel has one mean and one variance, over all sequences of "
        "the batch.": _masked(over=(2,)),
        "You did not subtract the mean.": _masked(center=torch.zeros_like),
        "You took a step for padding because all of its features are 0. A real step may be 0, too: ask `real`.": (
            lambda features, real, eps: _masked()(features, (features != 0).any(1), eps)
        ),
        "You took every 0 for padding. A real number may be 0, too: ask `real`.": _without_zeros,
        "You used one mean and one variance for all channels. Every channel has its own.": _masked(over=(0, 1, 2)),
        "You summed over the real steps and divided by all steps, the padding included. Divide by the number of real "
        "ones.": _normalized_by(lambda numbers, mask: (numbers * mask).mean((0, 2), keepdim=True)),
        "You divided by the number of real steps, but the sum of squares has the padding in it: there features - mean "
        "is not 0. Mask after subtracting.": _normalized_by(
            _of_real_steps, lambda squares, mask: squares.sum((0, 2), keepdim=True) / mask.sum()
        ),
        "You averaged each sequence first. A short one then counts as much as a long one: every real step has the same "
        "weight.": _normalized_by(_of_means),
        "You gave each step its own statistics. Every channel has one mean and one variance, over all sequences and "
        "all their real steps.": _masked(over=(0,)),
    },
)
def clinic_padding(features: Tensor, real: Tensor, eps: float) -> Tensor:
    """BatchNorm over the real steps; zeros elsewhere."""
    result: Tensor = _masked()(features, real, eps)
    return result


# --- a federated average ------------------------------------------------------------------------------


def _clients(*, generator: torch.Generator) -> Inputs:
    """The statistics of clients that differ in their means and in how many examples they have."""
    clients, channels = sizes(2, 3, 6, generator=generator)
    counts = 10 * (1 + torch.randperm(9, generator=generator)[:clients])
    means = normal(clients, channels, generator=generator, std=3)
    return means, normal(clients, channels, generator=generator).square() + 0.5, counts


def _pooled(
    *,
    weights: Function = lambda counts: counts / counts.sum(),
    between_clients: Function = lambda weights, means, mean: (weights @ means.square()) - mean.square(),
    within: Function = lambda weights, variances: weights @ variances,
) -> Function:
    """Pools the statistics of clients, right unless told otherwise."""

    def pool(means: Tensor, variances: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
        share = weights(counts).to(means.dtype)
        mean = share @ means
        return mean, within(share, variances) + between_clients(share, means, mean)

    return pool


def _equal_shares(counts: Tensor) -> Tensor:
    return torch.full(counts.shape, 1 / len(counts), dtype=torch.float64)


def _as_if_unbiased(means: Tensor, variances: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """Multiplies each variance by n - 1, and divides by the number of all examples."""
    mean, var = _pooled()(means, variances, counts)
    return mean, var - variances.sum(0) / counts.sum()


@exercise(
    "clinic-federated",
    inputs=_clients,
    parts=("mean", "var"),
    right="the variance of all data is the average variance plus the variance of the means.",
    mistakes={
        "You averaged the variances. The clients' means differ, too, and that is variance of the pooled data: add the "
        "variance of the means.": _pooled(between_clients=lambda weights, means, mean: 0),
        "You took n/(n-1) times the variance. The clients send biased variances, and the exercise asks for that of all "
        "data, by the same definition.": lambda means, variances, counts: (
            _pooled()(means, variances, counts)[0],
            _pooled()(means, variances, counts)[1] * counts.sum() / (counts.sum() - 1),
        ),
        "That is the standard deviation. The exercise asks for the variance.": lambda means, variances, counts: (
            _pooled()(means, variances, counts)[0],
            _pooled()(means, variances, counts)[1].sqrt(),
        ),
        "You subtracted the variance of the means. Clients that differ make the pooled data vary more: add "
        "it.": _pooled(between_clients=lambda weights, means, mean: mean.square() - weights @ means.square()),
        "You gave every client the same weight. A client with more examples counts for more: weight by `counts`.": (
            _pooled(weights=_equal_shares)
        ),
        "You averaged the variances, and gave every client the same weight. Weight by `counts`, and add the variance "
        "of the means.": _pooled(weights=_equal_shares, between_clients=lambda weights, means, mean: 0),
        "You averaged second moments and did not subtract the square of the mean.": _pooled(
            between_clients=lambda weights, means, mean: weights @ means.square()
        ),
        "Your variance is only that of the means. Add the average of the variances within the clients.": _pooled(
            within=lambda weights, variances: 0 * variances[0]
        ),
        "You averaged standard deviations and squared the average. Variances are what adds up.": _pooled(
            within=lambda weights, variances: (weights @ variances.sqrt()).square()
        ),
        "The variance of your means gives every client the same weight. Weight it by `counts`, as all the rest.": (
            _pooled(between_clients=lambda weights, means, mean: means.var(0, correction=0))
        ),
        "You multiplied the variances by n - 1. The clients send biased ones: n times each is its sum of squares.": (
            _as_if_unbiased
        ),
        "You averaged standard deviations, squared the average, and left out that the clients' means differ. Average "
        "variances, and add the variance of the means.": _pooled(
            within=lambda weights, variances: (weights @ variances.sqrt()).square(),
            between_clients=lambda weights, means, mean: 0,
        ),
    },
)
def clinic_federated(means: Tensor, variances: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of all data, from those of the clients."""
    mean, var = _pooled()(means, variances, counts)
    return mean, var
