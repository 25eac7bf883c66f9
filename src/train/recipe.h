/*
 * Recipes: architecture and hyper-parameters of a whole run (autoencoder, teacher, pairs, distillation) as one
 * JSON file.
 *
 * Every setting is one row of the table in recipe.c: path, type, default, range, meaning. Unknown keys are
 * errors, since a misspelt setting that is silently ignored costs an afternoon. The model sections hold
 * diffusers' own config.json objects.
 */
#ifndef ONS_TRAIN_RECIPE_H
#define ONS_TRAIN_RECIPE_H

#include <stdio.h>

#include "base/status.h"

struct json_t;

typedef struct ons_recipe {
    char name[64];
    int resolution; /* pixels */
    uint64_t seed;
    struct {
        int vocab_size, context;
    } tokenizer;
    struct {
        double p_empty, p_keyword;
    } captions;
    struct {
        int iterations, batch_size, warmup, shift;
        double lr, kl_weight;
        bool flip;
    } vae;
    struct {
        int iterations, batch_size, warmup;
        double lr, flat, weight_decay, clip, ema, min_snr, low_snr_boost;
    } train;
    struct {
        int steps;
        double guidance;
        char sampler[32];
    } sample;
    struct {
        int count, steps, per_shard;
        double guidance, guidance_keyword;
        char sampler[32];
    } pairs;
    struct {
        char method[32];
        int iterations, warmup_iterations, batch_size, pair_batch_size, timestep, min_timestep, max_timestep,
            critic_steps, accumulate, lora_rank, recompute;
        int late_iterations, late_max_timestep;
        double lr, match_lr, fake_lr, low_snr_boost, weight_dm, weight_reg, weight_latent, weight_pixel,
            guidance, guidance_keyword, ema, clip, weight_decay;
    } distill;
    struct {
        int iterations, batch_size, embed_dim;
        double lr;
        char channels[64];
    } perceptual;
    struct {
        int checkpoint_every, log_every, sample_every, health_every, health_pictures;
    } every;
    struct json_t *vae_config, *unet_config, *text_config; /* owned; diffusers' config.json, NULL when absent */
} ons_recipe;

void ons_recipe_init(ons_recipe *r); /* the defaults of the table */
void ons_recipe_fini(ons_recipe *r);
/* Reads a file over the defaults. BAD_FILE names an unknown key, a wrong type or a value out of range. */
onestep_status ons_recipe_load(const char *path, ons_recipe *r) ONESTEP_CHECK;
/* Sets one value from text ("distill.lr", "1e-4"), as flags do. */
onestep_status ons_recipe_set(ons_recipe *r, const char *path, const char *value) ONESTEP_CHECK;
/* Writes every setting, resolved. */
onestep_status ons_recipe_save(const ons_recipe *r, const char *path) ONESTEP_CHECK;
struct json_t *ons_recipe_to_json(const ons_recipe *r); /* new reference; NULL: no memory */
void ons_recipe_describe(FILE *f);                      /* the table, for people */

#endif
