/* Recipes: the shipped ones load, mistakes are named, writing and reading agree; learning-rate shape. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/file.h"
#include "base/memory.h"
#include "train/recipe.h"
#include "train/run.h"

static char folder[] = "/tmp/onestep-recipe-XXXXXX";

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static onestep_status load_text(const char *text, ons_recipe *r)
{
    char *path = ons_path_join(folder, "r.json");
    onestep_status st;

    assert_int_equal(ons_write_file(path, text, strlen(text)), ONESTEP_OK);
    ons_recipe_init(r);
    st = ons_recipe_load(path, r);
    ons_free(path);
    return st;
}

static void shipped_recipes_load(void **state)
{
    static const char *const names[] = {"recipes/tiny.json", "recipes/emoji.json"};

    (void)state;
    for (int i = 0; i < 2; i++) {
        char *path = ons_path_join(getenv("ONESTEP_SOURCE_ROOT"), names[i]);
        ons_recipe r;

        ons_recipe_init(&r);
        if (ons_recipe_load(path, &r) != ONESTEP_OK)
            fail_msg("%s", onestep_error_text());
        assert_non_null(r.unet_config);
        ons_recipe_fini(&r);
        ons_free(path);
    }
}

static void mistakes_are_named(void **state)
{
    static const struct {
        const char *text, *expect;
    } cases[] = {
        {"{\"train\": {\"learning\": 1}}", "train.learning"},
        {"{\"train\": {\"lr\": \"fast\"}}", "train.lr"},
        {"{\"train\": {\"lr\": 7}}", "train.lr"},
        {"{\"train\": {\"batch_size\": 1.5}}", "whole number"},
        {"{\"resolution\": 0}", "resolution"},
        {"{\"surprise\": 1}", "surprise"},
        {"[]", "object"},
        {"{\"train\": ", "r.json"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ons_recipe r;

        assert_int_not_equal(load_text(cases[i].text, &r), ONESTEP_OK);
        if (!strstr(onestep_error_text(), cases[i].expect))
            fail_msg("\"%s\" does not mention %s", onestep_error_text(), cases[i].expect);
        ons_recipe_fini(&r);
    }
}

static void what_is_written_reads_back(void **state)
{
    char *path = ons_path_join(folder, "w.json");
    ons_recipe a, b;

    (void)state;
    assert_int_equal(load_text("{\"seed\": 9007199254740993, \"distill\": {\"lr\": 0.003}, \"vae\": {\"flip\": "
                               "false, \"config\": {\"x\": 1}}}",
                               &a),
                     ONESTEP_OK);
    assert_int_equal(ons_recipe_set(&a, "pairs.count", "77"), ONESTEP_OK);
    assert_int_equal(ons_recipe_save(&a, path), ONESTEP_OK);
    ons_recipe_init(&b);
    assert_int_equal(ons_recipe_load(path, &b), ONESTEP_OK);
    assert_true(b.seed == 9007199254740993ull);
    assert_true(b.distill.lr == 0.003 && !b.vae.flip && b.pairs.count == 77);
    assert_non_null(b.vae_config);
    ons_recipe_fini(&a);
    ons_recipe_fini(&b);
    ons_free(path);
}

static void learning_rate_rises_stays_and_falls(void **state)
{
    (void)state;
    assert_true(fabs(ons_lr_factor(0, 1000, 10, 0.4) - 0.1) < 1e-12);
    assert_true(ons_lr_factor(10, 1000, 10, 0.4) == 1 && ons_lr_factor(399, 1000, 10, 0.4) == 1);
    assert_true(fabs(ons_lr_factor(700, 1000, 10, 0.4) - 0.5) < 1e-12);
    assert_true(ons_lr_factor(1000, 1000, 10, 0.4) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shipped_recipes_load),
        cmocka_unit_test(mistakes_are_named),
        cmocka_unit_test(what_is_written_reads_back),
        cmocka_unit_test(learning_rate_rises_stays_and_falls),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
