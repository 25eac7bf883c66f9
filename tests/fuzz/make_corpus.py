#!/usr/bin/env python3
"""Writes the seeds of the fuzz targets, tests/fuzz/corpus/TARGET/*, with nothing but the standard library.

The JPEG is the one thing that the standard library cannot make; it is a 1x1 grey baseline file assembled from its
segments here (tables of Annex K of the JPEG standard, cut to the codes that are used).
"""
import json
import pathlib
import struct
import zlib

ROOT = pathlib.Path(__file__).parent / "corpus"


def put(target, name, data):
    folder = ROOT / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def tensors(header, data=b"", told=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if told is None else told) + text + data


def row(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width, height, depth, color, channels, extra=b"", interlace=0):
    stride = (width * channels * depth + 7) // 8
    lines = b"".join(bytes([y % 5]) + bytes((x * 7 + y) % 256 for x in range(stride)) for y in range(height))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlace))
            + extra + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b""))


def segment(marker, body):
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(body) + 2) + body


def jpeg(width=8, height=8):
    table = segment(0xDB, b"\0" + bytes([16] * 64))
    frame = segment(0xC0, struct.pack(">BHHB", 8, height, width, 1) + b"\1\x11\0")
    dc = segment(0xC4, b"\x00" + bytes([1] + [0] * 15) + b"\0")  # one code: no difference
    ac = segment(0xC4, b"\x10" + bytes([1] + [0] * 15) + b"\0")  # one code: end of block
    scan = segment(0xDA, b"\1\1\0\0\x3f\0")
    return b"\xff\xd8" + table + frame + dc + ac + scan + b"\x3f\xff\xd9"


def safetensors_seeds():
    good = {"__metadata__": {"format": "pt"}, "a": row("F32", [2, 1], 0, 8), "b": row("F16", [3], 8, 14),
            "s": row("I64", [], 14, 22), "e": row("BF16", [0, 4], 22, 22)}
    put("safetensors", "good", tensors(good, bytes(range(22))))
    put("safetensors", "empty", b"")
    put("safetensors", "no-tensors", tensors(b"{}"))
    put("safetensors", "cut", tensors(good, bytes(9)))
    put("safetensors", "long-header", tensors(b"{}", told=100 * 10**9))
    put("safetensors", "overlap", tensors({"a": row("U8", [8], 0, 8), "b": row("U8", [8], 4, 12)}, bytes(12)))
    put("safetensors", "overflow", tensors({"a": row("F32", [1 << 32, 1 << 32], 0, 0)}))
    put("safetensors", "claims", tensors({"a": row("F32", [25 * 2**30], 0, 100 * 2**30)}))
    put("safetensors", "negative", tensors({"a": row("F32", [-1, -4], 0, 16)}, bytes(16)))
    put("safetensors", "nine-dims", tensors({"a": row("U8", [1] * 9, 0, 1)}, b"x"))
    put("safetensors", "twice", tensors(b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},'
                                        b'"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}', b"xy"))
    put("safetensors", "deep", tensors(b'{"a":' + b"[" * 5000))
    put("safetensors", "pickle", b"\x80\x02}q\x00.")
    put("safetensors", "zip", b"PK\x03\x04" + bytes(26))
    put("safetensors", "like-a-pickle", tensors(b"{}" + b" " * 638))


def json_seeds():
    put("json", "config", json.dumps({"a": 1, "sample_size": 16, "block_out_channels": [64, 128], "flag": True,
                                      "text": "é\n\"", "none": None, "real": -1.5e-7}).encode())
    for name, text in {"empty": b"", "scalar": b"7", "array": b"[]", "comma": b'{"a":1,}', "twice": b'{"a":1,"a":2}',
                       "utf8": b'{"a":"\xff\xfe"}', "nul": b'{"a":"\\u0000"}', "surrogate": b'["\\ud83d\\ude00","\\ud83d"]',
                       "big": b"[1e999]", "long": b"[123456789012345678901234567890]", "deep": b"[" * 5000,
                       "tail": b"{} {}"}.items():
        put("json", name, text)


def image_seeds():
    text = chunk(b"tEXt", b"parameters\0a cat")
    put("image", "rgb.png", png(5, 4, 8, 2, 3, text))
    put("image", "grey1.png", png(9, 3, 1, 0, 1))
    put("image", "rgba16.png", png(3, 3, 16, 6, 4))
    put("image", "palette.png", png(4, 4, 2, 3, 1, chunk(b"PLTE", bytes(range(12))) + chunk(b"tRNS", b"\0\x80")))
    put("image", "huge.png", png(1, 1, 8, 2, 3).replace(struct.pack(">II", 1, 1), struct.pack(">II", 2**31 - 1, 2**31 - 1)))
    put("image", "cut.png", png(5, 4, 8, 2, 3)[:-20])
    put("image", "grey.jpg", jpeg())
    put("image", "cut.jpg", jpeg()[:-4])
    put("image", "wide.jpg", jpeg(65500, 1))
    put("image", "gif", b"GIF89a\1\0\1\0")


if __name__ == "__main__":
    safetensors_seeds()
    json_seeds()
    image_seeds()
