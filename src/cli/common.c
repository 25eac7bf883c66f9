/* Options and endings that commands share. */
#include "cli/commands.h"

#include "base/log.h"
#include "base/random.h"
#include "base/system.h"

/* Without their braces, on which versions of clang-format disagree. */
#define THREADS                                                                                                \
    't', "threads", ONS_FIELD_INT, offsetof(cli_common, n_threads),                                            \
        .help = "compute threads; 0: one per physical core", .max = 1024, .preset = "0"
#define VERBOSE                                                                                                \
    'v', "verbose", ONS_FIELD_FLAG, offsetof(cli_common, verbose), .help = "say more: times, memory, model"
#define QUIET 'q', "quiet", ONS_FIELD_FLAG, offsetof(cli_common, quiet), .help = "errors only"

const ons_field cli_common_options[] = {
    {THREADS},
    {0, "type", ONS_FIELD_CHOICE, offsetof(cli_common, type), .choices = "auto|f32|bf16", .preset = "auto",
     .help = "arithmetic; auto: the faster one that the CPU has natively"},
    {VERBOSE},
    {QUIET},
    {0},
};

const ons_field cli_running_options[] = {
    {THREADS},
    {0, "type", ONS_FIELD_CHOICE, offsetof(cli_common, type), .choices = "auto|f32|bf16|int8", .preset = "auto",
     .help = "arithmetic; auto: f32 or bf16, the faster one that the CPU has natively; int8: the UNet "
             "a third faster and in half the memory, less exact, after onestep calibrate"},
    {0, "int8-scales", ONS_FIELD_TEXT, offsetof(cli_common, int8_scales), .unit = "FILE",
     .help = "scales for --type int8; default what onestep calibrate wrote for the model"},
    {VERBOSE},
    {QUIET},
    {0},
};

void cli_apply_common(const cli_common *c)
{
    ons_log_set_level(c->quiet ? ONS_LOG_QUIET : c->verbose ? ONS_LOG_VERBOSE : ONS_LOG_INFO);
    ons_catch_interrupts();
}

ons_compute cli_compute(const cli_common *c)
{
    const ons_dtype types[] = {ONS_F32, ONS_F32, ONS_BF16, ONS_I8}; /* as the choices stand above; auto first */
    ons_compute compute = {.n_threads = c->n_threads, .type = types[c->type], .memory = c->max_memory};

    if (c->type == 0)
        compute.type = ons_compute_native_type(&compute);
    return compute;
}

uint64_t cli_seed_value(const ons_seed *s)
{
    return s->random ? ons_random_seed() : s->value;
}

int cli_finish(onestep_status st)
{
    if (st == ONESTEP_OK)
        return CLI_DONE;
    fprintf(stderr, "onestep: %s\n", st == ONESTEP_INTERRUPTED ? "interrupted" : onestep_error_text());
    switch (st) {
    case ONESTEP_INTERRUPTED:
        return CLI_INTERRUPTED;
    case ONESTEP_BAD_ARGUMENT:
        return CLI_USAGE;
    default:
        return CLI_FAILED;
    }
}
