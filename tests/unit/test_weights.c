/* The weight store: declaration, layout, initialisation, packed copies, and files in both layouts. */
#include "unit_test.h"

#include <math.h>

#include "io/safetensors.h"
#include "weights/packed_file.h"

enum { OUT = 3, IN = 5, KH = 2, KW = 4 };

static const ons_shape conv_shape = {4, {OUT, KH, KW, IN}}, matrix_shape = {2, {4, 6}}, vector_shape = {1, {7}};

static onestep_status declare(ons_params *p)
{
    onestep_status st;
    int index;

    ONS_TRY(ons_params_require(p, "conv.weight", ONS_PARAM_CONV, &conv_shape, ONS_INIT_NORMAL, 0.5, &index));
    ONS_TRY(
        ons_params_require(p, "to_q.weight", ONS_PARAM_MATRIX, &matrix_shape, ONS_INIT_UNIFORM, 0.25, &index));
    ONS_TRY(ons_params_require(p, "norm.bias", ONS_PARAM_VECTOR, &vector_shape, ONS_INIT_ONE, 0, &index));
    ONS_TRY(ons_params_allocate(p));
fail:
    return st;
}

static ons_params *make_params(uint64_t seed)
{
    ons_params *p = NULL;

    assert_ok(ons_params_create(&p));
    assert_ok(declare(p));
    ons_params_init(p, seed);
    return p;
}

static void parameters_are_declared_once(void **state)
{
    ons_params *p = make_params(1);
    int index;

    (void)state;
    assert_int_equal(ons_params_count(p), 3);
    assert_int_equal(ons_params_find(p, "norm.bias"), 2);
    assert_int_equal(ons_params_find(p, "norm"), -1);
    assert_ok(ons_params_require(p, "to_q.weight", ONS_PARAM_MATRIX, &matrix_shape, ONS_INIT_ZERO, 0, &index));
    assert_int_equal(index, 1);
    assert_int_equal(
        ons_params_require(p, "norm.bias", ONS_PARAM_VECTOR, &matrix_shape, ONS_INIT_ZERO, 0, &index),
        ONESTEP_BAD_ARGUMENT);
    assert_error_has("[7]");
    assert_error_has("[4, 6]");
    assert_int_equal(ons_params_require(p, "new", ONS_PARAM_VECTOR, &vector_shape, ONS_INIT_ZERO, 0, &index),
                     ONESTEP_BAD_ARGUMENT);
    assert_error_has("new");
    assert_int_equal(ons_params_n_values(p), OUT * IN * KH * KW + 24 + 7);
    assert_int_equal(ons_params_region_size(p), 128 + 32 + 16);
    for (int i = 0; i < 3; i++) {
        assert_int_equal((uintptr_t)ons_params_data(p, i) % 64, 0);
        assert_ptr_equal(ons_params_data(p, i), ons_params_region(p) + ons_params_at(p, i)->offset);
    }
    ons_params_destroy(&p);
    assert_null(p);
    ons_params_destroy(&p);
}

static void hundreds_of_names_are_found(void **state)
{
    ons_params *p = NULL;
    int index;
    char name[32];

    (void)state;
    assert_ok(ons_params_create(&p));
    for (int i = 0; i < 700; i++) {
        snprintf(name, sizeof name, "blocks.%d.weight", i);
        assert_ok(ons_params_require(p, name, ONS_PARAM_VECTOR, &vector_shape, ONS_INIT_ZERO, 0, &index));
        assert_int_equal(index, i);
    }
    for (int i = 0; i < 700; i++) {
        snprintf(name, sizeof name, "blocks.%d.weight", i);
        assert_int_equal(ons_params_find(p, name), i);
        assert_string_equal(ons_params_at(p, i)->name, name);
    }
    ons_params_destroy(&p);
}

static void initialisation_follows_the_declaration(void **state)
{
    ons_params *p = make_params(1), *q = make_params(1), *r = make_params(2), *copy = NULL, *zeros = NULL;
    size_t bytes = ons_params_region_size(p) * sizeof(float);

    (void)state;
    assert_memory_equal(ons_params_region(p), ons_params_region(q), bytes);
    assert_memory_not_equal(ons_params_region(p), ons_params_region(r), bytes);
    for (int i = 0; i < 24; i++)
        assert_true(fabsf(ons_params_data(p, 1)[i]) <= 0.25f);
    for (int i = 0; i < 7; i++)
        assert_true(ons_params_data(p, 2)[i] == 1);
    for (int i = 7; i < 16; i++)
        assert_true(ons_params_data(p, 2)[i] == 0); /* gaps stay zero */
    assert_ok(ons_params_clone(p, true, &copy));
    assert_memory_equal(ons_params_region(p), ons_params_region(copy), bytes);
    assert_ok(ons_params_clone(p, false, &zeros));
    for (size_t i = 0; i < ons_params_region_size(zeros); i++)
        assert_true(ons_params_region(zeros)[i] == 0);
    assert_int_equal(ons_params_find(zeros, "norm.bias"), 2);
    ons_params_destroy(&p);
    ons_params_destroy(&q);
    ons_params_destroy(&r);
    ons_params_destroy(&copy);
    ons_params_destroy(&zeros);
}

static void pack_scaled(void *dst, const float *src, const ons_param *param, const void *context)
{
    for (int64_t i = 0; i < ons_shape_count(&param->shape); i++)
        ((float *)dst)[i] = src[i] * *(const float *)context;
}

static void packed_copies_are_shared_and_follow_the_version(void **state)
{
    ons_params *p = make_params(1);
    float two = 2;
    ons_packed *k = ons_params_packed(p, 2, "scaled", 7 * sizeof two, (ons_packer){.from_values = pack_scaled},
                                      &two, sizeof two);

    (void)state;
    assert_non_null(k);
    two = 9; /* the set keeps a copy */
    assert_ptr_equal(k, ons_params_packed(p, 2, "scaled", 7 * sizeof two,
                                          (ons_packer){.from_values = pack_scaled}, &two, sizeof two));
    assert_ptr_not_equal(k, ons_params_packed(p, 2, "other", 7 * sizeof two,
                                              (ons_packer){.from_values = pack_scaled}, &two, sizeof two));
    assert_null(ons_packed_data(k)); /* announced */
    assert_int_equal(ons_params_packed_bytes(p), 14 * sizeof two);
    assert_ok(ons_params_refresh(p));
    const float *data = ons_packed_data(k);
    assert_true(data[6] == 2);
    ons_params_data(p, 2)[6] = 5;
    assert_ok(ons_params_refresh(p));
    assert_true(data[6] == 2); /* not announced */
    uint64_t before = ons_params_version(p);
    ons_params_touch(p);
    assert_true(ons_params_version(p) > before);
    assert_ok(ons_params_refresh(p));
    assert_true(data[6] == 10);
    before = ons_params_version(p);
    ons_params_release_packed(p);
    assert_true(ons_params_version(p) > before); /* so that plans ask again */
    assert_null(ons_packed_data(k));
    assert_ok(ons_params_refresh(p));
    assert_true(((const float *)ons_packed_data(k))[6] == 10);
    for (long n = 1; n <= 3; n++) {
        ons_memory_fail_after(n);
        assert_null(
            ons_params_packed(p, 0, "third", 64, (ons_packer){.from_values = pack_scaled}, &two, sizeof two));
        ons_memory_fail_after(0);
    }
    ons_params_destroy(&p);
}

static int n_packed; /* calls of pack_counted */

static void pack_counted(void *dst, const float *src, const ons_param *param, const void *context)
{
    n_packed++;
    pack_scaled(dst, src, param, context);
}

static ons_packed *announce(ons_params *p, const char *layout)
{
    const float two = 2;
    ons_packed *k = ons_params_packed(p, 2, layout, 7 * sizeof two, (ons_packer){.from_values = pack_counted},
                                      &two, sizeof two);

    assert_non_null(k);
    return k;
}

static ons_params *map_params(const char *path)
{
    ons_params *p = make_params(9);
    ons_safetensors *f;

    assert_ok(ons_safetensors_open(path, &f));
    assert_ok(ons_params_map(p, f, NULL));
    ons_safetensors_close(&f);
    return p;
}

/* What one set wrote another uses without packing, until its values change: then it packs, and never returns.
 */
static void packed_files_serve_the_values_that_they_were_made_from(void **state)
{
    ons_params *p = make_params(1), *trained;
    ons_packed *k;
    ons_safetensors *f = NULL;
    char source[256], path[256];
    const char *made_for;

    (void)state;
    strcpy(source, in_scratch("s.safetensors"));
    strcpy(path, in_scratch("p.safetensors"));
    assert_ok(ons_params_save(p, source, ONS_F32));
    assert_int_equal(ons_packed_file_write(path, "here", "tests", &(ons_packed_set){"set", p}, 1),
                     ONESTEP_BAD_ARGUMENT); /* values of no file */
    ons_params_destroy(&p);
    p = map_params(source);
    announce(p, "scaled");
    assert_ok(ons_packed_file_write(path, "here", "tests", &(ons_packed_set){"set", p}, 1));
    assert_int_equal(ons_packed_file_open(path, "there", &f), ONESTEP_UNSUPPORTED);
    assert_error_has("was made on here, this is there");
    assert_int_equal(ons_packed_file_open(source, "here", &f), ONESTEP_BAD_FILE);
    assert_ok(ons_packed_file_open(path, "here", &f));
    trained = map_params(source);
    assert_int_equal(ons_params_use_packed_file(trained, "other", f), ONESTEP_UNSUPPORTED);
    assert_ok(ons_params_use_packed_file(trained, "set", f));
    ons_safetensors_close(&f); /* the set has it still */
    n_packed = 0;
    k = announce(trained, "scaled");
    assert_int_equal(ons_params_stocked_bytes(trained, &made_for), 7 * sizeof(float));
    assert_string_equal(made_for, "tests");
    assert_ok(ons_params_refresh(trained));
    assert_int_equal(n_packed, 0);
    assert_true(((const float *)ons_packed_data(k))[6] == 2);
    ons_params_release_packed(trained);
    assert_null(ons_packed_data(k));
    assert_ok(ons_params_refresh(trained));
    assert_int_equal(n_packed, 0); /* the values are what they were */
    assert_true(((const float *)ons_packed_data(k))[6] == 2);
    announce(trained, "another");
    assert_ok(ons_params_refresh(trained));
    assert_int_equal(n_packed, 1); /* which the file has not */
    ons_params_data(trained, 2)[6] = 5;
    ons_params_touch(trained);
    assert_ok(ons_params_refresh(trained));
    assert_int_equal(n_packed, 3);
    assert_true(((const float *)ons_packed_data(k))[6] == 10);
    assert_int_equal(ons_params_stocked_bytes(trained, &made_for), 0);
    ons_params_destroy(&trained);
    ons_params_destroy(&p);
}

static void files_hold_convolutions_as_oihw(void **state)
{
    ons_params *p = make_params(1), *q = make_params(2);
    ons_safetensors *f = NULL;

    (void)state;
    assert_ok(ons_params_save(p, in_scratch("w.safetensors"), ONS_F32));
    assert_ok(ons_safetensors_open(in_scratch("w.safetensors"), &f));
    const ons_file_tensor *t = ons_safetensors_find(f, "conv.weight");
    assert_non_null(t);
    assert_int_equal(t->n_dims, 4);
    assert_int_equal(t->dims[1], IN);
    assert_int_equal(t->dims[3], KW);
    for (int o = 0; o < OUT; o++)
        for (int i = 0; i < IN; i++)
            for (int y = 0; y < KH; y++)
                for (int x = 0; x < KW; x++) {
                    float in_file;
                    memcpy(&in_file, (const float *)t->data + ((o * IN + i) * KH + y) * KW + x, sizeof in_file);
                    assert_true(in_file == ons_params_data(p, 0)[((o * KH + y) * KW + x) * IN + i]);
                }
    assert_string_equal(ons_safetensors_metadata(f, "format"), "pt");
    uint64_t before = ons_params_version(q);
    assert_ok(ons_params_load(q, f, ""));
    assert_true(ons_params_version(q) > before);
    assert_memory_equal(ons_params_region(p), ons_params_region(q), ons_params_region_size(p) * sizeof(float));
    ons_safetensors_close(&f);
    ons_params_destroy(&p);
    ons_params_destroy(&q);
}

static void half_files_round_and_load(void **state)
{
    static const ons_dtype types[] = {ONS_F16, ONS_BF16};
    static const float tolerance[] = {0x1p-11f, 0x1p-8f};
    ons_params *p = make_params(1);

    (void)state;
    for (int k = 0; k < 2; k++) {
        ons_params *q = make_params(2);
        ons_safetensors *f = NULL;
        assert_ok(ons_params_save(p, in_scratch("h.safetensors"), types[k]));
        assert_ok(ons_safetensors_open(in_scratch("h.safetensors"), &f));
        assert_ok(ons_params_load(q, f, ""));
        for (size_t i = 0; i < ons_params_region_size(p); i++) {
            float want = ons_params_region(p)[i], got = ons_params_region(q)[i];
            assert_true(fabsf(got - want) <= tolerance[k] * fabsf(want) + 1e-7f);
        }
        ons_safetensors_close(&f);
        ons_params_destroy(&q);
    }
    ons_params_destroy(&p);
}

/* Writes one tensor per row; data are bytes of zero. */
typedef struct entry {
    const char *name;
    ons_dtype type;
    int n_dims;
    int64_t dims[4];
} entry;

static ons_safetensors *make_file(const entry *rows, int n)
{
    static const char zeros[4096];
    ons_safetensors_writer *w = NULL;
    ons_safetensors *f = NULL;

    assert_ok(ons_safetensors_writer_create(&w));
    for (int i = 0; i < n; i++)
        assert_ok(ons_safetensors_writer_add(w, rows[i].name, rows[i].type, rows[i].n_dims, rows[i].dims));
    assert_ok(ons_safetensors_writer_begin(w, in_scratch("m.safetensors")));
    for (int i = 0; i < n; i++) {
        size_t size = ons_dtype_size(rows[i].type);
        for (int d = 0; d < rows[i].n_dims; d++)
            size *= (size_t)rows[i].dims[d];
        assert_ok(ons_safetensors_writer_data(w, zeros, size));
    }
    assert_ok(ons_safetensors_writer_commit(w));
    ons_safetensors_writer_destroy(&w);
    assert_ok(ons_safetensors_open(in_scratch("m.safetensors"), &f));
    return f;
}

static void mismatches_name_the_tensor_and_both_shapes(void **state)
{
    entry rows[] = {{"u.conv.weight", ONS_F32, 4, {OUT, IN, KH, KW}},
                    {"u.to_q.weight", ONS_F16, 4, {4, 6, 1, 1}},
                    {"u.norm.bias", ONS_F64, 1, {7}},
                    {"extra", ONS_I64, 0, {0}}};
    ons_params *p = make_params(1);
    ons_safetensors *f = make_file(rows, 4);

    (void)state;
    assert_ok(ons_params_load(p, f, "u.")); /* [o, i, 1, 1] is as good as [o, i] */
    assert_int_equal(ons_params_load(p, f, ""), ONESTEP_NOT_FOUND);
    assert_error_has("conv.weight");
    ons_safetensors_close(&f);
    rows[0].dims[1] = KH;
    rows[0].dims[2] = IN;
    f = make_file(rows, 4);
    assert_int_equal(ons_params_load(p, f, "u."), ONESTEP_BAD_FILE);
    assert_error_has("u.conv.weight");
    assert_error_has("[3, 2, 5, 4]");
    assert_error_has("[3, 5, 2, 4]");
    ons_safetensors_close(&f);
    rows[0].dims[1] = IN;
    rows[0].dims[2] = KH;
    rows[2].type = ONS_I32;
    f = make_file(rows, 4);
    assert_int_equal(ons_params_load(p, f, "u."), ONESTEP_BAD_FILE);
    assert_error_has("I32");
    ons_safetensors_close(&f);
    ons_params_destroy(&p);
}

static onestep_status save_and_load(void)
{
    ons_params *p = NULL, *q = NULL;
    ons_safetensors *f = NULL;
    onestep_status st;

    ONS_TRY(ons_params_create(&p));
    ONS_TRY(declare(p));
    ONS_TRY(ons_params_save(p, in_scratch("fault.safetensors"), ONS_BF16));
    ONS_TRY(ons_params_clone(p, false, &q));
    ONS_TRY(ons_safetensors_open(in_scratch("fault.safetensors"), &f));
    ONS_TRY(ons_params_load(q, f, ""));
fail:
    ons_safetensors_close(&f);
    ons_params_destroy(&p);
    ons_params_destroy(&q);
    return st;
}

static void every_failing_allocation_is_survived(void **state)
{
    onestep_status st = ONESTEP_NO_MEMORY;
    long n = 0;

    (void)state;
    while (st == ONESTEP_NO_MEMORY) {
        ons_memory_fail_after(++n);
        st = save_and_load();
        ons_memory_fail_after(0);
    }
    assert_ok(st);
    assert_true(n > 30);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parameters_are_declared_once),
        cmocka_unit_test(hundreds_of_names_are_found),
        cmocka_unit_test(initialisation_follows_the_declaration),
        cmocka_unit_test(packed_copies_are_shared_and_follow_the_version),
        cmocka_unit_test(packed_files_serve_the_values_that_they_were_made_from),
        cmocka_unit_test(files_hold_convolutions_as_oihw),
        cmocka_unit_test(half_files_round_and_load),
        cmocka_unit_test(mismatches_name_the_tensor_and_both_shapes),
        cmocka_unit_test(every_failing_allocation_is_survived),
    };
    return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}
