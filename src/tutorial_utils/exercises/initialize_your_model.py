"""Exercises about initializing a model of your own."""

import copy
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import init

from tutorial_utils.exercises.compare import Outcome
from tutorial_utils.exercises.legacy import twice
from tutorial_utils.exercises.registry import Function, Inputs, Mistake, exercise
from tutorial_utils.exercises.toolbox import between, listed, moments, scramble, stream


def _tried(start: Callable[[Any], Any], model: nn.Module) -> dict[str, Tensor]:
    """The parameters that a start makes; the model gets its own back, which is quicker than a copy of it."""
    old = [parameter.detach().clone() for parameter in model.parameters()]
    start(model)
    new = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    with torch.no_grad():
        for parameter, before in zip(model.parameters(), old, strict=True):
            parameter.copy_(before)
    return new


def _seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# --- the head -----------------------------------------------------------------------------------------


def _head(*, generator: torch.Generator) -> Inputs:
    """Few classes, for which 1 - 1/C matters, and hidden units whose second moment is not one."""
    classes, n = between(3, 5, generator=generator), 10 * between(10, 40, generator=generator)
    q = (0.3, 0.4, 2.5, 3.0)[between(0, 3, generator=generator)]
    return classes, n, q, between(2, 9, generator=generator) / 100


def _logit_variance(classes: int, excess: float) -> float:
    return 2 * excess / (1 - 1 / classes)


@exercise(
    "recipe-head",
    value=True,
    inputs=_head,
    rtol=5e-3,
    right="the excess fixes the variance of the logits, and that of the weights follows from n and q.",
    mistakes=(
        Mistake(
            "That is the variance of the weights. Asked for is the deviation, its root.",
            lambda classes, n, q, excess: _logit_variance(classes, excess) / (n * q),
        ),
        Mistake(
            "Your logits have the right size, and your weights are not there yet: a logit sums over n terms, each with "
            "the second moment q times the variance of a weight.",
            lambda classes, n, q, excess: _logit_variance(classes, excess) ** 0.5,
        ),
        Mistake(
            "That is the variance of the logits. It is the sum of n terms, each with the second moment q times the "
            "variance of a weight; asked for is the deviation of a weight.",
            lambda classes, n, q, excess: _logit_variance(classes, excess),
        ),
        Mistake(
            "You multiplied by 1 - 1/C. The excess is that factor times half the variance of the logits: divide by it.",
            lambda classes, n, q, excess: (2 * excess * (1 - 1 / classes) / (n * q)) ** 0.5,
        ),
        Mistake(
            "You took the excess itself for the variance of the logits. It is one half times 1 - 1/C times that.",
            lambda classes, n, q, excess: (excess / (n * q)) ** 0.5,
        ),
        Mistake(
            "You left out 1 - 1/C. The loss does not change when all logits rise together, so one part in C of their "
            "variance costs nothing.",
            lambda classes, n, q, excess: (2 * excess / (n * q)) ** 0.5,
        ),
        Mistake(
            "You left out the one half of the chapter's formula: the excess is half the variance of the logits, times "
            "1 - 1/C.",
            lambda classes, n, q, excess: (_logit_variance(classes, excess) / 2 / (n * q)) ** 0.5,
        ),
        Mistake(
            "You forgot the hidden units' second moment: a logit's variance is n q Var[w].",
            lambda classes, n, q, excess: (_logit_variance(classes, excess) / n) ** 0.5,
        ),
        Mistake(
            "You took q for a deviation of the hidden units. It is their second moment and stands under the root.",
            lambda classes, n, q, excess: (_logit_variance(classes, excess) / n) ** 0.5 / q,
        ),
        Mistake(
            "You forgot that each logit is a sum over n hidden units.",
            lambda classes, n, q, excess: (_logit_variance(classes, excess) / q) ** 0.5,
        ),
        Mistake(
            "You divided by the number of classes, the fan_out. A logit sums over the fan_in, the n hidden units.",
            lambda classes, n, q, excess: (_logit_variance(classes, excess) / (classes * q)) ** 0.5,
        ),
        Mistake(
            "That is He's deviation. It makes up for a ReLU, which does not follow here, and ignores the loss you may "
            "spend.",
            lambda classes, n, q, excess: (2 / n) ** 0.5,
        ),
        Mistake(
            "That is LeCun's deviation: it keeps the second moment, whatever that costs. Begin with the excess.",
            lambda classes, n, q, excess: (1 / n) ** 0.5,
        ),
    ),
)
def recipe_head(classes: int, n: int, q: float, excess: float) -> float:
    """The deviation of the head's weights with which the first loss is, to leading order, ln C + excess."""
    return math.sqrt(_logit_variance(classes, excess) / (n * q))


# --- the example, repaired ----------------------------------------------------------------------------


def _models(*, generator: torch.Generator) -> Inputs:
    """A model with linear layers of two classes, and modules that are no linear layers."""
    n = between(40, 48, generator=generator)
    parts = {
        "linear": nn.Linear(n, 3 * n),
        "attention": nn.MultiheadAttention(n, 1),
        "norm": nn.LayerNorm(5),
        "table": nn.Embedding(7, 5),
    }
    return scramble(nn.ModuleDict(parts), generator=generator), stream(generator=generator)


def _applied(answer: Function, model: nn.Module, generator: torch.Generator) -> Outcome:
    """What an answer does to each kind of parameter of a model, and whether autograd sees it."""

    def tried(numbers: torch.Generator) -> dict[str, Tensor]:
        return _tried(lambda own: own.apply(lambda module: answer(module, numbers)), model)

    old = _tried(lambda own: None, model)
    new, again = twice(tried, generator=generator)
    other = tried(stream(generator=generator))
    changed = {name for name in new if not torch.equal(new[name], old[name])}
    outcome: Outcome = {}
    for name in ("linear", "attention.out_proj"):
        outcome |= {f"{what} of {name}.weight": value for what, value in moments(new[f"{name}.weight"]).items()}
        outcome[f"{name}.bias"] = new[f"{name}.bias"]
    return outcome | {
        "a layer without a bias": _without_bias(answer, generator),
        "the embedding is as before": "table.weight" not in changed,
        "the normalization is as before": not changed & {"norm.weight", "norm.bias"},
        "the attention's own parameters are as before": not changed
        & {"attention.in_proj_weight", "attention.in_proj_bias"},
        "same generator, same draw": all(torch.equal(new[name], again[name]) for name in new),
        "another generator, another draw": not torch.equal(new["linear.weight"], other["linear.weight"]),
        **_seen_by_autograd(answer, generator),
    }


def _without_bias(answer: Function, generator: torch.Generator) -> str:
    """What an answer does to a layer without a bias."""
    layer = nn.Linear(8, 4, bias=False)
    old = layer.weight.detach().clone()
    try:
        answer(layer, generator)
    except (AttributeError, TypeError) as error:
        if "NoneType" not in str(error):
            raise
        return f"{type(error).__name__}: {error}"
    return "as before" if torch.equal(layer.weight, old) else "drawn"


def _seen_by_autograd(answer: Function, generator: torch.Generator) -> Outcome:
    """Whether a backward pass notices that a weight changed after its forward pass, and whether it is still there."""
    first, second = nn.Linear(2, 3), nn.Linear(3, 2)
    weight, output = second.weight, second(first(torch.ones(1, 2)))
    answer(second, generator)
    noticed = False
    try:
        output.sum().backward()
    except RuntimeError:
        noticed = True
    return {"autograd notices the change": noticed, "the parameters are the same objects": second.weight is weight}


Fill = Callable[..., Any]


def _hook(
    fill: Fill = init.xavier_uniform_,
    bias: float | None = 0.0,
    applies: Callable[[nn.Module], bool] = lambda module: isinstance(module, nn.Linear),
) -> Function:
    """A function for ``apply``, with a choice of the draw, the constant in the biases, and the modules."""

    @torch.no_grad()
    def start(module: Any, generator: torch.Generator) -> None:
        if applies(module):
            fill(module.weight, generator=generator)
            if getattr(module, "bias", None) is not None and bias is not None:
                module.bias.fill_(bias)

    return start


def _bias_of_all(module: nn.Module, generator: torch.Generator) -> None:
    """Asks every linear layer for a bias."""
    if isinstance(module, nn.Linear):
        init.xavier_uniform_(module.weight, generator=generator)
        init.zeros_(module.bias)


def _behind(weight: Tensor, generator: torch.Generator) -> None:
    init.xavier_uniform_(weight.data, generator=generator)


def _replaced(module: nn.Module, generator: torch.Generator) -> None:
    if isinstance(module, nn.Linear):
        empty = torch.empty_like(module.weight)
        module.weight = nn.Parameter(init.xavier_uniform_(empty, generator=generator))
        if module.bias is not None:
            module.bias = nn.Parameter(torch.zeros_like(module.bias))


def _matrices(module: nn.Module) -> bool:
    weight = getattr(module, "weight", None)
    return isinstance(weight, Tensor) and weight.dim() > 1


def _with_bias(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear) and module.bias is not None


def _every_bias(module: nn.Module, generator: torch.Generator) -> None:
    """Clears what is called ``bias``, of any module."""
    _hook(bias=None)(module, generator)
    if getattr(module, "bias", None) is not None:
        init.zeros_(module.bias)  # type: ignore[arg-type]


def _attention_too(module: nn.Module, generator: torch.Generator) -> None:
    """Counts attention itself among the linear layers."""
    if isinstance(module, (nn.Linear, nn.MultiheadAttention)):
        for parameter in module.parameters(recurse=False):
            if parameter.dim() > 1:
                init.xavier_uniform_(parameter, generator=generator)
            else:
                init.zeros_(parameter)


def _by_shape(module: nn.Module, generator: torch.Generator) -> None:
    """Goes by the shapes and names of the parameters that a module owns, whatever its class."""
    for name, parameter in module.named_parameters(recurse=False):
        if parameter.dim() > 1:
            init.xavier_uniform_(parameter, generator=generator)
        elif "bias" in name:
            init.zeros_(parameter)


def _bound_is_deviation(weight: Tensor, generator: torch.Generator) -> None:
    bound = math.sqrt(2 / sum(weight.shape))
    init.uniform_(weight, -bound, bound, generator=generator)


@exercise(
    "recipe-example",
    inputs=_models,
    observe=_applied,
    cases=2,
    right="each linear layer is drawn, each bias is zero, all else stays, and autograd knows.",
    mistakes=(
        Mistake(
            "You passed over `attention.out_proj`: its class is a subclass of nn.Linear, so `type(m) == nn.Linear` is "
            "false. Ask `isinstance(m, nn.Linear)`.",
            _hook(applies=lambda module: type(module) is nn.Linear),
        ),
        Mistake(
            "You wrote through `.data`: autograd does not see that the weight changed, and a backward pass that is "
            "still to come would use the new one in silence. `nn.init` takes the parameter itself.",
            _hook(_behind),
        ),
        Mistake(
            "You put new parameters in place of the old ones. An optimizer made before goes on with the old ones. "
            "Fill those that are there.",
            _replaced,
        ),
        Mistake(
            "One of the layers has no bias: there `m.bias` is None, and nothing can be done to it. Ask `if m.bias is "
            "not None` first.",
            _bias_of_all,
        ),
        Mistake(
            "You passed over the layer without a bias. Its weight is drawn like any other: ask for the bias only "
            "before you fill the bias.",
            _hook(applies=_with_bias),
        ),
        Mistake("You kept the small constant in the biases. Glorot and Bengio set them to zero.", _hook(bias=0.01)),
        Mistake("You left the biases as they were. Glorot and Bengio set them to zero.", _hook(bias=None)),
        Mistake(
            "You chose by the number of dimensions or by the attribute `weight`, so the embedding was drawn, too. Its "
            "rows are no fan: choose by the class of the module.",
            _hook(applies=_matrices),
        ),
        Mistake(
            "The draw comes from torch's global stream. Pass `generator=generator` to the function that draws.",
            _hook(lambda weight, generator: init.xavier_uniform_(weight)),
        ),
        Mistake("You drew Glorot's normal numbers. The example has the uniform ones.", _hook(init.xavier_normal_)),
        Mistake("You drew He's uniform weights. The example has Glorot's.", _hook(init.kaiming_uniform_)),
        Mistake("You drew He's normal weights. The example has Glorot's uniform ones.", _hook(init.kaiming_normal_)),
        Mistake(
            "You gave Glorot's weights the gain of ReLU. The example has none.",
            _hook(partial(init.xavier_uniform_, gain=2**0.5)),
        ),
        Mistake(
            "Your bound is Glorot's deviation. The bound of a uniform draw is sqrt(3) times its deviation.",
            _hook(_bound_is_deviation),
        ),
        Mistake(
            "You zeroed the biases of other modules, too, such as that of the normalization. Only linear layers may "
            "change.",
            _every_bias,
        ),
        Mistake(
            "You drew the packed matrix of the attention itself. It is no linear layer: of its parts only `out_proj` "
            "is one, and `apply` hands you that by itself.",
            _attention_too,
        ),
        Mistake(
            "You went by the shapes or the names of the parameters, so the embedding, the attention's packed matrix "
            "and the normalization have changed, too. Choose by the class of the module.",
            _by_shape,
        ),
        Mistake(
            "Your numbers do not depend on `generator`: you seeded another one in the function. So every call draws "
            "the same numbers. Hand on the generator that is given.",
            _hook(lambda weight, generator: init.xavier_uniform_(weight, generator=_seeded())),
        ),
        Mistake(
            "Your function changed no module. Does its condition choose one, and does it fill the parameters of `m` "
            "itself, in place?",
            _hook(applies=lambda module: False),
        ),
    ),
)
def recipe_example(m: nn.Module, generator: torch.Generator) -> None:
    """Glorot's uniform start for every linear layer that apply visits."""
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


def _ended(answer: Function, blocks: Any, generator: torch.Generator) -> Outcome:
    """What an answer draws for the ends of the branches, and what else it changes."""

    def tried(numbers: torch.Generator) -> dict[str, Tensor]:
        return _tried(lambda own: answer(own, numbers), blocks)

    old = _tried(lambda own: None, blocks)
    new, again = twice(tried, generator=generator)
    other = tried(stream(generator=generator))
    outcome: Outcome = {}
    for names in (ENDS[:2], ENDS[2:]):
        weights = [new[f"{number}.{name}.weight"] for number in range(len(blocks)) for name in names]
        sample = torch.stack(weights)
        outcome |= {f"{what} of {' and '.join(names)}": value for what, value in moments(sample).items()}
    biases = [value for name, value in new.items() if name.endswith("bias") and ".up." not in name]
    return outcome | {
        "biases of the ends": torch.stack(biases),
        "the layers inside are as before": all(torch.equal(old[name], new[name]) for name in old if ".up." in name),
        "blocks differ": not torch.equal(new["0.down.weight"], new["1.down.weight"]),
        "same generator, same draw": all(torch.equal(new[name], again[name]) for name in new),
        "another generator, another draw": not torch.equal(new["0.down.weight"], other["0.down.weight"]),
    }


Deviation = Callable[[int, int, int], float]


def _ends_with(
    deviation: Deviation, fill: Fill = init.normal_, bias: bool = True, names: tuple[str, ...] = ENDS
) -> Function:
    """A start of the ends with deviation(fan_in, fan_out, blocks)."""

    def start(blocks: Any, generator: torch.Generator) -> None:
        for block in blocks:
            for name in names:
                fan_out, fan_in = block[name].weight.shape
                fill(block[name].weight, std=deviation(fan_in, fan_out, len(blocks)), generator=generator)
                if bias:
                    init.zeros_(block[name].bias)

    return start


def _right_std(fan_in: int, fan_out: int, blocks: int) -> float:
    return 1 / math.sqrt(fan_in * 3 * blocks)


def _uniform(weight: Tensor, std: float, generator: torch.Generator) -> None:
    init.uniform_(weight, -(3**0.5) * std, 3**0.5 * std, generator=generator)


@torch.no_grad()
def _only_scaled(blocks: Any, generator: torch.Generator) -> None:
    for block in blocks:
        for name in ENDS:
            block[name].weight.mul_((3 * len(blocks)) ** -0.5)
            block[name].bias.zero_()


def _seeded_in_the_loop(blocks: Any, generator: torch.Generator) -> None:
    state, start = generator.get_state(), _ends_with(_right_std)
    for block in blocks:
        # each block alone counts as one of one
        own = torch.Generator().set_state(state)
        start([block], own)
        with torch.no_grad():
            for name in ENDS:
                block[name].weight.mul_(len(blocks) ** -0.5)


def _seeded_once(blocks: Any, generator: torch.Generator) -> None:
    _ends_with(_right_std)(blocks, _seeded())


@exercise(
    "recipe-branch-ends",
    inputs=_decoder,
    observe=_ended,
    cases=2,
    right="each branch adds its share, and all of them together multiply the stream by less than e.",
    mistakes=(
        Mistake(
            "You counted blocks. Each block adds three branches to the stream, and each addition counts.",
            _ends_with(lambda n, m, blocks: (n * blocks) ** -0.5),
        ),
        Mistake(
            "You counted the three branches of one block. All branches of the model add to the stream: three times the "
            "number of blocks.",
            _ends_with(lambda n, m, blocks: (n * 3) ** -0.5),
        ),
        Mistake(
            "You counted two branches a block. These blocks add three: the attention to a second text is a branch, "
            "too.",
            _ends_with(lambda n, m, blocks: (n * 2 * blocks) ** -0.5),
        ),
        Mistake(
            "You started `down` only. The two attentions end a branch as well, in `self_out` and `cross_out`.",
            _ends_with(_right_std, names=("down",)),
        ),
        Mistake(
            "You drew Glorot's weights, which average fan_in and fan_out. What is kept here is the forward second "
            "moment, and `down` has three times as many inputs as outputs: use the fan_in.",
            _ends_with(lambda n, m, blocks: (2 / ((n + m) * 3 * blocks)) ** 0.5),
        ),
        Mistake(
            "You left out `cross_out`. The attention to a second text is a branch, too.",
            _ends_with(_right_std, names=("self_out", "down")),
        ),
        Mistake(
            "You divided the weights by the number of branches. Their variances add up, so divide by its root; your "
            "branches switch off as the model grows deeper.",
            _ends_with(lambda n, m, blocks: n**-0.5 / (3 * blocks)),
        ),
        Mistake(
            "You did not scale the ends down: the stream doubles with each branch.",
            _ends_with(lambda n, m, blocks: n**-0.5),
        ),
        Mistake(
            "You drew He's weights. His factor 2 makes up for a ReLU, and none follows the end of a branch.",
            _ends_with(lambda n, m, blocks: (2 / (n * 3 * blocks)) ** 0.5),
        ),
        Mistake(
            "You divided by the fan_out of `down`. A unit sums over its inputs: `weight.shape` is (outputs, inputs).",
            _ends_with(lambda n, m, blocks: (m * 3 * blocks) ** -0.5),
        ),
        Mistake(
            "You passed the variance as `std`. Take its root.", _ends_with(lambda n, m, blocks: 1 / (n * 3 * blocks))
        ),
        Mistake(
            "You set the ends to zero. That is another cure; here every branch shall contribute from the start.",
            _ends_with(lambda n, m, blocks: 0.0),
        ),
        Mistake(
            "You left the biases of the ends as they were: they enter the stream unscaled. Set them to zero.",
            _ends_with(_right_std, bias=False),
        ),
        Mistake(
            "You drew uniform numbers. The exercise asks for normal ones.",
            _ends_with(_right_std, _uniform),
        ),
        Mistake(
            "You scaled what stood in the weights. You cannot know what that was: draw them.",
            _only_scaled,
        ),
        Mistake(
            "You changed `up`, too. It lies inside the branch; only the layer at the end is scaled.",
            _ends_with(_right_std, names=(*ENDS, "up")),
        ),
        Mistake(
            "All your blocks have the same weights: you began the random stream anew in each. Hand the one "
            "`generator` to every draw.",
            _seeded_in_the_loop,
        ),
        Mistake(
            "The draw comes from torch's global stream. Pass `generator=generator` to the function that draws.",
            _ends_with(_right_std, lambda weight, std, generator: init.normal_(weight, std=std)),
        ),
        Mistake(
            "Your numbers do not depend on `generator`: you seeded another one in the function. Hand on the one that "
            "is given.",
            _seeded_once,
        ),
        Mistake(
            "Your function changed nothing. Fill the weights of `blocks` itself, in place.",
            lambda blocks, generator: None,
        ),
    ),
)
@torch.no_grad()
def recipe_branch_ends(blocks: Any, generator: torch.Generator) -> None:
    """LeCun's normal start for the ends, divided by the root of the number of branches."""
    for block in blocks:
        for name in ENDS:
            init.kaiming_normal_(block[name].weight, nonlinearity="linear", generator=generator)
            block[name].weight.div_(math.sqrt(len(ENDS) * len(blocks)))
            init.zeros_(block[name].bias)


# --- a test -------------------------------------------------------------------------------------------


class _Features(nn.Module):
    """Two linear layers behind a table of random frequencies, which its constructor draws and nobody learns."""

    frequencies: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("frequencies", torch.randn(2, width))
        self.hidden, self.head = nn.Linear(width, width), nn.Linear(width, 3)


FAULTS = (
    "decides everything",
    "forgets head.bias",
    "doubles hidden.weight as it stands",
    "draws head.weight from the global stream",
    "forgets the buffer frequencies",
)


@torch.no_grad()
def _start(model: Any, generator: torch.Generator, fault: str) -> None:
    """A start, returned by nothing, with one fault or none."""
    if "buffer" not in fault:
        model.frequencies.normal_(generator=generator)
    if "doubles" in fault:
        model.hidden.weight.mul_(2)
    else:
        init.kaiming_normal_(model.hidden.weight, generator=generator)
    init.normal_(model.head.weight, std=0.1, generator=None if "global" in fault else generator)
    init.zeros_(model.hidden.bias)
    if "head.bias" not in fault:
        init.zeros_(model.head.bias)


def _width(*, generator: torch.Generator) -> Inputs:
    return (between(2, 5, generator=generator),)


def _listed(names: Any) -> str:
    """Names as one text."""
    return ", ".join(sorted(set(listed(names))))


def _tested(answer: Function, width: int) -> Outcome:
    """Which tensors an answer names, for each start."""
    outcome: Outcome = {}
    for number, fault in enumerate(FAULTS):
        torch.manual_seed(number)  # an answer that sets the global stream shall not decide what the next one finds
        outcome[fault] = _listed(answer(lambda: _Features(width), partial(_start, fault=fault)))
    return outcome


Build = Callable[[], Any]
Initialize = Callable[[Any, torch.Generator], None]


def _differing(first: dict[str, Tensor], second: dict[str, Tensor]) -> list[str]:
    return [name for name in first if not torch.equal(first[name], second[name])]


def _parameters_only(build: Build, initialize: Initialize) -> list[str]:
    learned = {name for name, _ in build().named_parameters()}
    return [name for name in recipe_unsteady(build, initialize) if name in learned]


def _going_on(build: Build, initialize: Initialize) -> list[str]:
    models, generator = (build(), build()), _seeded()
    for model in models:
        initialize(model, generator)
    return _differing(models[0].state_dict(), models[1].state_dict())


def _copied(build: Build, initialize: Initialize) -> list[str]:
    first = build()
    second = copy.deepcopy(first)
    initialize(first, _seeded())
    initialize(second, _seeded())
    return _differing(first.state_dict(), second.state_dict())


def _snapshot(build: Build, initialize: Initialize) -> list[str]:
    model = build()
    initialize(model, _seeded())
    before = copy.deepcopy(model.state_dict())
    initialize(model, _seeded())
    return _differing(before, model.state_dict())


def _buffers_only(build: Build, initialize: Initialize) -> list[str]:
    return [name for name in recipe_unsteady(build, initialize) if name in dict(build().named_buffers())]


def _everything(build: Build, initialize: Initialize) -> list[str]:
    return list(build().state_dict())


def _nothing_found(build: Build, initialize: Initialize) -> list[str]:
    return []


@torch.no_grad()
def _sentinel(build: Build, initialize: Initialize) -> list[str]:
    model = build()
    for tensor in model.state_dict().values():
        tensor.fill_(math.nan)
    initialize(model, _seeded())
    return [name for name, tensor in model.state_dict().items() if tensor.isnan().any()]


def _agreeing(build: Build, initialize: Initialize) -> list[str]:
    named = recipe_unsteady(build, initialize)
    return [name for name in build().state_dict() if name not in named]


def _untouched(build: Build, initialize: Initialize) -> list[str]:
    model = build()
    before = copy.deepcopy(model.state_dict())
    initialize(model, _seeded())
    return [name for name in before if name not in _differing(before, model.state_dict())]


@exercise(
    "recipe-unsteady",
    inputs=_width,
    observe=_tested,
    cases=2,
    rtol32=None,
    right="your test names what each faulty start leaves to chance, and nothing in the good one.",
    mistakes=(
        Mistake(
            "Your test names nothing, whatever the start does. Either both sides are the same tensors (`state_dict()` "
            "gives no copies), or you seeded the global stream before each construction, so that what was forgotten is "
            "equal as well.",
            _nothing_found,
        ),
        Mistake(
            "You compared parameters only. A buffer belongs to the start, too: go through `state_dict()`.",
            _parameters_only,
        ),
        Mistake(
            "You compared buffers only. Parameters are left to chance, too: go through `state_dict()`.", _buffers_only
        ),
        Mistake(
            "Your test names every tensor, whatever the start does. Is `initialize` called on both models, and are "
            "their numbers compared, by `torch.equal`?",
            _everything,
        ),
        Mistake(
            "The two starts do not draw the same numbers: you handed on one generator, which had moved on, or used two "
            "seeds. Make a new generator with the same seed for each.",
            _going_on,
        ),
        Mistake(
            "Both of your models began with the same numbers. What the start forgets then agrees, too. Call `build()` "
            "twice.",
            _copied,
        ),
        Mistake(
            "You started one model twice. What the start never touches is equal before and after. Call `build()` "
            "twice.",
            _snapshot,
        ),
        Mistake(
            "Your test does not see a draw from the global stream. The chapter's sentinel cannot, as such a weight is "
            "decided; two starts can, if you do not seed the global stream before each.",
            _sentinel,
        ),
        Mistake("You named the tensors that agree. Asked for are the others.", _agreeing),
        Mistake(
            "You compared before and after one start: that shows what it touches, not what the seed fixes. A tensor "
            "doubled as it stands is touched, and not fixed.",
            _untouched,
        ),
    ),
)
def recipe_unsteady(build: Build, initialize: Initialize) -> list[str]:
    """The names of the parameters and buffers in which two starts with one seed differ."""
    models = build(), build()
    for model in models:
        initialize(model, _seeded())
    return _differing(models[0].state_dict(), models[1].state_dict())
