/*
 * Development tool: is a generated picture the very one that was asked for? Measured without any network.
 *
 *   nearest_glyph DATA GENERATED PROMPTS
 *
 * Line i of PROMPTS asked for GENERATED/0000i.png (from 0). Pictures are scaled to 24x24 RGB by areas, and each
 * generated one is compared (mean square) with every picture of DATA, held-out ones included. Prints JSON: for
 * prompts that are names, the fractions whose nearest picture is the very one ("exact") and the same up to skin
 * tone ("concept"); for keywords, the fraction whose nearest picture carries the keyword ("hit"). Pictures of
 * DATA that look alike to the last byte (some flags) count as one.
 */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "data/dataset.h"
#include "data/picture.h"

enum { SIZE = 24, N_VALUES = SIZE * SIZE * 3, MAX_CONCEPT = 128 };

typedef struct tally {
    int n_names, exact, concept_hits, n_keywords, hits;
} tally;

static long measure_distance(const uint8_t *a, const uint8_t *b)
{
    long sum = 0;
    for (int i = 0; i < N_VALUES; i++)
        sum += (a[i] - b[i]) * (a[i] - b[i]);
    return sum;
}

/* "1f469-1f3fd-200d-1f680.png" to "1f469-200d-1f680": tones and variation selectors dropped. */
static void name_concept(const char *id, char out[MAX_CONCEPT])
{
    size_t n = 0;
    while (*id && *id != '.') {
        const size_t length = strcspn(id, "-.");
        const bool tone = length == 5 && strncmp(id, "1f3f", 4) == 0 && strchr("bcdef", id[4]);
        const bool selector = length == 4 && strncmp(id, "fe0f", 4) == 0;
        if (!tone && !selector && n + length + 2 < MAX_CONCEPT) {
            memcpy(out + n, id, length);
            n += length;
            out[n++] = '-';
        }
        id += length + (id[length] == '-');
    }
    out[n] = '\0';
}

static bool carries(const ons_item *item, const char *caption)
{
    for (int i = 0; i < item->n_captions; i++)
        if (strcmp(item->captions[i], caption) == 0)
            return true;
    return false;
}

static const ons_item *find_name(const ons_dataset *data, const char *name)
{
    for (size_t i = 0; i < ons_dataset_count(data); i++)
        if (strcmp(ons_dataset_at(data, i)->captions[0], name) == 0)
            return ons_dataset_at(data, i);
    return NULL;
}

static long find_least(const ons_dataset *data, const uint8_t *rgb)
{
    long least = -1;
    for (size_t i = 0; i < ons_dataset_count(data); i++) {
        const long distance = measure_distance(rgb, ons_dataset_at(data, i)->rgb);
        if (least < 0 || distance < least)
            least = distance;
    }
    return least;
}

static void count_picture(const ons_dataset *data, const uint8_t *rgb, const char *prompt, tally *t)
{
    const ons_item *wanted = find_name(data, prompt);
    const long least = find_least(data, rgb);
    char concept[MAX_CONCEPT], other[MAX_CONCEPT];
    bool same_concept = false, hit = false;

    if (wanted)
        name_concept(wanted->id, concept);
    for (size_t i = 0; i < ons_dataset_count(data); i++) {
        const ons_item *item = ons_dataset_at(data, i);
        if (measure_distance(rgb, item->rgb) != least)
            continue;
        name_concept(item->id, other);
        same_concept |= wanted && strcmp(concept, other) == 0;
        hit |= carries(item, prompt);
    }
    if (wanted) {
        t->n_names++;
        t->exact += measure_distance(rgb, wanted->rgb) == least;
        t->concept_hits += same_concept;
    } else {
        t->n_keywords++;
        t->hits += hit;
    }
}

static onestep_status read_generated(const char *folder, size_t i, uint8_t **rgb)
{
    onestep_status st;
    char *bytes = NULL, *path = ons_format("%s/%05zu.png", folder, i);
    size_t size;

    if (!path)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory");
    ONS_TRY(ons_read_file(path, 64 << 20, &bytes, &size));
    st = ons_picture_fit(bytes, size, path, SIZE, rgb);
fail:
    ons_free(bytes);
    ons_free(path);
    return st;
}

static onestep_status measure(const char *data_path, const char *folder, const char *prompts_path, tally *t)
{
    onestep_status st;
    ons_dataset *data = NULL, *prompts = NULL;

    ONS_TRY(ons_dataset_open(data_path, &(ons_dataset_options){.size = SIZE, .include_heldout = true}, &data));
    ONS_TRY(ons_dataset_open(prompts_path, &(ons_dataset_options){0}, &prompts));
    if (!ons_dataset_has_pictures(data)) {
        st = ons_fail(ONESTEP_BAD_ARGUMENT, "%s: a set with pictures is needed", data_path);
        goto fail;
    }
    for (size_t i = 0; i < ons_dataset_count(prompts); i++) {
        uint8_t *rgb = NULL;
        ONS_TRY(read_generated(folder, i, &rgb));
        count_picture(data, rgb, ons_dataset_at(prompts, i)->captions[0], t);
        ons_free(rgb);
    }
fail:
    ons_dataset_close(&data);
    ons_dataset_close(&prompts);
    return st;
}

static void print_fraction(const char *name, int part, int whole)
{
    if (whole)
        printf(",\"%s\":%.4f", name, (double)part / whole);
    else
        printf(",\"%s\":null", name);
}

int main(int argc, char **argv)
{
    tally t = {0};
    if (argc != 4) {
        fprintf(stderr, "usage: nearest_glyph DATA GENERATED PROMPTS\n");
        return 2;
    }
    if (measure(argv[1], argv[2], argv[3], &t) != ONESTEP_OK) {
        fprintf(stderr, "nearest_glyph: %s\n", onestep_error_text());
        return 1;
    }
    printf("{\"n\":%d", t.n_names);
    print_fraction("exact", t.exact, t.n_names);
    print_fraction("concept", t.concept_hits, t.n_names);
    printf(",\"n_keywords\":%d", t.n_keywords);
    print_fraction("hit", t.hits, t.n_keywords);
    puts("}");
    return 0;
}
