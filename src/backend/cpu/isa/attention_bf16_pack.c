/* See attention_bf16.h. Rows of pairs become columns by transposing 16 by 16 of them in registers. */
#include "backend/cpu/isa/attention_bf16.h"

enum { ROWS = ONS_AB_ROWS };

void ons_ab_pack_keys(const ons_ab_sizes *s, int32_t *dst, const uint16_t *src)
{
    for (int64_t k0 = 0; k0 < s->tk; k0 += VW)
        for (int64_t p0 = 0; p0 < s->pairs; p0 += VW) {
            int32_t *at = dst + k0 * s->pairs + p0 * ROWS;
            vi x[VW];

            for (int64_t k = 0; k < VW; k++)
                x[k] = k0 + k < s->tk ? v_load_halves(src + (k0 + k) * s->c + 2 * p0, s->d - 2 * p0) : (vi){0};
            v_transpose(x);
            for (int64_t p = 0; p < VW && p0 + p < s->pairs; p++, at += ROWS) {
                memcpy(at, &x[p], ROWS * 4);
                memcpy(at + ROWS * s->pairs, (int32_t *)&x[p] + ROWS, ROWS * 4);
            }
        }
}

static void pack_block(const ons_ab_sizes *s, int32_t *dst, const uint16_t *src, int64_t n)
{
    const int64_t step = (n + 1) / 2 * ROWS;

    for (int64_t k = 0; k < n; k += 2, src += 2 * s->c, dst += ROWS)
        for (int64_t t = 0; t < s->tiles; t += 4) {
            const int64_t c = t * ROWS;
            const vi lower = v_load_halves(src + c, s->d - c),
                     upper = k + 1 < n ? v_load_halves(src + s->c + c, s->d - c) : (vi){0};
            const vi x[2] = {v_first_pairs(lower, upper), v_last_pairs(lower, upper)};

            for (int64_t i = 0; i < 4 && t + i < s->tiles; i++)
                memcpy(dst + (t + i) * step, (const int32_t *)x + i * ROWS, ROWS * 4);
        }
}

void ons_ab_pack_values(const ons_ab_sizes *s, int32_t *dst, const uint16_t *src)
{
    for (int64_t k = 0; k < s->tk; k += ONS_AB_KEYS)
        pack_block(s, dst + k / 2 * s->tiles * ROWS, src + k * s->c,
                   s->tk - k < ONS_AB_KEYS ? s->tk - k : ONS_AB_KEYS);
}

void ons_ab_pack_queries(const ons_ab_sizes *s, vi *dst, const uint16_t *src, int64_t n)
{
    for (int64_t q0 = 0; q0 < ONS_AB_QUERIES; q0 += VW)
        for (int64_t p0 = 0; p0 < s->pairs; p0 += VW) {
            vi x[VW];

            for (int64_t i = 0; i < VW; i++)
                x[i] = q0 + i < n ? v_load_halves(src + (q0 + i) * s->c + 2 * p0, s->d - 2 * p0) : (vi){0};
            v_transpose(x);
            for (int64_t p = 0; p < VW && p0 + p < s->pairs; p++)
                dst[(p0 + p) * 2 + q0 / VW] = x[p];
        }
}

void ons_ab_store_results(const ons_ab_sizes *s, uint16_t *dst, const vf *sums, const vf factor[2], int64_t n)
{
    for (int64_t q0 = 0; q0 < n; q0 += VW)
        for (int64_t p0 = 0; p0 < s->pairs; p0 += VW) {
            const vf *row = sums + 4 * p0 + q0 / VW, f = factor[q0 / VW];
            vi x[VW];

            for (int64_t p = 0; p < VW; p++)
                x[p] = p0 + p < s->pairs ? v_make_pairs(row[4 * p] * f, row[4 * p + 2] * f) : (vi){0};
            v_transpose(x);
            for (int64_t i = 0; i < VW && q0 + i < n; i++)
                v_store_halves(dst + (q0 + i) * s->c + 2 * p0, x[i], s->d - 2 * p0);
        }
}
