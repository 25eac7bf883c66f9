/* The order of the passes, and switching them off by name. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "graph/graph_private.h"

typedef struct pass_row {
    ons_pass bit;
    const char *name;
    onestep_status (*run)(ons_graph *g); /* NULL: the planner's */
} pass_row;

/*
 * Upsampling is folded before equal operators become one, since the four convolutions share sums of weights.
 * Residuals are fused before precision is chosen, so that a product and its addition are stored once; 8 bits
 * are for products that got bf16 there; constants are folded after it, so that casts of constants fold too.
 */
static const pass_row passes[] = {
    {ONS_PASS_FOLD_UPSAMPLE, "fold_upsample", ons_pass_fold_upsample},
    {ONS_PASS_DEAD_CODE, "dead_code", ons_pass_dead_code},
    {ONS_PASS_CSE, "cse", ons_pass_cse},
    {ONS_PASS_FUSE_RESIDUAL, "fuse_residual", ons_pass_fuse_residual},
    {ONS_PASS_PRECISION, "precision", ons_pass_precision},
    {ONS_PASS_QUANTISE, "quantise", ons_pass_quantise},
    {ONS_PASS_FOLD_CONSTANTS, "fold_constants", ons_pass_fold_constants},
    {ONS_PASS_FUSE_UPSAMPLE, "fuse_upsample", NULL},
    {ONS_PASS_HOIST, "hoist", NULL},
};
enum { N_PASSES = sizeof passes / sizeof *passes };

const char *ons_pass_name(ons_pass pass)
{
    for (int i = 0; i < N_PASSES; i++)
        if (passes[i].bit == pass)
            return passes[i].name;
    return "?";
}

#ifndef NDEBUG
static onestep_status check_after(const ons_graph *g, const char *pass)
{
    onestep_status st = ons_graph_verify(g);

    if (st != ONESTEP_OK) {
        char text[ONS_MESSAGE_SIZE];

        snprintf(text, sizeof text, "%s", onestep_error_text());
        return ons_fail(st, "pass %s: %s", pass, text);
    }
    return ONESTEP_OK;
}
#endif

onestep_status ons_graph_optimise(ons_graph *g, unsigned off, ons_dtype precision)
{
    onestep_status st = ONESTEP_OK;

    if (precision != ONS_F32 && precision != ONS_BF16)
        return ons_fail(ONESTEP_UNSUPPORTED, "precision %s; f32 and bf16 are possible",
                        ons_dtype_name(precision));
    if (precision == ONS_F32) /* there the kernels save as much and more by Winograd's algorithm */
        off |= ONS_PASS_PRECISION | ONS_PASS_QUANTISE | ONS_PASS_FOLD_UPSAMPLE;
    ONS_TRY(ons_graph_finish(g));
    for (int i = 0; i < N_PASSES; i++) {
        if (!passes[i].run || (off & passes[i].bit))
            continue;
        ONS_TRY(passes[i].run(g));
#ifndef NDEBUG
        ONS_TRY(check_after(g, passes[i].name));
#endif
    }
fail:
    return st;
}

static unsigned find_pass(const char *name, size_t length)
{
    unsigned all = 0;

    for (int i = 0; i < N_PASSES; i++) {
        if (strlen(passes[i].name) == length && !strncmp(passes[i].name, name, length))
            return passes[i].bit;
        all |= passes[i].bit;
    }
    return length == 3 && !strncmp(name, "all", 3) ? all : 0;
}

static onestep_status fail_unknown(const char *name, int length)
{
    char known[ONS_MESSAGE_SIZE / 2] = "";

    for (int i = 0; i < N_PASSES; i++)
        ons_list_name(known, sizeof known, passes[i].name);
    return ons_fail(ONESTEP_BAD_ARGUMENT, "unknown pass '%.*s'; known: %s, all", length, name, known);
}

onestep_status ons_passes_parse(const char *text, unsigned *bits)
{
    *bits = 0;
    while (*text) {
        size_t length = strcspn(text, ",");
        unsigned bit = find_pass(text, length);

        if (length && !bit)
            return fail_unknown(text, (int)length);
        *bits |= bit;
        text += length + (text[length] == ',');
    }
    return ONESTEP_OK;
}

unsigned ons_passes_off(void)
{
    const char *text = getenv("ONESTEP_PASSES_OFF");
    unsigned bits = 0;

    if (text && ons_passes_parse(text, &bits) != ONESTEP_OK)
        ons_warn("ONESTEP_PASSES_OFF is ignored: %s", onestep_error_text());
    return bits;
}
