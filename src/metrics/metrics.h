/*
 * Figures over feature sets; rows are pictures or captions, f32, [n, d]. Loops over rows are shared by
 * n_threads >= 1; no result depends on how many there are.
 */
#ifndef ONS_METRICS_METRICS_H
#define ONS_METRICS_METRICS_H

#include "base/status.h"
#include "metrics/linalg.h"

/*
 * Kynkaanniemi et al. 2019: around each picture of a set a sphere that reaches its k-th nearest neighbour (k =
 * 3 where the set is large enough); precision: share of generated pictures inside a sphere of the real ones,
 * recall: the reverse. BAD_ARGUMENT below two pictures.
 */
onestep_status ons_precision_recall(const float *real, int64_t n_real, const float *made, int64_t n_made, int d,
                                    int n_threads, double *precision, double *recall) ONESTEP_CHECK;

/*
 * Caption -> picture: row i of `captions` belongs to row i of `pictures`, unit length both. top1/top5: share of
 * captions whose own picture is among the 1 or 5 nearest (ties count against it); clip: mean cosine of the
 * pairs. Pools of equal size only are comparable.
 */
typedef struct ons_retrieval {
    double top1, top5, clip;
} ons_retrieval;
void ons_retrieve(const float *captions, const float *pictures, int64_t n, int d, int n_threads,
                  ons_retrieval *out);

/* Mean distance from each row of `from` to its nearest row of `to`; skip_same: row i of `to` does not count for
 * row i. */
double ons_nearest_distance(const float *from, int64_t n_from, const float *to, int64_t n_to, int d,
                            int n_threads, bool skip_same);
/* Index of the nearest row of `to` for each row of `from` (the first of equals). */
void ons_nearest_index(const float *from, int64_t n_from, const float *to, int64_t n_to, int d, int n_threads,
                       int64_t *index);

/* x [n_captions, n_seeds, d]: mean Euclidean distance over all pairs of seeds of a caption, averaged over
 * captions. */
double ons_diversity(const float *x, int64_t n_captions, int n_seeds, int d);

/*
 * Local detail: moments of the descriptors of 8x8 patches of pictures rgb [n, h, w, 3] at full resolution; see
 * patch.c. Needs no network.
 */
enum { ONS_PATCH = 8, ONS_PATCH_FEATURES = 93 };
onestep_status ons_patch_moments(const uint8_t *rgb, int64_t n, int h, int w,
                                 ons_moments *m) ONESTEP_CHECK; /* m made by ons_moments_init */
/* Descriptor of one patch, rows `stride` bytes apart. */
void ons_patch_describe(const uint8_t *rgb, size_t stride, float out[ONS_PATCH_FEATURES]);

/* Pixel-space description of a picture: means over a 24 x 24 grid, RGB in 0..1; [1728]. For "is it the very
 * picture?". */
enum { ONS_THUMB = 24, ONS_THUMB_FEATURES = ONS_THUMB * ONS_THUMB * 3 };
void ons_thumbnail(const uint8_t *rgb, int h, int w, float out[ONS_THUMB_FEATURES]);

#endif
