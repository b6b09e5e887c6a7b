"""Whether Python's peft loads a LoRA folder, and what it computes.

    python check_peft.py MODEL_FOLDER ADAPTER_FOLDER [OUT.safetensors]

Reads fixed ids with and without the adapter, and writes, to peft-logits.safetensors if nothing else is given:
    ids            [2, 24]         int64
    logits         [2, 24, vocab]  float32, with the adapter
    base_logits    [2, 24, vocab]  float32, without it
    merged_logits  [2, 24, vocab]  float32, of peft's merge_and_unload
Fails if a weight of the adapter is missing or unknown, or if the adapter changes nothing.
"""

import os
import sys
import warnings

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from peft import PeftModel
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

base, adapter = sys.argv[1:3]
out = sys.argv[3] if len(sys.argv) > 3 else "peft-logits.safetensors"
model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
ids = (torch.arange(48).reshape(2, 24) * 7 + 3) % model.config.vocab_size
with torch.no_grad():
    base_logits = model(ids).logits
    # peft only warns of an adapter that does not fit.
    warnings.filterwarnings("error", message=".*(missing|unexpected).*adapter.*")
    model = PeftModel.from_pretrained(model, adapter).eval()
    logits = model(ids).logits
    merged_logits = model.merge_and_unload()(ids).logits
save_file({"ids": ids, "logits": logits, "base_logits": base_logits, "merged_logits": merged_logits.contiguous()}, out)
change = (logits - base_logits).abs().max().item()
merged = (logits - merged_logits).abs().max().item()
print(f"the adapter moves logits by up to {change:.3g}; merged differs from unmerged by at most {merged:.1e}; in {out}")
if not change > 0:
    sys.exit("error: the adapter changes nothing")
