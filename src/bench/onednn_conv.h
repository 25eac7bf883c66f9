/* One 3x3 convolution of oneDNN in the layouts that it prefers, for the roofline. Hides what its versions 2 and
 * 3 call differently. */
#ifndef ONS_BENCH_ONEDNN_CONV_H
#define ONS_BENCH_ONEDNN_CONV_H

#include <stdbool.h>
#include <stdint.h>

typedef struct ons_bench_onednn_conv ons_bench_onednn_conv;

/*
 * Square pictures, stride 1, padding 1. which: 0 forward, 1 backward-data, 2 backward-weights. `winograd` asks
 * for that algorithm, else the direct one; `bf16` for such operands (gradients of weights stay f32). NULL: this
 * oneDNN has none for it here.
 */
ons_bench_onednn_conv *ons_bench_onednn_conv_create(int which, bool winograd, int64_t n, int64_t h, int64_t c,
                                                    int64_t o, bool bf16);
void ons_bench_onednn_conv_destroy(ons_bench_onednn_conv *b); /* accepts NULL */
void ons_bench_onednn_conv_run(void *b);
const char *
ons_bench_onednn_conv_name(const ons_bench_onednn_conv *b); /* oneDNN's name of the implementation */

#endif
