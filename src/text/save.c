/* Writing a tokenizer folder that transformers' CLIPTokenizer of either generation reads. */
#include "text/parts.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

static onestep_status write_json(const char *folder, const char *name, json_t *root, size_t flags)
{
    onestep_status st;
    char *path = ons_path_join(folder, name);
    char *text = root ? json_dumps(root, flags) : NULL;
    if (path && text)
        st = ons_write_file(path, text, strlen(text));
    else
        st = ons_fail(ONESTEP_NO_MEMORY, "%s/%s: no memory to write it", folder, name);
    free(text); /* jansson's, not ours */
    ons_free(path);
    json_decref(root);
    return st;
}

static onestep_status save_vocab(const ons_tokenizer *t, const char *folder)
{
    json_t *vocab = json_object();
    for (int id = 0; id < t->vocab.size && vocab; id++)
        if (t->vocab.tokens[id] && json_object_set_new(vocab, t->vocab.tokens[id], json_integer(id)) != 0) {
            json_decref(vocab);
            vocab = NULL;
        }
    return write_json(folder, "vocab.json", vocab, JSON_COMPACT);
}

static onestep_status save_merges(const ons_tokenizer *t, const char *folder)
{
    onestep_status st;
    ons_writer writer = {0};
    char *path = ons_path_join(folder, "merges.txt");
    if (!path)
        return ons_fail(ONESTEP_NO_MEMORY, "%s: no memory", folder);
    ONS_TRY(ons_writer_open(path, &writer));
    ONS_TRY(ons_writer_write(&writer, "#version: 0.2\n", 14));
    for (int i = 0; i < t->merges.n; i++) {
        const char *left = t->vocab.tokens[t->merges.list[i].left],
                   *right = t->vocab.tokens[t->merges.list[i].right];
        ONS_TRY(ons_writer_write(&writer, left, strlen(left)));
        ONS_TRY(ons_writer_write(&writer, " ", 1));
        ONS_TRY(ons_writer_write(&writer, right, strlen(right)));
        ONS_TRY(ons_writer_write(&writer, "\n", 1));
    }
    st = ons_writer_commit(&writer);
fail:
    ons_writer_abort(&writer);
    ons_free(path);
    return st;
}

/* bos, eos, unk and pad, as both files name them. */
static json_t *describe_specials(const ons_tokenizer *t)
{
    const char *const *tokens = t->vocab.tokens;
    return json_pack("{s:s, s:s, s:s, s:s}", "bos_token", tokens[t->start_id], "eos_token", tokens[t->end_id],
                     "unk_token", tokens[t->unknown_id], "pad_token", tokens[t->pad_id]);
}

static onestep_status save_config(const ons_tokenizer *t, const char *folder)
{
    json_t *root = describe_specials(t), *decoder = json_object();
    int failed = !root;
    for (int i = 0; i < t->n_added; i++) {
        const ons_added *a = &t->added[i];
        char key[16];
        snprintf(key, sizeof key, "%d", a->id);
        failed |= json_object_set_new(decoder, key,
                                      json_pack("{s:s, s:b, s:b, s:b, s:b, s:b}", "content", a->content,
                                                "lstrip", 0, "normalized", a->normalized, "rstrip", 0,
                                                "single_word", 0, "special", a->special));
    }
    failed |= json_object_set_new(root, "added_tokens_decoder", decoder);
    failed |= json_object_set_new(root, "model_max_length", json_integer(t->context));
    failed |= json_object_set_new(root, "tokenizer_class", json_string("CLIPTokenizer"));
    failed |= json_object_set_new(root, "do_lower_case", json_true());
    failed |= json_object_set_new(root, "errors", json_string("replace"));
    if (failed) {
        json_decref(root);
        root = NULL;
    }
    return write_json(folder, "tokenizer_config.json", root, JSON_INDENT(2));
}

onestep_status ons_tokenizer_save(const ons_tokenizer *t, const char *folder)
{
    onestep_status st;
    ONS_TRY(ons_make_dirs(folder));
    ONS_TRY(save_vocab(t, folder));
    ONS_TRY(save_merges(t, folder));
    ONS_TRY(save_config(t, folder));
    st = write_json(folder, "special_tokens_map.json", describe_specials(t), JSON_INDENT(2));
fail:
    return st;
}
