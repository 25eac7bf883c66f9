/*
 * Random numbers. Philox4x32-10 (Salmon et al., SC 2011): counter based, so element i of stream s under seed k
 * is a pure function of (k, s, i), whatever the thread count. Normals by Box-Muller with our own log, sin and
 * cos, so that the bits do not depend on the C library. A torch mode reproduces torch.randn on a CPU generator
 * (MT19937).
 */
#ifndef ONS_BASE_RANDOM_H
#define ONS_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

void ons_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* dst[i] = normal number (offset + i) of `stream` under `seed`; uniform in [0,1) likewise. */
void ons_randn(uint64_t seed, uint64_t stream, uint64_t offset, float *dst, size_t n);
void ons_rand_uniform(uint64_t seed, uint64_t stream, uint64_t offset, float *dst, size_t n);
/* The same numbers by up to n_threads threads. */
void ons_randn_by(int n_threads, uint64_t seed, uint64_t stream, uint64_t offset, float *dst, size_t n);
void ons_rand_uniform_by(int n_threads, uint64_t seed, uint64_t stream, uint64_t offset, float *dst, size_t n);
/* One 64-bit word: number `index` of `stream` under `seed`. */
uint64_t ons_rand_u64(uint64_t seed, uint64_t stream, uint64_t index);
/* Unbiased integer in [0, bound), bound > 0. */
uint64_t ons_rand_below(uint64_t seed, uint64_t stream, uint64_t index, uint64_t bound);
/* A seed drawn from the operating system. */
uint64_t ons_random_seed(void);

/* What the draw-th (from 0) of consecutive torch.randn(n) gives of a CPU generator with manual_seed(seed), in
 * torch's element order. */
void ons_torch_randn(uint64_t seed, int draw, float *dst, size_t n);

#endif
