#!/usr/bin/env python3
"""Makes the tiny models in this folder with the Python package `transformers`, and what it computes with them.

    make_golden.py [FOLDER]

Each family gets a folder as save_pretrained writes it, with a tokenizer.json, and golden.json: the logits of two
sequences, gradients of the mean loss, and the losses of ten steps of AdamW, in float32 on one thread. Of BERT it has
texts, their tokens and embeddings, and gradients of a weighted sum of these. The versions that made them stand in
golden.json. Needs `torch`, `transformers` and `tokenizers`; no test does.
"""

import copy
import json
import pathlib
import sys

import tokenizers
import torch
import transformers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

VOCABULARY, LENGTH, SEQUENCES, STEPS = 96, 12, 2, 10
ADAMW = {"lr": 0.004, "betas": [0.9, 0.99], "eps": 1e-8, "weight_decay": 0.1}

COMMON = {
    "vocab_size": VOCABULARY,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "pad_token_id": None,
}


def gpt2():
    return transformers.GPT2Config(
        vocab_size=VOCABULARY, n_embd=16, n_layer=2, n_head=2, n_positions=64, bos_token_id=0, eos_token_id=0
    )


def llama():
    rope = {
        "rope_type": "llama3",
        "rope_theta": 500.0,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 32,
    }
    return transformers.LlamaConfig(**COMMON, num_key_value_heads=2, rms_norm_eps=1e-6, rope_parameters=rope)


def llama_bias():
    rope = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 2.0}
    return transformers.LlamaConfig(
        **COMMON, num_key_value_heads=1, head_dim=6, attention_bias=True, tie_word_embeddings=True, rope_parameters=rope
    )


def qwen2():
    return transformers.Qwen2Config(**COMMON, num_key_value_heads=2, tie_word_embeddings=True)


def mistral():
    return transformers.MistralConfig(**COMMON, num_key_value_heads=2, sliding_window=5)


# Configuration, the type of the tensors in the files, and how large a file may be.
FAMILIES = {
    "gpt2": (gpt2, torch.float32, "1GB"),
    "llama": (llama, torch.float32, "20KB"),
    "llama_bias": (llama_bias, torch.float16, "1GB"),
    "qwen2": (qwen2, torch.bfloat16, "1GB"),
    "mistral": (mistral, torch.float32, "1GB"),
}


def bert():
    return transformers.BertConfig(
        vocab_size=VOCABULARY,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=64,
        pad_token_id=0,
    )


SYLLABLES = ["ka", "to", "mi", "ren", "sul", "bo", "ta", "vin", "el", "dro", "pa", "lu"]
TEXTS = ["katomi", "Ren sul, bo ta.", "vin\u00e9l 12 dropa lu katomi", "\u6771 unknown \u4eac", "el " * 50]


def tokenizer():
    made = tokenizers.Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    words = [a + b + c for a in SYLLABLES for b in SYLLABLES for c in SYLLABLES]
    text = [" ".join(words) + ".\n\n doc 0123456789 d0"]
    trainer = trainers.BpeTrainer(vocab_size=80, special_tokens=["<|endoftext|>"], show_progress=False)
    made.train_from_iterator(text, trainer)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<|endoftext|>", eos_token="<|endoftext|>"
    )


def bert_tokenizer():
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    characters = [*"0123456789", *"deklmnotuv"]
    pieces = special + [",", ".", "doc"] + characters + SYLLABLES + ["##" + piece for piece in characters + SYLLABLES]
    made = tokenizers.Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", special.index("[CLS]")), ("[SEP]", special.index("[SEP]"))],
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made,
        unk_token="[UNK]",
        sep_token="[SEP]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        mask_token="[MASK]",
    )


def make_lively(model, dtype):
    """Larger than the initial weights, so that every part counts; what the file's type can hold."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.15 * torch.randn(parameter.shape)
            parameter.copy_(parameter.to(dtype).float())


def some_of(tensor):
    flat = tensor.flatten()
    places = [i * (len(flat) - 1) // 4 for i in range(5)]
    return {
        "norm": flat.double().norm().item(),
        "places": places,
        "values": [flat[i].item() for i in places],
    }


def golden(model):
    tokens = torch.randint(VOCABULARY, (SEQUENCES, LENGTH))
    targets = torch.randint(VOCABULARY, (SEQUENCES, LENGTH))

    def loss_of(logits):
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())

    logits = model(tokens).logits
    loss_of(logits).backward()
    gradients = {name: some_of(p.grad) for name, p in model.named_parameters()}
    groups = [
        {"params": [p for p in model.parameters() if (p.dim() > 1) == decays], "weight_decay": decay}
        for decays, decay in ((True, ADAMW["weight_decay"]), (False, 0.0))
    ]
    optimizer = torch.optim.AdamW(groups, lr=ADAMW["lr"], betas=ADAMW["betas"], eps=ADAMW["eps"])
    losses = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = loss_of(model(tokens).logits)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return {
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "adamw": ADAMW,
        "tokens": tokens.tolist(),
        "targets": targets.tolist(),
        "logits": [float(f"{x:.8g}") for x in logits.flatten().tolist()],
        "gradients": gradients,
        "losses": losses,
    }


def golden_bert(model, tokenizer):
    tokens = [tokenizer(text)["input_ids"] for text in TEXTS]
    weights = torch.randn(len(TEXTS), model.config.hidden_size)
    pools = {"mean": lambda hidden: hidden.mean(0), "first": lambda hidden: hidden[0]}
    numbers = {
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "texts": TEXTS,
        "tokens": tokens,
        "weights": weights.tolist(),
    }
    for name, pool in pools.items():
        model.zero_grad()
        rows = [torch.nn.functional.normalize(pool(model(torch.tensor([t])).last_hidden_state[0]), dim=0) for t in tokens]
        embeddings = torch.stack(rows)
        (embeddings * weights).sum().backward()
        numbers[name] = {
            "embeddings": embeddings.tolist(),
            "gradients": {
                name: some_of(torch.zeros_like(p) if p.grad is None else p.grad) for name, p in model.named_parameters()
            },
        }
    return numbers


def make_bert(folder):
    torch.manual_seed(len("bert"))
    config = bert()
    config._attn_implementation = "eager"
    model = transformers.BertModel(config).float().eval()
    make_lively(model, torch.float32)
    model.save_pretrained(folder)
    bert_tokenizer().save_pretrained(folder)
    (folder / "golden.json").write_text(json.dumps(golden_bert(model, bert_tokenizer())) + "\n")


def main():
    top = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent)
    torch.set_num_threads(1)
    for name, (configure, dtype, shard) in FAMILIES.items():
        torch.manual_seed(len(name))
        config = configure()
        config._attn_implementation = "eager"
        model = transformers.AutoModelForCausalLM.from_config(config).float().eval()
        make_lively(model, dtype)
        # Of a copy: the tables of rotary positions would be rounded, too.
        copy.deepcopy(model).to(dtype).save_pretrained(top / name, max_shard_size=shard)
        tokenizer().save_pretrained(top / name)
        (top / name / "golden.json").write_text(json.dumps(golden(model)) + "\n")
    make_bert(top / "bert")


if __name__ == "__main__":
    main()
