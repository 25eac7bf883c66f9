/*
 * Layers: no file under src/ includes a header of a later layer. The order here is the project's; a new folder
 * must be entered into it. One exception: weights read and write safetensors, whose header the io layer owns.
 * Outside of backend nobody names a backend or includes a library that one is made of.
 */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static const char *const layers[] = {
    "base",    "tensor",    "graph",  "weights",  "backend", "nn",      "text", "io",    "model", "data",
    "metrics", "diffusion", "energy", "pipeline", "train",   "distill", "eval", "bench", "cli",
};
enum { N_LAYERS = sizeof layers / sizeof *layers };

/* Position of the layer that a path relative to src/ begins with; -1: none. */
static int find_layer(const char *path)
{
    size_t length = strcspn(path, "/");

    for (int i = 0; i < N_LAYERS && path[length]; i++)
        if (strlen(layers[i]) == length && !strncmp(layers[i], path, length))
            return i;
    return -1;
}

/* Both relative to src/. Headers outside the layers (the public one, a neighbour by its bare name) are fine. */
static bool may_include(const char *file, const char *header)
{
    int own = find_layer(file), other = find_layer(header);

    if (!strncmp(file, "weights/", 8) && !strcmp(header, "io/safetensors.h"))
        return true;
    return own >= 0 && (strchr(header, '/') ? other >= 0 && other <= own : true);
}

/* A line of code that only the backend layer may have. Headers are told by the file's name alone, so that
 * <oneapi/dnnl/dnnl.h> is found too. */
static bool is_of_a_backend(const char *line)
{
    static const char *const words[] = {"ons_backend_cpu", "ons_backend_ref", "ons_cpu_",    "ons_onednn_",
                                        "dnnl.h",          "backend/cpu/",    "backend/ref/"};

    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strstr(line, words[i]))
            return true;
    return false;
}

static bool may_name_backends(const char *file)
{
    return find_layer(file) == find_layer("backend/");
}

typedef struct scan {
    const char *root; /* .../src */
    int n_files, n_includes, n_wrong;
} scan;

static void scan_file(scan *s, const char *path)
{
    const char *relative = path + strlen(s->root) + 1;
    FILE *f = fopen(path, "r");
    char line[1024], header[512];

    assert_non_null(f);
    s->n_files++;
    for (int number = 1; fgets(line, sizeof line, f); number++) {
        if (!may_name_backends(relative) && is_of_a_backend(line)) {
            print_error("src/%s:%d names what only backend knows: %s", relative, number, line);
            s->n_wrong++;
        }
        if (sscanf(line, " # include \"%511[^\"]\"", header) != 1)
            continue;
        s->n_includes++;
        if (!may_include(relative, header)) {
            print_error("src/%s:%d includes \"%s\", which is not of an earlier layer\n", relative, number,
                        header);
            s->n_wrong++;
        }
    }
    fclose(f);
}

static bool is_source(const char *name)
{
    const char *dot = strrchr(name, '.');

    return dot && (!strcmp(dot, ".c") || !strcmp(dot, ".h") || !strcmp(dot, ".def") || !strcmp(dot, ".inc"));
}

static void scan_folder(scan *s, const char *folder)
{
    DIR *d = opendir(folder);
    struct dirent *e;

    assert_non_null(d);
    while ((e = readdir(d))) {
        char path[4096];
        struct stat st;

        if (e->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        assert_int_equal(stat(path, &st), 0);
        if (S_ISDIR(st.st_mode))
            scan_folder(s, path);
        else if (is_source(e->d_name))
            scan_file(s, path);
    }
    closedir(d);
}

static void test_sources(void **state)
{
    const char *root = getenv("ONESTEP_SOURCE_ROOT");
    char src[4096];
    scan s = {src, 0, 0, 0};

    (void)state;
    snprintf(src, sizeof src, "%s/src", root ? root : ".");
    scan_folder(&s, src);
    assert_true(s.n_files > 20);
    assert_true(s.n_includes > 20);
    assert_int_equal(s.n_wrong, 0);
}

static void test_rule(void **state)
{
    (void)state;
    assert_true(may_include("graph/graph.h", "tensor/tensor.h"));
    assert_true(may_include("graph/passes/cse.c", "graph/graph.h"));
    assert_true(may_include("base/status.h", "onestep.h"));
    assert_true(may_include("cli/main.c", "eval/eval.h"));
    assert_true(may_include("weights/weights.c", "io/safetensors.h"));
    assert_false(may_include("weights/weights.c", "io/png.h"));
    assert_false(may_include("graph/graph.c", "backend/backend.h"));
    assert_false(may_include("base/file.c", "tensor/tensor.h"));
    assert_false(may_include("graph/graph.c", "unknown/thing.h"));
    assert_false(may_include("unknown/thing.c", "base/status.h"));
}

static void test_backends_are_hidden(void **state)
{
    (void)state;
    assert_true(is_of_a_backend("#include <dnnl.h>\n"));
    assert_true(is_of_a_backend("#include <oneapi/dnnl/dnnl.h>\n"));
    assert_true(is_of_a_backend("    b = &ons_backend_ref64;\n"));
    assert_true(is_of_a_backend("#include \"backend/cpu/cpu.h\"\n"));
    assert_false(is_of_a_backend("    b = ons_backend_default();\n"));
    assert_false(is_of_a_backend("#include \"backend/backend.h\"\n"));
    assert_true(may_name_backends("backend/cpu/onednn.c"));
    assert_true(may_name_backends("backend/registry.c"));
    assert_false(may_name_backends("train/checkpoint.c"));
    assert_false(may_name_backends("weights/packed.c"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sources), cmocka_unit_test(test_rule),
                                       cmocka_unit_test(test_backends_are_hidden)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
