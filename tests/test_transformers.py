"""audit and diagnose on architectures that nobody here wrote: small random models, no downloaded weights."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import nn

from tutorial_utils.audit import audit
from tutorial_utils.diagnose import diagnose

transformers = pytest.importorskip("transformers", exc_type=ImportError)
TOKENS = torch.arange(24).reshape(2, 12)
LAYERS, WIDTH = 3, 64


def gpt2() -> nn.Module:
    return transformers.GPT2LMHeadModel(
        transformers.GPT2Config(vocab_size=100, n_positions=16, n_embd=WIDTH, n_layer=LAYERS, n_head=2)
    )


def bert() -> nn.Module:
    size = {"hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": 2, "intermediate_size": 128}
    return transformers.BertModel(transformers.BertConfig(vocab_size=100, max_position_embeddings=16, **size))


def vit() -> nn.Module:
    size = {"hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": 2, "intermediate_size": 128}
    return transformers.ViTForImageClassification(transformers.ViTConfig(image_size=16, patch_size=8, **size))


def llama() -> nn.Module:
    size = {"hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": 2, "intermediate_size": 128}
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(vocab_size=100, **size))


def resnet() -> nn.Module:
    size = {"embedding_size": 16, "hidden_sizes": [16, 32], "depths": [1, 1], "layer_type": "basic"}
    return transformers.ResNetForImageClassification(transformers.ResNetConfig(**size))


def t5() -> nn.Module:
    size = {"d_model": WIDTH, "d_kv": 32, "d_ff": 128, "num_layers": LAYERS, "num_heads": 2}
    return transformers.T5ForConditionalGeneration(transformers.T5Config(vocab_size=100, **size))


IMAGES = {"pixel_values": torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))}
TEXT = {"input_ids": TOKENS}
CASES = {
    "gpt2": (gpt2, TEXT),
    "bert": (bert, TEXT),
    "vit": (vit, IMAGES),
    "llama": (llama, TEXT),
    "resnet": (resnet, {"pixel_values": torch.nn.functional.interpolate(IMAGES["pixel_values"], scale_factor=2)}),
    "t5": (t5, TEXT | {"decoder_input_ids": TOKENS}),
}


@pytest.mark.parametrize("name", CASES)
def test_every_architecture_is_audited_and_diagnosed_whole(name: str) -> None:
    torch.manual_seed(0)
    make: Callable[[], nn.Module] = CASES[name][0]
    model = make().train()
    table = audit(model)
    assert len(table) == len([*model.parameters(), *model.buffers()]) and (table.scheme != "unknown").mean() > 0.9
    before = torch.get_rng_state()
    result = diagnose(model, CASES[name][1])
    assert torch.equal(before, torch.get_rng_state())
    called = set(result.table.layer)
    owners = [{row.path, *(name.rpartition(".")[0] for name in row.shared.split(", "))} for row in table.itertuples()]
    assert [names for names in owners if not names & (called | {""})] == [], "modules that were not measured"
    assert result.table.finite_share.eq(1).all() and result.healthy, result


@pytest.mark.parametrize("depths", [[3, 4, 6, 3], [3, 4, 23, 3]], ids=["ResNet-50", "ResNet-101"])
def test_a_deep_resnet_is_not_accused_of_what_its_shortcuts_repair(depths: list[int]) -> None:
    torch.manual_seed(0)
    size = {"embedding_size": 16, "hidden_sizes": [64, 128, 256, 512], "depths": depths, "layer_type": "bottleneck"}
    model = transformers.ResNetForImageClassification(transformers.ResNetConfig(**size))
    result = diagnose(model, {"pixel_values": torch.randn(16, 3, 64, 64)})
    assert result.healthy, result


def test_gpt2_draws_its_residual_projections_smaller() -> None:
    torch.manual_seed(0)
    table = audit(gpt2())
    residual = table.path.str.endswith("c_proj") & (table.parameter == "weight")
    others = table.path.str.endswith(("c_attn", "c_fc", "wte")) & (table.parameter == "weight")
    assert residual.sum() == 2 * LAYERS and set(table.scheme[others]) == {"normal_0.02"}
    assert set(table.scheme[residual]) == {"normal"}
    assert (table["std"][residual] / 0.02).tolist() == pytest.approx([1 / math.sqrt(2 * LAYERS)] * 2 * LAYERS, rel=0.05)
