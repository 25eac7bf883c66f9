/*
 * Development tool: token ids of many prompts at once, for tests/reference/check_tokenizer.py.
 *
 *   tokenize FOLDER                       reads JSON strings, one a line; prints JSON arrays of ids
 *   tokenize --train FOLDER SIZE CONTEXT  learns a vocabulary from JSON strings, one a line, and saves it
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/tokenizer.h"

static int report(void)
{
    fprintf(stderr, "tokenize: %s\n", onestep_error_text());
    return 1;
}

/* All of stdin as a JSON array of strings; NULL on damaged input. */
static json_t *read_lines(void)
{
    json_t *lines = json_array();
    char *line = NULL;
    size_t capacity = 0;
    while (getline(&line, &capacity, stdin) > 0) {
        json_t *text = json_loads(line, JSON_DECODE_ANY, NULL);
        if (!json_is_string(text)) {
            json_decref(text);
            json_decref(lines);
            lines = NULL;
            break;
        }
        json_array_append_new(lines, text);
    }
    free(line);
    return lines;
}

static int train(json_t *lines, const char *folder, int size, int context)
{
    ons_tokenizer *t = NULL;
    const size_t n = json_array_size(lines);
    const char **captions = calloc(n + 1, sizeof *captions);
    if (!captions)
        return 1;
    for (size_t i = 0; i < n; i++)
        captions[i] = json_string_value(json_array_get(lines, i));
    int rc = ons_tokenizer_train(captions, n, size, context, &t) == ONESTEP_OK &&
                     ons_tokenizer_save(t, folder) == ONESTEP_OK
                 ? 0
                 : report();
    ons_tokenizer_close(&t);
    free(captions);
    return rc;
}

static int encode(json_t *lines, const char *folder)
{
    ons_tokenizer *t = NULL;
    if (ons_tokenizer_open(folder, &t) != ONESTEP_OK)
        return report();
    const int context = ons_tokenizer_context(t);
    int32_t *ids = calloc((size_t)context, sizeof *ids);
    int rc = ids ? 0 : 1;
    for (size_t i = 0; i < json_array_size(lines) && rc == 0; i++) {
        if (ons_tokenizer_encode(t, json_string_value(json_array_get(lines, i)), ids, NULL, NULL) !=
            ONESTEP_OK) {
            rc = report();
            break;
        }
        for (int k = 0; k < context; k++)
            printf("%s%d", k ? ", " : "[", ids[k]);
        puts("]");
    }
    free(ids);
    ons_tokenizer_close(&t);
    return rc;
}

int main(int argc, char **argv)
{
    const bool training = argc == 5 && strcmp(argv[1], "--train") == 0;
    if (!training && argc != 2) {
        fprintf(stderr, "usage: tokenize FOLDER | tokenize --train FOLDER SIZE CONTEXT\n");
        return 2;
    }
    json_t *lines = read_lines();
    if (!lines) {
        fprintf(stderr, "tokenize: each line of the input is to be one JSON string\n");
        return 1;
    }
    const int rc = training ? train(lines, argv[2], atoi(argv[3]), atoi(argv[4])) : encode(lines, argv[1]);
    json_decref(lines);
    return rc;
}
