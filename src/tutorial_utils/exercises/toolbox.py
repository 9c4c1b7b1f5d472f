"""What exercises are built from: random inputs, observers of an answer, and descriptions of what they collect."""

import math
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType, ModuleType
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from tutorial_utils.exercises.compare import Estimate, Outcome, kind, named
from tutorial_utils.exercises.registry import Function, call
from tutorial_utils.exercises.run import NoResult, WrongType, same, tensors

COPIED = (
    "Your function returns something new and leaves what it was given as it was. The exercise asks for a change in "
    "place: whoever calls your function keeps the object that was handed over, and nothing has happened to it."
)

# --- random inputs ------------------------------------------------------------------------------------


def between(low: int, high: int, *, generator: torch.Generator) -> int:
    """A whole number from low to high, both possible."""
    return int(torch.randint(low, high + 1, (), generator=generator))


def uniform(low: float, high: float, *, generator: torch.Generator) -> float:
    """A number between low and high."""
    return low + (high - low) * torch.rand((), generator=generator, dtype=torch.float64).item()


def normal(*shape: int, generator: torch.Generator, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """A float64 tensor of independent normal numbers."""
    return mean + std * torch.randn(shape, generator=generator, dtype=torch.float64)


def sizes(count: int, low: int, high: int, *, generator: torch.Generator) -> list[int]:
    """Different whole numbers from low to high: sizes that cannot be taken for one another."""
    return (low + torch.randperm(high - low + 1, generator=generator)[:count]).tolist()


def stream(*, generator: torch.Generator) -> torch.Generator:
    """A generator to hand to an answer."""
    return torch.Generator().manual_seed(between(1, 2**31, generator=generator))


@torch.no_grad()
def scramble(model: nn.Module, *, generator: torch.Generator) -> nn.Module:
    """The model with normal numbers in every parameter, so that each change of one shows."""
    for parameter in model.double().parameters():
        parameter.normal_(generator=generator)
    return model


# --- observers ----------------------------------------------------------------------------------------


def copy_of(generator: torch.Generator) -> torch.Generator:
    """A generator that will draw the same numbers."""
    return generator.clone_state()


def leaf(weight: Tensor) -> Tensor:
    """A copy of a weight that requires its gradient, as parameters do."""
    return weight.detach().clone().requires_grad_()


def parameters_of(model: nn.Module) -> dict[str, Tensor]:
    """Copies of a network's parameters, by name; tied ones by each of their names."""
    return {name: value.detach().clone() for name, value in model.named_parameters(remove_duplicate=False)}


class Operations(TorchFunctionMode):
    """Records inside a ``with`` block whether torch normalized something, and whether autograd went backward.

    >>> with Operations() as seen:
    ...     _ = nn.functional.layer_norm(torch.ones(2, 3), (3,))
    >>> seen.normalizes, seen.differentiates
    (True, False)
    """

    def __init__(self) -> None:
        super().__init__()
        #: Whether one of torch's own normalizations ran, and whether autograd did.
        self.normalizes = self.differentiates = False
        self._hooks = torch.autograd.graph.saved_tensors_hooks(lambda saved: saved, self._read_again)

    def __enter__(self) -> "Operations":
        """Begin to record."""
        self._hooks.__enter__()
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        """End recording."""
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        self._hooks.__exit__(*error)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Note a call of a function of torch, then do it."""
        name = getattr(func, "__name__", "")
        self.differentiates |= "norm_backward" in name
        self.normalizes |= any(f"{one}_norm" in name for one in ("batch", "layer", "group", "instance"))
        return func(*args, **(kwargs or {}))

    def _read_again(self, saved: Tensor) -> Tensor:
        """Hand back a tensor of the forward pass, for which only a backward pass asks."""
        self.differentiates = True
        return saved


#: The part of an answer's outcome that says so, and what a student is told.
BORROWED = "uses a normalization of torch"
BY_TORCH = (
    "You let torch normalize for you. The numbers are right, but the exercise is to write it yourself, from "
    "means and variances."
)


def own_work(answer: Function, *inputs: Any) -> list[Any]:
    """What an answer returns, and whether it let torch normalize."""
    with Operations() as seen:
        result = answer(*inputs)
    return [result, seen.normalizes]


def and_borrowed(*names: str) -> Function:
    """Describe what :func:`own_work` saw: the parts of the result by name, and whether torch normalized.

    >>> and_borrowed("output")([torch.ones(1), True])
    {'output': tensor([1.]), 'uses a normalization of torch': True}
    """

    def describe(raw: list[Any], *inputs: Any) -> Outcome:
        result, borrowed = raw
        parts = parts_of(result, *names) if len(names) > 1 else {names[0]: tensor(result)}
        return parts | {BORROWED: borrowed}

    return describe


def thrice(answer: Function, *inputs: Any) -> list[Any]:
    """What an answer, whose last input is a generator, gives for one, for its copy, and for one that has moved on.

    >>> origin(*thrice(lambda size, generator: torch.rand(size, generator=generator), 3, torch.Generator()))
    'the generator'
    >>> origin(*thrice(lambda size, generator: torch.ones(size), 3, torch.Generator()))
    'a fixed seed'
    """
    *others, generator = inputs
    sources = [copy_of(generator) for _ in range(3)]
    torch.rand(10_000, generator=sources[2])  # so far that two draws share few numbers, and have sizes of their own
    return [answer(*others, source) for source in sources]


def fill_thrice(answer: Function, weight: Tensor, *options: Any) -> list[Any]:
    """The same for an answer that fills a parameter; each time it gets a fresh one."""
    return thrice(lambda *rest: answer(leaf(weight), *rest), *options)


def in_place(observe: Function) -> Function:
    """An observer that refuses an answer which leaves its first input as it was and returns something else."""

    def changing(answer: Function, first: Any, *others: Any) -> Any:
        result = answer(first, *others)  # where an answer changes its input, this is that input
        if result is not first:
            raise WrongType(COPIED)
        return result

    def watched(answer: Function, *inputs: Any) -> Any:
        return observe(partial(changing, answer), *inputs)

    return watched


def without(*modules: str, observe: Function = call) -> Function:
    """An observer that refuses an answer which itself calls a function of some modules, such as ``"torch.nn.init"``.

    What libraries call for it is allowed: creating an ``nn.Linear`` initializes it.
    """

    def watched(answer: Function, *inputs: Any) -> Any:
        calls: list[str] = []
        with _profile(partial(_note_call, modules, calls)):
            result = observe(answer, *inputs)
        if calls:
            raise WrongType(f"Your code calls `{calls[0]}`. Here you write it yourself, without that module.")
        return result

    return watched


@contextmanager
def noticing(module: ModuleType, name: str) -> Iterator[list[str]]:
    """Collect the names of the modules that call a function in the block, those of libraries left out.

    >>> import builtins
    >>> with noticing(builtins, "hash") as calls:
    ...     _ = list(map(hash, ("weight", "bias")))
    >>> len(calls)
    2
    """
    calls: list[str] = []
    original = getattr(module, name)

    def noted(*arguments: Any, **options: Any) -> Any:
        caller = str(sys._getframe(1).f_globals.get("__name__"))
        if caller.partition(".")[0] not in ("torch", "numpy", *sys.stdlib_module_names):
            calls.append(caller)
        return original(*arguments, **options)

    with patch.object(module, name, noted):
        yield calls


@contextmanager
def _profile(notice: Function) -> Iterator[None]:
    """Have Python report calls in the block."""
    before = sys.getprofile()
    sys.setprofile(notice)
    try:
        yield
    finally:
        sys.setprofile(before)


def _note_call(modules: tuple[str, ...], calls: list[str], frame: FrameType, event: str, argument: object) -> None:
    """Note a call into one of the modules by the reader's own code."""
    callee, caller = (str(one.f_globals.get("__name__")) if one else "" for one in (frame, frame.f_back))
    called = event == "call" and any(f"{callee}.".startswith(f"{module}.") for module in modules)
    if called and callee != __name__ and caller.partition(".")[0] not in ("torch", "tutorial_utils"):
        calls.append(f"{callee}.{frame.f_code.co_name}")


# --- descriptions -------------------------------------------------------------------------------------


def tensor(value: Any) -> Tensor:
    """A tensor that an answer gave, outside of any graph and with its zeros written out.

    Raises:
        NoResult: if it gave None.
        WrongType: if it gave anything else.
    """
    if value is None:
        raise NoResult
    if not isinstance(value, Tensor):
        raise WrongType(f"The exercise asks for a tensor, and your function returned something of type {kind(value)}.")
    return value.detach().to_dense()


def listed(names: Any) -> list[str]:
    """The names that an answer gives, in whatever kind of collection; WrongType if there are others than texts."""
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise WrongType(f"The exercise asks for a list of names, and this is of type {kind(names)}.")
    texts = list(names)
    for text in texts:
        if not isinstance(text, str):
            raise WrongType(f"The exercise asks for a list of names, and yours holds something of type {kind(text)}.")
    return texts


def parts_of(result: Any, *names: str) -> Outcome:
    """The parts of a result under their names, in whatever kind of collection they came.

    Raises:
        NoResult: if it gave None.
        WrongType: if it has another number of parts, or other names.
    """
    if result is None:
        raise NoResult
    outcome = named(result, names)
    if set(outcome) != set(names):
        given = f"{len(outcome)} things" if isinstance(result, (tuple, list, dict)) else f"one {kind(result)}"
        asked = f"{', '.join(names[:-1])} and {names[-1]}"
        raise WrongType(f"Your function returned {given}; the exercise asks for {len(names)}: {asked}.")
    return outcome


def moments(sample: Tensor) -> dict[str, Estimate]:
    r"""Describe a random draw by variance, mean and kurtosis, each with its standard error.

    The kurtosis :math:`\langle (x-\mu)^4 \rangle / \sigma^4` is 3 for a normal and 1.8 for a uniform distribution.
    """
    x = sample.detach().double().flatten()
    mean, var = x.mean(), x.var(correction=0)
    square = (x - mean).square() / var.clamp(min=torch.finfo(var.dtype).tiny)
    kurtosis = square.square().mean()
    # The standard deviation of what each statistic averages. The kurtosis depends on the variance, too: first order.
    spreads = {
        "variance": (var, var * (kurtosis - 1).clamp(min=0).sqrt()),
        "mean": (mean, var.sqrt()),
        "kurtosis": (kurtosis, (square.square() - 2 * kurtosis * square).std(correction=0)),
    }
    return {name: Estimate(value.item(), std.item() / math.sqrt(x.numel())) for name, (value, std) in spreads.items()}


def origin(first: Any, copy: Any, moved_on: Any) -> str:
    """Where the random numbers of :func:`thrice` come from."""
    drawn, again, later = (list(tensors(one)) for one in (first, copy, moved_on))
    if not same(drawn, again):
        return "another stream"
    return "a fixed seed" if same(drawn, later) else "the generator"


def rescaled(first: Tensor, other: Tensor) -> bool:
    """Whether two draws have exactly the same size, as they do only if each was rescaled to fit it."""
    sizes = [[x.var(), x.square().mean(), x.flatten(1).var(1).mean()] for x in (first.double(), other.double())]
    return any(abs(one / another - 1) < 3e-7 for one, another in zip(*sizes, strict=True))


def distribution(draws: list[Any], *inputs: Any) -> Outcome:
    """The moments of a weight drawn :func:`thrice`, and where the numbers come from."""
    weight, *others = map(tensor, draws)
    edges = torch.cat([weight[:1].flatten(), weight.flatten(1)[:, 0]]) if weight.dim() > 1 else weight.flatten()
    return {
        "shape": str(tuple(weight.shape)),
        "entries differ": 2 * len(edges.unique()) > len(edges),
        "rescaled to fit": rescaled(weight, others[-1]) if weight.dim() > 1 else False,
        **moments(weight),
        "random numbers come from": origin(weight, *others),
    }


def off_stream(draw: Callable[..., Any]) -> dict[str, Function]:
    """The two mistakes of every draw: a fixed seed, and torch's global stream; draw's last input is the generator."""
    return {
        "Your numbers are the same for every generator: you use a fixed seed, or its `initial_seed`. Hand `generator` "
        "to every call that draws.": lambda *inputs: draw(*inputs[:-1], torch.Generator().manual_seed(0)),
        "Your numbers do not all come from `generator`. Hand it to every call that draws.": (
            lambda *inputs: draw(*inputs[:-1], None)
        ),
    }


# --- networks -----------------------------------------------------------------------------------------


def fans(weight: Tensor) -> tuple[int, int]:
    """fan_in and fan_out of a weight of shape ``(out, in, *kernel)``, as torch.nn.init counts them.

    >>> fans(torch.empty(4, 3, 2, 2))
    (12, 16)
    """
    return weight[0].numel(), weight[:, 0].numel()


def linear_layers(model: nn.Module) -> Iterator[nn.Linear]:
    """The linear layers of a network, in order."""
    return (module for module in model.modules() if isinstance(module, nn.Linear))
