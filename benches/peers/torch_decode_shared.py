"""Groups that share their prompt, with transformers' `generate`: `num_return_sequences` for each prompt, T = 1,
nothing ends early. Counts new tokens.

`generate` repeats each prompt for each of its sequences before it reads them: the prefix is not shared. A static cache
is the faster of its two here, a dynamic one being copied for each token.
"""

from measurement import options, report, seconds_of

given = options(__doc__, groups=8, group_size=16, prompt=1024, new=128)

import torch
from decoder import decoder, random_tokens

model = decoder(given.threads, given.seed).eval()
prompts = random_tokens(given.groups, given.prompt)


def sample(new: int):
    tokens = model.generate(
        prompts,
        attention_mask=torch.ones_like(prompts),
        max_new_tokens=new,
        num_return_sequences=given.group_size,
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        cache_implementation="static",
        disable_compile=True,
    )
    assert tokens.shape == (given.groups * given.group_size, given.prompt + new)


with torch.inference_mode():
    # Two new tokens go through everything once; the whole would only make the wait longer.
    seconds = seconds_of(lambda: sample(given.new), given.repetitions, warm_up=lambda: sample(2))
tokens = given.groups * given.group_size * given.new
report("decode-shared", "torch", [tokens] * given.repetitions, seconds)
