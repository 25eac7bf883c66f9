/* What the data layer's files share; nothing outside src/data includes this. */
#ifndef ONS_DATA_PARTS_H
#define ONS_DATA_PARTS_H

#include "base/memory.h"
#include "data/dataset.h"

enum {
    ONS_MAX_CAPTION_FILE = 1 << 20,
    ONS_MAX_METADATA_FILE = 1 << 30,
    ONS_MAX_PICTURE_FILE = 256 << 20,
    ONS_MAX_FOLDER_DEPTH = 8
};

/* A picture still to be decoded: either a file or bytes in memory. */
typedef struct ons_pending {
    size_t item;
    char *path;  /* owned; NULL: bytes */
    void *bytes; /* owned */
    size_t size;
    uint8_t *rgb;  /* result */
    char *problem; /* why not; owned */
} ons_pending;

struct ons_dataset {
    ons_arena *arena; /* captions and ids */
    ons_item *items;
    size_t n, capacity;
    uint32_t *order; /* [n_order]: each item as often as it repeats; NULL when all repeat once */
    size_t n_order;
    ons_pending *pending;
    size_t n_pending, pending_capacity, pending_bytes;
    int size, n_threads;
    bool include_heldout, has_pictures;
    int n_broken, n_without_caption, n_latin1;
    char **heldout, **ambiguous; /* [n], in the arena */
    size_t n_heldout, n_ambiguous;
};

/* Captions of one item while it is put together; strings live in the data set's arena. */
typedef struct ons_caption_list {
    const char **at;
    size_t n, capacity;
} ons_caption_list;
/* One caption per line. */
onestep_status ons_captions_add_lines(ons_dataset *d, ons_caption_list *list, const char *text,
                                      size_t size) ONESTEP_CHECK;
void ons_captions_fini(ons_caption_list *list);

/* Where an item's picture comes from; all zero in a set of captions alone. */
typedef struct ons_source {
    const char *path;
    void *bytes; /* taken over, also on failure */
    size_t size;
} ons_source;
typedef struct ons_traits {
    bool heldout;
    int repeats; /* 0: not stated, 1 */
} ons_traits;
/* Adds an item with the captions collected (none: counted and left out; held out: left out unless wanted). */
onestep_status ons_dataset_add(ons_dataset *d, const char *id, const ons_caption_list *captions,
                               ons_traits traits, ons_source source) ONESTEP_CHECK;

bool ons_is_picture_name(const char *name);
bool ons_is_tar_name(const char *name);
onestep_status ons_open_folder(ons_dataset *d, const char *folder, int depth) ONESTEP_CHECK;
onestep_status ons_open_metadata(ons_dataset *d, const char *folder, const char *path) ONESTEP_CHECK;
onestep_status ons_open_tar(ons_dataset *d, const char *path) ONESTEP_CHECK;
onestep_status ons_open_captions(ons_dataset *d, const char *path) ONESTEP_CHECK;
/* Captions of a JSON object: text, caption or prompt; keywords. */
onestep_status ons_captions_add_json(ons_dataset *d, ons_caption_list *list,
                                     const void *json_object) ONESTEP_CHECK;
/* Lines of FOLDER/NAME in the arena; none when the file is absent. */
onestep_status ons_read_list(ons_dataset *d, const char *folder, const char *name, char ***lines,
                             size_t *n) ONESTEP_CHECK;

#endif
