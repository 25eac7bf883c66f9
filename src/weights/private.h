/* Inside of a weight set; for src/weights alone. */
#ifndef ONS_WEIGHTS_PRIVATE_H
#define ONS_WEIGHTS_PRIVATE_H

#include "weights/weights.h"

struct ons_packed {
    int index;
    char *layout;
    void *data;
    void *context; /* copy of what the pack function was given */
    ons_pack_fn pack;
    uint64_t version; /* of the set when last packed */
    ons_packed *next;
};

struct ons_params {
    ons_param *rows;
    int n, capacity;
    int *slots; /* hash table over names: row + 1, 0 empty */
    size_t n_slots;
    float *region;
    size_t size, n_values; /* floats with and without gaps */
    uint64_t version;
    ons_packed *packed;
};

void ons_packed_destroy_all(ons_params *p);

#endif
