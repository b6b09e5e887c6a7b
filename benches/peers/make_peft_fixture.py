"""Makes a small LoRA adapter with Python's peft, and the logits that it should give.

    python make_peft_fixture.py MODEL_FOLDER OUT_FOLDER

Writes OUT_FOLDER/adapter (adapter_config.json, adapter_model.safetensors; rank 4, alpha 8, all seven linear
modules of a layer, random A and B) and OUT_FOLDER/golden.safetensors:
    ids            [2, 24]         int64, the tokens read
    logits         [2, 24, vocab]  float32, with the adapter
    base_logits    [2, 24, vocab]  float32, without it
    merged_logits  [2, 24, vocab]  float32, of peft's merge_and_unload
"""

import sys
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

MODULES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]

base, out = Path(sys.argv[1]), Path(sys.argv[2])
torch.manual_seed(3)
model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
ids = torch.randint(model.config.vocab_size, (2, 24))
with torch.no_grad():
    base_logits = model(ids).logits
    config = LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=8, lora_dropout=0.0, target_modules=MODULES)
    model = get_peft_model(model, config)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.normal_(std=0.1)  # peft starts B at zero, which would hide every mistake
    logits = model(ids).logits
    # The folder that is handed over names no path of this machine.
    model.peft_config["default"].base_model_name_or_path = base.name
    model.save_pretrained(out / "adapter")
    (out / "adapter" / "README.md").unlink(missing_ok=True)
    merged_logits = model.merge_and_unload()(ids).logits

save_file(
    {"ids": ids, "logits": logits, "base_logits": base_logits, "merged_logits": merged_logits.contiguous()},
    out / "golden.safetensors",
)
change = (logits - base_logits).abs().max().item()
merged = (logits - merged_logits).abs().max().item()
print(f"the adapter moves logits by up to {change:.3f}; merged differs from unmerged by at most {merged:.1e}")
