"""The model that all peers run: pact's preset `small` with a vocabulary of 4,096, 5.77M parameters, random weights."""

import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

VOCABULARY = 4096


def decoder(threads: int, seed: int) -> Qwen3ForCausalLM:
    """In f32 with PyTorch's scaled-dot-product attention, the fastest of transformers' kinds of attention here."""
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    config = Qwen3Config(
        vocab_size=VOCABULARY,
        hidden_size=256,
        intermediate_size=768,
        num_hidden_layers=6,
        num_attention_heads=8,
        num_key_value_heads=4,
        head_dim=32,
        max_position_embeddings=4096,
        rope_parameters={"rope_type": "default", "rope_theta": 1000.0},
        rms_norm_eps=1e-6,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
        attn_implementation="sdpa",
        dtype=torch.float32,
    )
    return Qwen3ForCausalLM(config)


def random_tokens(*shape: int) -> torch.Tensor:
    """Token ids, uniform over the vocabulary, int64 of this shape."""
    return torch.randint(VOCABULARY, shape)
