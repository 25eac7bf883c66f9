/* What somebody gave as a model that is no pipeline folder: a name of nothing, a part, a LoRA, a folder around
 * a file. */
#include <jansson.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "io/json.h"
#include "pipeline/open_impl.h"

static bool holds(const char *folder, const char *name)
{
    char *path = ons_path_join(folder, name);
    const bool found = path && ons_path_exists(path);

    ons_free(path);
    return found;
}

/* The class of a part's config.json, in `name`; "" where there is none. */
static void read_class(const char *folder, char name[64])
{
    char *path = ons_path_join(folder, "config.json");
    json_t *root = NULL;
    const char *found = NULL;

    if (path && ons_path_exists(path) && ons_json_load(path, &root) == ONESTEP_OK) {
        found = json_string_value(json_object_get(root, "_class_name"));
        if (!found)
            found = json_string_value(json_array_get(json_object_get(root, "architectures"), 0));
    }
    snprintf(name, 64, "%s", found ? found : "");
    json_decref(root);
    ons_free(path);
}

static onestep_status refuse_part(const char *folder, const char *class)
{
    static const struct {
        const char *class, *option;
    } parts[] = {
        {"UNet2DConditionModel", "--unet"}, {"AutoencoderKL", "--vae"}, {"AutoencoderTiny", "--taesd"}};

    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (!strcmp(class, parts[i].class))
            return ons_fail(
                ONESTEP_UNSUPPORTED,
                "%s: this is a part of a model, a %s; give the model that it belongs to as -m and this "
                "folder as %s",
                folder, class, parts[i].option);
    return ons_fail(
        ONESTEP_UNSUPPORTED,
        "%s: this is a %s alone; a pipeline folder in the diffusers layout (with model_index.json) is "
        "expected",
        folder, class);
}

/* The first file whose name ends so; NULL: none. ons_free. */
static char *find_ending(const char *folder, const char *ending)
{
    char **names = NULL, *found = NULL;
    size_t n = 0;

    if (ons_list_dir(folder, &names, &n) != ONESTEP_OK)
        return NULL;
    for (size_t i = 0; i < n && !found; i++)
        if (ons_ends_with(names[i], ending))
            found = ons_strdup(names[i]);
    ons_free_names(names, n);
    return found;
}

static onestep_status refuse_folder_of_files(const char *folder)
{
    char *file = find_ending(folder, ".safetensors");
    onestep_status st;

    if (file)
        st =
            ons_fail(ONESTEP_NOT_FOUND,
                     "%s: no model_index.json: not a pipeline folder in the diffusers layout; if %s in it is a "
                     "checkpoint in one file, give that file as -m",
                     folder, file);
    else
        st = ons_fail(ONESTEP_NOT_FOUND,
                      "%s: no model_index.json: not a pipeline folder in the diffusers layout", folder);
    ons_free(file);
    return st;
}

onestep_status ons_refuse_folder(const char *folder)
{
    char class[64];

    if (!ons_path_exists(folder))
        return ons_fail(ONESTEP_NOT_FOUND,
                        "%s: no such file or folder; onestep fetches nothing: give a pipeline folder (with "
                        "model_index.json) or a safetensors file that is there",
                        folder);
    if (holds(folder, "adapter_config.json") || holds(folder, "pytorch_lora_weights.safetensors"))
        return ons_fail(
            ONESTEP_UNSUPPORTED,
            "%s: this is a LoRA, a change to another model's weights; give the model that it changes as "
            "-m and this folder as --lora",
            folder);
    read_class(folder, class);
    return *class ? refuse_part(folder, class) : refuse_folder_of_files(folder);
}
