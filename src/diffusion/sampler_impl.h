/* What a sampler file fills in and works on. One row per sampler stands in sampler.c. */
#ifndef ONS_DIFFUSION_SAMPLER_IMPL_H
#define ONS_DIFFUSION_SAMPLER_IMPL_H

#include "diffusion/sampler.h"
#include "diffusion/schedule_impl.h"

typedef struct ons_sampler_kind {
    const char *name;
    int n_history;    /* buffers of `size` floats that step() keeps */
    bool stochastic;  /* calls noise_fn when it has more than one step */
    bool sigma_space; /* the state is x_t / a_t and not x_t */
    ons_spacing
        spacing; /* where the schedule's class is another's and states none, as that class of diffusers does */
    int order;   /* evaluations of a step, 0 and 1: one; a run that begins in the middle skips so many a step */
    int (*evaluations)(int n_steps);                 /* of a whole run; NULL: one a step */
    double (*timestep)(const ons_sampler *s, int e); /* of evaluation e; NULL: timesteps[e] */
    /* NULL: the schedule's own spacing */
    onestep_status (*timesteps)(const ons_schedule *s, int n_steps, double *timesteps);
    void (*begin)(ons_sampler *s, const float *noise);     /* x of the first step */
    void (*input)(const ons_sampler *s, float *net_input); /* what the network sees of x */
    void (*step)(ons_sampler *s, const float *net_output); /* x of timestep[index] -> x of the next */
} ons_sampler_kind;

struct ons_sampler {
    const ons_sampler_kind *kind;
    ons_schedule schedule;
    int n_steps, n_evaluations;
    int first, index; /* evaluation that the run began with (image to image: not 0); the one being taken */
    double timesteps[ONS_MAX_TIMESTEPS]; /* whole numbers but in sigma space */
    bool custom;                         /* timesteps given by the caller */
    size_t size;
    float *x;       /* [size], the sampler's own scaling */
    float *history; /* [n_history, size] */
    ons_noise_fn noise_fn;
    void *user;
};

extern const ons_sampler_kind ons_sampler_ddim, ons_sampler_plms, ons_sampler_euler, ons_sampler_euler_a,
    ons_sampler_heun, ons_sampler_dpmpp_2m, ons_sampler_lcm;

static inline int ons_sampler_t(const ons_sampler *s)
{
    return (int)s->timesteps[s->index];
}

static inline bool ons_sampler_last(const ons_sampler *s)
{
    return s->index == s->n_steps - 1;
}

/* Plain VP state: x itself is x_t. Shared by samplers. */
void ons_sampler_begin_unit(ons_sampler *s, const float *noise);
void ons_sampler_input_plain(const ons_sampler *s, float *net_input);

#endif
