/* WebDataset shards: what a data set keeps of one is captioned, decoded, and can be drawn from. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "data/dataset.h"
#include "fuzz.h"
#include "text/utf8.h"

enum { SIDE = 8 };

static volatile unsigned char sink;

static void check_item(const ons_item *item)
{
    if (item->n_captions < 1 || item->repeats < 1 || !item->rgb || !item->id)
        abort();
    for (int i = 0; i < SIDE * SIDE * 3; i++)
        sink ^= item->rgb[i];
    for (int i = 0; i < item->n_captions; i++)
        if (!*item->captions[i] || !ons_utf8_valid(item->captions[i], strlen(item->captions[i])))
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ons_dataset *d = NULL;
    char path[128];

    ons_log_set_level(ONS_LOG_QUIET);
    fuzz_put("shard.tar", data, size);
    if (ons_dataset_open(fuzz_path("shard.tar", path), &(ons_dataset_options){.size = SIDE}, &d) ==
        ONESTEP_OK) {
        if (ons_dataset_count(d) < 1 || ons_dataset_draw(d, 1, 2, 0, 0.5).item >= ons_dataset_count(d))
            abort();
        for (size_t i = 0; i < ons_dataset_count(d); i++)
            check_item(ons_dataset_at(d, i));
    }
    ons_dataset_close(&d);
    return 0;
}
