/*
 * Opening a diffusers tokenizer folder: tokenizer.json when it is there (transformers 5), else vocab.json with
 * merges.txt.
 *
 * What the special tokens are stands in tokenizer_config.json; special_tokens_map.json and added_tokens.json,
 * the older generation's way, count only where the config has no added_tokens_decoder. That is transformers'
 * order of precedence, down to which tokens are looked for in the prompt: each special one, the padding token
 * included (so "!" in SD 2.x).
 */
#include "text/parts.h"

#include <jansson.h>
#include <string.h>

#include "base/file.h"

enum { MAX_FILE_BYTES = 256 << 20 };

typedef struct loader {
    ons_tokenizer *t;
    const char *folder;
    json_t *config, *special_map, *added_tokens, *whole; /* whole: tokenizer.json */
} loader;

static onestep_status read_json(const char *folder, const char *name, size_t flags, json_t **out)
{
    onestep_status st = ONESTEP_OK;
    json_error_t error;
    char *text = NULL, *path = ons_path_join(folder, name);
    size_t size;

    *out = NULL;
    if (!path)
        return ons_fail(ONESTEP_NO_MEMORY, "%s: no memory", folder);
    if (!ons_path_exists(path))
        goto fail;
    ONS_TRY(ons_read_file(path, MAX_FILE_BYTES, &text, &size));
    *out = json_loadb(text, size, JSON_REJECT_DUPLICATES | flags, &error);
    if (!*out)
        st = ons_fail(ONESTEP_BAD_FILE, "%s: line %d, column %d: %s", path, error.line, error.column,
                      error.text);
    else if (!json_is_object(*out))
        st = ons_fail(ONESTEP_BAD_FILE, "%s: a JSON object is expected at the top", path);
fail:
    ons_free(text);
    ons_free(path);
    return st;
}

static onestep_status add_vocab(ons_tokenizer *t, json_t *vocab, const char *where)
{
    const char *token;
    json_t *id;
    if (!json_is_object(vocab))
        return ons_fail(ONESTEP_BAD_FILE, "%s: the vocabulary is not an object of tokens and ids", where);
    json_object_foreach(vocab, token, id)
    {
        const json_int_t value = json_is_integer(id) ? json_integer_value(id) : -1;
        if (value < 0 || value >= ONS_MAX_TOKEN_ID)
            return ons_fail(ONESTEP_BAD_FILE, "%s: the id of token \"%.60s\" is not a number from 0 to %d",
                            where, token, ONS_MAX_TOKEN_ID - 1);
        const onestep_status st = ons_tokenizer_add_token(t, token, (int)value);
        if (st != ONESTEP_OK)
            return st;
    }
    return ONESTEP_OK;
}

/* "left right", cut in place. */
static onestep_status add_merge_line(ons_tokenizer *t, char *line, const char *where)
{
    char *space = strchr(line, ' ');
    if (!space || space == line || !space[1] || strchr(space + 1, ' '))
        return ons_fail(ONESTEP_BAD_FILE, "%s: merge %d is \"%.60s\", not two tokens with one space between",
                        where, t->merges.n + 1, line);
    *space = '\0';
    return ons_tokenizer_add_merge(t, line, space + 1, where);
}

static onestep_status add_merges_text(ons_tokenizer *t, char *text, const char *where)
{
    onestep_status st = ONESTEP_OK;
    char *next;
    for (char *line = text; line && st == ONESTEP_OK; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        const size_t length = strlen(line);
        if (length && line[length - 1] == '\r')
            line[length - 1] = '\0';
        if (*line && strncmp(line, "#version", 8) != 0)
            st = add_merge_line(t, line, where);
    }
    return st;
}

static onestep_status load_two_files(loader *l)
{
    onestep_status st = ONESTEP_OK;
    json_t *vocab = NULL;
    char *text = NULL, *path = ons_path_join(l->folder, "merges.txt");
    size_t size;

    if (!path)
        return ons_fail(ONESTEP_NO_MEMORY, "%s: no memory", l->folder);
    ONS_TRY(read_json(l->folder, "vocab.json", 0, &vocab));
    if (!vocab) {
        st = ons_fail(ONESTEP_NOT_FOUND, "%s: neither tokenizer.json nor vocab.json: not a tokenizer folder",
                      l->folder);
        goto fail;
    }
    ONS_TRY(add_vocab(l->t, vocab, l->folder));
    ONS_TRY(ons_read_file(path, MAX_FILE_BYTES, &text, &size));
    ONS_TRY(add_merges_text(l->t, text, path));
fail:
    json_decref(vocab);
    ons_free(text);
    ons_free(path);
    return st;
}

static onestep_status add_merge_json(ons_tokenizer *t, json_t *merge, const char *where)
{
    if (json_is_string(merge)) {
        char *line = ons_strdup(json_string_value(merge));
        const onestep_status st = line ? add_merge_line(t, line, where)
                                       : ons_fail(ONESTEP_NO_MEMORY, "%s: no memory for its merges", where);
        ons_free(line);
        return st;
    }
    const char *left = json_string_value(json_array_get(merge, 0)),
               *right = json_string_value(json_array_get(merge, 1));
    if (!left || !right || json_array_size(merge) != 2)
        return ons_fail(ONESTEP_BAD_FILE, "%s: merge %d is neither \"left right\" nor [\"left\", \"right\"]",
                        where, t->merges.n + 1);
    return ons_tokenizer_add_merge(t, left, right, where);
}

static onestep_status load_whole(loader *l)
{
    json_t *model = json_object_get(l->whole, "model"), *merges = json_object_get(model, "merges"), *merge;
    const char *type = json_string_value(json_object_get(model, "type"));
    const char *suffix = json_string_value(json_object_get(model, "end_of_word_suffix"));
    size_t i;

    if ((type && strcmp(type, "BPE") != 0) || !suffix || strcmp(suffix, ONS_END_OF_WORD) != 0)
        return ons_fail(ONESTEP_UNSUPPORTED,
                        "%s/tokenizer.json: model \"%.40s\" with end-of-word mark \"%.40s\"; CLIP's "
                        "(BPE, \"" ONS_END_OF_WORD "\") is the one that onestep knows",
                        l->folder, type ? type : "?", suffix ? suffix : "");
    onestep_status st = add_vocab(l->t, json_object_get(model, "vocab"), l->folder);
    json_array_foreach(merges, i, merge) if (st == ONESTEP_OK) st = add_merge_json(l->t, merge, l->folder);
    return st;
}

/* One entry of added_tokens (an array) or added_tokens_decoder (an object keyed by id). */
static onestep_status add_described(loader *l, json_t *entry, json_int_t id)
{
    const char *content = json_string_value(json_object_get(entry, "content"));
    if (!content || id < 0 || id >= ONS_MAX_TOKEN_ID)
        return ons_fail(ONESTEP_BAD_FILE, "%s: an added token without content or with an impossible id",
                        l->folder);
    if (json_is_true(json_object_get(entry, "single_word")))
        return ons_fail(ONESTEP_UNSUPPORTED,
                        "%s: added token \"%.60s\" is marked single_word, which is not supported", l->folder,
                        content);
    const onestep_status st = ons_tokenizer_add_token(l->t, content, (int)id);
    if (st != ONESTEP_OK)
        return st;
    return ons_tokenizer_add_added(l->t, content, json_is_true(json_object_get(entry, "normalized")),
                                   json_is_true(json_object_get(entry, "special")));
}

static onestep_status load_added(loader *l)
{
    json_t *list = json_object_get(l->whole, "added_tokens"), *entry;
    json_t *decoder = json_object_get(l->config, "added_tokens_decoder");
    onestep_status st = ONESTEP_OK;
    const char *key;
    size_t i;

    json_array_foreach(list, i, entry)
    {
        json_t *id = json_object_get(entry, "id");
        ONS_TRY(add_described(l, entry, json_is_integer(id) ? json_integer_value(id) : -1));
    }
    json_object_foreach(decoder, key, entry)
    {
        char *end;
        const long id = strtol(key, &end, 10);
        ONS_TRY(add_described(l, entry, *key && !*end ? id : -1));
    }
    json_object_foreach(l->added_tokens, key, entry)
    {
        const json_int_t id = json_is_integer(entry) ? json_integer_value(entry) : -1;
        if (id < 0 || id >= ONS_MAX_TOKEN_ID)
            return ons_fail(ONESTEP_BAD_FILE, "%s/added_tokens.json: \"%.60s\" has no usable id", l->folder,
                            key);
        ONS_TRY(ons_tokenizer_add_token(l->t, key, (int)id));
        if (!ons_tokenizer_find_added(l->t, key))
            ONS_TRY(ons_tokenizer_add_added(l->t, key, true, false));
    }
fail:
    return st;
}

/* A special token is a string, or an object with content and flags. */
static onestep_status load_special(loader *l, const char *name, const char *fallback, int32_t *id)
{
    json_t *value = json_object_get(l->special_map, name);
    if (!value)
        value = json_object_get(l->config, name);
    const char *content = json_string_value(json_is_object(value) ? json_object_get(value, "content") : value);
    json_t *described = json_object_get(l->config, "added_tokens_decoder");

    if (!content)
        content = fallback;
    *id = ons_vocab_find(&l->t->vocab, content);
    if (*id < 0)
        return ons_fail(ONESTEP_BAD_FILE, "%s: the %s \"%.60s\" is not in the vocabulary", l->folder, name,
                        content);
    if ((described || l->whole) && ons_tokenizer_find_added(l->t, content))
        return ONESTEP_OK; /* its flags are known */
    return ons_tokenizer_add_added(l->t, content, json_is_true(json_object_get(value, "normalized")), true);
}

static onestep_status load_specials(loader *l)
{
    ons_tokenizer *t = l->t;
    onestep_status st;
    /* In this order: where two names share a token, the later description of it counts. */
    ONS_TRY(load_special(l, "bos_token", ONS_START_TOKEN, &t->start_id));
    ONS_TRY(load_special(l, "eos_token", ONS_END_TOKEN, &t->end_id));
    ONS_TRY(load_special(l, "unk_token", ONS_END_TOKEN, &t->unknown_id));
    ONS_TRY(load_special(l, "pad_token", ONS_END_TOKEN, &t->pad_id));
fail:
    return st;
}

static onestep_status load_context(loader *l)
{
    json_t *length = json_object_get(l->config, "model_max_length");
    const double value = json_is_number(length) ? json_number_value(length) : ONS_DEFAULT_CONTEXT;
    if (value > ONS_MAX_CONTEXT)
        return ONESTEP_OK;
    if (!(value >= 2) || value != (int)value)
        return ons_fail(ONESTEP_BAD_FILE,
                        "%s/tokenizer_config.json: model_max_length is %g; at least 2 is needed (start "
                        "and end)",
                        l->folder, value);
    l->t->context = (int)value;
    return ONESTEP_OK;
}

onestep_status ons_tokenizer_open(const char *folder, ons_tokenizer **out)
{
    loader l = {.folder = folder};
    onestep_status st;

    *out = NULL;
    ONS_TRY(ons_tokenizer_create(&l.t));
    /* As real numbers: transformers writes the integer 10^30 for a context that is not known. */
    ONS_TRY(read_json(folder, "tokenizer_config.json", JSON_DECODE_INT_AS_REAL, &l.config));
    if (!json_object_get(l.config, "added_tokens_decoder")) {
        ONS_TRY(read_json(folder, "special_tokens_map.json", 0, &l.special_map));
        ONS_TRY(read_json(folder, "added_tokens.json", 0, &l.added_tokens));
    }
    ONS_TRY(read_json(folder, "tokenizer.json", 0, &l.whole));
    ONS_TRY(l.whole ? load_whole(&l) : load_two_files(&l));
    ONS_TRY(load_added(&l));
    ONS_TRY(load_specials(&l));
    ONS_TRY(load_context(&l));
    ons_tokenizer_index_bytes(l.t);
    *out = l.t;
    l.t = NULL;
fail:
    ons_tokenizer_close(&l.t);
    json_decref(l.config);
    json_decref(l.special_map);
    json_decref(l.added_tokens);
    json_decref(l.whole);
    return st;
}
