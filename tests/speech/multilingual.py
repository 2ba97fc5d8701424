"""A real Whisper model of 99 languages, made of the very small English one: what it writes depends on what it is told.

Its vocabulary gets a token for each language, and the empty one by which CTranslate2 knows a multilingual model. To the
decoder of the English model each language is a word of its own, said before all others.
"""

import json
import struct
from pathlib import Path

import numpy as np

from longtake.speech.whisper import LANGUAGES
from tests.speech.sounds import DATA

SMALL = DATA / "tiny-whisper"
KNOWN = LANGUAGES[:99]


def make(folder: Path) -> Path:
    """Write the model into a folder; returns it."""
    folder.mkdir(parents=True)
    small = json.loads((SMALL / "vocabulary.json").read_text())
    end = small.index("<|endoftext|>")
    # words, the empty one, <|endoftext|>, <|startoftranscript|>, languages, all others: in the order of every Whisper
    tokens = [*small[:end], "", *small[end : end + 2], *(f"<|{code}|>" for code in KNOWN), *small[end + 2 :]]
    rows = [
        *range(end),
        small.index("<|startoflm|>"),
        end,
        end + 1,
        *range(end - len(KNOWN), end),
        *range(end + 2, len(small)),
    ]
    ids = {token: number for number, token in enumerate(tokens)}

    tokenizer = json.loads((SMALL / "tokenizer.json").read_text())
    special = tokenizer["added_tokens"][0]
    tokenizer["model"]["vocab"][""] = ids[""]
    tokenizer["added_tokens"] = [special | {"id": ids[token], "content": token} for token in tokens[end + 1 :]]
    config = json.loads((SMALL / "config.json").read_text())
    config["lang_ids"] = [ids[f"<|{code}|>"] for code in KNOWN]
    config["suppress_ids_begin"] = [ids[small[number]] for number in config["suppress_ids_begin"]]
    for name, content in (("vocabulary", tokens), ("tokenizer", tokenizer), ("config", config)):
        (folder / f"{name}.json").write_text(json.dumps(content))
    (folder / "preprocessor_config.json").write_bytes((SMALL / "preprocessor_config.json").read_bytes())
    (folder / "model.bin").write_bytes(_with_rows((SMALL / "model.bin").read_bytes(), rows))
    return folder


def _with_rows(model: bytes, rows: list[int]) -> bytes:
    """A CTranslate2 model whose tokens have the embeddings of these tokens of the given one."""
    for name in (b"decoder/embeddings/weight\0", b"decoder/embeddings/weight_scale\0"):
        at = model.index(struct.pack("<H", len(name)) + name) + 2 + len(name)
        rank = model[at]  # then: the shape, the kind of number, the size in bytes, the numbers
        count, *width = struct.unpack_from(f"<{rank}I", model, at + 1)
        kind, size = struct.unpack_from("<BI", model, at + 1 + 4 * rank)
        begin = at + 1 + 4 * rank + 5
        chosen = np.frombuffer(model, np.uint8, size, begin).reshape(count, -1)[rows].tobytes()
        head = struct.pack(f"<B{rank}IBI", rank, len(rows), *width, kind, len(chosen))
        model = model[:at] + head + chosen + model[begin + size :]
    return model
