#!/usr/bin/env python3
"""Writes the seeds of the fuzz targets, tests/fuzz/corpus/TARGET/*, with nothing but the standard library.

The JPEG is the one thing that the standard library cannot make; it is a 1x1 grey baseline file assembled from its
segments here (tables of Annex K of the JPEG standard, cut to the codes that are used).
"""
import gzip
import io
import json
import pathlib
import struct
import tarfile
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


def tokenizer_seeds():
    """tokenizer.json, NUL, tokenizer_config.json, NUL, prompt."""
    vocab = {t: i for i, t in enumerate(["<|startoftext|>", "<|endoftext|>", "a", "b", "b</w>", "ab</w>", "!", "a</w>", "aa"])}

    def put_folder(name, merges, config, prompt, added=()):
        whole = {"added_tokens": list(added), "model": {"type": "BPE", "end_of_word_suffix": "</w>", "vocab": vocab,
                                                        "merges": merges}}
        put("tokenizer", name, b"\0".join([json.dumps(whole, separators=(",", ":")).encode(), config, prompt]))

    start = {"id": 0, "content": "<|startoftext|>", "normalized": False, "special": True}
    put_folder("plain", ["a b</w>", ["a", "a"]], b'{"model_max_length":8,"pad_token":"!"}',
               "aab ab <|startoftext|> É e\u0301 ".encode() + b"\xff", [start])
    put_folder("decoder", [["a", "b</w>"]],
               b'{"model_max_length":1e30,"added_tokens_decoder":{"9":{"content":"<x>","normalized":true}}}', b"a <X> b")
    put_folder("missing", ["a c"], b"{}", b"a")
    put_folder("no-prompt", ["a b</w>"], b"{}", b"")


def shard(entries, **format_arguments):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", **format_arguments) as tar:
        for name, data in entries:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue().rstrip(b"\0") + bytes(1024)  # without the padding to a record


def tar_seeds():
    picture = png(5, 4, 8, 2, 3)
    pair = [("0.png", picture), ("0.txt", b"a cat\ncat")]
    put("tar", "pair", shard(pair, format=tarfile.USTAR_FORMAT))
    put("tar", "json", shard([("d/a.jpg", jpeg()), ("d/a.json", b'{"caption": "a", "keywords": ["b"]}'),
                              ("b.seg.png", picture), ("b.caption", b"caf\xe9")]))
    put("tar", "long-name", shard([("x" * 120 + ".png", picture), ("x" * 120 + ".txt", b"long")], format=tarfile.PAX_FORMAT))
    put("tar", "broken-picture", shard([("0.png", picture[:40]), ("0.txt", b"cut"), ("1.png", picture), ("1.txt", b"whole")]))
    put("tar", "cut", shard(pair)[:700])
    put("tar", "packed", gzip.compress(shard(pair), mtime=0))
    put("tar", "claims", shard(pair).replace(b"00000000011", b"77777777777"))
    put("tar", "empty", bytes(1024))
    put("tar", "folder", shard([(".hidden", b"x"), ("no-ending", b"y"), ("a.txt", b"no picture")]))


def config_seeds():
    unet = {"_class_name": "UNet2DConditionModel", "in_channels": 4, "out_channels": 4, "sample_size": 8,
            "block_out_channels": [8, 16], "layers_per_block": 1, "attention_head_dim": 2, "cross_attention_dim": 12,
            "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"], "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
            "mid_block_type": "UNetMidBlock2DCrossAttn", "norm_num_groups": 4, "act_fn": "silu", "flip_sin_to_cos": True,
            "freq_shift": 0, "use_linear_projection": False, "transformer_layers_per_block": [1, 1]}
    put("config", "unet", json.dumps(unet).encode())
    put("config", "unet-heads", json.dumps(dict(unet, num_attention_heads=[1, 4], mid_block_type=None,
                                                transformer_layers_per_block=0)).encode())
    put("config", "unet-refused", json.dumps(dict(unet, class_embed_type="timestep")).encode())
    vae = {"_class_name": "AutoencoderKL", "latent_channels": 4, "block_out_channels": [8, 8, 16], "layers_per_block": 1,
           "norm_num_groups": 4, "scaling_factor": 0.18215, "shift_factor": 0.1, "mid_block_add_attention": False,
           "use_quant_conv": True, "use_post_quant_conv": False, "sample_size": 16}
    put("config", "vae", json.dumps(vae).encode())
    clip = {"architectures": ["CLIPTextModel"], "vocab_size": 700, "hidden_size": 16, "intermediate_size": 32,
            "num_hidden_layers": 1, "num_attention_heads": 2, "max_position_embeddings": 12, "hidden_act": "gelu",
            "layer_norm_eps": 1e-5, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    put("config", "clip", json.dumps(clip).encode())
    put("config", "features", json.dumps({"_class_name": "OnestepFeatures", "channels": [8, 16], "image_size": 16,
                                          "norm_num_groups": 8, "embed_dim": 8, "text_config": clip}).encode())
    schedule = {"_class_name": "DDIMScheduler", "num_train_timesteps": 1000, "beta_start": 0.00085, "beta_end": 0.012,
                "beta_schedule": "scaled_linear", "prediction_type": "epsilon", "timestep_spacing": "leading",
                "steps_offset": 1, "set_alpha_to_one": False, "trained_betas": None}
    put("config", "schedule", json.dumps(schedule).encode())
    put("config", "schedule-betas", json.dumps(dict(schedule, trained_betas=[0.1, 0.5, 0.9, 1],
                                                    prediction_type="v_prediction")).encode())
    put("config", "schedule-zero-snr", json.dumps({"_class_name": "LCMScheduler", "num_train_timesteps": 20,
                                                   "rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}).encode())
    put("config", "schedule-one-step", json.dumps({"_class_name": "LCMScheduler", "num_train_timesteps": 1,
                                                   "rescale_betas_zero_snr": True}).encode())
    put("config", "schedule-no-signal", json.dumps(dict(schedule, trained_betas=[0.999] * 200)).encode())
    put("config", "schedule-tiny-betas", json.dumps(dict(schedule, trained_betas=[1e-17] * 3)).encode())
    put("config", "recipe", json.dumps({"name": "x", "resolution": 32, "train": {"lr": 1e-3, "iterations": 9},
                                        "vae": {"flip": False, "config": vae}}).encode())
    put("config", "bare", b"{}")
    put("config", "array", b"[1]")
    tiny = {"_class_name": "AutoencoderTiny", "in_channels": 3, "out_channels": 3, "latent_channels": 4, "act_fn": "relu",
            "encoder_block_out_channels": [8, 8, 8], "decoder_block_out_channels": [8, 8, 8], "num_encoder_blocks": [1, 1, 2],
            "num_decoder_blocks": [2, 1, 1], "upsampling_scaling_factor": 2, "scaling_factor": 1.0, "shift_factor": 0.0}
    put("config", "taesd", json.dumps(tiny).encode())
    put("config", "taesd-widths", json.dumps(dict(tiny, decoder_block_out_channels=[8, 8, 16])).encode())
    put("config", "taesd-counts", json.dumps(dict(tiny, num_decoder_blocks=[64, 0, -1])).encode())
    put("config", "taesd-eight", json.dumps(dict(tiny, encoder_block_out_channels=[4] * 8, decoder_block_out_channels=[4] * 8,
                                                 num_encoder_blocks=[0] * 8, num_decoder_blocks=[0] * 8)).encode())
    put("config", "taesd-published", json.dumps({"_class_name": "AutoencoderTiny", "encoder_block_out_channels": [64] * 4,
                                                 "decoder_block_out_channels": [64] * 4}).encode())


def lora_file(entries, metadata=None):
    """(name, shape) pairs of half-precision ones."""
    header, at = ({"__metadata__": metadata} if metadata else {}), 0
    for name, shape in entries:
        size = 2
        for d in shape:
            size *= d
        header[name] = row("F16", shape, at, at + size)
        at += size
    return tensors(header, b"\0\x3c" * (at // 2))


def int8_seeds():
    good = {"version": 1, "unet": {"b": {"scale": 0.5, "zero": 3, "error": 0.02}, "a": {"scale": 2}},
            "decoder": {}, "keep": {"unet": ["a"], "decoder": []}}
    put("int8", "good", json.dumps(good).encode())
    put("int8", "version", b'{"version": 2}')
    put("int8", "negative", json.dumps({**good, "unet": {"a": {"scale": -1}}}).encode())
    put("int8", "zero", json.dumps({**good, "unet": {"a": {"scale": 1, "zero": 256}}}).encode())
    put("int8", "keep", json.dumps({**good, "keep": {"unet": ["c", 1]}}).encode())
    put("int8", "small", json.dumps({**good, "unet": {"a": {"scale": 1e-300}}}).encode())
    put("int8", "list", b'{"version": 1, "unet": [1], "keep": 3}')


def lora_seeds():
    block = "down_blocks.0.attentions.0.transformer_blocks.0"
    q, conv = "lora_unet_" + block.replace(".", "_") + "_attn1_to_q", "lora_unet_down_blocks_0_resnets_0_conv1"
    kohya = [(f"{q}.lora_down.weight", [2, 8]), (f"{q}.lora_up.weight", [8, 2]), (f"{q}.alpha", [])]
    put("lora", "kohya", lora_file(kohya))
    put("lora", "original", lora_file([(n.replace("down_blocks_0_attentions_0", "input_blocks_1_1"), s) for n, s in kohya]))
    put("lora", "strange", lora_file(kohya + [("lora_unet_conv_norm_out.diff", [8]), ("lora_unet_x.alpha", [])]))
    put("lora", "alone", lora_file(kohya[1:]))
    put("lora", "long-alpha", lora_file(kohya[:2] + [(f"{q}.alpha", [2])]))
    put("lora", "no-rank", lora_file([(f"{q}.lora_down.weight", [0, 8]), (f"{q}.lora_up.weight", [8, 0])]))
    put("lora", "misfit", lora_file([(f"{q}.lora_down.weight", [2, 9]), kohya[1]]))
    put("lora", "convolution", lora_file([(f"{conv}.lora_down.weight", [1, 8, 3, 3]), (f"{conv}.lora_up.weight", [8, 1, 1, 1])]))
    put("lora", "middle", lora_file([(f"{conv}.lora_down.weight", [2, 8, 1, 1]), (f"{conv}.lora_mid.weight", [2, 2, 3, 3]),
                                     (f"{conv}.lora_up.weight", [8, 2, 1, 1])]))
    put("lora", "middle-only", lora_file([(f"{conv}.lora_mid.weight", [2, 2, 3, 3])] + kohya))
    text = "text_model.encoder.layers.0.self_attn"
    put("lora", "text", lora_file([(f"lora_te_{text}.q_proj".replace(".", "_") + ".lora_down.weight", [1, 12]),
                                   (f"lora_te_{text}.q_proj".replace(".", "_") + ".lora_up.weight", [12, 1])]))
    put("lora", "early-text", lora_file([(f"text_encoder.{text}.to_out_lora.down.weight", [1, 12]),
                                         (f"text_encoder.{text}.to_out_lora.up.weight", [12, 1])]))
    put("lora", "early", lora_file([(f"{block}.attn1.processor.to_out_lora.down.weight", [1, 8]),
                                    (f"{block}.attn1.processor.to_out_lora.up.weight", [8, 1])]))
    peft = [(f"base_model.model.{block}.attn1.to_q.lora_A.weight", [2, 8]), (f"base_model.model.{block}.attn1.to_q.lora_B.weight", [8, 2])]
    config = {"r": 2, "lora_alpha": 3, "use_rslora": True, "alpha_pattern": {"^x": 1, "attn1.to_q": 5}, "rank_pattern": {}}
    put("lora", "peft", b"c" + json.dumps(config).encode() + b"\0" + lora_file(peft))
    put("lora", "peft-pattern", b"c" + json.dumps({"alpha_pattern": {".*": 1}}).encode() + b"\0" + lora_file(peft))
    put("lora", "peft-dora", b'c{"use_dora":true}\0' + lora_file(peft))
    put("lora", "peft-broken", b'c{"lora_alpha":\0' + lora_file(peft))
    stated = {f"unet.{k}": v for k, v in config.items()}
    put("lora", "metadata", lora_file(peft, {"lora_adapter_metadata": json.dumps(stated)}))
    put("lora", "metadata-list", lora_file(peft, {"lora_adapter_metadata": "[1]"}))
    put("lora", "sdxl", lora_file([("lora_te2_x.lora_down.weight", [1, 8])]))
    put("lora", "other-width", lora_file([("unet.x.attn2.to_k.lora_A.weight", [1, 2048])]))
    put("lora", "loha", lora_file([(f"{q}.hada_w1_a", [2, 8])] + kohya))
    put("lora", "cut", lora_file(kohya)[:-5])


if __name__ == "__main__":
    safetensors_seeds()
    json_seeds()
    image_seeds()
    tokenizer_seeds()
    tar_seeds()
    config_seeds()
    lora_seeds()
    int8_seeds()
