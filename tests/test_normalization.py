"""Batch normalization from scratch against torch.nn's: generated cases, one test per behavior, mutants that fail."""

import copy
import io
import itertools
import math
import pickle
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.autograd import forward_ad, grad

from tutorial_utils import normalization
from tutorial_utils.normalization import batch_norm, batch_statistics, update_running_statistics_

EXAMPLES = 60
"""Generated cases of each of the three checks, for each of the three classes: 180 cases a class in each run."""
DIMS = (1, 2, 3)


def ours(dims: int, module: Any = normalization) -> type[nn.Module]:
    return getattr(module, f"BatchNorm{dims}d")


def theirs(dims: int) -> type[nn.Module]:
    return getattr(nn, f"BatchNorm{dims}d")


# --- generated cases ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """How two layers are built and what they are fed."""

    shape: tuple[int, ...]
    seed: int
    options: dict[str, Any] = field(default_factory=dict)
    dtype: torch.dtype = torch.float64
    parameter_dtype: torch.dtype = torch.float64
    offset: float = 0.0
    scale: float = 1.0
    layout: str = "contiguous"
    generator: torch.Generator = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "generator", torch.Generator().manual_seed(self.seed))

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self.generator, dtype=torch.float64)

    def batch(self) -> Tensor:
        """A fresh batch in the case's memory layout."""
        x = (self.offset + self.scale * self.normal(*self.shape)).to(self.dtype)
        if self.layout == "strided":
            x = torch.stack([x, torch.full_like(x, math.nan)], dim=-1)[..., 0]
        if self.layout == "transposed":
            x = x.transpose(0, 1).contiguous().transpose(0, 1)
        if self.layout == "channels last":
            x = x.movedim(1, -1).contiguous().movedim(-1, 1)
        assert x.shape == self.shape
        return x

    def layers(self, classes: Iterable[type[nn.Module]]) -> list[nn.Module]:
        """One layer of each class with the same random parameters."""
        layers = [kind(self.shape[1], dtype=self.parameter_dtype, **self.options) for kind in classes]
        for name, parameter in layers[-1].named_parameters():
            values = (name == "weight") + 0.5 * self.normal(*parameter.shape)
            for layer in layers:
                layer.get_parameter(name).data.copy_(values)
        return layers


@st.composite
def cases(draw: st.DrawFn, dims: int, dtypes: tuple[torch.dtype, ...]) -> Case:
    spatial = draw(st.lists(st.integers(1, 3), min_size=0 if dims == 1 else dims, max_size=dims))
    dtype = draw(st.sampled_from(dtypes))
    return Case(
        shape=(draw(st.integers(1, 6)), draw(st.integers(1, 4)), *spatial),
        seed=draw(st.integers(0, 2**32)),
        options={
            "eps": draw(st.sampled_from([1e-5, 1e-3, 0.5])),
            "momentum": draw(st.sampled_from([None, 0.0, 0.1, 0.7, 1.0])),
            "affine": draw(st.booleans()),
            "track_running_stats": draw(st.booleans()),
            "bias": draw(st.booleans()),
        },
        dtype=dtype,
        parameter_dtype=draw(st.sampled_from([torch.float32, dtype] if dtype == torch.bfloat16 else [dtype])),
        offset=draw(st.sampled_from([0.0, 3.0, 1e4])),
        scale=draw(st.sampled_from([0.1, 1.0, 100.0])),
        layout=draw(st.sampled_from(["contiguous", "strided", "transposed", "channels last"])),
    )


# --- what must agree ----------------------------------------------------------------------------------


def noise(layer: nn.Module, x: Tensor) -> float:
    """How far two sound implementations may differ, relative to the size of the result.

    Rounding the mean moves x - mean by eps |x|, which is eps |x| / deviation in units of the result. torch rounds the
    mean to the dtype of the parameters, and computes half precision in float32.
    """
    x = x.detach()
    vectors = [tensor.dtype for tensor in layer.state_dict().values() if tensor.is_floating_point()]
    unit = max(torch.finfo(dtype).eps for dtype in [*vectors, torch.promote_types(x.dtype, torch.float32)])
    if not vectors:
        unit = torch.finfo(x.dtype).eps
    batch = layer.training or layer.running_var is None
    var = batch_statistics(x.double())[1] if batch else layer.running_var.double()
    return 32 * unit * (1 + float(x.abs().max() / (var + layer.eps).sqrt().min()))


def assert_near(name: str, mine: Tensor | None, torchs: Tensor | None, atol: float) -> None:
    assert (mine is None) == (torchs is None), name
    if mine is not None and torchs is not None:
        rounding = 2 * torch.finfo(mine.dtype).eps if mine.is_floating_point() else 0
        torch.testing.assert_close(
            mine, torchs, rtol=rounding, atol=atol, equal_nan=True, msg=lambda text: f"{name}: {text}"
        )


def assert_same_buffers(mine: nn.Module, torchs: nn.Module, x: Tensor, tolerance: float) -> None:
    spread = tolerance * (1 + float(x.detach().double().var(correction=0)))
    for name, atol in (("running_mean", spread), ("running_var", spread), ("num_batches_tracked", 0)):
        assert_near(name, getattr(mine, name), getattr(torchs, name), atol)


def raised(call: Callable[[], object]) -> tuple[type[Exception], str] | None:
    try:
        call()
    except Exception as error:
        return type(error), str(error)
    return None


def assert_same_step(mine: nn.Module, torchs: nn.Module, x: Tensor, upstream: Tensor) -> None:
    """One forward and backward pass: output, all gradients, buffers, or else the same error."""
    error, expected = raised(lambda: copy.deepcopy(mine)(x)), raised(lambda: copy.deepcopy(torchs)(x))
    assert error == expected
    if expected is not None:
        return
    tolerance = noise(torchs, x)
    results = []
    for layer in (mine, torchs):
        leaf = x.clone().requires_grad_()
        layer.zero_grad()
        output = layer(leaf)
        output.backward(upstream)
        parameters = {name: parameter.grad for name, parameter in layer.named_parameters()}
        results.append({"output": output, "input": leaf.grad} | parameters)
    scale = max([1.0, *(float(parameter.detach().abs().max()) for parameter in torchs.parameters())])
    total, slope = float(upstream.double().abs().sum()), float(results[1]["input"].double().abs().max())
    sizes = dict.fromkeys(results[1], total * math.sqrt(x.numel()))
    sizes |= {"output": scale * math.sqrt(x.numel()), "input": scale * max(slope, steepness(torchs, x))}
    for name, size in sizes.items():
        # in some memory layouts torch rounds the parts of a gradient to half precision before it adds them
        parts = 2 * torch.finfo(x.dtype).eps if x.dtype.itemsize == 2 and name != "output" else 0.0
        assert_near(name, results[0][name], results[1][name], (tolerance + parts) * size)
    assert_same_buffers(mine, torchs, x, tolerance)


def steepness(layer: nn.Module, x: Tensor) -> float:
    """The largest factor 1 / deviation by which a layer multiplies gradients."""
    batch = layer.training or layer.running_var is None
    var = batch_statistics(x.detach().double())[1] if batch else layer.running_var.double()
    return float((var + layer.eps).rsqrt().max()) * 4


def training_agrees(kind: type[nn.Module], dims: int, case: Case) -> None:
    mine, torchs = case.layers([kind, theirs(dims)])
    for _ in range(2):
        assert_same_step(mine, torchs, case.batch(), case.normal(*case.shape).to(case.dtype))


def modes_agree(kind: type[nn.Module], dims: int, case: Case) -> None:
    """Training under no_grad moves the statistics; eval mode uses them and leaves them, with or without gradients."""
    mine, torchs = case.layers([kind, theirs(dims)])
    x = case.batch()
    with torch.no_grad():
        outputs = [
            layer(x) if raised(lambda layer=layer: copy.deepcopy(layer)(x)) is None else None
            for layer in (mine, torchs)
        ]
    tolerance = noise(torchs, x) * math.sqrt(x.numel()) * 3
    assert_near("output under no_grad", *outputs, tolerance)
    if outputs[1] is None:
        return
    assert_same_buffers(mine, torchs, x, noise(torchs, x))
    mine.load_state_dict(torchs.state_dict())  # so that what follows tests eval mode alone
    assert_same_step(mine.eval(), torchs.eval(), case.batch(), case.normal(*case.shape).to(case.dtype))
    with torch.no_grad():
        x = case.batch()
        assert_near("eval under no_grad", mine(x), torchs(x), noise(torchs, x) * math.sqrt(x.numel()) * 3)
    assert_same_buffers(mine, torchs, x, 0.0)


def second_derivatives(layer: nn.Module, x: Tensor, upstream: Tensor, direction: Tensor) -> list[Tensor]:
    inputs = [x.clone().requires_grad_(), upstream.clone().requires_grad_(), *layer.parameters()]
    first = grad(layer(inputs[0]), [inputs[0], *layer.parameters()], inputs[1], create_graph=True)
    objective = (first[0] * direction).sum() + sum(g.square().sum() for g in first[1:])
    return list(grad(objective, inputs, allow_unused=True, materialize_grads=True))


def second_derivatives_agree(kind: type[nn.Module], dims: int, case: Case) -> None:
    mine, torchs = case.layers([kind, theirs(dims)])
    x, upstream, direction = case.batch(), case.normal(*case.shape), case.normal(*case.shape)
    if raised(lambda: copy.deepcopy(torchs)(x)) is not None:
        return
    steep = steepness(torchs, x)
    pairs = zip(*(second_derivatives(layer, x, upstream, direction) for layer in (mine, torchs)), strict=True)
    for mine_, torchs_ in pairs:
        size = max(1.0, steep**2, float(torchs_.abs().max())) * x.numel() ** 2
        assert_near("second derivative", mine_, torchs_, noise(torchs, x) * size)


ALL = (torch.float32, torch.float64, torch.bfloat16)
CHECKS: dict[str, tuple[Callable[[type[nn.Module], int, Case], None], tuple[torch.dtype, ...]]] = {
    "training": (training_agrees, ALL),
    "modes": (modes_agree, ALL),
    "second derivatives": (second_derivatives_agree, (torch.float64,)),
}


def run(check: str, dims: int, module: Any = normalization, **options: Any) -> int:
    """Try one check on generated cases; answer with how many there were."""
    function, dtypes = CHECKS[check]
    seen = 0

    @settings(max_examples=EXAMPLES, **options)
    @given(case=cases(dims, dtypes))
    def agrees(case: Case) -> None:
        nonlocal seen
        seen += 1
        function(ours(dims, module), dims, case)

    agrees()
    return seen


@pytest.mark.parametrize("dims", DIMS)
@pytest.mark.parametrize("check", CHECKS)
def test_equal_to_torch(check: str, dims: int) -> None:
    assert run(check, dims) >= EXAMPLES


# --- the checks notice the five known mistakes ---------------------------------------------------------

MISTAKES: dict[str, tuple[str, dict[str, str]]] = {
    "biased running variance": ("training", {"var * (n / (n - 1))": "var"}),
    "unbiased normalization": (
        "training",
        {".square().mean(over)": ".square().sum(over) / (x.numel() // x.shape[1] - 1)", "var * (n / (n - 1))": "var"},
    ),
    "statistics without gradient": (
        "training",
        {"mean, var = batch_statistics(x)": "mean, var = (s.detach() for s in batch_statistics(x))"},
    ),
    "E[x²] - E[x]²": (
        "training",
        {"(x - _per_channel(mean, x)).square().mean(over)": "x.square().mean(over) - mean.square()"},
    ),
    "mode from is_grad_enabled": ("modes", {"self.training": "torch.is_grad_enabled()"}),
}


def mutant(changes: dict[str, str]) -> ModuleType:
    """The module with some of its source changed."""
    source = Path(normalization.__file__).read_text(encoding="utf-8")
    for old, new in changes.items():
        assert old in source, f"{old!r} is no longer in the module: write the mistake anew"
        source = source.replace(old, new)
    module = ModuleType("mutant")
    exec(compile(source, "mutant", "exec"), module.__dict__)
    return module


def run_once(check: str, dims: int, module: ModuleType) -> None:
    run(check, dims, module, derandomize=True, database=None, phases=[Phase.generate])


@pytest.mark.parametrize("dims", DIMS)
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_known_mistake_fails(mistake: str, dims: int) -> None:
    check, changes = MISTAKES[mistake]
    with pytest.raises(AssertionError):
        run_once(check, dims, mutant(changes))


def test_a_harmless_change_passes() -> None:
    """The failures above come from the mistakes, not from how a mutant is loaded."""
    module = mutant({"x.mean(over)": "x.sum(over) / (x.numel() // x.shape[1])"})
    for check in {check for check, _ in MISTAKES.values()}:
        run_once(check, 1, module)


# --- one test per behavior -----------------------------------------------------------------------------

SHAPES = [(5, 3), (5, 3, 4), (4, 3, 2, 5), (2, 3, 2, 2, 3)]
shapes = pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{len(shape)}D")
dimensions = pytest.mark.parametrize("dims", DIMS)


def pair(shape: tuple[int, ...], **options: Any) -> tuple[Case, nn.Module, nn.Module]:
    """A case of a shape, and a layer of ours and of torch's for it, with the same random parameters."""
    case, dims = Case(shape, seed=1, options=options), max(1, len(shape) - 2)
    mine, torchs = case.layers([ours(dims), theirs(dims)])
    return case, mine, torchs


def assert_same_steps(case: Case, mine: nn.Module, torchs: nn.Module, steps: int = 3) -> None:
    for _ in range(steps):
        assert_same_step(mine, torchs, case.batch(), case.normal(*case.shape))


@shapes
def test_by_the_formula(shape: tuple[int, ...]) -> None:
    case, mine, _ = pair(shape, affine=False, eps=1e-20)
    mean, var = batch_statistics(mine(case.batch()))
    torch.testing.assert_close(mean, torch.zeros(3, dtype=torch.float64), atol=1e-14, rtol=0)
    torch.testing.assert_close(var, torch.ones(3, dtype=torch.float64))


@shapes
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("track_running_stats", [True, False])
def test_state_dicts_load_both_ways(shape: tuple[int, ...], affine: bool, track_running_stats: bool) -> None:
    options = {"affine": affine, "track_running_stats": track_running_stats}
    case, mine, torchs = pair(shape, **options)
    mine(case.batch())
    torchs.load_state_dict(mine.state_dict())
    assert list(mine.state_dict()) == list(torchs.state_dict())
    assert mine.state_dict()._metadata == torchs.state_dict()._metadata
    assert_same_step(mine.eval(), torchs.eval(), case.batch(), case.normal(*shape))
    torchs.train()(case.batch())
    mine.load_state_dict(torchs.state_dict())
    assert_same_step(mine, torchs.eval(), case.batch(), case.normal(*shape))


@pytest.mark.parametrize("options", [{}, {"affine": False}, {"track_running_stats": False}])
def test_a_state_dict_from_before_the_count(options: dict[str, bool]) -> None:
    case, mine, torchs = pair((5, 3), **options)
    mine(case.batch())
    old = {name: value for name, value in torchs.state_dict().items() if name != "num_batches_tracked"}
    mine.load_state_dict(old)
    assert mine.num_batches_tracked is None or int(mine.num_batches_tracked) == 1
    x = case.batch()
    torch.testing.assert_close(mine.eval()(x), torchs.eval()(x))


@pytest.mark.parametrize("kind", [ours(1), theirs(1)], ids=["ours", "torch's"])
def test_an_old_state_dict_assigned_to_a_layer_without_memory_gives_it_a_count(kind: type[nn.Module]) -> None:
    old = {name: value for name, value in kind(3).state_dict().items() if name != "num_batches_tracked"}
    layer = kind(3, device="meta")
    layer.load_state_dict(old, assign=True)
    assert not [name for name, value in layer.state_dict().items() if value.is_meta]
    layer(torch.randn(4, 3, generator=torch.Generator().manual_seed(0)))
    assert int(layer.num_batches_tracked) == 1


def test_a_count_that_is_missing_from_a_newer_state_dict_is_missed() -> None:
    for layer in (ours(1)(3), theirs(1)(3)):
        state = layer.state_dict()
        del state["num_batches_tracked"]  # its metadata still says version 2
        with pytest.raises(RuntimeError, match=r"Missing key.*num_batches_tracked"):
            layer.load_state_dict(state)


@shapes
def test_momentum_none_averages_all_batches(shape: tuple[int, ...]) -> None:
    case, mine, torchs = pair(shape, momentum=None)
    assert_same_steps(case, mine, torchs, steps=4)
    assert int(mine.num_batches_tracked) == 4


@shapes
def test_momentum_zero_counts_but_stays(shape: tuple[int, ...]) -> None:
    case, mine, torchs = pair(shape, momentum=0.0)
    assert_same_steps(case, mine, torchs)
    assert mine.running_mean.eq(0).all() and mine.running_var.eq(1).all() and int(mine.num_batches_tracked) == 3


@shapes
@pytest.mark.parametrize("options", [{"affine": False}, {"bias": False}, {"affine": False, "bias": False}])
def test_parameters_can_be_left_out(shape: tuple[int, ...], options: dict[str, bool]) -> None:
    case, mine, torchs = pair(shape, **options)
    assert [name for name, _ in mine.named_parameters()] == [name for name, _ in torchs.named_parameters()]
    assert_same_steps(case, mine, torchs)


@shapes
@pytest.mark.parametrize("training", [True, False])
def test_without_running_statistics_the_batch_decides(shape: tuple[int, ...], training: bool) -> None:
    case, mine, torchs = pair(shape, track_running_stats=False)
    assert_same_steps(case, mine.train(training), torchs.train(training))
    assert mine.running_mean is mine.running_var is mine.num_batches_tracked is None


@pytest.mark.parametrize(("made", "later", "training"), list(itertools.product([True, False], repeat=3)))
def test_a_flag_flipped_later(made: bool, later: bool, training: bool) -> None:
    case, mine, torchs = pair((5, 3), track_running_stats=made)
    assert_same_steps(case, mine, torchs, steps=1)
    for layer in (mine, torchs):
        layer.track_running_stats = later
    assert_same_steps(case, mine.train(training), torchs.train(training))


@pytest.mark.parametrize("training", [True, False])
def test_statistics_that_take_no_part_in_a_call_are_not_poisoned(training: bool) -> None:
    _, mine, torchs = pair((5, 3))
    for layer in (mine, torchs):
        layer.track_running_stats = False
        layer.train(training)(torch.full((5, 3), math.nan, dtype=torch.float64))
    assert_same_buffers(mine, torchs, torch.zeros(1), 0.0)
    assert mine.running_mean.eq(0).all() and mine.running_var.eq(1).all()


@pytest.mark.parametrize("momentum", [None, 0.0, 0.1])
def test_without_a_count_the_momentum_stands(momentum: float | None) -> None:
    case, mine, torchs = pair((5, 3), momentum=momentum)
    mine.num_batches_tracked = torchs.num_batches_tracked = None
    assert_same_steps(case, mine, torchs)


@pytest.mark.parametrize("missing", ["running_mean", "running_var"])
def test_one_statistic_without_the_other_is_no_reason_to_use_the_batch_s(missing: str) -> None:
    case, mine, torchs = pair((5, 3))
    for layer in (mine, torchs):
        setattr(layer.eval(), missing, None)
    found, expected = (raised(lambda layer=layer: layer(case.batch())) for layer in (mine, torchs))
    assert found is not None and expected is not None and found[0] is expected[0] is RuntimeError


@shapes
def test_eval_mode(shape: tuple[int, ...]) -> None:
    case, mine, torchs = pair(shape)
    assert_same_steps(case, mine, torchs)
    before = copy.deepcopy(mine.state_dict())
    assert_same_steps(case, mine.eval(), torchs.eval())
    assert all(torch.equal(before[name], value) for name, value in mine.state_dict().items())
    one = case.batch()[:1]
    torch.testing.assert_close(mine(case.batch().index_copy(0, torch.tensor([0]), one))[:1], mine(one))


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_train_mode_without_gradients_still_moves_the_statistics(context: Callable[[], Any]) -> None:
    case, mine, torchs = pair((5, 3))
    with context():
        x = case.batch()
        torch.testing.assert_close(mine(x), torchs(x))
    assert_same_buffers(mine, torchs, x, 1e-12)
    assert int(mine.num_batches_tracked) == 1 and not mine.running_mean.eq(0).any()


@shapes
def test_double_backward(shape: tuple[int, ...]) -> None:
    case, mine, _ = pair(shape, momentum=0.0)
    x = case.batch().requires_grad_()
    assert torch.autograd.gradcheck(mine, x)
    assert torch.autograd.gradgradcheck(mine, x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_large_mean_does_not_cancel(dtype: torch.dtype) -> None:
    case = Case((200, 3), seed=1, dtype=dtype, parameter_dtype=dtype, offset=1e4)
    mine, torchs = case.layers([ours(1), theirs(1)])
    assert_same_step(mine, torchs, case.batch(), case.normal(200, 3).to(dtype))
    output = ours(1)(3, dtype=dtype)(case.batch()).detach()
    torch.testing.assert_close(output.std(0, correction=0), torch.ones(3, dtype=dtype), atol=1e-4, rtol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("parameter_dtype", [torch.float32, None])
def test_half_precision(dtype: torch.dtype, parameter_dtype: torch.dtype | None) -> None:
    case = Case((6, 3, 4), seed=1, dtype=dtype, parameter_dtype=parameter_dtype or dtype)
    mine, torchs = case.layers([ours(1), theirs(1)])
    for _ in range(3):
        assert_same_step(mine, torchs, case.batch(), case.normal(6, 3, 4).to(dtype))
    assert mine(case.batch()).dtype == dtype
    assert mine.running_var.dtype == (parameter_dtype or dtype) and mine.num_batches_tracked.dtype == torch.int64


def test_statistics_in_half_precision_are_rounded_once() -> None:
    running, batch = torch.linspace(-3, 3, 999).bfloat16(), torch.linspace(1, 9, 999)
    expected = (0.9 * running.float() + 0.1 * batch).bfloat16()
    update_running_statistics_(running, torch.ones(999), batch, torch.ones(999), n=9, momentum=0.1)
    assert torch.equal(running, expected)


@pytest.mark.parametrize("shape", [(1, 3), (1, 3, 1), (1, 3, 2), (1, 3, 1, 1), (1, 3, 2, 1), (1, 3, 1, 1, 1)], ids=str)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("track_running_stats", [True, False])
def test_a_batch_of_one(shape: tuple[int, ...], training: bool, track_running_stats: bool) -> None:
    case, mine, torchs = pair(shape, track_running_stats=track_running_stats)
    mine.train(training), torchs.train(training)
    assert_same_step(mine, torchs, case.batch(), case.normal(*shape))
    fails = math.prod(shape) == 3 and (training or not track_running_stats)
    assert (raised(lambda: mine(case.batch())) is not None) == fails


@pytest.mark.parametrize("shape", [(0, 3), (2, 3, 0), (0, 3, 2, 2)], ids=str)
def test_an_empty_batch_leaves_the_statistics(shape: tuple[int, ...]) -> None:
    _, mine, torchs = pair(shape)
    x = torch.empty(shape, dtype=torch.float64)
    assert mine(x).shape == torchs(x).shape == shape
    assert_same_buffers(mine, torchs, torch.zeros(1), 0.0)


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("momentum", [0.0, 0.1, None])
def test_a_bad_value_poisons_alike(value: float, momentum: float | None) -> None:
    case, mine, torchs = pair((5, 3), momentum=momentum)
    x = case.batch()
    x[0, 0] = value
    for batch in (x, case.batch()):
        torch.testing.assert_close(mine(batch), torchs(batch), equal_nan=True)
        assert_same_buffers(mine, torchs, torch.zeros(1), 1e-12)


@dimensions
def test_wrong_dimensions(dims: int) -> None:
    for shape in [(3,), (2, 3), (2, 3, 2), (2, 3, 2, 2), (2, 3, 2, 2, 2), (2, 3, 2, 2, 2, 2)]:
        x = torch.zeros(shape)
        assert raised(lambda x=x: ours(dims)(3)(x)) == raised(lambda x=x: theirs(dims)(3)(x))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("options", [{}, {"track_running_stats": False}, {"affine": False}])
@pytest.mark.parametrize("channels", [1, 2])
def test_wrong_number_of_channels(training: bool, options: dict[str, bool], channels: int) -> None:
    """One channel in particular must not broadcast."""
    x = torch.zeros(4, channels)
    error = raised(lambda: ours(1)(3, **options).train(training)(x))
    assert error is not None and error == raised(lambda: theirs(1)(3, **options).train(training)(x))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("dtype", "parameter_dtype"),
    list(itertools.product([*ALL, torch.float16, torch.int64, torch.complex64], [*ALL, torch.float16])),
)
def test_the_same_dtypes_fit(dtype: torch.dtype, parameter_dtype: torch.dtype, training: bool) -> None:
    x = torch.ones(4, 3).to(dtype)
    found, expected = (
        raised(lambda kind=kind: kind(3, dtype=parameter_dtype).train(training)(x)) for kind in (ours(1), theirs(1))
    )
    assert (found and found[0]) == (expected and expected[0])
    assert not found or str(dtype) in found[1]


@pytest.mark.parametrize("eps", [0.0, -1.0])
@pytest.mark.parametrize("training", [True, False])
def test_eps_must_be_positive_in_training(eps: float, training: bool) -> None:
    case, mine, torchs = pair((5, 3), eps=eps)
    found, expected = (raised(lambda layer=layer: layer.train(training)(case.batch())) for layer in (mine, torchs))
    assert (found and found[0]) == (expected and expected[0])
    assert not found or f"eps = {eps}" in found[1]


def test_the_function_needs_both_statistics() -> None:
    x = torch.zeros(4, 3)
    with pytest.raises(ValueError, match=r"input of shape \(3,\), but it must have at least"):
        batch_norm(x[0], None, None, training=True)
    with pytest.raises(RuntimeError, match="both be given, except in training"):
        batch_norm(x, torch.zeros(3), None)
    with pytest.raises(ValueError, match="either both be None or neither"):
        batch_norm(x, torch.zeros(3), None, training=True)
    with pytest.raises(ValueError, match="n = 1, but"):
        update_running_statistics_(torch.zeros(1), torch.ones(1), torch.zeros(1), torch.zeros(1), n=1, momentum=0.1)


@pytest.mark.parametrize("training", [True, None])
def test_the_function_has_torch_s_defaults(training: bool | None) -> None:
    x, results = torch.linspace(-1, 3, 12).view(4, 3), []
    for function in (batch_norm, nn.functional.batch_norm):
        mean, var = torch.full((3,), 0.5), torch.full((3,), 2.0)
        options = {} if training is None else {"training": training}
        results.append((function(x, mean, var, **options), mean, var))
    torch.testing.assert_close(*results)


@pytest.mark.parametrize("name", ["running_mean", "running_var", "weight", "bias"])
def test_the_function_names_the_vector_that_does_not_fit(name: str) -> None:
    vectors = {name: torch.ones(3) for name in ("running_mean", "running_var", "weight", "bias")}
    with pytest.raises(RuntimeError, match=f"^{name} should contain 3 elements not 1"):
        batch_norm(torch.zeros(4, 3), **vectors | {name: torch.ones(1)})
    with pytest.raises(RuntimeError, match=f"^{name} is torch.float64, but .* the input's dtype, torch.float32"):
        batch_norm(torch.zeros(4, 3), **vectors | {name: torch.ones(3).double()})


HALF = [torch.float16, torch.bfloat16]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("floats", list(itertools.product([None, False, True], repeat=4)), ids=str)
def test_vectors_of_a_half_precision_input_must_agree(
    floats: tuple[bool | None, ...], dtype: torch.dtype, training: bool
) -> None:
    """Each of the four vectors is left out, in half precision, or in float32."""
    if (floats[0] is None) != (floats[1] is None) or (floats[0] is None and not training):
        return  # both or none of the statistics
    x = torch.ones(4, 3, dtype=dtype)
    dtypes = {None: None, False: dtype, True: torch.float32}
    vectors = [None if dtypes[one] is None else torch.ones(3, dtype=dtypes[one]) for one in floats]
    error = raised(lambda: nn.functional.batch_norm(x, *vectors, training=training))
    found = raised(lambda: batch_norm(x, *vectors, training=training))
    assert (error and error[0]) == (found and found[0])


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("row", ["running_mean", "running_var", "weight", "bias"])
def test_a_row_is_no_vector_of_statistics(row: str, training: bool) -> None:
    vectors = {name: torch.ones(3) for name in ("running_mean", "running_var", "weight", "bias")}
    vectors[row] = torch.ones(1, 3)
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    found, error = (
        raised(lambda f=f: f(x, **vectors, training=training)) for f in (batch_norm, nn.functional.batch_norm)
    )
    assert (found and found[0]) == (error and error[0])
    assert (found is not None) == row.startswith("running")


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_no_channels_are_rejected_where_torch_rejects_them(affine: bool, training: bool) -> None:
    errors = [raised(lambda k=k: k(0, affine=affine).train(training)(torch.zeros(4, 0))) for k in (ours(1), theirs(1))]
    assert [error is not None for error in errors] == [affine, affine]
    assert not affine or "(4, 0) has no channels that a weight" in errors[0][1]


@pytest.mark.parametrize(("kind", "right"), [(ours(1), True), (theirs(1), False)], ids=["ours", "torch's"])
def test_a_late_backward_pass_uses_the_statistics_of_its_forward_pass(kind: type[nn.Module], right: bool) -> None:
    """Eval forward, train forward, then backward: in torch the gradient is wrong, in silence (pytorch issue 13402)."""
    case = Case((8, 3), seed=4)
    layer, x = kind(3).double().eval(), case.batch().requires_grad_()
    y = layer(x).square().sum()
    (true,) = grad(y, x, retain_graph=True)
    layer.train()(5 * case.batch())
    (late,) = grad(y, x)
    assert torch.equal(late, true) is right
    assert right or float((late - true).norm() / true.norm()) > 0.1


@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")
def test_what_tools_that_look_for_torch_s_classes_do() -> None:
    """As the module's docstring says."""
    net = nn.Sequential(nn.Conv2d(3, 3, 1), ours(2)(3)).eval()
    assert type(nn.SyncBatchNorm.convert_sync_batchnorm(net)[1]) is ours(2)
    assert torch.func.replace_all_batch_norm_modules_(net)[1].running_mean is not None
    assert torch.func.replace_all_batch_norm_modules_(nn.Sequential(theirs(2)(3)))[0].running_mean is None
    before = net[1].running_mean.clone()
    torch.optim.swa_utils.update_bn([torch.randn(2, 3, 2, 2)], net)
    assert torch.equal(net[1].running_mean, before)
    assert not isinstance(net[1], nn.modules.batchnorm._BatchNorm)
    with pytest.raises(AssertionError, match="did not find fuser method"):
        torch.ao.quantization.fuse_modules(net, ["0", "1"])
    with pytest.raises(RuntimeError, match="has no attribute '_dims'"):
        torch.jit.script(net[1])


@pytest.mark.parametrize("layout", ["strided", "transposed", "channels last"])
@shapes
def test_any_memory_layout(shape: tuple[int, ...], layout: str) -> None:
    case = Case(shape, seed=1, layout=layout)
    mine, torchs = case.layers(kind(max(1, len(shape) - 2)) for kind in (ours, theirs))
    assert_same_steps(case, mine, torchs)


def test_channels_last_stays_channels_last() -> None:
    x = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
    assert ours(2)(3)(x).is_contiguous(memory_format=torch.channels_last)


@dimensions
@pytest.mark.parametrize(
    "options", [{}, {"eps": 0.5, "momentum": None}, {"affine": False, "track_running_stats": False}, {"bias": False}]
)
def test_it_prints_as_torchs(dims: int, options: dict[str, Any]) -> None:
    assert repr(ours(dims)(3, **options)) == repr(theirs(dims)(3, **options))


def through_torch_save(layer: nn.Module) -> nn.Module:
    file = io.BytesIO()
    torch.save(layer, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@dimensions
@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer)), through_torch_save]
)
def test_copies_are_equal_and_apart(dims: int, duplicate: Callable[[nn.Module], nn.Module]) -> None:
    case, mine, _ = pair((4, 3, *[2] * dims), momentum=0.3, eps=1e-3)
    mine(case.batch()).sum().backward()  # a graph that reached the buffers would make the copy fail
    twin = duplicate(mine)
    assert repr(twin) == repr(mine) and type(twin) is type(mine)
    assert all(torch.equal(value, twin.state_dict()[name]) for name, value in mine.state_dict().items())
    twin(case.batch())
    assert int(mine.num_batches_tracked) == 1 and int(twin.num_batches_tracked) == 2


def test_reset() -> None:
    case, mine, torchs = pair((5, 3))
    mine(case.batch())
    mine.reset_parameters()
    assert_same_buffers(mine, theirs(1)(3, dtype=torch.float64), torch.zeros(1), 0.0)
    assert mine.weight.eq(1).all() and mine.bias.eq(0).all()
    there = ours(1)(3, device="meta").state_dict()
    assert all(value.is_meta for value in there.values())
    assert {name: value.shape for name, value in there.items()} == {n: v.shape for n, v in torchs.state_dict().items()}


@pytest.mark.parametrize("flag", ["track_running_stats", "affine"])
def test_reset_leaves_what_a_flag_says_is_not_there(flag: str) -> None:
    case, mine, torchs = pair((5, 3))
    for layer in (mine, torchs):
        layer(case.batch())
        setattr(layer, flag, False)
        layer.reset_parameters()
    start = theirs(1)(3, dtype=torch.float64).state_dict()
    kept = {name for name, value in mine.state_dict().items() if not torch.equal(value, start[name])}
    assert kept == {name for name, value in torchs.state_dict().items() if not torch.equal(value, start[name])} != set()


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")
def test_statistics_keep_no_forward_derivative() -> None:
    case, mine, _ = pair((5, 3))
    with forward_ad.dual_level():
        mine(forward_ad.make_dual(case.batch(), case.normal(5, 3)))
        assert forward_ad.unpack_dual(mine.running_mean).tangent is None
    assert not mine.running_mean.eq(0).any()


def test_it_is_from_scratch() -> None:
    source = Path(normalization.__file__).read_text(encoding="utf-8")
    assert not issubclass(ours(1), nn.modules.batchnorm._NormBase)
    assert not [name for name in ("functional", "torch.batch_norm", "native_", "var_mean") if name in source]
