#!/usr/bin/env python3
"""The other side of bench_train_gpt2_pytorch: a training step of GPT-2 in PyTorch.

    train_gpt2_pytorch.py VOCABULARY WIDTH LAYERS HEADS LENGTH SEQUENCES THREADS

bf16 autocast over f32 parameters, oneDNN's products, scaled_dot_product_attention, gradients of micro-batches added up,
clip_grad_norm_ and the fused AdamW. First it tries eager mode and torch.compile with some sizes of a micro-batch, and
prints its version and the quickest way; then, for each line that it reads, it takes a step in this way and prints its
seconds and the mean loss before it. The sequences are one of random tokens, again and again, as on the other side.
"""

import math
import os
import sys
import time

VOCABULARY, WIDTH, LAYERS, HEADS, LENGTH, SEQUENCES, THREADS = map(int, sys.argv[1:])
# An allocator that keeps what it has, in large pages, as PyTorch's tuning guide advises: glibc's own gives large tensors
# back and gets them again, page by page. Both are read when the process starts.
ENVIRONMENT = {
    "OMP_NUM_THREADS": str(THREADS),
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(1 << 40),
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}
if any(os.environ.get(name) != value for name, value in ENVIRONMENT.items()):
    os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **ENVIRONMENT})

import torch
from torch import nn
from torch.nn import functional as F

MICRO_BATCHES = (1, 2, 4)
TRIED_SEQUENCES = 4


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention_norm, self.feed_forward_norm = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.attention_out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def attention(self, x):
        batch, length, _ = x.shape
        q, k, v = self.qkv(x).view(batch, length, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.attention_out(mixed.transpose(1, 2).reshape(batch, length, WIDTH))

    def forward(self, x):
        x = x + self.attention(self.attention_norm(x))
        return x + self.down(F.gelu(self.up(self.feed_forward_norm(x)), approximate="tanh"))


class Gpt2(nn.Module):
    def __init__(self):
        super().__init__()
        self.token, self.position = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(LENGTH, WIDTH)
        self.blocks = nn.Sequential(*(Block() for _ in range(LAYERS)))
        self.norm = nn.LayerNorm(WIDTH)
        for name, parameter in self.named_parameters():
            if parameter.dim() < 2:
                continue
            into_residual = name.endswith(("attention_out.weight", "down.weight"))
            nn.init.normal_(parameter, std=0.02 / (math.sqrt(2 * LAYERS) if into_residual else 1))
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)

    def forward(self, tokens, targets):
        """The sum of the losses; the head is the embedding."""
        x = self.blocks(self.token(tokens) + self.position.weight)
        logits = F.linear(self.norm(x), self.token.weight)
        return F.cross_entropy(logits.view(-1, VOCABULARY).float(), targets.view(-1), reduction="sum")


def add_gradients(run, tokens, micro, sequences):
    """Of so many sequences; returns the sum of their losses."""
    batch = tokens.repeat(micro, 1)
    inputs, targets = batch[:, :-1].contiguous(), batch[:, 1:].contiguous()
    loss = 0.0
    for _ in range(sequences // micro):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            piece = run(inputs, targets)
        (piece / (SEQUENCES * LENGTH)).backward()
        loss += piece.item()
    return loss


def time_of(model, run, tokens, micro):
    """Seconds of a sequence, once all is compiled and the memory there."""
    add_gradients(run, tokens, micro, micro)
    sequences = max(micro, TRIED_SEQUENCES)
    start = time.perf_counter()
    add_gradients(run, tokens, micro, sequences)
    seconds = (time.perf_counter() - start) / sequences
    model.zero_grad()
    return seconds


def quickest(model, tokens):
    """(seconds, name, what runs the model, size of a micro-batch)."""
    tried = [(time_of(model, model, tokens, micro), "eager", model, micro) for micro in MICRO_BATCHES]
    compiled = torch.compile(model, dynamic=False)
    for micro in MICRO_BATCHES:
        try:
            tried.append((time_of(model, compiled, tokens, micro), "compiled", compiled, micro))
        except Exception as e:  # no compiler for C++, say: eager mode it is
            print(f"torch.compile: {e}", file=sys.stderr)
            break
    for seconds, name, _, micro in tried:
        print(f"{name}, micro-batch {micro}: {seconds:.3f} s a sequence", file=sys.stderr)
    return min(tried, key=lambda way: way[0])


def main():
    torch.set_num_threads(THREADS)
    torch.manual_seed(1)
    model = Gpt2()
    tokens = torch.randint(VOCABULARY, (1, LENGTH + 1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, weight_decay=0.01, fused=True)
    _, name, run, micro = quickest(model, tokens)
    print(f"{torch.__version__}, {name}, micro-batch {micro}", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        loss = add_gradients(run, tokens, micro, SEQUENCES) / (SEQUENCES * LENGTH)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        print(time.perf_counter() - start, loss, flush=True)


if __name__ == "__main__":
    main()
