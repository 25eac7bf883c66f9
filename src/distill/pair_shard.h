/* One shard of pairs: FOLDER/pairs-NNNNNN.safetensors with latents [n, c, h, w], ids [n, context], index [n].
 * Private to distill. */
#ifndef ONS_DISTILL_PAIR_SHARD_H
#define ONS_DISTILL_PAIR_SHARD_H

#include "base/status.h"

typedef struct ons_pair_shard {
    int n; /* pairs filled */
    int64_t h, w, c;
    int context;
    float *latents; /* [room, h, w, c] */
    int32_t *ids;
    uint64_t *index;
    double seconds, joules; /* spent; joules -1: unknown */
} ons_pair_shard;

onestep_status ons_pair_shard_allocate(ons_pair_shard *s,
                                       int room) ONESTEP_CHECK; /* room: pairs of a full shard */
void ons_pair_shard_fini(ons_pair_shard *s);
onestep_status ons_pair_shard_save(const ons_pair_shard *s, const char *folder, int number) ONESTEP_CHECK;
/* Pairs in the shard file; 0 when absent or unreadable. */
int ons_pair_shard_count(const char *folder, int number);

#endif
