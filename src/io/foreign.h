/* Files that are no safetensors files, told by their first bytes. For src/io alone. */
#ifndef ONS_IO_FOREIGN_H
#define ONS_IO_FOREIGN_H

#include "base/file.h"

/* BAD_FILE with what the file is instead and the way out; OK when nothing speaks against safetensors. */
onestep_status ons_refuse_foreign(const ons_map *map) ONESTEP_CHECK;

#endif
