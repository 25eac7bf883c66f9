/* JSON as every configuration comes in; the typed getters over whatever was accepted. What was read must
 * survive a dump. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "fuzz.h"
#include "io/json.h"

static void read_fields(const json_t *root)
{
    static const char *const keys[] = {"a", "sample_size", "block_out_channels"};

    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const char *text;
        double real;
        bool flag;
        int whole = 0;
        if (ons_json_int(root, "input", keys[i], 1, 0, 4096, &whole) == ONESTEP_OK &&
            (whole < 0 || whole > 4096))
            abort();
        if (ons_json_real(root, "input", keys[i], 1, &real) != ONESTEP_OK && real != 0)
            abort();
        if (ons_json_text(root, "input", keys[i], "", &text) == ONESTEP_OK && !text)
            abort();
        if (ons_json_bool(root, "input", keys[i], false, &flag) != ONESTEP_OK && flag)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *root = NULL, *again = NULL;

    if (ons_json_parse((const char *)data, size, "input", &root) != ONESTEP_OK)
        return 0;
    read_fields(root);
    char *text = ons_json_dump(root, JSON_COMPACT);
    if (!text || ons_json_parse(text, strlen(text), "dump", &again) != ONESTEP_OK || !json_equal(root, again))
        abort();
    ons_free(text);
    json_decref(again);
    json_decref(root);
    return 0;
}
