/* Pieces of distillation graphs: x0 conversions, guidance, the matching direction, perceptual distance. All
 * NHWC. */
#ifndef ONS_DISTILL_LOSSES_H
#define ONS_DISTILL_LOSSES_H

#include "diffusion/schedule.h"
#include "model/model.h"

/* x0 from a network output at x_t = a x0 + s e (e: Ho et al. 2020, eq. 15; v: Salimans & Ho 2022,
 * section 4); a, s [N, 1, 1, 1] or scalars. */
ons_value *ons_predicted_x0(ons_graph *g, ons_prediction p, ons_value *xt, ons_value *output, ons_value *a,
                            ons_value *s);
/* What a network of this prediction type should output: e, v = a e - s x0, or x0. */
ons_value *ons_prediction_target(ons_graph *g, ons_prediction p, ons_value *x0, ons_value *e, ons_value *a,
                                 ons_value *s);

/*
 * The direction of distribution matching (Yin et al. 2024, Algorithm 2, which leaves out the factor a_t of eq.
 * 7): g = (mu_fake - mu_real) / mean_{h,w,c} |x - mu_real|, per sample, non-finite values cleaned.
 */
ons_value *ons_matching_direction(ons_graph *g, ons_value *x, ons_value *mu_real, ons_value *mu_fake);

/*
 * Distance of two pictures [N, S, S, 3] in a feature network (Zhang et al. 2018, without the learned channel
 * weights): features of every level, unit length over channels, squared difference summed over channels, mean
 * over positions and samples, mean over levels.
 */
ons_value *ons_perceptual_distance(const ons_nn *features, const ons_features_config *c, ons_value *a,
                                   ons_value *b);

#endif
