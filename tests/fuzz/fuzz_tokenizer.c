/*
 * libFuzzer target: a tokenizer folder from anywhere, then a prompt from anywhere.
 *
 * Input: tokenizer.json up to the first NUL byte, tokenizer_config.json up to the second, the rest is the
 * prompt. The files go through a folder in memory-backed storage where there is one, because opening a folder
 * is what users do.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/status.h"
#include "text/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char folder[64];

static void remove_files(void)
{
    char path[128];
    snprintf(path, sizeof path, "%s/tokenizer.json", folder);
    unlink(path);
    snprintf(path, sizeof path, "%s/tokenizer_config.json", folder);
    unlink(path);
    rmdir(folder);
}

static void make_folder(void)
{
    strcpy(folder, access("/dev/shm", W_OK) == 0 ? "/dev/shm/onestep-fuzz-XXXXXX" : "/tmp/onestep-fuzz-XXXXXX");
    if (!mkdtemp(folder))
        abort();
    atexit(remove_files);
}

/* Writes bytes up to a NUL to FOLDER/NAME; returns how many were used, the NUL included. */
static size_t put_part(const char *name, const uint8_t *data, size_t size)
{
    char path[128];
    const uint8_t *end = size ? memchr(data, 0, size) : NULL;
    const size_t n = end ? (size_t)(end - data) : size;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    if (!f || (n && fwrite(data, 1, n, f) != n) || fclose(f) != 0)
        abort();
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
    if (!*folder)
        make_folder();
    size_t used = put_part("tokenizer.json", data, size);
    used += put_part("tokenizer_config.json", data + used, size - used);
    char *prompt = calloc(size - used + 1, 1);
    if (!prompt)
        abort();
    memcpy(prompt, data + used, size - used);
    if (ons_tokenizer_open(folder, &t) == ONESTEP_OK)
        encode(t, prompt);
    ons_tokenizer_close(&t);
    free(prompt);
    return 0;
}
