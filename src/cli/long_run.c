/* Flags override the recipe: only those that were given, so that a recipe's value is never replaced by a flag's
 * default. */
#include "cli/long_run.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "cli/output.h"

const ons_field cli_long_run_options[] = {
    {0, "recipe", ONS_FIELD_TEXT, offsetof(cli_long_run, recipe), .unit = "FILE",
     .help = "JSON recipe; see recipes/ and train --help-recipe"},
    {0, "data", ONS_FIELD_TEXT, offsetof(cli_long_run, data), .unit = "DIR",
     .help = "data set: pictures with captions, or a text file of captions"},
    {'o', "output", ONS_FIELD_TEXT, offsetof(cli_long_run, output), .unit = "DIR",
     .help = "folder for the result"},
    {0, "iterations", ONS_FIELD_INT, offsetof(cli_long_run, iterations), .min = 0, .max = 1e9,
     .help = "steps; default from the recipe"},
    {0, "batch-size", ONS_FIELD_INT, offsetof(cli_long_run, batch_size), .min = 1, .max = 65536,
     .help = "pictures per step; default from the recipe"},
    {0, "checkpoint-every", ONS_FIELD_INT, offsetof(cli_long_run, checkpoint_every), .min = 1, .max = 1e9,
     .help = "steps between checkpoints; default from the recipe"},
    {'s', "seed", ONS_FIELD_U64, offsetof(cli_long_run, seed),
     .help = "of everything random; default from the recipe"},
    {0, "set", ONS_FIELD_TEXT, offsetof(cli_long_run, set), .unit = "KEY=VALUE,...",
     .help = "override any recipe setting, e.g. distill.lr=5e-5"},
    {0, "watts", ONS_FIELD_REAL, offsetof(cli_long_run, watts), .min = 0, .max = 100000, .unit = "W",
     .help = "declared power, used where no energy counter can be read"},
    {0, "resume", ONS_FIELD_FLAG, offsetof(cli_long_run, resume),
     .help = "continue an interrupted run of the same output"},
    {0},
};

static onestep_status set_integer(ons_recipe *r, const char *section, const char *name, int64_t value)
{
    char path[64], text[32];

    snprintf(path, sizeof path, "%s%s%s", section, *section ? "." : "", name);
    snprintf(text, sizeof text, "%" PRId64, value);
    return ons_recipe_set(r, path, text);
}

static onestep_status apply_settings(ons_recipe *r, const char *list)
{
    char *copy = ons_strdup(list), *save = NULL;
    onestep_status st = copy ? ONESTEP_OK : ons_fail(ONESTEP_NO_MEMORY, "no memory for --set");

    for (char *item = copy ? strtok_r(copy, ",", &save) : NULL; item && st == ONESTEP_OK;
         item = strtok_r(NULL, ",", &save)) {
        char *equals = strchr(item, '=');

        if (!equals) {
            st = ons_fail(ONESTEP_BAD_ARGUMENT, "--set %s: expected KEY=VALUE", item);
            break;
        }
        *equals = 0;
        st = ons_recipe_set(r, item, equals + 1);
    }
    ons_free(copy);
    return st;
}

onestep_status cli_load_recipe(const cli_call *call, const cli_long_run *l, const char *section, ons_recipe *r)
{
    onestep_status st;

    ons_recipe_init(r);
    if (!l->data || !l->output)
        return ons_fail(ONESTEP_BAD_ARGUMENT, "--data and --output are both needed; see onestep %s --help",
                        call->command->name);
    ONS_TRY(cli_check_folder(l->output));
    if (l->recipe)
        ONS_TRY(ons_recipe_load(l->recipe, r));
    if (cli_given(call, "iterations"))
        ONS_TRY(set_integer(r, section, "iterations", l->iterations));
    if (cli_given(call, "batch-size"))
        ONS_TRY(set_integer(r, section, "batch_size", l->batch_size));
    if (cli_given(call, "checkpoint-every"))
        ONS_TRY(set_integer(r, "every", "checkpoint", l->checkpoint_every));
    if (cli_given(call, "seed"))
        r->seed = l->seed;
    if (l->set)
        ONS_TRY(apply_settings(r, l->set));
    ons_info("seed %" PRIu64, r->seed);
    return ONESTEP_OK;
fail:
    ons_recipe_fini(r);
    return st;
}

int cli_finish_run(onestep_status st, const char *how_to_continue)
{
    if (st != ONESTEP_INTERRUPTED)
        return cli_finish(st);
    fprintf(stderr, "onestep: interrupted: %s; %s\n", onestep_error_text(), how_to_continue);
    return CLI_INTERRUPTED;
}

onestep_status cli_open_energy(const cli_long_run *l, ons_energy **e)
{
    onestep_status st = ons_energy_open(NULL, l->watts, e);

    if (st == ONESTEP_OK)
        ons_info("energy: %s%s%s", ons_energy_source(*e), *ons_energy_advice(*e) ? "; " : "",
                 ons_energy_advice(*e));
    return st;
}
