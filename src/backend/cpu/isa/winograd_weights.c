/*
 * Weights in Winograd's domain, packed as panels: [point][panel][k][NR]. Forward: k runs over input channels,
 * columns over outputs; backward-data: the other way round, with the kernel turned by half a circle. Vectors
 * run over columns.
 */
#include "backend/cpu/isa/weights.h"
#include "backend/cpu/isa/winograd.h"

enum { NR = ONS_NR };

/* The nine taps of VW columns from n, for one k. */
INLINE void load_taps(const float *w, const ons_pack_shape *s, int64_t k, int64_t n, vf *g)
{
    for (int t = 0; t < 9; t++) {
        if (!s->transposed) {
            g[8 - t] = v_load(w + (k * 9 + t) * s->c + n);
        } else {
            const float *from = w + (n * 9 + t) * s->c + k;

            for (int i = 0; i < VW; i++)
                g[t][i] = from[i * 9 * s->c];
        }
    }
}

void ons_wino_pack(float *dst, const float *w, const ons_pack_shape *s, int64_t panel)
{
    int64_t padded = ons_cpu_round_up(s->n, NR), step = padded * s->k;

    dst += panel * s->k * NR;
    for (int64_t k = 0; k < s->k; k++)
        for (int64_t i = 0; i < NR; i += VW) {
            vf g[9] = {{0}}, half[18], u[36];
            float *to = dst + k * NR + i;

            if (panel * NR + i < s->n)
                load_taps(w, s, k, panel * NR + i, g);
            for (int j = 0; j < 3; j++)
                wino_weight(g + j, 3, half + j, 3);
            for (int j = 0; j < 6; j++)
                wino_weight(half + 3 * j, 1, u + 6 * j, 1);
            for (int j = 0; j < 36; j++)
                v_store(to + j * step, u[j]);
        }
}
