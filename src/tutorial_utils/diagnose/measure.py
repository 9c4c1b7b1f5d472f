"""Run a model once, forward and back, and keep of every layer what it received, returned, and was told by the loss.

Modules are watched by hooks, and what happens between them by a dispatch mode, which sees every operation of torch:
activations called as functions, the loss that is really computed, which parameters multiply, and who writes where.
"""

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from tutorial_utils.diagnose import activations as functions
from tutorial_utils.diagnose.calling import Arguments, Originals, storage
from tutorial_utils.diagnose.loss import Heard
from tutorial_utils.diagnose.normalizing import NORMS, Norm, read_norm
from tutorial_utils.diagnose.statistics import Statistics, statistics
from tutorial_utils.propagation import computes, floating, weight_of

#: Which arguments of an operation multiply the others: a zero there silences them, a zero bias does not.
MULTIPLIES = {
    "mul": (0, 1),
    "mm": (0, 1),
    "mv": (0, 1),
    "bmm": (0, 1),
    "addmm": (1, 2),
    "baddbmm": (1, 2),
    "addcmul": (1, 2),
    "convolution": (1,),
    "native_batch_norm": (1,),
    "_native_batch_norm_legit": (1,),
    "_batch_norm_with_update": (1,),
    "cudnn_batch_norm": (1,),
    "native_group_norm": (1,),
    "native_layer_norm": (2,),
    "_fused_rms_norm": (2,),
}
#: Layers that look vectors up by index.
EMBEDDINGS = (nn.Embedding, nn.EmbeddingBag)
MATRIX_PRODUCTS = {"mm", "mv", "bmm", "addmm", "baddbmm", "convolution"}


@dataclass
class Call:
    """One call of one module: statistics of what it received and returned, and the gradient of what it returned."""

    layer: str
    module: nn.Module
    number: int
    received: Statistics | None
    returned: Statistics
    connected: bool  # whether what it received depends on the batch or on a parameter, as far as gradients know
    sources: tuple[int, int] = (0, 0)  # addresses of what it received and returned
    gradient: Statistics | None = None
    gradient_norm: float = math.nan

    @property
    def gain(self) -> float:
        """Root mean square out over root mean square in."""
        if self.received is None or not self.received.rms:
            return math.nan
        return self.returned.rms / self.received.rms

    @property
    def reach(self) -> float:
        """How much a relative change of what it returned changes the loss: rms times the norm of the gradient.

        It does not depend on the scale of the signal, so layers may be compared by it across normalizations.
        """
        return self.returned.rms * self.gradient_norm

    @property
    def is_norm(self) -> bool:
        """Whether the layer is a normalization."""
        return isinstance(self.module, NORMS)

    @property
    def is_embedding(self) -> bool:
        """Whether the layer looks vectors up by index."""
        return isinstance(self.module, EMBEDDINGS)

    @property
    def transforms(self) -> bool:
        """Whether the layer applies a matrix or normalizes; an embedding looks up."""
        return self.is_norm or (self.weight is not None and not self.is_embedding)

    @property
    def bias(self) -> Tensor | None:
        """The bias of the layer, if it has one; of a recurrent layer that name is a switch."""
        bias = getattr(self.module, "bias", None)
        return bias if isinstance(bias, Tensor) else None

    @cached_property
    def weight(self) -> Tensor | None:
        """The matrix of a layer that does nothing but apply it."""
        if any(name != "parametrizations" for name, _ in self.module.named_children()):
            return None
        weight = weight_of(self.module)
        return weight if weight is not None and weight.dim() > 1 else None


@dataclass
class Run:
    """Everything that one pass showed."""

    calls: list[Call] = field(default_factory=list)
    activations: list[functions.Activation] = field(default_factory=list)
    attention: list[tuple[str, float, int]] = field(default_factory=list)  # layer, share of sure rows, number
    norms: list[Norm] = field(default_factory=list)
    heard: Heard = field(default_factory=Heard)
    multipliers: set[int] = field(default_factory=set)
    matrices: set[int] = field(default_factory=set)  # those of them that multiply as matrices
    touched: set[int] = field(default_factory=set)  # addresses of all memory that an operation read
    made: set[int] = field(default_factory=set)  # addresses of all memory that an operation on the way forward took
    sums: int = 0  # of two signals of one shape, as where a shortcut joins its branch
    shuffled: dict[int, int] = field(default_factory=dict)  # address of what is laid out in space: channels per place
    output: Any = None
    loss: float = math.nan
    has_loss: bool = False
    value: float = math.nan  # what the gradient was taken of: the loss, or a direction of the outputs
    strangers: list[Tensor] = field(default_factory=list)  # leaves behind the output: no parameters and no inputs
    gradients: dict[int, Tensor] = field(default_factory=dict)
    back: bool = False  # whether there was a backward pass
    reason: str = ""  # why not

    def layers(self) -> list[Call]:
        """The calls of layers that apply a matrix, embeddings left out."""
        return [c for c in self.calls if c.weight is not None and not c.is_embedding]


class Watch(TorchDispatchMode):
    """Sees every operation while a model runs."""

    supports_higher_order_operators = True  # such as flex attention, which we let pass

    def __init__(self, run: Run, originals: Originals, names: dict[int, str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.run, self.originals, self.names = run, originals, names
        self.stack: list[str] = []
        self.last = ""  # the layer that returned last
        self.phase = "forward"
        self.number = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Say no to torch, which would load its compiler for the first operation, and that takes seconds."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        """Keep what the operation tells, then run it."""
        kwargs = kwargs or {}
        called = str(func).split(".")[1] if "." in str(func) else str(func)
        name = called.rstrip("_") if not called.startswith("__") else called
        if called.endswith("_") and args:
            for tensor in args[0] if isinstance(args[0], list | tuple) else (args[0],):
                self.originals.before_write(tensor)
        if "out" in kwargs:
            self.originals.before_write(kwargs["out"])
        noted = self._before(name, args, kwargs) if self.phase != "backward" else None
        result = func(*args, **kwargs)
        if self.phase == "forward":
            self.run.made |= {storage(one) for one in floating(result)} - {storage(one) for one in floating(args)}
        if noted is not None:
            noted.output = storage(result) if isinstance(result, Tensor) else 0
        return result

    def _before(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> functions.Activation | None:
        for tensor in args:
            if isinstance(tensor, Tensor):
                self.run.touched.add(storage(tensor))
        for position in MULTIPLIES.get(name, ()):
            if position < len(args) and isinstance(args[position], Tensor):
                self.run.multipliers.add(storage(args[position]))
                if name in MATRIX_PRODUCTS:
                    self.run.matrices.add(storage(args[position]))
        if name == "add" and self.phase == "forward" and _joins(args):
            self.run.sums += 1
        if name == "pixel_shuffle":
            self.run.shuffled[storage(args[0])] = args[1] ** 2
        self.run.heard.hear(name, args, self.phase)
        if self.phase == "forward":
            return self._activation(name, args, kwargs)
        return None

    def _activation(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> functions.Activation | None:
        if not (args and isinstance(args[0], Tensor) and args[0].is_floating_point() and args[0].numel()):
            return None
        x = args[0]
        if name in functions.ATTENTION or (name in functions.SOFTMAX and x.dim() > 2):
            logits = functions.attention_logits(args, kwargs) if name in functions.ATTENTION else x
            dim = -1 if name in functions.ATTENTION else args[1]
            self.run.attention.append((self.owner, functions.sure_rows(logits, dim), self.number))
        if name in functions.SOFTMAX:
            noted = functions.Activation(self.owner, self.within, "softmax", False, 0.0, 0.0, 0.0, self.number)
            self.run.activations.append(noted)
            return noted
        ends = functions.flat_ends(name, args, kwargs)
        if ends is None or isinstance(x, nn.Parameter) or x.dim() < 1:
            return None
        read = functions.read(name, x, ends) if x.dim() > 1 else functions.only_named(name)
        noted = functions.Activation(layer=self.owner, within=self.within, number=self.number, **read)
        self.run.activations.append(noted)
        return noted

    @property
    def within(self) -> str:
        """The innermost module that is running."""
        return self.stack[-1] if self.stack else ""

    @property
    def owner(self) -> str:
        """The module that an operation is reported for: a leaf that runs, else the layer before it."""
        inside = self.within
        return inside if inside in self.names.values() else (self.last or inside or "the model")


def _joins(args: tuple[Any, ...]) -> bool:
    """Whether an addition joins two signals of one shape, none of them a parameter."""
    both = [one for one in args[:2] if isinstance(one, Tensor) and not isinstance(one, nn.Parameter)]
    return len(both) == 2 and both[0].shape == both[1].shape and both[0].dim() > 1 and both[0].is_floating_point()


def run_once(
    model: nn.Module,
    arguments: Arguments,
    originals: Originals,
    *,
    progress: Callable[[], object] = lambda: None,
) -> Run:
    """Send the batch through the model and a gradient back."""
    try:
        return _run(model, arguments, originals, progress)
    except RuntimeError as error:
        # Some models make their input a leaf that wants a gradient, which a tracked copy is not.
        if "leaf variable" not in str(error) or not arguments.track:
            raise
        arguments.track = False
        return _run(model, arguments, originals, progress)


def _run(model: nn.Module, arguments: Arguments, originals: Originals, progress: Callable[[], object]) -> Run:
    run = Run()
    leaves = {id(m): name or type(m).__name__ for name, m in model.named_modules() if computes(name, m)}
    watch = Watch(run, originals, leaves)
    handles = _hooks(model, run, watch, leaves, progress)
    try:
        with torch.inference_mode(False), torch.enable_grad(), _eager(), watch:
            positional, named = arguments.tracked()
            run.output = model(*positional, **named)
            run.strangers = _strangers(model, run, arguments)
            watch.phase, watch.stack = "loss", []
            loss = _loss(run, arguments)
            run.value = math.nan if loss is None else float(loss.detach().double())
            watch.phase = "backward"
            _back(model, run, loss, arguments.sources)
    finally:
        for handle in handles:
            handle.remove()
    return run


def _eager() -> Any:
    """Where parts of a model are compiled, run their Python; without them, torch's compiler need not be loaded."""
    compiles = "torch._dynamo" in sys.modules and hasattr(torch.compiler, "set_stance")
    return torch.compiler.set_stance("force_eager") if compiles else nullcontext()


def _hooks(model: nn.Module, run: Run, watch: Watch, leaves: dict[int, str], progress: Callable[[], object]) -> Any:
    """Hooks on all modules: the innermost one that runs is known at any time, and leaves are measured."""
    handles: list[Any] = []

    def enter(module: nn.Module, args: Any, kwargs: Any) -> None:
        if watch.phase == "forward":
            watch.stack.append(leaves.get(id(module)) or paths[id(module)])

    def leave(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        if watch.phase != "forward":
            return  # a checkpoint runs modules again on the way back
        if watch.stack:
            watch.stack.pop()
        if id(module) in leaves:
            _note(run, watch, leaves[id(module)], module, floating((args, kwargs)), floating(output), handles)
            progress()

    paths = {id(module): name for name, module in model.named_modules()}
    for module in model.modules():
        handles.append(module.register_forward_pre_hook(enter, with_kwargs=True))
        handles.append(module.register_forward_hook(leave, with_kwargs=True))
    return handles


def _note(
    run: Run, watch: Watch, layer: str, module: nn.Module, given: list[Tensor], made: list[Tensor], handles: list[Any]
) -> None:
    """Append the calls of one module, one for each tensor that it returned, and wait for their gradients."""
    watch.phase, phase = "hook", watch.phase  # what we compute is none of the model's doing
    received = statistics(given[0]) if given and given[0].numel() else None
    connected = bool(given) and given[0].requires_grad
    if isinstance(module, NORMS) and given:
        run.norms.append(read_norm(layer, module, given[0], watch.number))
    for tensor in made:
        if not tensor.numel():
            continue
        sources = (storage(given[0]) if given else 0, storage(tensor))
        call = Call(layer, module, watch.number, received, statistics(tensor), connected, sources)
        run.calls.append(call)
        if tensor.requires_grad:
            handles.append(tensor.register_hook(_filler(call)))
    watch.phase = phase
    watch.number += 1
    watch.last = layer if any(True for _ in module.parameters()) or not watch.last else watch.last


def _filler(call: Call) -> Callable[[Tensor], None]:
    def fill(gradient: Tensor) -> None:
        call.gradient = statistics(gradient)
        call.gradient_norm = call.gradient.rms * math.sqrt(call.gradient.numel)

    return fill


def _loss(run: Run, arguments: Arguments) -> Tensor | None:
    """The scalar to go back from: the caller's loss, the model's own, or a fixed random direction of its outputs."""
    loss_fn, target = arguments.loss_fn, arguments.target
    loss = own_loss(run.output) if loss_fn is None else _given_loss(loss_fn, run.output, target)
    if loss is not None:
        run.loss, run.has_loss = float(loss.detach().double()), True
        if not loss.requires_grad:
            run.reason = "the loss depends on nothing that has a gradient"
            return None
        return loss
    outputs = floating(run.output)
    if not outputs:
        raise ValueError(f"no floating-point numbers come out of the model, but {type(run.output).__name__}")
    outputs = [tensor for tensor in outputs if tensor.requires_grad]
    if not outputs:
        run.reason = "no output depends on anything that has a gradient"
        return None
    return _direction(outputs)


def _direction(outputs: list[Tensor]) -> Tensor:
    """The sum of all outputs, each times its own standard normal number, the same in every diagnosis."""
    generator = torch.Generator().manual_seed(0)
    terms = [(o * torch.randn(o.shape, generator=generator).to(o)).sum() for o in outputs]
    value: Tensor = torch.stack([(term.real if term.is_complex() else term).float().cpu() for term in terms]).sum()
    return value


def _given_loss(loss_fn: Callable[..., Any], output: Any, target: Any) -> Tensor:
    """The loss of the caller's function, which must be a scalar."""
    loss = loss_fn(output) if target is None else loss_fn(output, target)
    if not isinstance(loss, Tensor):
        raise ValueError(f"loss gave {loss!r}, but it must be a scalar tensor that depends on the model's output")
    if loss.numel() != 1:
        raise ValueError(f"loss gave a tensor of shape {tuple(loss.shape)}, but it must be a scalar")
    return loss


def own_loss(output: Any) -> Tensor | None:
    """The loss that a model computes itself: an output of that name, its first output or its only one, if a scalar."""
    named = output.get("loss") if hasattr(output, "get") else getattr(output, "loss", None)
    first = output[0] if isinstance(output, tuple | list) and len(output) else output
    for candidate in (named, first):
        if isinstance(candidate, Tensor) and candidate.dim() == 0 and candidate.is_floating_point():
            return candidate
    return None


def _back(model: nn.Module, run: Run, loss: Tensor | None, inputs: list[Tensor]) -> None:
    """The gradients of the parameters by the parameter's id; ``grad`` is put back by whoever preserves the model."""
    if loss is None:
        return
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if _checkpointed(loss):
        for parameter in parameters:
            parameter.grad = None
        loss.sum().backward()
        found: list[Any] = [parameter.grad for parameter in parameters]
    else:
        found = list(torch.autograd.grad(loss.sum(), parameters + inputs, allow_unused=True))
    run.gradients = {id(p): g for p, g in zip(parameters, found, strict=False) if g is not None}
    run.back = True


def _checkpointed(loss: Tensor) -> bool:
    """Whether a re-entrant checkpoint lies on the way; it allows no other way back than ``backward()``."""
    return any("CheckpointFunction" in type(node).__name__ for node in _graph([loss]))


def _strangers(model: nn.Module, run: Run, arguments: Arguments) -> list[Tensor]:
    """The tensors that gradients of the output would reach: no parameters, no inputs, and nothing made on the way.

    A model may make something that it computed want a gradient, as Wav2Vec2 does with its input.
    """
    inputs = (*arguments.sources, *arguments.leaves())
    known = {id(tensor) for tensor in (*model.parameters(), *inputs)}
    of_this_pass = run.made | {storage(tensor) for tensor in inputs}
    reached = [node.variable for node in _graph(floating(run.output)) if hasattr(node, "variable")]
    return [tensor for tensor in reached if id(tensor) not in known and storage(tensor) not in of_this_pass]


def _graph(tensors: list[Tensor]) -> Iterator[Any]:
    """Each operation that tensors were computed by, as autograd remembers them."""
    seen, waiting = set(), [tensor.grad_fn for tensor in tensors]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            yield node
            waiting += [following for following, _ in node.next_functions]
