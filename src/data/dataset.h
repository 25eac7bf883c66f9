/*
 * Captioned pictures: a folder of PNG/JPEG with NAME.txt beside, or with metadata.jsonl (imagefolder), or
 * WebDataset .tar shards, or a folder made by `onestep dataset` (an imagefolder with a split and several
 * captions per picture). Pictures are fitted to size x size RGB when the set is opened and kept in memory as
 * 8-bit; broken ones are counted, named and skipped.
 */
#ifndef ONS_DATA_DATASET_H
#define ONS_DATA_DATASET_H

#include "base/status.h"

typedef struct ons_dataset ons_dataset;

enum { ONS_MAX_REPEATS = 1000 };

typedef struct ons_item {
    const uint8_t *rgb; /* [size, size, 3]; NULL in a set of captions alone */
    const char *const
        *captions; /* [n_captions]; the first is the name, the others keywords shared with other pictures */
    int n_captions;
    bool heldout;   /* not for training */
    int repeats;    /* visits per epoch of a training stream, 1 to ONS_MAX_REPEATS */
    const char *id; /* file name or key, for messages */
} ons_item;

typedef struct ons_dataset_options {
    int size;             /* pixels; 0: do not load pictures (captions alone) */
    bool include_heldout; /* default: training items only */
    int n_threads;        /* that decode pictures; 0: one per physical core */
} ons_dataset_options;

/*
 * Opens `path`. An empty set is BAD_FILE. A caption file that is not UTF-8 is read as Latin-1 with a warning. A
 * text file (one caption a line) is a set of captions alone. Warnings name the first few broken pictures and
 * count the rest.
 */
onestep_status ons_dataset_open(const char *path, const ons_dataset_options *options,
                                ons_dataset **out) ONESTEP_CHECK;
void ons_dataset_close(ons_dataset **d);
size_t ons_dataset_count(const ons_dataset *d);
const ons_item *ons_dataset_at(const ons_dataset *d, size_t i);
bool ons_dataset_has_pictures(const ons_dataset *d);
int ons_dataset_n_broken(const ons_dataset *d);
/* Lines of DIR/heldout.txt and DIR/ambiguous.txt; NULL and 0 where absent. */
const char *const *ons_dataset_heldout(const ons_dataset *d, size_t *n);
const char *const *ons_dataset_ambiguous(const ons_dataset *d, size_t *n);

/*
 * Draw number `index` of a training stream: which item, which caption; empty caption with probability p_empty,
 * a keyword (when the item has one) with p_keyword. A pure function of (seed, index). Every epoch visits each
 * item `repeats` times, in shuffled order.
 */
typedef struct ons_caption_draw {
    size_t item;
    const char *caption; /* "" when dropped */
} ons_caption_draw;
ons_caption_draw ons_dataset_draw(const ons_dataset *d, uint64_t seed, uint64_t index, double p_empty,
                                  double p_keyword);
/* The same with one visit per item and epoch, for what must not meet a picture twice in a batch. */
ons_caption_draw ons_dataset_draw_even(const ons_dataset *d, uint64_t seed, uint64_t index, double p_empty,
                                       double p_keyword);

/* Renders the emoji set: pictures, metadata.jsonl, heldout.txt, ambiguous.txt, README; see docs/formats.md.
 * size: pixels (default 64). */
onestep_status ons_emoji_write(const char *folder, int size) ONESTEP_CHECK;

#endif
