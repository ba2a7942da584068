#!/usr/bin/env python3
"""Writes chats.json beside itself, which chat_template_test.cpp reads: conversations, and what they become in the templates
that were published with models (ChatML: OpenAI's, as in transformers; Llama 2 and 3: tokenizer_config.json of Meta's models).

{"transformers": version, "NAME": {"tokenizer": of which golden file, "special": pieces that are added to it,
                                   "cases": [{"messages", "ids", "prompt": ids without the last answer}]}}

pip install transformers==5.23.0
tests/runtime/data/golden/make_chats.py
"""

import json
import random
import tempfile
from pathlib import Path

import transformers

HERE = Path(__file__).parent
CHATML = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA3 = (
    "{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + "
    "message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}"
    "{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
LLAMA2 = (
    "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}"
    "{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}"
    "{% set system_message = false %}{% endif %}{% for message in loop_messages %}"
    "{% if loop.index0 == 0 and system_message != false %}"
    "{% set content = '<<SYS>>\n' + system_message + '\n<</SYS>>\n\n' + message['content'] %}"
    "{% else %}{% set content = message['content'] %}{% endif %}{% if message['role'] == 'user' %}"
    "{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}{% elif message['role'] == 'assistant' %}"
    "{{ ' '  + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
)
TEMPLATES = {
    "chatml": ("qwen2", ["<|im_start|>", "<|im_end|>"], CHATML, {}),
    "llama2": ("llama2", [], LLAMA2, {"bos_token": "<s>", "eos_token": "</s>"}),
    "llama3": (
        "llama3",
        ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
        LLAMA3,
        {"bos_token": "<|begin_of_text|>"},
    ),
}
WORDS = "the river 12 Über café naïve, 'quoted' don't x=3; 日本 \u00a0 tab\there new\nline  double  end. <b> [INST]".split(" ")


def text():
    body = " ".join(random.choice(WORDS) for _ in range(random.randint(1, 6)))
    return random.choice(["", " ", "\n"]) + body + random.choice(["", " ", "\n\n"])


def chat():
    messages = [{"role": "system", "content": text()}] if random.random() < 0.5 else []
    for _ in range(random.randint(1, 2)):
        messages += [{"role": role, "content": text()} for role in ("user", "assistant")]
    return messages


def tokenizer_of(name, special, template, names):
    file = json.loads((HERE / f"{name}.json").read_text())["tokenizer"]
    first = max([t["id"] for t in file["added_tokens"]] + list(file["model"]["vocab"].values())) + 1
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    file["added_tokens"] += [{"id": first + i, "content": piece, **flags} for i, piece in enumerate(special)]
    with tempfile.NamedTemporaryFile("w", suffix=".json") as copy:
        copy.write(json.dumps(file))
        copy.flush()
        tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=copy.name, **names)
    tokenizer.chat_template = template
    return tokenizer


def main():
    random.seed(1)
    chats = [chat() for _ in range(12)]
    golden = {"transformers": transformers.__version__}
    for style, (name, special, template, names) in TEMPLATES.items():
        tokenizer = tokenizer_of(name, special, template, names)

        def ids(messages, answer):
            rendered = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=answer)
            return tokenizer(rendered, add_special_tokens=False)["input_ids"]

        cases = [{"messages": m, "ids": ids(m, False), "prompt": ids(m[:-1], True)} for m in chats]
        golden[style] = {"tokenizer": name, "special": special, "cases": cases}
    text = json.dumps(golden, ensure_ascii=False, separators=(",", ":"))
    (HERE / "chats.json").write_text(text.replace('{"messages"', '\n{"messages"') + "\n")


if __name__ == "__main__":
    main()
