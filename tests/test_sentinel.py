"""Whatever nobody writes is named; whatever somebody writes is not, whatever its value."""

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import init

from tutorial_utils.defaults import EXAMPLES
from tutorial_utils.sentinel import never_written


class Forgetful(nn.Module):
    """Writes half of each tensor, and leaves the other half to chance."""

    def __init__(self, fill: Callable[[], torch.Tensor] = lambda: torch.empty(2, 3)) -> None:
        super().__init__()
        self.partial = nn.Parameter(fill())
        init.ones_(self.partial.detach()[0])
        self.whole = nn.Parameter(torch.empty(3))
        init.zeros_(self.whole)
        self.register_buffer("steps", torch.empty(2, dtype=torch.int64))
        self.register_buffer("mask", torch.empty(2, dtype=torch.bool))  # both bits are plausible
        self.inner = nn.Linear(3, 2)


FILLS = {
    "empty": lambda: torch.empty(2, 3),
    "new_empty": lambda: torch.ones(1).new_empty(2, 3),
    "empty_like": lambda: torch.empty_like(torch.ones(2, 3)),
    "half precision": lambda: torch.empty(2, 3, dtype=torch.bfloat16),
    "Tensor": lambda: torch.Tensor(2, 3),
    "FloatTensor": lambda: torch.FloatTensor(2, 3),
}


@pytest.mark.parametrize("way", FILLS)
def test_a_constructor_that_leaves_memory_as_it_was_is_found(way: str) -> None:
    assert never_written(lambda: Forgetful(FILLS[way])) == ["partial", "steps"]


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_constructor_of_torch_writes_everything(name: str) -> None:
    assert never_written(EXAMPLES[name]) == []


def test_an_initializer_is_asked_about_a_model() -> None:
    model = Forgetful()
    assert never_written(model, lambda m: init.ones_(m.partial)) == ["whole", "inner.weight", "inner.bias", "steps"]
    assert never_written(model) == ["partial", "whole", "steps"]  # what has a reset is reset
    assert never_written(model, lambda m: [tensor.detach().zero_() for tensor in (*m.parameters(), *m.buffers())]) == []


def test_an_initializer_completes_what_a_constructor_leaves() -> None:
    assert never_written(Forgetful, lambda model: init.ones_(model.partial)) == ["steps"]


def test_a_model_born_on_the_meta_device_is_given_memory() -> None:
    with torch.device("meta"):
        model = nn.Sequential(nn.TransformerEncoderLayer(16, 2, 32), nn.BatchNorm1d(16))
    assert never_written(model) == ["0.self_attn.in_proj_weight", "0.self_attn.in_proj_bias"]
    assert next(model.parameters()).is_meta


def test_nothing_else_changes() -> None:
    model, state = nn.Linear(3, 2), torch.get_rng_state()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    never_written(model)
    never_written(lambda: nn.Linear(3, 2))
    with pytest.raises(ZeroDivisionError):
        never_written(lambda: nn.Linear(3, 1 // 0))
    torch.testing.assert_close(dict(model.state_dict()), before, rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), state) and not torch.are_deterministic_algorithms_enabled()


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(TypeError, match="model = 3, but it must be"):
        never_written(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"made 3, but it must make"):
        never_written(lambda: 3)  # type: ignore[arg-type, return-value]
