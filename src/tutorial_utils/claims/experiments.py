"""What the measurements of several topics share: seeds to effects, networks at initialization, networks that learn.

Layers are looked up when a claim is measured, never when a module is imported: a class that a test puts in the place of
``nn.BatchNorm1d``, or of the package's own, is measured instead.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache, wraps
from itertools import product
from typing import Any, NamedTuple, ParamSpec, TypedDict, TypeVar

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from tutorial_utils import normalization
from tutorial_utils.claims.registry import Effects, Seeds
from tutorial_utils.data import DATA_SETS, Split, hold_out
from tutorial_utils.initializers import initialize_
from tutorial_utils.networks import mlp, undrawn
from tutorial_utils.propagation import propagate
from tutorial_utils.stack import LAYERS, Stack
from tutorial_utils.sweep import Sweep, train_many
from tutorial_utils.training import accuracy, train

P = ParamSpec("P")
R = TypeVar("R")
Build = Callable[[], nn.Module]
#: Makes a normalization from its number of features and, for some, options such as ``eps``.
BuildNorm = Callable[..., Any]

WIDTH, BATCH = 32, 32  # of networks that learn, unless a claim says otherwise
ROUNDING = (0.0, 1e-9)  # what float64 leaves of an equality
WIDENED = "the tolerance was widened so that few seeds suffice; the verdict is the same under the narrower one"


# Seeds to effects


def seeded(seed: int) -> torch.Generator:
    """A stream of random numbers of its own."""
    return torch.Generator().manual_seed(seed)


def each(
    seeds: Seeds, measure: Callable[..., float], conditions: Mapping[str, Any] | None = None
) -> dict[str, list[float]]:
    """Measure every seed under every condition; without conditions, under a single one without a name.

    Args:
        seeds: the last argument of ``measure``.
        measure: gives one effect.
        conditions: their names, and what comes before the seed: one argument, or a tuple of several.

    >>> each([1, 2], lambda factor, seed: factor * seed, {"once": 1, "twice": 2})
    {'once': [1.0, 2.0], 'twice': [2.0, 4.0]}
    """
    return {
        name: [float(measure(*(condition if isinstance(condition, tuple) else (condition,)), seed)) for seed in seeds]
        for name, condition in (conditions or {"": ()}).items()
    }


_kept: ContextVar[dict[Any, Any] | None] = ContextVar("kept", default=None)


@contextmanager
def sharing() -> Iterator[None]:
    """Within, what several claims look at is trained once."""
    token = _kept.set({})
    try:
        yield
    finally:
        _kept.reset(token)


def shared(train: Callable[P, R]) -> Callable[P, R]:
    """Within :func:`sharing`, call the function once for equal arguments; elsewhere it is as before.

    A claim that is measured alone must see the layers that are in place then, not what was trained earlier.
    """

    @wraps(train)
    def once(*args: P.args, **options: P.kwargs) -> R:
        kept = {} if (found := _kept.get()) is None else found
        key = train, args, *options.items()
        if key not in kept:
            kept[key] = train(*args, **options)
        result: R = kept[key]
        return result

    return once


def on_both_layers(seeds: Seeds, measure: Callable[[BuildNorm, int], float]) -> Effects:
    """Measure torch's BatchNorm and the one that this package writes from scratch."""
    return each(seeds, measure, {"torch.nn": nn.BatchNorm1d, "from scratch": normalization.BatchNorm1d})


# Tensors


def normal(generator: torch.Generator, *shape: int) -> Tensor:
    """Draw standard normal values in float64."""
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def unit_inputs(generator: torch.Generator, *shape: int) -> Tensor:
    """Draw inputs, one a row, each of second moment 1."""
    x = normal(generator, *shape)
    return x / x.square().mean(1, keepdim=True).sqrt()


def shifted_normal(seed: int, *shape: int) -> Tensor:
    """Draw values of mean 3 and standard deviation 2, far from the statistics that a BatchNorm starts with."""
    return 3 + 2 * normal(seeded(seed), *shape)


def second_moment(tensor: Tensor) -> float:
    """The mean of the squares of all entries."""
    return float(tensor.detach().square().mean())


def correlation(one: Tensor, other: Tensor) -> float:
    """The correlation of two tensors, entry by entry."""
    return float(torch.corrcoef(torch.stack([one.detach().flatten(), other.detach().flatten()]))[0, 1])


# Modules at initialization


@contextmanager
def constructing(seed: int) -> Iterator[None]:
    """Seed torch's global generator, the only one that constructors draw from, and put it back afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed + 1_000_000)  # inputs come from seeded(seed); they must not share the draws
        yield


def constructed(build: Build, seed: int) -> nn.Module:
    """A module in float64 as its constructor initializes it."""
    with constructing(seed):
        return build().double()


def initialized_mlp(
    generator: torch.Generator,
    widths: Sequence[int],
    activation: Build,
    scheme: str,
    *,
    bias: bool = False,
    **options: Any,
) -> nn.Sequential:
    """A multilayer perceptron in float64, all of its numbers drawn from the generator."""
    return initialize_(undrawn(lambda: mlp(widths, activation, bias=bias)), scheme, generator=generator, **options)


def drawn_weight(generator: torch.Generator, n_in: int, n_out: int, scheme: str, **options: Any) -> Tensor:
    """The weight of one linear layer, of shape (n_out, n_in)."""
    net = initialized_mlp(generator, [n_in, n_out], nn.Identity, scheme, **options)
    return net.get_parameter("linear1.weight").detach()


def signals(
    seed: int,
    widths: Sequence[int],
    activation: Build,
    scheme: str,
    *,
    batch: int = 4,
    gradients: bool = True,
    **options: Any,
) -> pd.DataFrame:
    """Moments at every linear layer of an initialized network, and with ``gradients`` those of what comes back.

    Inputs have second moment 1. The loss is linear in the outputs, so that the gradient at the top is independent of
    the weights, as the derivations take it to be.
    """
    generator = seeded(seed)
    net = initialized_mlp(generator, widths, activation, scheme, **options)
    x = unit_inputs(generator, batch, widths[0])
    if not gradients:
        return propagate(net, x, layers=(nn.Linear,))
    top = normal(generator, batch, widths[-1])
    return propagate(net, x, lambda out: (out * top).sum(), layers=(nn.Linear,))


def forward_factor(table: pd.DataFrame, *, skip: int = 0) -> float:
    """The factor on the second moment per layer, the first ``skip`` layers left out: a geometric mean."""
    moments = table.second_moment.iloc[skip:]
    return float((moments.iloc[-1] / moments.iloc[0]) ** (1 / (len(moments) - 1)))


def backward_factor(table: pd.DataFrame, *, skip: int = 0) -> float:
    """The same of the gradient, from the last layer down."""
    moments = table.grad_second_moment.iloc[skip:]
    return float((moments.iloc[0] / moments.iloc[-1]) ** (1 / (len(moments) - 1)))


def factors_per_layer(
    seeds: Seeds, activation: Build, scheme: str, *, skip: int = 0, **options: Any
) -> dict[str, list[float]]:
    """The factors per layer on signal and gradient, ten layers of width 200."""
    tables = [signals(seed, [200] * 11, activation, scheme, **options) for seed in seeds]
    return {
        "forward": [forward_factor(table, skip=skip) for table in tables],
        "backward": [backward_factor(table, skip=skip) for table in tables],
    }


def log_spread(
    activation: Callable[[Tensor], Tensor], scheme: str, seed: int, *, layers: int = 4, active: int = 64
) -> float:
    """The variance over 240 draws of the log of the signal's second moment after some layers of width 64.

    So many components of the input are 1, and the others 0.
    """
    generator, h = seeded(seed), torch.zeros(240, 64, 1, dtype=torch.float64)
    h[:, :active] = 1
    for _ in range(layers):  # one layer of all 240 networks at once: 240 square matrices below each other
        h = activation(drawn_weight(generator, 64, 240 * 64, scheme).view(240, 64, 64) @ h)
    return float(h.square().mean((1, 2)).log().var())


def angle_gap(net: nn.Module, layer: int, x: Tensor) -> float:
    """1 - cosine between the pre-activations of two inputs in one layer of a network, the mean over all pairs."""
    below = nn.Sequential(*list(net.children())[: 2 * layer - 1])
    with torch.no_grad():
        z = functional.normalize(below(x), dim=1)
    first, second = torch.triu_indices(len(x), len(x), 1)
    return 1 - float((z @ z.T)[first, second].mean())


# What networks learn

#: Training examples, unless a claim says otherwise; wine and breast_cancer have few.
N_TRAIN = {"digits": 1437, "mnist": 1437, "wine": 118, "breast_cancer": 400}
N_VALID = {"digits": 200, "mnist": 200, "wine": 30, "breast_cancer": 80}  # of them, where something is chosen
N_TEST = 500  # at most: more would cost time and change no interval


class Setting(NamedTuple):
    """What a network learns and what trains it."""

    #: A key of :data:`tutorial_utils.data.DATA_SETS`.
    data: str
    #: A key of :data:`tutorial_utils.data.STANDARDIZATIONS`.
    standardize: str = "pixel"
    #: What ``Run.optimizer`` takes.
    optimizer: str = "sgd"

    def split(self, seed: int, n_train: int | None = None) -> Split:
        """The data in float64, shuffled and split by the seed: every seed has other training and test examples."""
        return _split(self.data, self.standardize, n_train or N_TRAIN[self.data], seed)

    @property
    def name(self) -> str:
        """What a condition is called."""
        return f"{self.data}, {self.standardize}" + (", Adam" if self.optimizer == "adam" else "")


@lru_cache(maxsize=64)
def _split(data: str, standardize: str, n_train: int, seed: int) -> Split:
    x_train, y_train, x_test, y_test = DATA_SETS[data](n_train, standardize=standardize, generator=seeded(seed))
    return Split(x_train.double(), y_train, x_test[:N_TEST].double(), y_test[:N_TEST])


class Where(TypedDict):
    """Where networks were trained, as arguments of :func:`~tutorial_utils.claims.registry.claim`."""

    data: tuple[str, ...]
    preprocessing: tuple[str, ...]
    optimizer: tuple[str, ...]


DIGITS_GLOBAL = Setting("digits", "global")
#: Both sets of images, standardized both ways, by one mean for all pixels or by a mean for each.
IMAGES = [Setting(data, how) for data, how in product(("digits", "mnist"), ("global", "pixel"))]
#: Tables, whose features have units of their own.
TABLES = [Setting("wine"), Setting("breast_cancer")]


def where(settings: Sequence[Setting]) -> Where:
    """What a claim that is measured in these settings says of them."""
    data, preprocessing, optimizer = (tuple(dict.fromkeys(column)) for column in zip(*settings, strict=True))
    names = {"sgd": "SGD", "adam": "Adam"}
    return Where(data=data, preprocessing=preprocessing, optimizer=tuple(names[one] for one in optimizer))


def named(settings: Sequence[Setting]) -> dict[str, Setting]:
    """The settings by the names of their conditions."""
    return {setting.name: setting for setting in settings}


#: What networks learn, by the words of a condition.
DATA: dict[str, Setting] = {
    "digits": DIGITS_GLOBAL,
    "digits, each pixel by itself": Setting("digits", "pixel"),
    "MNIST": Setting("mnist", "global"),
    "wine": Setting("wine"),
    "breast cancer": Setting("breast_cancer"),
}
DIGITS, DIGITS_BY_PIXEL, MNIST, WINE, BREAST_CANCER = DATA


# Grids of networks


def sweep(
    seeds: Seeds,
    on: Setting | str = DIGITS_GLOBAL,
    *,
    steps: int,
    at: Sequence[int] | None = None,
    n_train: int | None = None,
    n_valid: int = 0,
    **axes: Any,
) -> Sweep:
    """Train networks for each combination of the axes and each seed, every seed on its own split.

    With ``n_valid``, so many of the training examples are held out, and the table has ``valid_accuracy``. A setting may
    be named by a key of :data:`DATA`.
    """
    setting = DATA[on] if isinstance(on, str) else on
    data = {seed: setting.split(seed, n_train) for seed in seeds}
    held_out = {seed: hold_out(data[seed], n_valid, generator=seeded(seed)) for seed in seeds if n_valid}
    data |= {seed: split for seed, (split, _) in held_out.items()}
    valid = {seed: part for seed, (_, part) in held_out.items()}
    configs = {"seed": list(seeds), "width": WIDTH, "batch_size": BATCH, "optimizer": setting.optimizer} | axes
    return train_many(configs, data, steps=steps, at=at, validation=valid or None)


def best_accuracy(table: pd.DataFrame, seeds: Seeds) -> NDArray[np.float64]:
    """From the trainings of each seed the one of the lowest training loss; its test accuracy."""
    best = table.sort_values("train_loss").groupby("seed").first()  # a loss that is not a number comes last
    return np.asarray(best.test_accuracy.loc[list(seeds)], dtype=np.float64)


def accuracy_gain(
    seeds: Seeds, better: Mapping[str, Any], worse: Mapping[str, Any], *, steps: int, **axes: Any
) -> list[float]:
    """Test accuracy of one kind of training less that of another, each at the axes' best learning rate."""
    first, second = (best_accuracy(sweep(seeds, steps=steps, **axes, **kind).table, seeds) for kind in (better, worse))
    return list(first - second)


def chosen(table: pd.DataFrame) -> pd.DataFrame:
    """For each seed and norm the training that is most accurate on the validation part, the first if several are."""
    return table.loc[table.groupby(["seed", "norm"]).valid_accuracy.idxmax()]


def by_norm(table: pd.DataFrame, figure: str) -> pd.DataFrame:
    """One figure of a sweep, a column for each norm and a row for each seed."""
    return table.pivot(index="seed", columns="norm", values=figure)


def reached(table: pd.DataFrame, share: float, *axes: str) -> "pd.Series[bool]":
    """Which trainings reach this share of the best accuracy of a grid: of the best median over its seeds.

    Args:
        table: of a sweep.
        share: from 0 to 1.
        axes: what tells the grid's points apart, besides the seed.
    """
    best = float(table.groupby(list(axes)).test_accuracy.median().max())
    good: pd.Series[bool] = table.test_accuracy >= share * best
    return good


# Single networks, and several side by side


class Member(NamedTuple):
    """A network, what it learns, and the generator that draws its batches."""

    net: nn.Sequential
    generator: torch.Generator
    data: Split


HIDDEN = "linear1", "linear2", "linear3"  # the layers of a he_network that a BatchNorm follows


def he_network(
    data: Split,
    seed: int,
    norm: BuildNorm | None,
    *,
    depth: int = 3,
    activation: Build = nn.ReLU,
    gain: float = 2**0.5,
    beta: float = 0.0,
) -> Member:
    """A network for the data with He's initialization, and the generator that goes on to draw batches.

    Args:
        data: gives the numbers of inputs and classes.
        seed: of weights and batches.
        norm: makes the normalization.
        depth: number of hidden layers.
        activation: makes the activations.
        gain: of the weights.
        beta: where the shift of every BatchNorm starts.
    """
    generator, classes = seeded(seed), int(data.y_train.max()) + 1
    net = mlp([data.x_train.shape[1], *[WIDTH] * depth, classes], activation, norm=norm).double()
    for layer in net:
        if isinstance(layer, nn.BatchNorm1d):
            nn.init.constant_(layer.bias, beta)
    return Member(initialize_(net, "kaiming_normal", nonlinearity=gain, generator=generator), generator, data)


def first_gradients(norm: BuildNorm, seed: int) -> tuple[nn.Sequential, dict[str, Tensor]]:
    """A network at its start, and the gradients of its first batch."""
    net, _, data = he_network(DIGITS_GLOBAL.split(seed), seed, norm)
    return net, parameter_gradients(net, data.x_train[:64], data.y_train[:64])


def train_on(data: Split, net: nn.Module, generator: torch.Generator, *, lr: float = 0.1, **options: Any) -> Tensor:
    """Train in place on minibatches that the generator draws; return the losses. Options are those of ``train``."""
    return train(net, data.x_train, data.y_train, lr=lr, batch_size=BATCH, generator=generator, **options)


def train_together(
    members: Sequence[Member], *, steps: int, lr: float | Sequence[float] = 0.1, optimizer: str = "sgd"
) -> Tensor:
    """Train networks of one shape in place, each on its own data; return their losses, a row for each.

    They are trained as one stack if it knows their layers, else one after the other, to the same numbers.
    """
    if not all(type(layer) in LAYERS for layer in members[0].net):
        pairs = zip(members, np.broadcast_to(lr, len(members)).tolist(), strict=True)
        options: dict[str, Any] = {"steps": steps, "optimizer": optimizer}
        return torch.stack([train_on(data, net, draws, lr=rate, **options) for (net, draws, data), rate in pairs])
    stack, losses = Stack([member.net for member in members], lr=lr, optimizer=optimizer), []
    for _ in range(steps):
        losses.append(stack.step(*next_batches(members)))
    for place, member in enumerate(members):
        member.net.load_state_dict(stack.member(place).state_dict())
    return torch.stack(losses, dim=1)


def next_batches(members: Sequence[Member]) -> tuple[Tensor, Tensor]:
    """Each member's next minibatch, as its own training would draw it."""
    inputs, labels = [], []
    for _, generator, data in members:
        batch = torch.randint(len(data.x_train), (BATCH,), generator=generator)
        inputs.append(data.x_train[batch])
        labels.append(data.y_train[batch])
    return torch.stack(inputs), torch.stack(labels)


def chosen_accuracy(
    seeds: Seeds, setting: Setting, build: Callable[[Split, int], Member], rates: Sequence[float], *, steps: int
) -> NDArray[np.float64]:
    """Each seed's test accuracy at the rate that is best on its validation part.

    Args:
        seeds: each with its own split.
        setting: what is learned.
        build: a network for a split and a seed.
        rates: of which one is chosen.
        steps: of training.
    """
    split = {seed: hold_out(setting.split(seed), N_VALID[setting.data], generator=seeded(seed)) for seed in seeds}
    members = [build(split[seed][0], seed) for seed in seeds for _ in rates]
    train_together(members, steps=steps, lr=[*rates] * len(seeds), optimizer=setting.optimizer)
    owners = [seed for seed in seeds for _ in rates]
    valid = [accuracy(one.net.eval(), *split[seed][1]) for one, seed in zip(members, owners, strict=True)]
    test = [accuracy(one.net, one.data.x_test, one.data.y_test) for one in members]
    best = np.reshape(valid, (-1, len(rates))).argmax(1)
    return np.asarray(np.reshape(test, (-1, len(rates)))[np.arange(len(best)), best])


def final_losses(members: Sequence[Member], *, steps: int, lr: float = 0.1) -> Tensor:
    """The mean loss of the last 20 steps of each."""
    return train_together(members, steps=steps, lr=lr)[:, -20:].mean(1)


def parameter_gradients(net: nn.Module, x: Tensor, y: Tensor) -> dict[str, Tensor]:
    """The loss's gradient with respect to every parameter, by its name."""
    parameters = dict(net.named_parameters())
    loss = functional.cross_entropy(net(x), y)
    return dict(zip(parameters, torch.autograd.grad(loss, list(parameters.values())), strict=True))
