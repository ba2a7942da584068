#!/usr/bin/env python3
"""Adapters that `tutti export` wrote, loaded by PEFT beside their base model, against the merged
export of the same adapters:

    compare_peft.py BASE ADAPTERS MERGED

BASE is the Hugging Face folder that was imported, ADAPTERS the export of the trained adapters,
MERGED the same export with export.merge = true. Prints the worst difference of the logits over
random tokens, relative to the largest; ends with 1 where it is above 1e-5. Needs torch, transformers
and peft; prints why it skips, and ends with 77, where one is missing.
"""
import sys

LIMIT = 1e-5


def worst_difference(base, adapters, merged):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    def load(folder):
        return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()

    start = load(base)
    adapted, whole = PeftModel.from_pretrained(load(base), adapters).eval(), load(merged)
    tokens = torch.randint(0, start.config.vocab_size, (4, 16), generator=torch.manual_seed(1))
    with torch.no_grad():
        plain, ours, theirs = (m(tokens).logits for m in (start, whole, adapted))
    if (theirs - plain).abs().max() < 1e-3 * plain.abs().max():
        sys.exit("the adapters change nothing: PEFT took none of them")
    return ((ours - theirs).abs().max() / theirs.abs().max()).item()


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    try:
        import peft
        import torch
        import transformers
    except ImportError as missing:
        print(f"skipped: {missing}")
        sys.exit(77)
    difference = worst_difference(*sys.argv[1:])
    print(f"worst relative difference of logits {difference:.3g} "
          f"(peft {peft.__version__}, transformers {transformers.__version__}, torch {torch.__version__})")
    sys.exit(difference > LIMIT)


if __name__ == "__main__":
    main()
