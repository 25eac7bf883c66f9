/* The search for a feature network. */
#include "cli/features.h"

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"

enum { FEATURE_SEED = 20240 };

/* MODEL/features or MODEL/../features; NULL: neither holds a network. Freed with ons_free. */
static char *find_beside(const char *model)
{
    static const char *const places[] = {"features", "../features"};

    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        char *folder = ons_path_join(model, places[i]);

        if (folder && ons_features_present(folder))
            return folder;
        ons_free(folder);
    }
    return NULL;
}

onestep_status cli_obtain_features(const char *given, const char *model, const ons_dataset *data, int size,
                                   const ons_compute *c, ons_features **out, double *trained_s)
{
    char *beside = given ? NULL : find_beside(model);
    onestep_status st =
        ons_features_obtain(given ? given : beside, data, size, FEATURE_SEED, c, out, trained_s);

    if (st == ONESTEP_OK && beside)
        ons_verbose("features from %s", beside);
    ons_free(beside);
    return st;
}
