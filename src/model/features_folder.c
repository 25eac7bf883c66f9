/* Opening and saving feature networks. The files are those of a diffusers model folder, so that the same tools
 * read them. */
#include "model/features_folder.h"

#include "base/file.h"
#include "base/memory.h"
#include "io/safetensors.h"

onestep_status ons_features_create(const ons_features_config *config, ons_tokenizer *tokenizer,
                                   ons_features **out)
{
    onestep_status st;
    ons_features *f = ons_calloc(1, sizeof *f);

    *out = NULL;
    if (!f)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for a feature network");
    f->config = *config;
    ONS_TRY(ons_params_create(&f->params));
    ONS_TRY(ons_features_declare(config, f->params));
    f->tokenizer = tokenizer;
    *out = f;
    return ONESTEP_OK;
fail:
    ons_features_close(&f);
    return st;
}

void ons_features_close(ons_features **f)
{
    if (!f || !*f)
        return;
    ons_params_destroy(&(*f)->params);
    ons_tokenizer_close(&(*f)->tokenizer);
    ons_free(*f);
    *f = NULL;
}

static onestep_status load_weights(ons_params *params, const char *folder)
{
    onestep_status st;
    ons_safetensors *file = NULL;
    char *path = ons_path_join(folder, "model.safetensors");

    if (!path)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for a path");
    ONS_TRY(ons_safetensors_open(path, &file));
    ONS_TRY(ons_params_load(params, file, ""));
fail:
    ons_safetensors_close(&file);
    ons_free(path);
    return st;
}

onestep_status ons_features_open(const char *folder, ons_features **out)
{
    onestep_status st;
    ons_features_config config;
    ons_tokenizer *tokenizer = NULL;
    char *path = ons_path_join(folder, "config.json");

    *out = NULL;
    if (!path)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for a path");
    ONS_TRY(ons_features_config_load(path, &config));
    if (config.text.vocab_size > 0) {
        ONS_TRY(ons_tokenizer_open(folder, &tokenizer));
        if (ons_tokenizer_vocab_size(tokenizer) > config.text.vocab_size ||
            ons_tokenizer_context(tokenizer) > config.text.max_position_embeddings) {
            st = ons_fail(ONESTEP_BAD_FILE,
                          "%s: the tokenizer has %d entries and a context of %d, config.json allows %d and %d",
                          folder, ons_tokenizer_vocab_size(tokenizer), ons_tokenizer_context(tokenizer),
                          config.text.vocab_size, config.text.max_position_embeddings);
            goto fail;
        }
    }
    ONS_TRY(ons_features_create(&config, tokenizer, out));
    tokenizer = NULL;
    ONS_TRY(load_weights((*out)->params, folder));
    ons_free(path);
    return ONESTEP_OK;
fail:
    ons_features_close(out);
    ons_tokenizer_close(&tokenizer);
    ons_free(path);
    return st;
}

onestep_status ons_features_save(const ons_features *f, const char *folder, ons_dtype dtype)
{
    onestep_status st;
    char *weights = ons_path_join(folder, "model.safetensors"), *config = ons_path_join(folder, "config.json");

    if (!weights || !config) {
        st = ons_fail(ONESTEP_NO_MEMORY, "no memory for a path");
        goto fail;
    }
    ONS_TRY(ons_make_dirs(folder));
    ONS_TRY(ons_params_save(f->params, weights, dtype));
    if (f->tokenizer)
        ONS_TRY(ons_tokenizer_save(f->tokenizer, folder));
    ONS_TRY(ons_features_config_save(&f->config, config));
fail:
    ons_free(weights);
    ons_free(config);
    return st;
}

bool ons_features_present(const char *folder)
{
    char *path = ons_path_join(folder, "config.json");
    bool present = path && ons_path_exists(path);

    ons_free(path);
    return present;
}
