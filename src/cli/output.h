/* Where results go, looked at before anything is computed: hours of work must not end at a folder that is
 * missing. */
#ifndef ONS_CLI_OUTPUT_H
#define ONS_CLI_OUTPUT_H

#include <stdbool.h>

#include "base/status.h"

bool cli_ends_in_slash(const char *path);
/* A folder to write into: it is there and can be written, or the one that will hold it is. */
onestep_status cli_check_folder(const char *path) ONESTEP_CHECK;
/* The same for a file to write. */
onestep_status cli_check_file(const char *path) ONESTEP_CHECK;

#endif
