/* Probes of oneDNN: its matrix product, and its 3x3 convolutions in the layouts that it prefers. */
#ifndef ONS_CPU_ONEDNN_PROBE_H
#define ONS_CPU_ONEDNN_PROBE_H

#include "backend/backend.h"

/* As ons_backend.probe. */
ons_probe *ons_onednn_probe(const ons_node *n, int n_threads, bool fast);
/* Of conv2d or a gradient of it; square pictures, 3x3, stride 1, padding 1 alone. */
ons_probe *ons_onednn_probe_conv(const ons_node *n, int n_threads, bool fast);

#endif
