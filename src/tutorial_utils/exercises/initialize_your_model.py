"""Exercises about initializing a model of your own."""

import builtins
import copy
import math
import zlib
from functools import partial
from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import init

from tutorial_utils.exercises.compare import Outcome
from tutorial_utils.exercises.registry import Function, Inputs, When, exercise
from tutorial_utils.exercises.run import WrongType
from tutorial_utils.exercises.toolbox import (
    between,
    copy_of,
    distribution,
    listed,
    moments,
    noticing,
    off_stream,
    parameters_of,
    scramble,
    stream,
    thrice,
)


def _parameters_after(initialize: Function, model: nn.Module) -> dict[str, Tensor]:
    """The parameters of a copy of a model, initialized."""
    own = copy.deepcopy(model)
    initialize(own)
    return parameters_of(own)


# --- a head for classes of unequal frequency ----------------------------------------------------------


def _unequal(*, generator: torch.Generator) -> Inputs:
    """A head with numbers in all its parameters, and counts that differ a lot."""
    features, classes = between(4, 9, generator=generator), between(3, 6, generator=generator)
    head = scramble(nn.Linear(features, classes), generator=generator)
    return head, torch.randint(5, 60, (classes,), generator=generator) ** 2


def _first_guess(answer: Function, head: nn.Linear, counts: Tensor) -> list[Any]:
    """What the head says to any features afterward, what its weight is, and what loss was announced."""
    head = copy.deepcopy(head)
    known = head.weight, head.bias
    loss = answer(head, counts)
    features = torch.ones(1, head.in_features, dtype=head.weight.dtype)
    with torch.no_grad():
        guess = head(features).softmax(1)[0]
    learns = head.weight.requires_grad and head.bias.requires_grad
    return [guess, head.weight, loss, known[0] is head.weight and known[1] is head.bias, learns]


def _and_loss(raw: list[Any], head: nn.Linear, counts: Tensor) -> Outcome:
    guess, weight, loss, same, learns = raw
    if loss is None:
        raise WrongType("Your function returned None. It should start the head and also return the first loss.")
    return {
        "first prediction": guess,
        "weight of the head": weight,
        "first loss": loss,
        "the parameters are the same objects": same,
        "weight and bias can learn": learns,
    }


def _entropy(frequency: Tensor) -> Tensor:
    return -(frequency * frequency.log()).sum()


def _head_start(
    bias: Function = torch.log,
    *,
    weight: Function = torch.zeros_like,
    loss: Function = _entropy,
    replaces: bool = False,
) -> Function:
    """Starts a head, right unless told otherwise."""

    @torch.no_grad()
    def start(head: Any, counts: Tensor) -> Any:
        frequency = counts / counts.sum()
        if replaces:
            head.weight, head.bias = (nn.Parameter(one.clone()) for one in (head.weight, head.bias))
        head.weight.copy_(weight(head.weight))
        head.bias.copy_(bias(frequency))
        return loss(frequency)

    return start


def _frozen_head(head: nn.Linear, counts: Tensor) -> Any:
    return _head_start()(head.requires_grad_(False), counts)


@exercise(
    "recipe-rare-classes",
    inputs=_unequal,
    observe=_first_guess,
    describe=_and_loss,
    right="the first prediction is the frequency of each class, and the first loss is their entropy.",
    mistakes={
        "Your biases are the frequencies themselves. Softmax takes exponentials: the biases must be logarithms.": (
            _head_start(lambda frequency: frequency)
        ),
        "Your biases are zero, so every class gets the same probability. The frequencies belong in the biases.": (
            _head_start(torch.zeros_like)
        ),
        "Your biases have the wrong sign: the rarest class gets the largest probability.": _head_start(
            lambda frequency: -frequency.log()
        ),
        "Your biases are log(p / (1 - p)), which is right for a sigmoid. Softmax normalizes by itself: it needs "
        "log(p).": _head_start(torch.logit),
        "You left the weight as it was, so the first prediction depends on features that mean nothing yet. Set it to "
        "zero.": _head_start(weight=lambda weight: weight),
        "That is ln C, the loss of a head that gives all classes the same probability. Yours guesses better: average "
        "-ln(p) over the classes as often as they occur.": _head_start(
            loss=lambda frequency: torch.tensor(math.log(len(frequency)))
        ),
        "You averaged -ln(p) over the classes, all alike. Frequent classes occur more often: weight by their "
        "frequencies.": _head_start(loss=lambda frequency: -frequency.log().mean()),
        "Your loss is the sum over all examples. Cross-entropy takes their mean.": lambda head, counts: (
            counts.sum() * _head_start()(head, counts)
        ),
        "That is what one example of the most frequent class costs. The loss is the mean over all examples, those of "
        "the other classes too.": _head_start(loss=lambda frequency: -frequency.max().log()),
        "Your loss is in bits. Cross-entropy in PyTorch uses natural logarithms.": _head_start(
            loss=lambda frequency: _entropy(frequency) / math.log(2)
        ),
        "Your loss has the wrong sign. Logarithms of probabilities are negative, and a loss is not.": _head_start(
            loss=lambda frequency: -_entropy(frequency)
        ),
        "You put new parameters in place of the old ones. An optimizer made before still holds the old ones: fill "
        "those that are there.": _head_start(replaces=True),
        "Your head can never learn more than the frequencies: `requires_grad` is off. Fill weight and bias under "
        "`torch.no_grad()`.": _frozen_head,
    },
)
def recipe_rare_classes(head: nn.Linear, counts: Tensor) -> Tensor:
    """Start a head with the logarithms of the class frequencies; the first loss."""
    loss: Tensor = _head_start()(head, counts)
    return loss


# --- the example, repaired ----------------------------------------------------------------------------


class Output(nn.Linear):
    """A linear layer that does not say so in its name."""


class LinearForm(nn.Module):
    """Has a weight, a bias and `Linear` in its name, and is no linear layer."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(n, n)), nn.Parameter(torch.ones(n))


def _models(*, generator: torch.Generator) -> Inputs:
    """A model with linear layers of three classes, and modules that are no linear layers."""
    n = between(40, 48, generator=generator)
    parts = {
        "linear": nn.Linear(n, 3 * n),
        "attention": nn.MultiheadAttention(n, 1),
        "norm": nn.LayerNorm(5),
        "table": nn.Embedding(7, 5),
        "convolution": nn.Conv2d(2, 3, 2),
        "form": LinearForm(4),
        "output": Output(n, 3 * n),
    }
    return scramble(nn.ModuleDict(parts), generator=generator), stream(generator=generator)


def _applied(answer: Function, model: nn.Module, generator: torch.Generator) -> dict[str, Any]:
    """The parameters that an answer makes, a layer without a bias, and what happens during a backward pass."""

    def applied(source: torch.Generator) -> dict[str, Tensor]:
        return _parameters_after(lambda own: own.apply(lambda module: answer(module, source)), model)

    return {
        "draws": thrice(applied, generator),
        "without bias": _without_bias(answer, generator),
        "backward": _between_passes(answer, generator),
    }


def _without_bias(answer: Function, generator: torch.Generator) -> list[Any]:
    """The weight of a layer without a bias before and after, and what was raised on the way."""
    layer, error = nn.Linear(8, 4, bias=False), ""
    nn.init.ones_(layer.weight)  # the same in every process, the student's and the grader's
    before = layer.weight.detach().clone()
    try:
        answer(layer, generator)
    except (AttributeError, TypeError) as raised:
        if "NoneType" not in str(raised):
            raise
        error = f"{type(raised).__name__}: {raised}"
    return [before, layer.weight, error]


def _between_passes(answer: Function, generator: torch.Generator) -> list[Any]:
    """A weight as an optimizer knows it and as the layer has it, and what autograd says to the change."""
    first, second = nn.Linear(2, 3), nn.Linear(3, 2)
    weight, output = second.weight, second(first(torch.ones(1, 2)))
    before = weight.detach().clone()
    answer(second, generator)
    changed = not torch.equal(before, second.weight)
    try:
        output.sum().backward()
    except RuntimeError as raised:
        return [weight, second.weight, changed, str(raised)]
    return [weight, second.weight, changed, ""]


def _part_by_part(raw: dict[str, Any], model: nn.Module, generator: torch.Generator) -> Outcome:
    """What an answer did to each kind of parameter, and whether autograd and an optimizer notice."""
    old, new = parameters_of(model), raw["draws"][0]
    outcome: Outcome = {}
    for name in ("linear", "attention.out_proj", "output"):
        parts = distribution([draw[f"{name}.weight"] for draw in raw["draws"]])
        outcome |= {f"{name}.weight: {part}": value for part, value in parts.items()}
        outcome[f"{name}.bias"] = new[f"{name}.bias"]
    for kind in ("table", "convolution", "norm", "form", "attention.in_proj"):
        names = [name for name in old if name.startswith(kind)]
        outcome[f"{kind} is as before"] = all(torch.equal(old[name], new[name]) for name in names)
    before, after, error = raw["without bias"]
    known, own, changed, complaint = raw["backward"]
    noticed = "modified by an inplace operation" in complaint
    return outcome | {
        "a layer without a bias": "fails" if error else "as before" if torch.equal(before, after) else "drawn",
        "autograd notices the change": "yes" if noticed else "no" if changed else "there was none",
        "an optimizer made before has the parameters": torch.equal(known, own),
    }


def _fill_bias(module: nn.Module, value: float = 0.0) -> None:
    if getattr(module, "bias", None) is not None:
        init.constant_(module.bias, value)  # type: ignore[arg-type]


def _is_linear(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear)


def _hook(
    fill: Function = init.xavier_uniform_,
    *,
    applies: Function = _is_linear,
    biases: Function = _fill_bias,
    among: Function = lambda module: [module],
) -> Function:
    """A function for ``apply``, right unless told otherwise."""

    def initialize(module: nn.Module, generator: torch.Generator) -> None:
        for one in filter(applies, among(module)):
            fill(one.weight, generator=generator)
            biases(one)

    return initialize


def _replaced(module: nn.Module, generator: torch.Generator) -> None:
    """Puts new parameters in place of the old ones."""
    fresh = copy.deepcopy(module)
    _hook()(fresh, generator)
    for name, parameter in fresh.named_parameters(recurse=False):
        setattr(module, name, parameter)


def _bound_is_std(weight: Tensor, generator: torch.Generator) -> None:
    bound = math.sqrt(2 / sum(weight.shape))
    init.uniform_(weight, -bound, bound, generator=generator)


def _every_bias(module: nn.Module, generator: torch.Generator) -> None:
    _hook()(module, generator)
    _fill_bias(module)


def _by_shape(*classes: type[nn.Module]) -> Function:
    """Goes by the shapes and names of the parameters that a module of some classes owns."""

    def initialize(module: nn.Module, generator: torch.Generator) -> None:
        own = module.named_parameters(recurse=False) if isinstance(module, classes) else ()
        for name, parameter in own:
            if parameter.dim() > 1:
                init.xavier_uniform_(parameter, generator=generator)
            elif "bias" in name:
                init.zeros_(parameter)

    return initialize


@exercise(
    "recipe-example",
    inputs=_models,
    observe=_applied,
    describe=_part_by_part,
    cases=2,
    right="each linear layer is drawn, each bias is zero, all else stays, and autograd knows.",
    mistakes={
        "You passed over `attention.out_proj`: its class is a subclass of nn.Linear, so `type(m) == nn.Linear` is "
        "false. Ask `isinstance(m, nn.Linear)`.": _hook(applies=lambda module: type(module) is nn.Linear),
        "You went by the name of the class. A subclass of nn.Linear may have any name, and a class with `Linear` in "
        "its name may be something else: ask `isinstance(m, nn.Linear)`.": _hook(
            applies=lambda module: "Linear" in type(module).__name__
        ),
        "You went by the names of the class and of its ancestors. A class with `Linear` in its name may be something "
        "else: ask `isinstance(m, nn.Linear)`.": _hook(
            applies=lambda module: any("Linear" in one.__name__ for one in type(module).__mro__)
        ),
        "You initialized the children of `m`. `apply` visits each module itself, so initialize `m`; a model that is a "
        "single linear layer has no children.": _hook(among=lambda module: module.children()),
        "You wrote through `.data`: autograd does not see that the weight changed, and a backward pass that is still "
        "to come would silently use the new one. `nn.init` takes the parameter itself.": _hook(
            lambda weight, generator: init.xavier_uniform_(weight.data, generator=generator)
        ),
        "You put new parameters in place of the old ones. An optimizer made before still holds the old ones. Fill "
        "those that are there.": _replaced,
        "One of the layers has no bias: there `m.bias` is None, and nothing can be done to it. Ask `if m.bias is not "
        "None` first.": _hook(biases=lambda module: init.zeros_(module.bias)),
        "You passed over the layer without a bias. Its weight is drawn like any other: ask for the bias only before "
        "you fill the bias.": _hook(applies=lambda module: _is_linear(module) and module.bias is not None),
        "You kept the small constant in the biases. Glorot and Bengio set them to zero.": _hook(
            biases=partial(_fill_bias, value=0.01)
        ),
        "You left the biases as they were. Glorot and Bengio set them to zero.": _hook(biases=lambda module: None),
        "You chose by the number of dimensions or by the attribute `weight`, so the embedding was drawn, too. Fans "
        "mean nothing for its rows: choose by the class of the module.": _hook(
            applies=lambda module: getattr(getattr(module, "weight", None), "ndim", 0) > 1
        ),
        "You drew Glorot's normal numbers. The example has the uniform ones.": _hook(init.xavier_normal_),
        "You drew He's uniform weights. The example has Glorot's.": _hook(init.kaiming_uniform_),
        "You drew He's normal weights. The example has Glorot's uniform ones.": _hook(init.kaiming_normal_),
        "You gave Glorot's weights the gain of ReLU. The example has none.": _hook(
            partial(init.xavier_uniform_, gain=2**0.5)
        ),
        "Your bound is Glorot's standard deviation. The bound of a uniform draw is sqrt(3) times its standard "
        "deviation.": _hook(_bound_is_std),
        "You zeroed the biases of other modules, too, such as that of the normalization. Only linear layers may "
        "change.": _every_bias,
        "You drew the convolution, too. The exercise asks for the linear layers, and nothing else may change.": _hook(
            applies=lambda module: isinstance(module, (nn.Linear, nn.Conv2d))
        ),
        "You drew the packed matrix of the attention itself, which is not a linear layer. Of its parts only `out_proj` "
        "is one, and `apply` passes you that by itself.": _by_shape(nn.Linear, nn.MultiheadAttention),
        "You went by the shapes or the names of the parameters, so the embedding, the attention's packed matrix and "
        "the normalization have changed, too. Choose by the class of the module.": _by_shape(nn.Module),
        "Your function changed no module. Does its condition choose one, and does it fill the parameters of `m` "
        "itself, in place?": _hook(applies=lambda module: False),
        **off_stream(_hook()),
    },
)
def recipe_example(m: nn.Module, generator: torch.Generator) -> None:
    """Glorot's uniform initialization for every linear layer that apply visits."""
    if isinstance(m, nn.Linear):
        init.xavier_uniform_(m.weight, generator=generator)
        if m.bias is not None:
            init.zeros_(m.bias)


# --- the ends of the branches -------------------------------------------------------------------------

ENDS = ("self_out", "cross_out", "down")


def _decoder(*, generator: torch.Generator) -> Inputs:
    """Blocks of three branches each; the last branch ends in a layer with more inputs than outputs."""
    n, count = between(34, 40, generator=generator), between(4, 5, generator=generator)

    def block() -> nn.ModuleDict:
        parts = {"up": nn.Linear(n, 3 * n), "down": nn.Linear(3 * n, n)}
        return nn.ModuleDict({"self_out": nn.Linear(n, n), "cross_out": nn.Linear(n, n), **parts})

    blocks = nn.ModuleList(block() for _ in range(count))
    return scramble(blocks, generator=generator), stream(generator=generator)


def _three_models(answer: Function, blocks: nn.ModuleList, generator: torch.Generator) -> list[Any]:
    """Three models, and whether they have the parameters that an optimizer made before would hold."""
    same = []

    def start(own: nn.Module, source: torch.Generator) -> None:
        known = list(own.parameters())
        answer(own, source)
        same.append(all(one is other for one, other in zip(known, own.parameters(), strict=True)))

    draws = thrice(lambda source: _parameters_after(lambda own: start(own, source), blocks), generator)
    return [draws, all(same)]


def _ends_and_insides(raw: list[Any], blocks: nn.ModuleList, generator: torch.Generator) -> Outcome:
    """What an answer draws for the ends of the branches, and what else it changes."""
    draws, same = raw
    old, new = parameters_of(blocks), draws[0]
    outcome: Outcome = {}
    for ends in (ENDS[:2], ENDS[2:]):
        names = [f"{number}.{end}.weight" for number in range(len(blocks)) for end in ends]
        parts = distribution([torch.stack([draw[name] for name in names]) for draw in draws])
        outcome |= {f"{' and '.join(ends)}: {part}": value for part, value in parts.items()}
    return outcome | {
        "biases of the ends": torch.stack([new[name] for name in old if "bias" in name and ".up." not in name]),
        "the layers inside are as before": all(torch.equal(old[name], new[name]) for name in old if ".up." in name),
        "blocks differ": not torch.equal(new["0.down.weight"], new["1.down.weight"]),
        "the parameters are the same objects": same,
    }


def _right_std(fan_in: int, fan_out: int, blocks: int) -> float:
    return 1 / math.sqrt(fan_in * 3 * blocks)


def _ends(
    std: Function = _right_std,
    *,
    fill: Function = init.normal_,
    bias: bool = True,
    names: tuple[str, ...] = ENDS,
    source_of: Function = lambda generator: generator,
) -> Function:
    """An answer with ``std(fan_in, fan_out, number of blocks)``, right unless told otherwise."""

    def initialize(blocks: Any, generator: torch.Generator) -> None:
        for block in blocks:
            source = source_of(generator)
            for end in (block[name] for name in names):
                fill(end.weight, std=std(end.in_features, end.out_features, len(blocks)), generator=source)
                if bias:
                    init.zeros_(end.bias)

    return initialize


def _new_ends(blocks: Any, generator: torch.Generator) -> None:
    """Puts new parameters in place of the old ones."""
    fresh = copy.deepcopy(blocks)
    _ends()(fresh, generator)
    for block, other in zip(blocks, fresh, strict=True):
        for name in ENDS:
            block[name].weight, block[name].bias = other[name].weight, other[name].bias


def _uniform(weight: Tensor, std: float, generator: torch.Generator) -> None:
    init.uniform_(weight, -(3**0.5) * std, 3**0.5 * std, generator=generator)


def _scaled(weight: Tensor, std: float, generator: torch.Generator) -> None:
    weight.data.mul_(std * weight.shape[1] ** 0.5)


@torch.no_grad()
def _by_depth(blocks: Any, generator: torch.Generator) -> None:
    """Scales each block by its own place in place of the number of all."""
    for number, block in enumerate(blocks, 1):
        for end in (block[name] for name in ENDS):
            init.normal_(end.weight, std=(end.in_features * 3 * number) ** -0.5, generator=generator)
            init.zeros_(end.bias)


@exercise(
    "recipe-branch-ends",
    inputs=_decoder,
    observe=_three_models,
    describe=_ends_and_insides,
    cases=2,
    right="each branch adds its share, and all of them together multiply the stream by less than e.",
    mistakes={
        "You counted blocks. Each block adds three branches to the stream, and each addition counts.": _ends(
            lambda n, m, blocks: (n * blocks) ** -0.5
        ),
        "You counted the three branches of one block. All branches of the model add to the stream: three times the "
        "number of blocks.": _ends(lambda n, m, blocks: (n * 3) ** -0.5),
        "You counted two branches a block. These blocks add three: the attention to a second text is a branch, "
        "too.": _ends(lambda n, m, blocks: (n * 2 * blocks) ** -0.5),
        "You initialized `down` only. The two attentions end a branch as well, in `self_out` and `cross_out`.": _ends(
            names=("down",)
        ),
        "You drew Glorot's weights, which average fan_in and fan_out. What is kept here is the forward second moment, "
        "and `down` has three times as many inputs as outputs: use the fan_in.": _ends(
            lambda n, m, blocks: (2 / ((n + m) * 3 * blocks)) ** 0.5
        ),
        "You left out `cross_out`. The attention to a second text is a branch, too.": _ends(names=("self_out", "down")),
        "You divided the weights by the number of branches. Their variances add up, so divide by its root; your "
        "branches switch off as the model grows deeper.": _ends(lambda n, m, blocks: n**-0.5 / (3 * blocks)),
        "You took GPT-2's 0.02. That fits one width only: the second moment of the stream is kept by 1/sqrt(fan_in), "
        "whatever it is.": _ends(lambda n, m, blocks: 0.02 / math.sqrt(3 * blocks)),
        "You did not scale the ends down: the stream doubles with each branch.": _ends(lambda n, m, blocks: n**-0.5),
        "You drew He's weights. His factor 2 makes up for a ReLU, and none follows the end of a branch.": _ends(
            lambda n, m, blocks: (2 / (n * 3 * blocks)) ** 0.5
        ),
        "You divided by the fan_out of `down`. A unit sums over its inputs: `weight.shape` is (outputs, "
        "inputs).": _ends(lambda n, m, blocks: (m * 3 * blocks) ** -0.5),
        "You passed the variance as `std`. Take its root.": _ends(lambda n, m, blocks: 1 / (n * 3 * blocks)),
        "You set the ends to zero. That is another cure; here every branch should contribute from the first step "
        "on.": _ends(lambda n, m, blocks: 0.0),
        "You left the biases of the ends as they were: they enter the stream unscaled. Set them to zero.": _ends(
            bias=False
        ),
        "You drew uniform numbers. The exercise asks for normal ones.": _ends(fill=_uniform),
        "You scaled what stood in the weights. You cannot know what that was: draw them.": _ends(fill=_scaled),
        "You changed `up`, too. It lies inside the branch; only the layer at the end is scaled.": _ends(
            names=(*ENDS, "up")
        ),
        "All your blocks have the same weights: you restarted the random stream in each. Hand the one `generator` to "
        "every draw.": _ends(source_of=copy_of),
        "Your function changed nothing. Fill the weights of `blocks` itself, in place.": _ends(names=()),
        "You put new parameters in place of the old ones. An optimizer made before still holds the old ones: fill "
        "those that are there.": _new_ends,
        "Your blocks have different scales, by their places. Then the sum of all shares grows with the depth, if "
        "slowly: every branch gets the same share, one over the number of all branches of the model.": _by_depth,
        **off_stream(_ends()),
    },
)
@torch.no_grad()
def recipe_branch_ends(blocks: Any, generator: torch.Generator) -> None:
    """LeCun's normal initialization for the ends, divided by the root of the number of branches."""
    for block in blocks:
        for name in ENDS:
            init.kaiming_normal_(block[name].weight, nonlinearity="linear", generator=generator)
            block[name].weight.div_(math.sqrt(len(ENDS) * len(blocks)))
            init.zeros_(block[name].bias)


# --- a test -------------------------------------------------------------------------------------------


class Features(nn.Module):
    """Two linear layers behind a table of random numbers near 1, which its constructor draws and nobody learns."""

    offsets: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("offsets", 1 + 1e-7 * torch.randn(2, width))
        self.hidden, self.head = nn.Linear(width, width), nn.Linear(width, 3)


#: What an initialization may do, by number.
FAULTS = (
    "decides everything",
    "forgets head.bias",
    "doubles hidden.weight as it stands",
    "draws head.weight from the global stream",
    "forgets the buffer offsets",
    "shuffles hidden.weight by the global stream",
)


def _initialization(fault: int) -> Function:
    """An initialization with one fault, or none; some of its draws differ too little for a test with a tolerance."""

    @torch.no_grad()
    def initialize(model: Any, generator: torch.Generator) -> None:
        if fault != 4:
            model.offsets.normal_(mean=1, std=1e-7, generator=generator)
        if fault == 2:
            model.hidden.weight.mul_(2)
        elif fault == 5:  # whole numbers: their sums are the same in any order
            model.hidden.weight.copy_(torch.randperm(model.hidden.weight.numel()).view_as(model.hidden.weight))
        else:
            init.kaiming_normal_(model.hidden.weight, generator=generator)
        init.normal_(model.head.weight, mean=1, std=1e-7, generator=None if fault == 3 else generator)
        init.zeros_(model.hidden.bias)
        if fault != 1:
            init.zeros_(model.head.bias)

    return initialize


def _width_and_order(*, generator: torch.Generator) -> Inputs:
    """A width, and the faults in random order."""
    return between(4, 7, generator=generator), torch.randperm(len(FAULTS), generator=generator).tolist()


def _tested(answer: Function, width: int, order: list[int]) -> list[list[str]]:
    """The tensors that an answer names, for each initialization."""
    found = []
    for fault in order:
        torch.manual_seed(fault)  # an answer that sets the global stream should not decide what the next one finds
        found.append(listed(answer(lambda: Features(width), _initialization(fault))))
    return found


def _fault_by_fault(found: list[list[str]], width: int, order: list[int]) -> Outcome:
    """The names as one text, sorted, for each fault."""
    known = Features(width).state_dict()
    if strange := [name for names in found for name in names if name not in known]:
        raise WrongType(f"{strange[0]!r} is not the name of a tensor. Give the names as `state_dict()` lists them.")
    pairs = sorted(zip(order, found, strict=True))
    return {FAULTS[fault]: ", ".join(sorted(set(names))) for fault, names in pairs}


def _seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def _unsteady(
    *,
    second: Function = lambda build, first: build(),
    sources: Function = lambda: [_seeded(), _seeded()],
    tensors: Function = nn.Module.state_dict,
    differ: Function = lambda one, other: not torch.equal(one, other),
) -> Function:
    """A test that compares two models, right unless told otherwise."""

    def test(build: Function, initialize: Function) -> list[str]:
        first = build()
        results = []
        for model, source in zip((first, second(build, first)), sources(), strict=True):
            initialize(model, source)
            results.append(copy.deepcopy(dict(tensors(model))))
        one, other = results
        return [name for name in one if differ(one[name], other[name])]

    return test


def _before_and_after(prepare: Function, is_named: Function) -> Function:
    """A test that looks at one initialization: at each tensor before and after."""

    def test(build: Function, initialize: Function) -> list[str]:
        model = build()
        for tensor in model.state_dict().values():
            prepare(tensor)
        before = copy.deepcopy(model.state_dict())
        initialize(model, _seeded())
        return [name for name, after in model.state_dict().items() if is_named(before[name], after)]

    return test


@exercise(
    "recipe-unsteady",
    inputs=_width_and_order,
    observe=_tested,
    describe=_fault_by_fault,
    cases=4,
    rtol32=None,
    right="your test names what each faulty initialization leaves to chance, and nothing for the good one.",
    mistakes={
        "Your test names nothing, whatever the initialization does. Either both sides are the same tensors "
        "(`state_dict()` gives no copies), or you seeded the global stream before each construction, so that what was "
        "forgotten is equal as well.": lambda build, initialize: [],
        "You compared parameters only. A buffer belongs to the initialization, too: go through "
        "`state_dict()`.": _unsteady(tensors=nn.Module.named_parameters),
        "You compared buffers only. Parameters are left to chance, too: go through `state_dict()`.": _unsteady(
            tensors=nn.Module.named_buffers
        ),
        "Your test names every tensor, whatever the initialization does. Is `initialize` called on both models, and "
        "are their numbers compared, by `torch.equal`?": _unsteady(differ=lambda one, other: True),
        "The two initializations do not draw the same numbers: you passed one generator twice, which had moved on, or "
        "used two seeds. Make a new generator with the same seed for each.": _unsteady(sources=lambda: [_seeded()] * 2),
        "Both of your models began with the same numbers. What the initialization forgets then agrees, too. Call "
        "`build()` twice.": _unsteady(second=lambda build, first: copy.deepcopy(first)),
        "You initialized one model twice. What the initialization never touches is equal before and after. Call "
        "`build()` twice.": _unsteady(second=lambda build, first: first),
        "You compared up to a tolerance. The same seed gives exactly the same numbers, and two draws may lie close: "
        "compare by `torch.equal`.": _unsteady(differ=lambda one, other: not torch.allclose(one, other, atol=0.01)),
        "You compared one number of each tensor, such as its mean, its sum or its length. Two draws can have the same "
        "mean, and even the same numbers in other places: compare entry by entry, with `torch.equal`.": _unsteady(
            differ=lambda one, other: one.sum() != other.sum()
        ),
        "Your test does not see a draw from the global stream. The chapter's sentinel cannot, as such a weight is "
        "decided; comparing two initializations can, if you do not seed the global stream before each.": (
            _before_and_after(lambda tensor: tensor.fill_(math.nan), lambda before, after: after.isnan().any())
        ),
        "You named the tensors that agree. The exercise asks for the others.": _unsteady(differ=torch.equal),
        "You compared before and after one initialization: that shows what it touches, not what the seed fixes. A "
        "tensor doubled as it stands is touched, and not fixed.": _before_and_after(lambda tensor: None, torch.equal),
    },
)
def recipe_unsteady(build: Function, initialize: Function) -> list[str]:
    """The names of the parameters and buffers in which two initializations with one seed differ."""
    names: list[str] = _unsteady()(build, initialize)
    return names


# --- one stream for each name -------------------------------------------------------------------------


def _relatives(*, generator: torch.Generator) -> Inputs:
    """Two models that share the names of some parameters, in another order, and two seeds.

    One name has the letters of another one, so that their sum does not tell the two apart.
    """
    n = between(24, 30, generator=generator)

    def model(*names: str) -> nn.Module:
        return scramble(nn.ModuleDict({name: nn.Linear(n, n) for name in names}), generator=generator)

    first, second = torch.randint(1, 1000, (2,), generator=generator).tolist()
    return model("input", "output"), model("extra", "putout", "output", "input"), first, second + 1000


def _relatives_of_zero(*, generator: torch.Generator) -> Inputs:
    """The same with the seeds 0 and 1."""
    small, large, *_ = _relatives(generator=generator)
    return small, large, 0, 1


def _drawn_by_name(answer: Function, small: nn.Module, large: nn.Module, seed: int, other: int) -> list[Any]:
    """Both models with one seed, one with another seed; whether the global stream stays, and `hash` is used."""

    def draw(model: nn.Module, number: int) -> dict[str, Tensor]:
        return _parameters_after(lambda own: answer(own, number), model)

    before = torch.get_rng_state()
    with noticing(builtins, "hash") as calls:
        models = [draw(small, seed), draw(large, seed), draw(small, other), draw(small, seed)]
    return [*models, torch.equal(before, torch.get_rng_state()), bool(calls)]


def _by_name(raw: list[Any], small: nn.Module, large: nn.Module, seed: int, other: int) -> Outcome:
    """What the numbers depend on."""
    one, more, reseeded, again, untouched, hashes = raw
    numbers = torch.cat([value.flatten() for value in more.values()])
    weights = [value for value in more.values() if value.dim() == 2]
    return {
        "shared names have the same numbers": all(torch.equal(one[name], more[name]) for name in one),
        "names differ": not any(torch.equal(*pair) for pair in combinations(weights, 2)),
        "weight and bias differ": all(
            not torch.equal(one[f"{name}.weight"][0, :8], one[f"{name}.bias"][:8]) for name in ("input", "output")
        ),
        "another seed gives other numbers": all(not torch.equal(one[name], reseeded[name]) for name in one),
        "the same seed gives the same numbers": all(torch.equal(one[name], again[name]) for name in one),
        "every entry is drawn": bool(
            torch.cat([(more[name] != value).flatten() for name, value in parameters_of(large).items()]).all()
        ),
        "the global stream is left alone": untouched,
        "uses Python's own hash": hashes,
        **moments(numbers),
    }


def _names_meet(outcome: Outcome, *others: Any) -> bool:
    """Whether parameters of different names have the same numbers."""
    return not outcome["names differ"]


def _zero_is_one(
    outcome: Outcome, expected: Outcome, small: nn.Module, large: nn.Module, seed: int, other: int
) -> bool:
    """Whether only the seeds 0 and 1 give the same numbers."""
    return seed == 0 and not outcome["another seed gives other numbers"]


def _named_streams(seed_for: Function, *, fill: Function = init.normal_) -> Function:
    """Draws each parameter from a stream of its own, whose seed follows from seed, place and name."""

    def draw(model: nn.Module, seed: int) -> None:
        for place, (name, parameter) in enumerate(model.named_parameters()):
            own = torch.Generator().manual_seed(seed_for(seed, place, name))
            fill(parameter, generator=own)

    return draw


def _number(name: str) -> int:
    return zlib.crc32(name.encode())


def _one_stream(model: nn.Module, seed: int) -> None:
    own = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        init.normal_(parameter, generator=own)


def _matrices_only(model: nn.Module, seed: int) -> None:
    for name, parameter in model.named_parameters():
        if parameter.dim() > 1:
            init.normal_(parameter, generator=torch.Generator().manual_seed(seed + _number(name)))


def _global_stream(model: nn.Module, seed: int) -> None:
    for name, parameter in model.named_parameters():
        torch.manual_seed(seed + _number(name))
        init.normal_(parameter)


def _by_layer(model: nn.Module, seed: int) -> None:
    for name, layer in model.named_children():
        for parameter in layer.parameters():
            init.normal_(parameter, generator=torch.Generator().manual_seed(seed + _number(name)))


@exercise(
    "recipe-by-name",
    inputs=(_relatives, _relatives_of_zero),
    observe=_drawn_by_name,
    describe=_by_name,
    cases=2,
    rtol32=None,
    right="a layer keeps its numbers, whatever else the model contains.",
    mistakes={
        "The same layer gets other numbers in a model with other layers: your numbers depend on the place of a "
        "parameter, as they do if all are drawn from one stream. Give each name a stream of its own.": _one_stream,
        "Every parameter gets the same stream, so parameters of one shape are copies of each other. Let the name enter "
        "the seed.": _named_streams(lambda seed, place, name: seed),
        "Your numbers do not depend on `seed`. Let it enter each parameter's own seed, and let it change the lowest 32 "
        "bits: torch's generator keeps no others.": _named_streams(lambda seed, place, name: _number(name)),
        "The seeds 0 and 1 give a parameter the same numbers. Every seed counts, 0 as well: `or` loses it. Add seed "
        "and number, or hash both together.": When(_zero_is_one),
        "Two names give the same numbers. What you make of a name is the same for both, as are its length, its last "
        "part, or the sum of its letters: let the whole name enter, as `zlib.crc32` does.": When(_names_meet),
        "With the seed 0 every parameter gets the same stream: a product with 0 is 0. Add seed and number, or hash "
        "both together.": _named_streams(lambda seed, place, name: seed * _number(name)),
        "You used Python's own `hash`. When Python is started again, it gives other numbers for the same name, so "
        "nobody could repeat your draw: take `zlib.crc32(name.encode())`.": _named_streams(
            lambda seed, place, name: seed + hash(name)
        ),
        "You seeded the global stream. Whoever draws from it next gets other numbers than before: make a "
        "`torch.Generator` for each parameter.": _global_stream,
        "Weight and bias of a layer begin with the same numbers: you used the layer's name. Use the parameter's.": (
            _by_layer
        ),
        "You filled some parameters and left the others as they were. Fill biases and scales, too: all that "
        "`named_parameters()` lists.": _matrices_only,
        "Your numbers are uniform. The exercise asks for standard normal ones.": _named_streams(
            lambda seed, place, name: seed + _number(name), fill=partial(_uniform, std=1.0)
        ),
    },
)
def recipe_by_name(model: nn.Module, seed: int) -> None:
    """Standard normal numbers for each parameter, from a stream that belongs to seed and name."""
    _named_streams(lambda seed, place, name: seed + _number(name))(model, seed)
