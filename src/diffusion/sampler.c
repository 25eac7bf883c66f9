/*
 * The table of samplers, and the loop around one step. A sampler reduces to at most four functions over the
 * state x; whatever needs network outputs in another form goes through the linear map of ons_estimate_of, so
 * that epsilon, v and sample prediction need no cases elsewhere.
 */
#include "diffusion/sampler_impl.h"

#include <pthread.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/text.h"

static const ons_sampler_kind *const kinds[] = {&ons_sampler_ddim,    &ons_sampler_plms, &ons_sampler_euler,
                                                &ons_sampler_euler_a, &ons_sampler_heun, &ons_sampler_dpmpp_2m,
                                                &ons_sampler_lcm};
enum { N_KINDS = sizeof kinds / sizeof *kinds };

static const ons_sampler_kind *find_kind(const char *name)
{
    for (int i = 0; i < N_KINDS; i++)
        if (strcmp(kinds[i]->name, name) == 0)
            return kinds[i];
    return NULL;
}

const char *ons_sampler_name(int i)
{
    return i >= 0 && i < N_KINDS ? kinds[i]->name : NULL;
}

static char names[128];

static void list_names(void)
{
    for (int i = 0; i < N_KINDS; i++)
        ons_list_name(names, sizeof names, kinds[i]->name);
}

const char *ons_sampler_names(void)
{
    static pthread_once_t listed = PTHREAD_ONCE_INIT;

    pthread_once(&listed, list_names);
    return names;
}

ons_estimate ons_estimate_of(ons_prediction prediction, double a, double s)
{
    switch (prediction) {
    case ONS_PREDICT_V:
        return (ons_estimate){.mu_x = a, .mu_out = -s, .eps_x = s, .eps_out = a};
    case ONS_PREDICT_SAMPLE:
        return (ons_estimate){.mu_x = 0, .mu_out = 1, .eps_x = 1 / s, .eps_out = -a / s};
    case ONS_PREDICT_EPSILON:
        break;
    }
    return (ons_estimate){.mu_x = 1 / a, .mu_out = -s / a, .eps_x = 0, .eps_out = 1};
}

void ons_sampler_begin_unit(ons_sampler *s, const float *noise)
{
    memcpy(s->x, noise, s->size * sizeof *noise);
}

void ons_sampler_input_plain(const ons_sampler *s, float *net_input)
{
    memcpy(net_input, s->x, s->size * sizeof *net_input);
}

/* The schedule as this sampler takes it: the spacing is the sampler's own where the folder leaves it to the
 * class. */
static ons_schedule adopt(const ons_sampler_kind *kind, const ons_schedule *schedule)
{
    ons_schedule s = *schedule;
    bool exact;

    if (!s.spacing_stated && strcmp(ons_schedule_sampler(schedule, &exact), kind->name) != 0)
        s.spacing = kind->spacing;
    return s;
}

static onestep_status own_timesteps(const ons_sampler_kind *kind, const ons_schedule *schedule, int n_steps,
                                    double *timesteps)
{
    const ons_schedule s = adopt(kind, schedule);

    return kind->timesteps ? kind->timesteps(&s, n_steps, timesteps)
                           : ons_schedule_timesteps(&s, n_steps, timesteps);
}

onestep_status ons_sampler_check(const char *name, const ons_schedule *s, int n_steps, const int *timesteps,
                                 double *timesteps_out)
{
    const ons_sampler_kind *kind = find_kind(name);
    double grid[ONS_MAX_TIMESTEPS];
    onestep_status st;

    if (!kind)
        return ons_fail(ONESTEP_BAD_ARGUMENT, "sampler \"%s\" is not known; there are %s", name,
                        ons_sampler_names());
    ONS_TRY(ons_steps_check(n_steps, s->n));
    for (int i = 0; timesteps && i < n_steps; i++)
        grid[i] = timesteps[i];
    if (timesteps)
        ONS_TRY(ons_timesteps_check(s, n_steps, grid));
    else
        ONS_TRY(own_timesteps(kind, s, n_steps, grid));
    if (timesteps_out)
        memcpy(timesteps_out, grid, (size_t)n_steps * sizeof *grid);
    return ONESTEP_OK;
fail:
    return st;
}

static onestep_status allocate_state(ons_sampler *s)
{
    uint64_t bytes = 0;

    if (!ons_mul_u64(s->size, sizeof(float), &bytes) || bytes > SIZE_MAX)
        return ons_fail(ONESTEP_NO_MEMORY, "%s: a state of %zu numbers does not fit in memory", s->kind->name,
                        s->size);
    s->x = ons_calloc(s->size, sizeof(float));
    s->history = ons_calloc(s->size, sizeof(float) * (size_t)(s->kind->n_history ? s->kind->n_history : 1));
    if (!s->x || !s->history)
        return ons_fail(ONESTEP_NO_MEMORY, "%s: no memory for a state of %zu numbers", s->kind->name, s->size);
    return ONESTEP_OK;
}

onestep_status ons_sampler_create(const char *name, const ons_schedule *schedule, int n_steps,
                                  const int *timesteps, size_t size, ons_noise_fn noise_fn, void *user,
                                  ons_sampler **out)
{
    const ons_sampler_kind *kind = find_kind(name);
    ons_sampler *s = NULL;
    onestep_status st;

    *out = NULL;
    if (!kind)
        return ons_fail(ONESTEP_BAD_ARGUMENT, "sampler \"%s\" is not known; there are %s", name,
                        ons_sampler_names());
    if (kind->stochastic && n_steps > 1 && !noise_fn)
        return ons_fail(ONESTEP_BAD_ARGUMENT, "sampler %s draws noise between steps: it needs seeds", name);
    s = ons_calloc(1, sizeof *s);
    if (!s)
        return ons_fail(ONESTEP_NO_MEMORY, "no memory for sampler %s", name);
    s->kind = kind;
    s->schedule = adopt(kind, schedule);
    s->n_steps = n_steps;
    s->n_evaluations = kind->evaluations ? kind->evaluations(n_steps) : n_steps;
    s->size = size;
    s->noise_fn = noise_fn;
    s->user = user;
    s->custom = timesteps != NULL;
    ONS_TRY(ons_sampler_check(name, schedule, n_steps, timesteps, s->timesteps));
    ONS_TRY(allocate_state(s));
    *out = s;
    return ONESTEP_OK;
fail:
    ons_sampler_destroy(&s);
    return st;
}

void ons_sampler_destroy(ons_sampler **s)
{
    if (!s || !*s)
        return;
    ons_free((*s)->x);
    ons_free((*s)->history);
    ons_free(*s);
    *s = NULL;
}

void ons_sampler_begin(ons_sampler *s, const float *unit_noise)
{
    s->first = s->index = 0;
    s->kind->begin(s, unit_noise);
}

static double timestep_of(const ons_sampler *s, int e)
{
    return s->kind->timestep ? s->kind->timestep(s, e) : s->timesteps[e];
}

void ons_sampler_begin_from(ons_sampler *s, int first_step, const float *clean, const float *unit_noise)
{
    double a, b, t;

    s->first = s->index = first_step * (s->kind->order > 1 ? s->kind->order : 1);
    t = timestep_of(s, s->index);
    a = s->kind->sigma_space ? 1 : ons_schedule_a(&s->schedule, (int)t);
    b = s->kind->sigma_space ? ons_schedule_sigma(&s->schedule, t) : ons_schedule_s(&s->schedule, (int)t);
    for (size_t i = 0; i < s->size; i++)
        s->x[i] = (float)(a * clean[i] + b * unit_noise[i]);
}

bool ons_sampler_next(ons_sampler *s, double *t, float *net_input)
{
    if (s->index >= s->n_evaluations)
        return false;
    *t = timestep_of(s, s->index);
    s->kind->input(s, net_input);
    return true;
}

void ons_sampler_step(ons_sampler *s, const float *net_output)
{
    s->kind->step(s, net_output);
    s->index++;
}

const float *ons_sampler_result(const ons_sampler *s)
{
    return s->x;
}

int ons_sampler_evaluations(const char *name, int n_steps, int first_step)
{
    const ons_sampler_kind *kind = find_kind(name);
    const int all = kind && kind->evaluations ? kind->evaluations(n_steps) : n_steps;

    return all - first_step * (kind && kind->order > 1 ? kind->order : 1);
}
