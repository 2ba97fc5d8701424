"""What the worker and its child say to one another over pipes: a header, some JSON, some samples.

    frame   = size of head (u32, little-endian) · size of body (u32) · head (JSON, UTF-8) · body (raw samples)
    request = {"do": "rate"} + PCM | {"do": "recognise", "engine": name, "language": code or null} + PCM
    answer  = {"ok": {…}} + body | {"error": detail, "code": code, "retryable": bool}

PCM is signed 16-bit little-endian, mono, 16 kHz; rated probabilities are 32-bit floats.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable

from longtake.model.transcript import Word
from longtake.speech.engine import Recognition

HEADER = struct.Struct("<II")
Head = dict[str, object]


def pack(head: Head, body: bytes = b"") -> bytes:
    """One frame."""
    text = json.dumps(head, separators=(",", ":")).encode()
    return HEADER.pack(len(text), len(body)) + text + body


def unpack(read_exactly: Callable[[int], bytes]) -> tuple[Head, bytes]:
    """Read one frame; `read_exactly` raises EOFError where the pipe ends."""
    head_bytes, body_bytes = HEADER.unpack(read_exactly(HEADER.size))
    head: Head = json.loads(read_exactly(head_bytes))
    return head, read_exactly(body_bytes)


def recognition_to_json(heard: Recognition) -> Head:
    """As it stands in an answer: words as [text, start, end, confidence]."""
    words = [[w.text, w.start_ms, w.end_ms, w.confidence] for w in heard.words]
    return {"text": heard.text, "words": words, "confidence": heard.confidence}


def recognition_from_json(head: dict[str, object]) -> Recognition:
    """The inverse of `recognition_to_json`."""
    rows = head["words"]
    assert isinstance(rows, list)
    words = tuple(Word(text=t, start_ms=start, end_ms=end, confidence=c) for t, start, end, c in rows)
    confidence = head["confidence"]
    return Recognition(
        text=str(head["text"]), words=words, confidence=None if confidence is None else float(str(confidence))
    )
