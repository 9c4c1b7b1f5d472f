"""Healthy models: small random ones of the transformers library, initialized by it. No weights are loaded."""

import importlib
from typing import Any

import torch
from torch import nn

from doctor.cases import Problem, healthy
from doctor.models import images, labels, own_loss, tokens

SIZE = {"hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 128}
SHORT = {"vocab_size": 100, "max_position_embeddings": 32}


def build(model: str, config: str, **settings: Any) -> nn.Module:
    """One model of the library from its configuration, ready to train."""
    library = importlib.import_module("transformers")
    made: nn.Module = getattr(library, model)(getattr(library, config)(**settings))
    return made.train()


def text(**more: Any) -> dict[str, Any]:
    """Token numbers, which are their own labels."""
    ids = tokens()
    return {"input_ids": ids, "labels": ids} | more


@healthy("BERT, masked tokens")
def _() -> Problem:
    return build("BertForMaskedLM", "BertConfig", **SIZE, **SHORT), text(), own_loss, None


@healthy("GPT-2")
def _() -> Problem:
    size = {"n_embd": 64, "n_layer": 3, "n_head": 2}
    return build("GPT2LMHeadModel", "GPT2Config", vocab_size=100, n_positions=32, **size), text(), own_loss, None


@healthy("Llama, 6 layers")
def _() -> Problem:
    return build("LlamaForCausalLM", "LlamaConfig", **SIZE | {"num_hidden_layers": 6}, **SHORT), text(), own_loss, None


@healthy("Qwen2")
def _() -> Problem:
    settings = SIZE | SHORT | {"num_key_value_heads": 1}
    return build("Qwen2ForCausalLM", "Qwen2Config", **settings), text(), own_loss, None


@healthy("Mixtral, four experts")
def _() -> Problem:
    settings = SIZE | SHORT | {"num_local_experts": 4, "num_key_value_heads": 1}
    return build("MixtralForCausalLM", "MixtralConfig", **settings), text(), own_loss, None


@healthy("OPT")
def _() -> Problem:
    size = {
        "hidden_size": 64,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "ffn_dim": 128,
        "word_embed_proj_dim": 64,
    }
    return build("OPTForCausalLM", "OPTConfig", **size, **SHORT), text(), own_loss, None


@healthy("T5", rate=3e-3)
def _() -> Problem:
    size = {"d_model": 64, "d_kv": 32, "d_ff": 128, "num_layers": 2, "num_heads": 2, "decoder_start_token_id": 0}
    return build("T5ForConditionalGeneration", "T5Config", vocab_size=100, **size), text(), own_loss, None


@healthy("Mamba")
def _() -> Problem:
    size = {"hidden_size": 32, "num_hidden_layers": 3, "state_size": 8}
    return build("MambaForCausalLM", "MambaConfig", vocab_size=100, **size), text(), own_loss, None


@healthy("vision transformer of the library")
def _() -> Problem:
    model = build("ViTForImageClassification", "ViTConfig", image_size=16, patch_size=4, num_labels=5, **SIZE)
    return model, {"pixel_values": images(), "labels": labels(16)}, own_loss, None


@healthy("ResNet of the library")
def _() -> Problem:
    size = {"embedding_size": 16, "hidden_sizes": [16, 32], "depths": [2, 2], "layer_type": "basic"}
    model = build("ResNetForImageClassification", "ResNetConfig", num_labels=5, **size)
    return model, {"pixel_values": images(16, 3, 32), "labels": labels(16)}, own_loss, None


@healthy("Wav2Vec2, sequence classes")
def _() -> Problem:
    size = SIZE | {"conv_dim": (16, 16), "conv_kernel": (10, 3), "conv_stride": (5, 2), "num_feat_extract_layers": 2}
    size |= {"num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2, "num_labels": 5, "layerdrop": 0.0}
    model = build("Wav2Vec2ForSequenceClassification", "Wav2Vec2Config", **size, mask_time_prob=0.0)
    return model, {"input_values": torch.randn(8, 400), "labels": labels(8)}, own_loss, None
