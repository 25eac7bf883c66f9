/* What a sampler file fills in and works on. One row per sampler stands in sampler.c. */
#ifndef ONS_DIFFUSION_SAMPLER_IMPL_H
#define ONS_DIFFUSION_SAMPLER_IMPL_H

#include "diffusion/sampler.h"
#include "diffusion/schedule_impl.h"

typedef struct ons_sampler_kind {
    const char *name;
    int n_history;   /* buffers of `size` floats that step() keeps */
    bool stochastic; /* calls noise_fn when it has more than one step */
    /* NULL: the schedule's own spacing */
    onestep_status (*timesteps)(const ons_schedule *s, int n_steps, int *timesteps);
    void (*begin)(ons_sampler *s, const float *noise);     /* x of the first step */
    void (*input)(const ons_sampler *s, float *net_input); /* what the network sees of x */
    void (*step)(ons_sampler *s, const float *net_output); /* x of timestep[index] -> x of the next */
} ons_sampler_kind;

struct ons_sampler {
    const ons_sampler_kind *kind;
    ons_schedule schedule;
    int n_steps, index; /* index: the step being taken */
    int timesteps[ONS_MAX_TIMESTEPS];
    bool custom; /* timesteps given by the caller */
    size_t size;
    float *x;       /* [size], the sampler's own scaling */
    float *history; /* [n_history, size] */
    ons_noise_fn noise_fn;
    void *user;
};

extern const ons_sampler_kind ons_sampler_ddim, ons_sampler_euler, ons_sampler_dpmpp_2m, ons_sampler_lcm;

static inline int ons_sampler_t(const ons_sampler *s)
{
    return s->timesteps[s->index];
}

static inline bool ons_sampler_last(const ons_sampler *s)
{
    return s->index == s->n_steps - 1;
}

/*
 * Clean estimate and noise estimate are linear in (x_t, network output):
 *   mu = mu_x x_t + mu_out out,  eps = eps_x x_t + eps_out out    (methods eq. 2), for a_t = a, s_t = s
 */
typedef struct ons_estimate {
    double mu_x, mu_out, eps_x, eps_out;
} ons_estimate;
ons_estimate ons_estimate_of(ons_prediction prediction, double a, double s);

/* Plain VP state: x itself is x_t. Shared by samplers. */
void ons_sampler_begin_unit(ons_sampler *s, const float *noise);
void ons_sampler_input_plain(const ons_sampler *s, float *net_input);

#endif
