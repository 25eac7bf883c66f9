/* Draws one picture and saves it: generate MODEL PROMPT OUT.png */
#include <stdio.h>

#include <onestep.h>

int main(int argc, char **argv)
{
    onestep_defaults defaults = {.size = sizeof defaults};
    onestep_pipeline *pipeline = NULL;
    onestep_image *image = NULL;
    onestep_params params;
    onestep_status st;

    if (argc != 4) {
        fprintf(stderr, "usage: %s MODEL PROMPT OUT.png\n", argv[0]);
        return 2;
    }
    onestep_params_init(&params, sizeof params);
    params.prompt = argv[2];
    params.seed = 42;
    st = onestep_pipeline_open(argv[1], NULL, &pipeline);
    if (st == ONESTEP_OK)
        st = onestep_pipeline_defaults(pipeline, &defaults);
    if (st == ONESTEP_OK)
        st = onestep_pipeline_generate(pipeline, &params, &image);
    if (st == ONESTEP_OK)
        st = onestep_image_save(image, 0, argv[3]);
    if (st == ONESTEP_OK)
        printf("%s: %dx%d, sampler %s, %d steps, %.3f s\n", argv[3], image->width, image->height,
               defaults.sampler, defaults.steps, image->seconds);
    else
        fprintf(stderr, "%s: %s\n", onestep_status_name(st), onestep_error_text());
    onestep_image_free(&image);
    onestep_pipeline_close(&pipeline);
    return st == ONESTEP_OK ? 0 : 1;
}
