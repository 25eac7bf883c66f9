#!/usr/bin/env python3
"""Expected values for test_metrics.c, computed with numpy.

Run from the repository root:  python3 tests/eval/make_vectors.py > tests/eval/vectors.h
The inputs follow from a formula that the C test repeats, so only results are stored.
"""
import numpy as np


def features(n, d, phase, scale):
    i = np.arange(n, dtype=np.float64)[:, None]
    j = np.arange(d, dtype=np.float64)[None, :]
    x = np.sin(0.37 * (i + 1) * (j + 1) + phase) + scale * np.cos(1.7 * i + 0.3 * j * j) + 0.1 * j
    return x.astype(np.float32).astype(np.float64)


def frechet(a, b):
    s1, s2 = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = np.sqrt(np.linalg.eigvals(s1 @ s2).real.clip(0)).sum()  # trace of the general matrix square root
    return np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(s1 + s2) - 2 * root


def distances(a, b):
    return np.sqrt(((a[:, None, :] - b[None, :, :]) ** 2).sum(-1))


def covered(a, b, k=3):
    own = distances(a, a)
    np.fill_diagonal(own, np.inf)
    radius = np.sort(own, axis=1)[:, k - 1]
    return np.mean((distances(b, a) <= radius[None, :]).any(1))


def picture():
    y, x, c = np.meshgrid(np.arange(8), np.arange(8), np.arange(3), indexing="ij")
    return (y * 31 + x * 17 + c * 53 + x * y * 7) % 256


def dct_matrix():
    k, i = np.arange(8)[:, None], np.arange(8)[None, :]
    return np.where(k == 0, np.sqrt(1 / 8), np.sqrt(2 / 8)) * np.cos(np.pi * (i + 0.5) * k / 8)


def describe(patch):
    m = dct_matrix()
    rgb = patch / 127.5 - 1
    luma = rgb @ np.array([0.299, 0.587, 0.114])
    weight = np.sqrt(np.arange(8)[:, None] ** 2 + np.arange(8)[None, :] ** 2)
    out = []
    for plane, side in ((luma, 8), (rgb[..., 0] - luma, 4), (rgb[..., 2] - luma, 4)):
        out.append((m @ plane @ m.T * weight)[:side, :side].ravel()[1:])
    out = np.concatenate(out)
    return np.sign(out) * np.sqrt(np.abs(out))


def main():
    a, b = features(120, 24, 0.0, 0.5), features(90, 24, 0.4, 1.15)
    values = np.linalg.eigvalsh(np.cov(a, rowvar=False))
    near = distances(b, a)
    own = distances(a, a)
    np.fill_diagonal(own, np.inf)
    u = a / np.linalg.norm(a, axis=1, keepdims=True)
    v = u + 0.15 * features(120, 24, 1.1, 0.2)
    v /= np.linalg.norm(v, axis=1, keepdims=True)
    u, v = u.astype(np.float32).astype(np.float64), v.astype(np.float32).astype(np.float64)
    cosine = u @ v.T
    rank = (cosine >= np.diag(cosine)[:, None]).sum(1) - 1
    seeds = a.reshape(15, 8, 24)
    pairs = [np.linalg.norm(s[i] - s[j]) for s in seeds for i in range(8) for j in range(i)]
    patch = describe(picture())

    print("/* Made by make_vectors.py with numpy; do not edit. */")
    row = ", ".join(f"{x:.12g}" for x in values)
    print(f"static const double want_eigenvalues[24] = {{ {row} }};")
    for name, x in (
        ("frechet", frechet(a, b)),
        ("precision", covered(a, b)),
        ("recall", covered(b, a)),
        ("nearest", near.min(1).mean()),
        ("nearest_own", own.min(1).mean()),
        ("top1", np.mean(rank < 1)),
        ("top5", np.mean(rank < 5)),
        ("clip", np.diag(cosine).mean()),
        ("diversity", np.mean(pairs)),
    ):
        print(f"static const double want_{name} = {x:.12g};")
    row = ", ".join(f"{x:.9g}" for x in patch)
    print(f"static const double want_patch[93] = {{ {row} }};")


if __name__ == "__main__":
    main()
