/* int8.json: what is accepted has scales that plans can use, in the order in which they look. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "pipeline/int8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ons_int8 *s = NULL;

    if (ons_int8_parse((const char *)data, size, "input", &s) != ONESTEP_OK)
        return 0;
    for (int p = 0; p < ONS_INT8_PARTS; p++)
        for (int i = 0; i < s->scales[p].n; i++) {
            const ons_layer_scale *row = &s->scales[p].rows[i];

            if (!(row->scale >= 0) || row->zero < 0 || row->zero > 255 ||
                ons_scales_find(&s->scales[p], row->layer) != row)
                abort();
        }
    ons_int8_destroy(&s);
    return 0;
}
