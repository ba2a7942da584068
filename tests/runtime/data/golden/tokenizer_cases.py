"""Small tokenizers of every supported kind, and texts that are hard on them."""

import random

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

TAIL = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
HEAD = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
LLAMA3 = HEAD + r"\p{N}{1,3}" + TAIL
QWEN2 = HEAD + r"\p{N}" + TAIL

HARD = [
    "",
    " ",
    "  ",
    "\n",
    "\r\n",
    "\r\n\r\n  x",
    "a",
    "Hello, world! It's 2024; they're WE'LL I'D you'Ve don't it'S",
    "  leading",
    "trailing  ",
    "tabs\t\tand  runs   of    spaces \n\n\n and\r\nlines\r",
    "\t!\t?a \u00a0b\u3000c\u2028d\u0085e",
    "x = y+1; // $foo_bar[12345678] <= #3 @me ^~`|",
    "1234567 12 1 ٣٤٥ ⅷ ½ ²³ 〇",
    "naïve café Ångström ﬁne İstanbul ßẞ ΑΣ σς",
    "e\u0301 e\u0323\u0301 e\u0301\u0323 \u0301 q\u0307\u0323 \u1e9b\u0323",
    "Привет, мир! Ёжик",
    "你好，世界。中文字符 日本語テキスト 한국어 각",
    "مرحبا بالعالم ١٢٣ السَّلَامُ",
    "नमस्ते दुनिया क्षत्रिय हिन्दी",
    "ไทยไม่มีช่องว่าง",
    "👩‍👩‍👧‍👦 👍🏽 🏳️‍🌈 ☺️ 🇩🇪",
    "\x00a\x01b\x7fc\u200bd\ufeffe\u00ad\u202e\ufffd",
    "\u0000",
    "'s 't 'RE 'ſ ''s '",
    "don\u2019t \u2018s",
    "<|endoftext|>",
    "a<|endoftext|>b",
    "<|end of|> <|endoftext| <s></s><unk> [CLS] [SEP][MASK] [UNK]x [MASK]  y",
    "<mask> a<mask> <mask>b  <mask>  c \n<mask>",
    "NEWTOKEN newtoken xnewtokenx new token",
    "\u2581a\u2581\u2581b \u2581 c",
    "a" * 120,
    "z" * 200,
    "ab" * 100,
    "\u00e9" * 101,
    "\U0001d54f\U0001f1e6\U000e0041",
    "\uac00\u11a8 \u1100\u1161\u11a8",
    "\ufdfa \u3392 \u212b \u2126",
    "- . , ! ? ' n't 'm do not",
    " ... --- ___ === ",
    "\u0e33\u0f77\u0344",
    "a\u0316\u0301\u0315\u0300b",
]

LANGUAGES = [
    "the quick brown fox jumps over the lazy dog while seven ranks reduce their gradients and 1024 nodes wait",
    "It's what they've said: we'll see, won't we? I'm sure you'd agree. Numbers such as 3.14159 and 2,000,000 "
    "are common.",
    "un éléphant ça trompe énormément, où êtes-vous? Straße über Äpfel, mañana señor",
    "Съешь же ещё этих мягких французских булок",
    "私はガラスを食べられます。それは私を傷つけません。",
    "我能吞下玻璃而不伤身体。",
    "أنا قادر على أكل الزجاج و هذا لا يؤلمني",
    "मैं काँच खा सकता हूँ",
    "for (int i = 0; i < n; ++i) {\n    sum += values[i];  // a comment\n}\n",
    "😀 👍 🎉 emoji",
]


def corpus():
    rng = random.Random(1)
    words = " ".join(LANGUAGES[:2]).split()
    return LANGUAGES * 8 + [" ".join(rng.choice(words) for _ in range(12)) + "." for _ in range(200)]


def random_texts(count, seed):
    """Texts of characters of every class, words and the special tokens, mixed at random."""
    rng = random.Random(seed)
    pool = [w for line in LANGUAGES for w in line.split()] + HARD
    marks = [
        " ",
        "  ",
        "\n",
        "\r\n",
        "\t",
        "'s",
        "'LL",
        "\u0301",
        "\u200d",
        "\u2581",
        "12",
        "!",
        "<mask>",
        "[MASK]",
        "newtoken",
    ]
    blocks = [
        (0, 0x80),
        (0x80, 0x250),
        (0x300, 0x370),
        (0x370, 0x600),
        (0x600, 0x1000),
        (0x1000, 0x2000),
        (0x2000, 0x3100),
        (0x3100, 0xD800),
        (0xF900, 0x10000),
        (0x10000, 0x20000),
        (0x20000, 0x110000),
    ]
    texts = []
    for _ in range(count):
        parts = []
        for _ in range(rng.randrange(1, 12)):
            kind = rng.random()
            if kind < 0.35:
                parts.append(rng.choice(pool))
            elif kind < 0.6:
                parts.append(rng.choice(marks))
            else:
                low, high = rng.choice(blocks)
                parts.append("".join(chr(rng.randrange(low, high)) for _ in range(rng.randrange(1, 6))))
            if rng.random() < 0.3:
                parts.append(" ")
        texts.append("".join(parts))
    return texts


def every_character(step=1):
    """Each code point between letters, some hundreds a text."""
    points = [c for c in range(0, 0x110000, step) if not 0xD800 <= c < 0xE000]
    return ["".join(f"a{chr(c)}B {chr(c)}1" for c in points[i : i + 400]) for i in range(0, len(points), 400)]


def trained(model, trainer, **parts):
    tokenizer = Tokenizer(model)
    for name, part in parts.items():
        setattr(tokenizer, name, part)
    tokenizer.train_from_iterator(corpus(), trainer)
    return tokenizer


def bpe_trainer(**options):
    return trainers.BpeTrainer(vocab_size=500, show_progress=False, **options)


def byte_level(pre_tokenizer, normalizer=None, model=None, special=("<|endoftext|>",)):
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    parts = dict(pre_tokenizer=pre_tokenizer, decoder=decoders.ByteLevel())
    if normalizer:
        parts["normalizer"] = normalizer
    return trained(
        model or models.BPE(), bpe_trainer(initial_alphabet=alphabet, special_tokens=list(special)), **parts
    )


def split(pattern):
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def gpt2():
    tokenizer = byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False))
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return tokenizer


def llama3():
    tokenizer = byte_level(
        split(LLAMA3), model=models.BPE(ignore_merges=True), special=("<|endoftext|>", "<|end of|>")
    )
    tokenizer.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(
                single="<|endoftext|> $A",
                pair="<|endoftext|> $A <|endoftext|> $B",
                special_tokens=[("<|endoftext|>", 0)],
            ),
        ]
    )
    return tokenizer


def qwen2():
    tokenizer = byte_level(split(QWEN2), normalizer=normalizers.NFC())
    tokenizer.add_tokens([AddedToken("newtoken", normalized=False), AddedToken("new", normalized=False)])
    return tokenizer


def roberta():
    tokenizer = byte_level(pre_tokenizers.ByteLevel(add_prefix_space=True), special=("<s>", "</s>", "<unk>"))
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True)])
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 0))
    return tokenizer


def digits():
    return byte_level(
        pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        ),
        normalizer=normalizers.NFKC(),
    )


def llama2():
    """As converted from SentencePiece: no words, U+2581 for spaces, bytes for what is unknown."""
    pieces = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]
    base = trained(models.BPE(), bpe_trainer(), pre_tokenizer=pre_tokenizers.Metaspace())
    import json

    model = json.loads(base.to_str())["model"]
    for piece in sorted(model["vocab"], key=model["vocab"].get):
        pieces.append(piece)
    merges = [tuple(m) for m in model["merges"]]
    tokenizer = Tokenizer(
        models.BPE(
            {p: i for i, p in enumerate(pieces)}, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True
        )
    )
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
    )
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", 1)]
    )
    return tokenizer


def metaspace():
    tokenizer = trained(
        models.BPE(unk_token="<unk>", fuse_unk=True),
        bpe_trainer(special_tokens=["<unk>"]),
        pre_tokenizer=pre_tokenizers.Metaspace(prepend_scheme="first"),
        decoder=decoders.Metaspace(prepend_scheme="first"),
    )
    tokenizer.add_tokens([AddedToken("<mask>", lstrip=True, rstrip=True, normalized=False)])
    return tokenizer


def unknown():
    return trained(
        models.BPE(unk_token="<unk>"),
        bpe_trainer(special_tokens=["<unk>"]),
        normalizer=normalizers.Sequence(
            [normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase(), normalizers.Strip()]
        ),
        pre_tokenizer=pre_tokenizers.Whitespace(),
    )


def bert(**options):
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = trained(
        models.WordPiece(unk_token="[UNK]"),
        trainers.WordPieceTrainer(vocab_size=500, special_tokens=special, show_progress=False),
        normalizer=normalizers.BertNormalizer(**options),
        pre_tokenizer=pre_tokenizers.BertPreTokenizer(),
        decoder=decoders.WordPiece(),
    )
    tokenizer.add_tokens([AddedToken("newtoken", single_word=True), AddedToken("<mask>", rstrip=True)])
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return tokenizer


def bert_cased():
    tokenizer = bert(lowercase=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()]
    )
    tokenizer.decoder = decoders.WordPiece(cleanup=False)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return tokenizer


ALL = {
    f.__name__: f
    for f in (gpt2, llama3, qwen2, roberta, digits, llama2, metaspace, unknown, bert, bert_cased)
}
