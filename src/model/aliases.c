/* What other generations of diffusers and transformers call the same tensors. */
#include <stdio.h>
#include <string.h>

#include "model/model.h"

bool ons_clip_alias(const char *name, char *alias, size_t size_bytes)
{
    static const char prefix[] = "text_model.";
    const size_t n = sizeof prefix - 1;

    return !strncmp(name, prefix, n) && (size_t)snprintf(alias, size_bytes, "%s", name + n) < size_bytes;
}

bool ons_vae_alias(const char *name, char *alias, size_t size_bytes)
{
    static const char *const names[][2] = {
        {".to_q.", ".query."}, {".to_k.", ".key."}, {".to_v.", ".value."}, {".to_out.0.", ".proj_attn."}};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *at = strstr(name, names[i][0]);

        if (at)
            return (size_t)snprintf(alias, size_bytes, "%.*s%s%s", (int)(at - name), name, names[i][1],
                                    at + strlen(names[i][0])) < size_bytes;
    }
    return false;
}
