/* What train, pairs and distill share on the command line: the recipe and the flags that override it, energy,
 * resuming. */
#ifndef ONS_CLI_LONG_RUN_H
#define ONS_CLI_LONG_RUN_H

#include "cli/commands.h"
#include "energy/energy.h"
#include "train/recipe.h"

typedef struct cli_long_run {
    const char *recipe, *data, *output, *set;
    int iterations, batch_size, checkpoint_every;
    uint64_t seed;
    double watts;
    bool resume;
} cli_long_run;
extern const ons_field cli_long_run_options[];

/*
 * Checks that the output can be written. Reads the recipe (the built-in defaults when none is given) and
 * applies the flags that the user gave; `section` ("train", "distill") is where --iterations and --batch-size
 * go. --set takes PATH=VALUE[,PATH=VALUE...].
 */
onestep_status cli_load_recipe(const cli_call *call, const cli_long_run *l, const char *section,
                               ons_recipe *r) ONESTEP_CHECK;
/* As cli_finish; an interruption says where it came and how to continue. */
int cli_finish_run(onestep_status st, const char *how_to_continue);
onestep_status cli_open_energy(const cli_long_run *l, ons_energy **e) ONESTEP_CHECK;

#endif
