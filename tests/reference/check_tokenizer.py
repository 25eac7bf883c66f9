#!/usr/bin/env python3
"""Compares our tokenizer with transformers' CLIPTokenizer over odd strings.

  check_tokenizer.py TOKENIZE                 learns a vocabulary with TOKENIZE (build/tools/tokenize), saves it, and
                                              compares the ids of both over 4,000 strings, for several ways in which
                                              special tokens are described and for both file generations
  check_tokenizer.py TOKENIZE FOLDER          compares over an existing tokenizer folder
  check_tokenizer.py TOKENIZE --vectors DIR   writes the vectors of tests/text (a small vocabulary and expected ids)

Needs transformers (a development tool only).
"""
import json
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import unicodedata

CAPTIONS = [
    "a photograph of an astronaut riding a horse", "woman: medium-dark skin tone", "man: medium-dark skin tone",
    "the cat's whiskers aren't what they'd been, we've said", "flag: Côte d’Ivoire", "piñata", "naïve café",
    "keycap: 10", "2024 was 20 times 24", "thirty-three skin tones", "medium skin tone, dark skin tone",
    "люди и кошки", "猫と犬", "kitten sitting in the kitchen", "a red apple, a green apple, two red apples",
]
WORDS = ["cat", "Cat's", "DOG", "they'll", "we've", "I'd", "it's", "aren't", "'s", "''s", "'re'", "2024", "3.14",
         "½", "Ⅷ", "x²", "naïve", "nai\u0308ve", "İstanbul", "ǅungla", "ΣΑΣ", "straße", "ﬁn", "Å", "A\u030a",
         "\u212b", "e\u0301\u0327", "e\u0327\u0301", "한국어", "\u1112\u1161\u11ab", "猫", "が", "か\u3099", "ไทย",
         "हिन्दी", "العربية", "עברית", "👩🏽‍🚀", "🇨🇮", "❤️", "<|startoftext|>", "<|endoftext|>", "<|ENDOFTEXT|>",
         "<|startoftext", "!<|endoftext|>!", "<|StartOfText|>!!", "!", "!!", "...", "—", "“q”", "a_b", "a-b", "#tag",
         "\u00ad", "\u200b", "\ufeff", "\ufffd", "</w>", "a</w>", "Ġ", "ð", "&amp;", "<b>", "\\n"]
SPACES = [" ", "  ", "\t", "\u00a0", "\u2003", "\u3000", "\u0085", "\r\n", "\u2028", "\v", "\x1c", "\x1f", ""]


def random_char(rng):
    """Assigned characters only: whether a newer one is a letter depends on the age of either side's tables."""
    while True:
        char = any_char(rng)
        if unicodedata.category(char) != "Cn":
            return char


def any_char(rng):
    kind = rng.randrange(6)
    if kind < 2:
        return chr(rng.randrange(32, 127))
    if kind == 2:
        return chr(rng.randrange(1, 0x250))
    if kind == 3:
        return chr(rng.randrange(0x300, 0x370))
    if kind == 4:
        return chr(rng.randrange(0x370, 0xd800))
    return chr(rng.randrange(0xe000, 0x20000))


def odd_strings(n, seed):
    rng = random.Random(seed)
    out = ["", " ", "a", "A", *WORDS]
    while len(out) < n:
        parts = []
        for _ in range(rng.randrange(1, 9)):
            parts.append(rng.choice(WORDS) if rng.random() < 0.6 else
                         "".join(random_char(rng) for _ in range(rng.randrange(1, 5))))
            parts.append(rng.choice(SPACES))
        out.append("".join(parts))
    return out[:n]


def run(tool, arguments, lines):
    text = "".join(json.dumps(line) + "\n" for line in lines)
    done = subprocess.run([tool, *arguments], input=text, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{tool}: {done.stderr.strip()}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def reference(folder, lines, context=None):
    from transformers import CLIPTokenizer
    t = CLIPTokenizer.from_pretrained(folder)
    if context is None:
        context = t.model_max_length if t.model_max_length < 1 << 16 else 77
    return [t(line, padding="max_length", truncation=True, max_length=context)["input_ids"] for line in lines]


def compare(tool, folder, name, lines):
    ours, theirs = run(tool, [str(folder)], lines), reference(folder, lines)
    wrong = [i for i in range(len(lines)) if ours[i] != theirs[i]]
    for i in wrong[:3]:
        print(f"{name}: {lines[i]!r}\n  ours   {ours[i]}\n  theirs {theirs[i]}")
    print(f"{name}: {len(lines) - len(wrong)} of {len(lines)} strings agree")
    return len(wrong)


def describe(content, normalized):
    return {"content": content, "lstrip": False, "normalized": normalized, "rstrip": False, "single_word": False}


def variants(source, root):
    """Folders that describe the special tokens in the ways that are in use."""
    start, end = "<|startoftext|>", "<|endoftext|>"
    sd1 = {"bos_token": describe(start, True), "eos_token": describe(end, True), "unk_token": describe(end, True)}
    cases = {
        "sd1": ({"model_max_length": 77, **sd1, "pad_token": end}, {**sd1, "pad_token": end}, None),
        "sd2": ({"model_max_length": 77, **sd1, "pad_token": end}, {**sd1, "pad_token": "!"}, None),
        "map-only": (None, {"pad_token": "!"}, None),
        "bare": (None, None, None),
        "added": ({"model_max_length": 40}, None, {"<cat-toy>": 100000}),
    }
    for name, (config, special, added) in cases.items():
        folder = root / name
        folder.mkdir()
        for file in ("vocab.json", "merges.txt"):
            shutil.copy(source / file, folder)
        if added:
            added = {token: len(json.loads((source / "vocab.json").read_text())) for token in added}
        for file, value in (("tokenizer_config.json", config), ("special_tokens_map.json", special),
                            ("added_tokens.json", added)):
            if value:
                (folder / file).write_text(json.dumps(value))
        yield name, folder


def check_all(tool):
    from transformers import CLIPTokenizer
    wrong = 0
    lines = odd_strings(4000, 1) + ["a <cat-toy> on <CAT-TOY>", "<cat-toy>!"]
    with tempfile.TemporaryDirectory() as name:
        root = pathlib.Path(name)
        run(tool, ["--train", str(root / "ours"), "700", "24"], CAPTIONS * 2)
        wrong += compare(tool, root / "ours", "trained here", lines)
        for case, folder in variants(root / "ours", root):
            wrong += compare(tool, folder, case, lines)
            new = root / (case + "-new")
            CLIPTokenizer.from_pretrained(folder).save_pretrained(new)
            wrong += compare(tool, new, case + ", saved by transformers", lines)
    return wrong


def write_vectors(tool, folder):
    folder.mkdir(parents=True, exist_ok=True)
    run(tool, ["--train", str(folder), "640", "16"], CAPTIONS * 2)
    lines = odd_strings(240, 2)
    ids = reference(folder, lines)
    rows = [json.dumps({"text": text, "ids": row}) for text, row in zip(lines, ids)]
    (folder / "expected.jsonl").write_text("\n".join(rows) + "\n")


def main():
    tool, rest = sys.argv[1], sys.argv[2:]
    if rest and rest[0] == "--vectors":
        return write_vectors(tool, pathlib.Path(rest[1]))
    if rest:
        return sys.exit(compare(tool, rest[0], rest[0], odd_strings(4000, 1)) != 0)
    sys.exit(check_all(tool) != 0)


if __name__ == "__main__":
    main()
