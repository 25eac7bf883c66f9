/* The tokenizer against vectors of transformers' CLIPTokenizer, its training round trip, and damaged folders.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "text/tokenizer.h"
#include "text/utf8.h"

enum { CONTEXT = 16 };

static char *vectors_path(const char *name)
{
    const char *root = getenv("ONESTEP_SOURCE_ROOT");
    return ons_format("%s/tests/text/vectors/%s", root ? root : ".", name);
}

static ons_tokenizer *open_vectors(void)
{
    ons_tokenizer *t = NULL;
    char *folder = vectors_path("");
    assert_int_equal(ons_tokenizer_open(folder, &t), ONESTEP_OK);
    ons_free(folder);
    return t;
}

static void check_line(const ons_tokenizer *t, const char *line)
{
    json_t *row = json_loads(line, 0, NULL);
    const char *text = json_string_value(json_object_get(row, "text"));
    json_t *expected = json_object_get(row, "ids");
    int32_t ids[CONTEXT];
    assert_non_null(text);
    assert_int_equal(json_array_size(expected), CONTEXT);
    assert_int_equal(ons_tokenizer_encode(t, text, ids, NULL, NULL), ONESTEP_OK);
    for (size_t i = 0; i < CONTEXT; i++)
        if (ids[i] != json_integer_value(json_array_get(expected, i)))
            fail_msg("id %zu is %d in %s", i, ids[i], line);
    json_decref(row);
}

static void test_agrees_with_transformers(void **state)
{
    char *text, *path = vectors_path("expected.jsonl"), *rest;
    size_t size;
    int n = 0;
    ons_tokenizer *t = open_vectors();
    (void)state;
    assert_int_equal(ons_tokenizer_context(t), CONTEXT);
    assert_int_equal(ons_read_file(path, 1 << 20, &text, &size), ONESTEP_OK);
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest), n++)
        check_line(t, line);
    assert_int_equal(n, 240);
    ons_free(text);
    ons_free(path);
    ons_tokenizer_close(&t);
    assert_null(t);
}

static void test_rest_of_a_long_prompt(void **state)
{
    static const char prompt[] = "a b c d e f g h i j k l m n o p q";
    ons_tokenizer *t = open_vectors();
    int32_t ids[CONTEXT];
    size_t rest;
    int used;
    (void)state;
    assert_int_equal(ons_tokenizer_encode(t, prompt, ids, &used, &rest), ONESTEP_OK);
    assert_int_equal(used, CONTEXT);
    assert_string_equal(prompt + rest, "o p q"); /* fourteen letters fit */
    assert_int_equal(ids[CONTEXT - 1], ons_tokenizer_end_id(t));
    assert_int_equal(ons_tokenizer_encode(t, "a b", ids, &used, &rest), ONESTEP_OK);
    assert_int_equal(used, 4);
    assert_int_equal(rest, 3);
    assert_int_equal(ids[4], ons_tokenizer_pad_id(t));
    ons_tokenizer_close(&t);
}

static void test_damaged_utf8(void **state)
{
    ons_tokenizer *t = open_vectors();
    int32_t broken[CONTEXT], replaced[CONTEXT];
    (void)state;
    /* One replacement character per maximal valid prefix: E4 BD, then FF, then C0. */
    assert_int_equal(ons_tokenizer_encode(t, "a\xe4\xbd b\xff\xc0", broken, NULL, NULL), ONESTEP_OK);
    assert_int_equal(ons_tokenizer_encode(t, "a\xef\xbf\xbd b\xef\xbf\xbd\xef\xbf\xbd", replaced, NULL, NULL),
                     ONESTEP_OK);
    assert_memory_equal(broken, replaced, sizeof broken);
    assert_true(ons_utf8_valid("\xef\xbf\xbd", 3));
    assert_false(ons_utf8_valid("\xed\xa0\x80", 3));
    assert_false(ons_utf8_valid("\xf4\x90\x80\x80", 4));
    ons_tokenizer_close(&t);
}

static void test_long_word_is_quick(void **state)
{
    const size_t n = 1 << 20;
    ons_tokenizer *t = open_vectors();
    char *prompt = malloc(n + 1);
    int32_t ids[CONTEXT];
    (void)state;
    assert_non_null(prompt);
    memset(prompt, 'a', n);
    prompt[n] = '\0';
    assert_int_equal(ons_tokenizer_encode(t, prompt, ids, NULL, NULL), ONESTEP_OK);
    free(prompt);
    ons_tokenizer_close(&t);
}

static void test_training_round_trip(void **state)
{
    static const char *const captions[] = {"low low low low low", "lower lower",
                                           "newest newest newest newest newest newest", "widest widest widest"};
    char folder[] = "/tmp/onestep-test-XXXXXX";
    ons_tokenizer *t = NULL, *again = NULL;
    int32_t a[10], b[10];
    (void)state;
    assert_non_null(mkdtemp(folder));
    assert_int_equal(ons_tokenizer_train(captions, 4, 530, 10, &t), ONESTEP_OK);
    assert_true(ons_tokenizer_vocab_size(t) <= 530);
    /* "es" and "st</w>" stand in nine words each; the bytewise smaller pair, "e" "s", comes first, then "es"
     * "t</w>". */
    assert_string_equal(ons_tokenizer_token(t, 512), "es");
    assert_string_equal(ons_tokenizer_token(t, 513), "est</w>");
    assert_string_equal(ons_tokenizer_token(t, ons_tokenizer_end_id(t)), "<|endoftext|>");
    assert_null(ons_tokenizer_token(t, ons_tokenizer_vocab_size(t)));
    assert_int_equal(ons_tokenizer_save(t, folder), ONESTEP_OK);
    assert_int_equal(ons_tokenizer_open(folder, &again), ONESTEP_OK);
    assert_int_equal(ons_tokenizer_context(again), 10);
    assert_int_equal(ons_tokenizer_vocab_size(again), ons_tokenizer_vocab_size(t));
    assert_int_equal(ons_tokenizer_encode(t, "the lowest, newest <|endoftext|>", a, NULL, NULL), ONESTEP_OK);
    assert_int_equal(ons_tokenizer_encode(again, "the lowest, newest <|endoftext|>", b, NULL, NULL),
                     ONESTEP_OK);
    assert_memory_equal(a, b, sizeof a);
    ons_tokenizer_close(&t);
    ons_tokenizer_close(&again);
    for (const char *const *name = (const char *const[]){"vocab.json", "merges.txt", "tokenizer_config.json",
                                                         "special_tokens_map.json", NULL};
         *name; name++) {
        char *path = ons_path_join(folder, *name);
        assert_int_equal(unlink(path), 0);
        ons_free(path);
    }
    rmdir(folder);
}

static void test_training_refuses_nonsense(void **state)
{
    static const char *const captions[] = {"a"};
    ons_tokenizer *t = NULL;
    (void)state;
    assert_int_equal(ons_tokenizer_train(captions, 1, 513, 10, &t), ONESTEP_BAD_ARGUMENT);
    assert_int_equal(ons_tokenizer_train(captions, 1, 600, 1, &t), ONESTEP_BAD_ARGUMENT);
    assert_null(t);
    assert_int_equal(ons_tokenizer_train(captions, 0, 600, 8, &t), ONESTEP_OK); /* bytes alone */
    assert_int_equal(ons_tokenizer_vocab_size(t), 514);
    ons_tokenizer_close(&t);
}

/* Opens a folder of one tokenizer.json with this text. */
static onestep_status open_text(const char *json)
{
    char folder[] = "/tmp/onestep-test-XXXXXX";
    ons_tokenizer *t = NULL;
    assert_non_null(mkdtemp(folder));
    char *path = ons_path_join(folder, "tokenizer.json");
    assert_int_equal(ons_write_file(path, json, strlen(json)), ONESTEP_OK);
    const onestep_status st = ons_tokenizer_open(folder, &t);
    ons_tokenizer_close(&t);
    unlink(path);
    rmdir(folder);
    ons_free(path);
    return st;
}

#define MODEL(vocab, merges)                                                                                   \
    "{\"model\":{\"type\":\"BPE\",\"end_of_word_suffix\":\"</w>\",\"vocab\":{" vocab "},\"merges\":[" merges   \
    "]}}"
#define ENDS "\"<|startoftext|>\":0,\"<|endoftext|>\":1"

static void test_damaged_folders(void **state)
{
    ons_tokenizer *t = NULL;
    (void)state;
    assert_int_equal(ons_tokenizer_open("/nonexistent", &t), ONESTEP_NOT_FOUND);
    assert_int_equal(open_text(MODEL(ENDS, "")), ONESTEP_OK);
    assert_int_equal(open_text("{\"model\":"), ONESTEP_BAD_FILE);
    assert_int_equal(open_text("[]"), ONESTEP_BAD_FILE);
    assert_int_equal(open_text("{\"model\":{\"type\":\"Unigram\"}}"), ONESTEP_UNSUPPORTED);
    assert_int_equal(open_text(MODEL("\"a\":0", "")), ONESTEP_BAD_FILE);       /* no end token */
    assert_int_equal(open_text(MODEL(ENDS ",\"a\":1", "")), ONESTEP_BAD_FILE); /* an id twice */
    assert_int_equal(open_text(MODEL(ENDS ",\"a\":-1", "")), ONESTEP_BAD_FILE);
    assert_int_equal(open_text(MODEL(ENDS ",\"a\":4000000000", "")), ONESTEP_BAD_FILE);
    assert_int_equal(open_text(MODEL(ENDS ",\"a\":2", "\"a a\"")), ONESTEP_BAD_FILE); /* "aa" is missing */
    assert_int_equal(open_text(MODEL(ENDS ",\"a\":2,\"aa\":3", "\"a  a\"")), ONESTEP_BAD_FILE);
    assert_int_equal(open_text(MODEL(ENDS ",\"a\":2,\"aa\":3", "[\"a\"]")), ONESTEP_BAD_FILE);
    assert_int_equal(open_text(MODEL(ENDS ",\"a\":2,\"aa\":3", "\"a a\",[\"a\",\"a\"]")), ONESTEP_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_agrees_with_transformers),
        cmocka_unit_test(test_rest_of_a_long_prompt),
        cmocka_unit_test(test_damaged_utf8),
        cmocka_unit_test(test_long_word_is_quick),
        cmocka_unit_test(test_training_round_trip),
        cmocka_unit_test(test_training_refuses_nonsense),
        cmocka_unit_test(test_damaged_folders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
