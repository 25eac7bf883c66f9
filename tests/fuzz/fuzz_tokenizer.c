/*
 * A tokenizer folder from anywhere, then a prompt from anywhere. Input: tokenizer.json up to the first NUL
 * byte, tokenizer_config.json up to the second, the rest is the prompt.
 */
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "fuzz.h"
#include "text/tokenizer.h"

/* Writes bytes up to a NUL to FOLDER/NAME; returns how many were used, the NUL included. */
static size_t put_part(const char *name, const uint8_t *data, size_t size)
{
    const uint8_t *end = size ? memchr(data, 0, size) : NULL;
    const size_t n = end ? (size_t)(end - data) : size;

    fuzz_put(name, data, n);
    return n + (end != NULL);
}

static void encode(const ons_tokenizer *t, const char *prompt)
{
    const int context = ons_tokenizer_context(t);
    int32_t *ids = malloc((size_t)context * sizeof *ids);
    int used;
    size_t rest;

    if (!ids)
        abort();
    if (ons_tokenizer_encode(t, prompt, ids, &used, &rest) == ONESTEP_OK) {
        if (used < 2 || used > context || rest > strlen(prompt))
            abort();
        for (int i = 0; i < context; i++)
            if (ids[i] < 0 || ids[i] >= ons_tokenizer_vocab_size(t))
                abort();
    }
    free(ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ons_tokenizer *t = NULL;
    size_t used = put_part("tokenizer.json", data, size);

    used += put_part("tokenizer_config.json", data + used, size - used);
    char *prompt = calloc(size - used + 1, 1);
    if (!prompt)
        abort();
    if (size > used)
        memcpy(prompt, data + used, size - used);
    if (ons_tokenizer_open(fuzz_folder(), &t) == ONESTEP_OK)
        encode(t, prompt);
    ons_tokenizer_close(&t);
    free(prompt);
    return 0;
}
