"""Writes the tokenizer fixtures: small vocabularies in CLIP's format, and the ids transformers gives for many texts.

Made with Python 3.11, transformers 5.23.0 and tokenizers 0.23.3. Run from anywhere: `python make.py`.

    glyphs.json          texts with the bundled model's own tokenizer
    patched/             a vocabulary with merges; special tokens as objects, found in normalised text; padding is "!"
    patched.json         random Unicode with it
    sparse/              no tokens for many bytes; `added_tokens_decoder` with every flag; an unusual unknown token
    sparse.json          random Unicode with it
"""

import json
import os
import random
from collections import Counter

from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPTokenizer

HERE = os.path.dirname(os.path.abspath(__file__))
GLYPHS = os.path.join(HERE, "../../../Sources/Glyphs/Resources/glyphs/tokenizer")

BLOCKS = [
    (0x00, 0x7F), (0x00, 0x20), (0x80, 0xFF), (0x100, 0x24F), (0x250, 0x2FF), (0x300, 0x36F), (0x370, 0x3FF),
    (0x400, 0x52F), (0x531, 0x58F), (0x590, 0x5FF), (0x600, 0x6FF), (0x7C0, 0x7FF), (0x8D0, 0x8FF), (0x900, 0x97F),
    (0x980, 0x9FF), (0xB80, 0xBFF), (0xD00, 0xD7F), (0xE00, 0xEFF), (0xF00, 0xFFF), (0x1000, 0x109F), (0x10A0, 0x10FF),
    (0x1100, 0x11FF), (0x1200, 0x137F), (0x13A0, 0x13FF), (0x1780, 0x17FF), (0x1AB0, 0x1AFF), (0x1B00, 0x1B7F),
    (0x1C80, 0x1CBF), (0x1DC0, 0x1DFF), (0x1E00, 0x1FFF), (0x2000, 0x206F), (0x2070, 0x218F), (0x2190, 0x24FF),
    (0x2600, 0x27BF), (0x2C00, 0x2DFF), (0x3000, 0x30FF), (0x3100, 0x4DFF), (0x4E00, 0x9FFF), (0xA640, 0xA69F),
    (0xA720, 0xA7FF), (0xAB30, 0xABBF), (0xAC00, 0xD7FB), (0xE000, 0xE0FF), (0xF900, 0xFAFF), (0xFB00, 0xFDFF),
    (0xFE00, 0xFE2F), (0xFF00, 0xFFFF), (0x10140, 0x101FF), (0x10400, 0x1044F), (0x105C0, 0x105F3), (0x10940, 0x10959),
    (0x11080, 0x110CF), (0x11100, 0x1114F), (0x11300, 0x113E2), (0x11480, 0x115DF), (0x11930, 0x11946),
    (0x16100, 0x16139), (0x16D40, 0x16D79), (0x1D15E, 0x1D1C0), (0x1D400, 0x1D7FF), (0x1E900, 0x1E95F),
    (0x1F100, 0x1F1FF), (0x1F300, 0x1FAFF), (0x20000, 0x2A6DF), (0x2F800, 0x2FA1F), (0xE0000, 0xE01EF),
    (0x100000, 0x10FFFF),
]  # fmt: skip

SPELLINGS = [
    "<|startoftext|>", "<|endoftext|>", "<|STARTOFTEXT|>", "<|EndOfText|>", "<|endoftext|", "|endoftext|>", "<|", "|>",
    "'s", "'S", "'ll", "'LL", "'t", "'re", "'VE", "'m", "'D", "''s", "!'s", "'", " ", "  ", "\n", "\t\u00a0", "\u2003",
    "\u3000", "\u200b", "\u200d", "\ufe0f", "\x00", "\x1f", "\x7f", "\x85", "\u2028", "!", "!!", "<pad>", "<New>",
    "<new>", "word", "Word", " word ", "sword", "e\u0301", "E\u0301", "\u0130", "I\u0307", "\u00df", "\u1e9e",
    "\u039f\u03a3", "\u03a3", "\u03c2", "\u01c5", "\u01f2", "\u017f", "\u212a", "\u212b", "\u2126", "\u1100\u1161\u11a8",
    "\uac00\u11a8", "\u0958", "\u0344", "\u2adc", "\u0f73", "\u1f82", "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "\U0001f1e9\U0001f1ea", "\U0001f44d\U0001f3fd", "\u00bd", "\u2167", "\u0663", "\u00b2", "\u3007", "12", "3.14",
    "\U000105d2\u0307", "\U00011935\U00011930", "a\u0323\u0307", "a\u0307\u0323", "\u0301", "\ufdd0", "\U0010ffff",
    "\u0378", "red", "circle", "the", "caf\u00e9",
]  # fmt: skip

SENTENCES = [
    "", " ", "a", "a red circle", "The QUICK brown fox's den isn't 1,234.5 miles away!", "a  letter\tA\n\non black",
    "high contrast, yellow digit 7 in bold serif", "Füße grüßen Åse in Łódź; İstanbul ve Iğdır", "ΟΔΥΣΣΕΥΣ οδυσσεύς",
    "Привет, мир — это тест", "今日はいい天気ですね。", "한국어 텍스트", "नमस्ते दुनिया", "שָׁלוֹם עוֹלָם", "مَرْحَبًا بِالْعَالَم ١٢٣",
    "สวัสดีชาวโลก", "Việt Nam tiếng Việt", "<|startoftext|>a<|endoftext|>", "blurry, noisy, low contrast",
]  # fmt: skip


def random_text(rng, most):
    parts = []
    for _ in range(rng.randint(1, most)):
        kind = rng.random()
        if kind < 0.4:
            parts.append(rng.choice(SPELLINGS))
        elif kind < 0.5:
            parts.append(rng.choice(SENTENCES))
        else:
            low, high = rng.choice(BLOCKS)
            for _ in range(rng.randint(1, 4)):
                code = rng.randint(low, high)
                parts.append(chr(code) if not 0xD800 <= code <= 0xDFFF else " ")
    return "".join(parts)


def train(texts, tokens, count):
    """Byte pair encoding in its plainest form; returns the merges."""
    alphabet = ByteLevel(add_prefix_space=False)
    words = Counter()
    for text in texts:
        for word in text.lower().split():
            mapped = "".join(piece for piece, _ in alphabet.pre_tokenize_str(word))
            words[tuple(mapped[:-1]) + (mapped[-1] + "</w>",)] += 1
    words = {word: n for word, n in words.items() if all(token in tokens for token in word)}
    merges = []
    while len(merges) < count:
        pairs = Counter()
        for word, n in words.items():
            for pair in zip(word, word[1:]):
                pairs[pair] += n
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        merged = {}
        for word, n in words.items():
            out = []
            for token in word:
                if out and (out[-1], token) == best:
                    out[-1] += token
                else:
                    out.append(token)
            merged[tuple(out)] = n
        words = merged
    return merges


def write_json(path, value, **options):
    with open(os.path.join(HERE, path), "w", encoding="utf-8") as file:
        json.dump(value, file, **options)
        file.write("\n")


def write_folder(name, tokens, merges, config, special_tokens_map):
    os.makedirs(os.path.join(HERE, name), exist_ok=True)
    tokens = list(dict.fromkeys(tokens))
    write_json(f"{name}/vocab.json", {token: index for index, token in enumerate(tokens)}, ensure_ascii=False)
    with open(os.path.join(HERE, name, "merges.txt"), "w", encoding="utf-8") as file:
        file.write("#version: 0.2\n" + "".join(f"{left} {right}\n" for left, right in merges))
    write_json(f"{name}/tokenizer_config.json", config, indent=2)
    if special_tokens_map is not None:
        write_json(f"{name}/special_tokens_map.json", special_tokens_map, indent=2)


def write_cases(name, folder, texts):
    tokenizer = CLIPTokenizer.from_pretrained(folder)
    length = tokenizer.model_max_length
    cases = []
    for text in texts:
        batch = tokenizer(text, padding="max_length", truncation=True, max_length=length)
        case = {"text": text, "ids": batch.input_ids[: sum(batch.attention_mask)]}
        assert set(batch.input_ids[len(case["ids"]) :]) <= {tokenizer.pad_token_id}
        untruncated = tokenizer(text).input_ids
        if len(untruncated) > length:
            case["discarded"] = tokenizer.decode(untruncated[length - 1 : -1])
        cases.append(case)
    header = {
        "maximumLength": length,
        "begin": tokenizer.bos_token_id,
        "end": tokenizer.eos_token_id,
        "padding": tokenizer.pad_token_id,
    }
    write_json(f"{name}.json", {**header, "cases": cases}, separators=(",", ":"))


def main():
    rng = random.Random(20)
    alphabet = sorted(ByteLevel.alphabet())
    prompts = [
        " ".join(rng.choice(["red", "BLUE", "a", "letter", "Digit", "7", "serif,", "bold", "noisy", "é", "x's"])
                 for _ in range(rng.randint(1, 40)))
        for _ in range(100)
    ]  # fmt: skip
    write_cases("glyphs", GLYPHS, SENTENCES + SPELLINGS + prompts + [random_text(rng, 12) for _ in range(100)])

    corpus = SENTENCES + prompts + [random_text(rng, 20) for _ in range(400)]
    tokens = alphabet + [character + "</w>" for character in alphabet]
    merges = train(corpus, set(tokens), 300)
    products = ["".join(merge) for merge in merges]
    markers = ["<|startoftext|>", "<|endoftext|>"]

    def spelled(content, normalized):
        return {"content": content, "lstrip": False, "normalized": normalized, "rstrip": False, "single_word": False}

    write_folder(
        "patched", tokens + products + markers, merges,
        {"tokenizer_class": "CLIPTokenizer", "model_max_length": 24,
         "bos_token": {"__type": "AddedToken", **spelled("<|startoftext|>", True)}},
        {"bos_token": spelled("<|startoftext|>", True), "eos_token": spelled("<|endoftext|>", True), "pad_token": "!",
         "unk_token": spelled("<|endoftext|>", True)})  # fmt: skip

    sparse = [token for index, token in enumerate(tokens) if index % 5 != 3]
    merges = train(corpus, set(sparse), 150)
    products = ["".join(merge) for merge in merges]
    added = [
        {**spelled("<|startoftext|>", False), "special": True},
        {**spelled("<|endoftext|>", False), "special": True},
        {**spelled("<pad>", False), "rstrip": True, "special": True},
        {**spelled("<New>", True), "lstrip": True, "special": False},
        {**spelled("Word", True), "single_word": True, "special": False},
        {**spelled("\u00e9\u0301", False), "lstrip": True, "rstrip": True, "special": False},
        {**spelled("word", False), "single_word": True, "lstrip": True, "rstrip": True, "special": False},
    ]
    write_folder(
        "sparse", sparse + products + ["<unk>"] + markers, merges,
        {"tokenizer_class": "CLIPTokenizer", "model_max_length": 16, "pad_token": "<pad>", "unk_token": "<unk>",
         "added_tokens_decoder": {str(1000 + index): token for index, token in enumerate(added)}},
        None)  # fmt: skip

    for name in ["patched", "sparse"]:
        texts = SENTENCES + SPELLINGS + [random_text(rng, 10) for _ in range(320)]
        texts += ["\u0130\u03a3a" * 400, "\u0315\u0300" * 200, "<|endoftext|" * 40] if name == "patched" else []
        write_cases(name, os.path.join(HERE, name), texts)


if __name__ == "__main__":
    main()
