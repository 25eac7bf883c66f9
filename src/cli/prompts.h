/* Prompts as people keep them: a text file with one a line. */
#ifndef ONS_CLI_PROMPTS_H
#define ONS_CLI_PROMPTS_H

#include "base/memory.h"
#include "base/status.h"

typedef struct cli_prompts {
    ons_arena *arena;   /* owns the texts */
    const char **texts; /* [n] UTF-8, none empty */
    int n;
} cli_prompts;

/* Reads a file of prompts; empty lines and a byte order mark are passed over. A file without prompts, or one
 * that is no text, is BAD_FILE. */
onestep_status cli_prompts_read(const char *path, cli_prompts *out) ONESTEP_CHECK;
/* One prompt of the command line; `what` is how a message calls it. */
onestep_status cli_prompts_add(cli_prompts *p, const char *what, const char *text, size_t size) ONESTEP_CHECK;
void cli_prompts_fini(cli_prompts *p); /* accepts a zeroed struct */

#endif
