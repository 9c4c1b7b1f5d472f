"""Exercises about initializing a model of your own."""

import copy
import math
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import init

from tutorial_utils.exercises.compare import Outcome
from tutorial_utils.exercises.registry import Function, Inputs, exercise
from tutorial_utils.exercises.toolbox import (
    between,
    copy_of,
    distribution,
    listed,
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


# --- the head -----------------------------------------------------------------------------------------


def _head(*, generator: torch.Generator) -> Inputs:
    """Few classes, for which 1 - 1/C matters, and hidden units whose second moment is not one."""
    classes, n = between(3, 5, generator=generator), 10 * between(10, 40, generator=generator)
    q = (0.3, 0.4, 2.5, 3.0)[between(0, 3, generator=generator)]
    return classes, n, q, between(2, 9, generator=generator) / 100


def _std(
    terms: Function = lambda classes, n, q: n * q,
    *,
    cost: Function = lambda classes: (1 - 1 / classes) / 2,
    power: float = 0.5,
) -> Function:
    """Divides the variance of the logits, excess / cost, among the terms; right unless told otherwise."""
    return lambda classes, n, q, excess: (excess / cost(classes) / terms(classes, n, q)) ** power


@exercise(
    "recipe-head",
    value=True,
    inputs=_head,
    rtol=5e-3,
    right="the excess fixes the variance of the logits, and that of the weights follows from n and q.",
    mistakes={
        "That is the variance of the weights. The exercise asks for the standard deviation, its root.": _std(power=1),
        "Your logits have the right size, but these are not the weights yet: a logit sums over n terms, each with the "
        "second moment q times the variance of a weight.": _std(lambda classes, n, q: 1),
        "That is the variance of the logits. It is the sum of n terms, each with the second moment q times the "
        "variance of a weight; the exercise asks for the standard deviation of a weight.": _std(
            lambda classes, n, q: 1, power=1
        ),
        "You multiplied by 1 - 1/C. The excess is that factor times half the variance of the logits: divide by "
        "it.": _std(cost=lambda classes: 1 / (1 - 1 / classes) / 2),
        "You took the excess itself for the variance of the logits. It is one half times 1 - 1/C times that.": _std(
            cost=lambda classes: 1
        ),
        "You left out 1 - 1/C. The loss does not change when all logits rise together, so one part in C of their "
        "variance costs nothing.": _std(cost=lambda classes: 1 / 2),
        "You left out the one half of the chapter's formula: the excess is half the variance of the logits, times "
        "1 - 1/C.": _std(cost=lambda classes: 1 - 1 / classes),
        "You forgot the hidden units' second moment: a logit's variance is n q Var[w].": _std(lambda classes, n, q: n),
        "You took q for the standard deviation of the hidden units. It is their second moment and stands under the "
        "root.": _std(lambda classes, n, q: n * q**2),
        "You forgot that each logit is a sum over n hidden units.": _std(lambda classes, n, q: q),
        "You divided by the number of classes, the fan_out. A logit sums over the fan_in, the n hidden units.": _std(
            lambda classes, n, q: classes * q
        ),
        "That is He's standard deviation. It makes up for a ReLU, which does not follow here, and ignores the loss you "
        "may spend.": lambda classes, n, q, excess: (2 / n) ** 0.5,
        "That is LeCun's standard deviation: it keeps the second moment, whatever that costs. Begin with the "
        "excess.": lambda classes, n, q, excess: (1 / n) ** 0.5,
    },
)
def recipe_head(classes: int, n: int, q: float, excess: float) -> float:
    """The standard deviation of the head's weights with which the first loss is, to leading order, ln C + excess."""
    return math.sqrt(2 * excess / (1 - 1 / classes) / (n * q))


# --- the example, repaired ----------------------------------------------------------------------------


class Output(nn.Linear):
    """A linear layer that does not say so in its name."""


def _models(*, generator: torch.Generator) -> Inputs:
    """A model with linear layers of three classes, and modules that are no linear layers."""
    n = between(40, 48, generator=generator)
    parts = {
        "linear": nn.Linear(n, 3 * n),
        "attention": nn.MultiheadAttention(n, 1),
        "norm": nn.LayerNorm(5),
        "table": nn.Embedding(7, 5),
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
    answer(second, generator)
    try:
        output.sum().backward()
    except RuntimeError as raised:
        return [weight, second.weight, str(raised)]
    return [weight, second.weight, ""]


def _part_by_part(raw: dict[str, Any], model: nn.Module, generator: torch.Generator) -> Outcome:
    """What an answer did to each kind of parameter, and whether autograd and an optimizer notice."""
    old, new = parameters_of(model), raw["draws"][0]
    outcome: Outcome = {}
    for name in ("linear", "attention.out_proj", "output"):
        parts = distribution([draw[f"{name}.weight"] for draw in raw["draws"]])
        outcome |= {f"{name}.weight: {part}": value for part, value in parts.items()}
        outcome[f"{name}.bias"] = new[f"{name}.bias"]
    for kind in ("table", "norm", "attention.in_proj"):
        names = [name for name in old if name.startswith(kind)]
        outcome[f"{kind} is as before"] = all(torch.equal(old[name], new[name]) for name in names)
    before, after, error = raw["without bias"]
    known, own, complaint = raw["backward"]
    return outcome | {
        "a layer without a bias": "fails" if error else "as before" if torch.equal(before, after) else "drawn",
        "autograd notices the change": "modified by an inplace operation" in complaint,
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
        "You went by the name of the class. A subclass of nn.Linear may have any name: ask `isinstance(m, "
        "nn.Linear)`.": _hook(applies=lambda module: "Linear" in type(module).__name__),
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
    return thrice(lambda source: _parameters_after(lambda own: answer(own, source), blocks), generator)


def _ends_and_insides(draws: list[Any], blocks: nn.ModuleList, generator: torch.Generator) -> Outcome:
    """What an answer draws for the ends of the branches, and what else it changes."""
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


def _uniform(weight: Tensor, std: float, generator: torch.Generator) -> None:
    init.uniform_(weight, -(3**0.5) * std, 3**0.5 * std, generator=generator)


def _scaled(weight: Tensor, std: float, generator: torch.Generator) -> None:
    weight.data.mul_(std * weight.shape[1] ** 0.5)


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
    """Two linear layers behind a table of small random numbers, which its constructor draws and nobody learns."""

    offsets: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("offsets", 1e-4 * torch.randn(2, width))
        self.hidden, self.head = nn.Linear(width, width), nn.Linear(width, 3)


#: What an initialization may do, by number.
FAULTS = (
    "decides everything",
    "forgets head.bias",
    "doubles hidden.weight as it stands",
    "draws head.weight from the global stream",
    "forgets the buffer offsets",
)


def _initialization(fault: int) -> Function:
    """An initialization with one fault, or none; some of its numbers are too small for a test with a tolerance."""

    @torch.no_grad()
    def initialize(model: Any, generator: torch.Generator) -> None:
        if fault != 4:
            model.offsets.normal_(std=1e-4, generator=generator)
        if fault == 2:
            model.hidden.weight.mul_(2)
        else:
            init.kaiming_normal_(model.hidden.weight, generator=generator)
        init.normal_(model.head.weight, std=1e-4, generator=None if fault == 3 else generator)
        init.zeros_(model.hidden.bias)
        if fault != 1:
            init.zeros_(model.head.bias)

    return initialize


def _width_and_order(*, generator: torch.Generator) -> Inputs:
    """A width, and the faults in random order."""
    return between(2, 5, generator=generator), torch.randperm(len(FAULTS), generator=generator).tolist()


def _tested(answer: Function, width: int, order: list[int]) -> list[list[str]]:
    """The tensors that an answer names, for each initialization."""
    found = []
    for fault in order:
        torch.manual_seed(fault)  # an answer that sets the global stream should not decide what the next one finds
        found.append(listed(answer(lambda: Features(width), _initialization(fault))))
    return found


def _fault_by_fault(found: list[list[str]], width: int, order: list[int]) -> Outcome:
    """The names as one text, sorted, for each fault."""
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
    guessing=1.0,
    inputs=_width_and_order,
    observe=_tested,
    describe=_fault_by_fault,
    cases=2,
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
        "You compared up to a tolerance. The same seed gives exactly the same numbers, and two draws may be small: "
        "compare by `torch.equal`.": _unsteady(differ=lambda one, other: not torch.allclose(one, other, atol=0.01)),
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
