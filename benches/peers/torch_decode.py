"""Sampling with transformers' `generate`: `batch` prompts, T = 1, nothing ends early. Counts new tokens."""

from measurement import options, report, seconds_of

given = options(__doc__, batch=32, prompt=64, new=128)

import torch
from decoder import decoder, random_tokens

model = decoder(given.threads, given.seed).eval()
prompts = random_tokens(given.batch, given.prompt)


def sample():
    tokens = model.generate(
        prompts,
        attention_mask=torch.ones_like(prompts),
        max_new_tokens=given.new,
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
    )
    assert tokens.shape == (given.batch, given.prompt + given.new)


with torch.inference_mode():
    seconds = seconds_of(sample, given.repetitions, warm_up=sample)
report("decode", "torch", [given.batch * given.new] * given.repetitions, seconds)
