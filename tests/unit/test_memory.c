/* Status texts, the allocation hook, aligned blocks, arenas and checked arithmetic. */
#include "unit_test.h"

#include "base/checked.h"

static void statuses_have_names(void **state)
{
    (void)state;
    for (int i = ONESTEP_OK; i <= ONESTEP_INTERNAL; i++) {
        assert_true(strlen(onestep_status_name((onestep_status)i)) > 0);
        assert_string_not_equal(onestep_status_name((onestep_status)i), "unknown status");
    }
    assert_string_equal(onestep_status_name((onestep_status)99), "unknown status");
    assert_string_equal(onestep_version(), ONS_VERSION);
}

static void messages_are_kept_cut_and_nested(void **state)
{
    char text[4096];

    (void)state;
    assert_int_equal(ons_fail(ONESTEP_IO, "%s: %d", "a", 7), ONESTEP_IO);
    assert_string_equal(onestep_error_text(), "a: 7");
    assert_int_equal(ons_fail(ONESTEP_IO, "again (%s)", onestep_error_text()), ONESTEP_IO);
    assert_string_equal(onestep_error_text(), "again (a: 7)");
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    assert_int_equal(ons_fail_text(ONESTEP_IO, text), ONESTEP_IO);
    size_t n = strlen(onestep_error_text());
    assert_true(n < sizeof text && n > 100);
    assert_string_equal(onestep_error_text() + n - 3, "...");
    assert_int_equal(ons_fail(ONESTEP_IO, "%s", text), ONESTEP_IO);
    assert_string_equal(onestep_error_text() + n - 3, "...");
}

static void the_chosen_allocation_fails(void **state)
{
    (void)state;
    for (long n = 1; n <= 5; n++) {
        void *p[5];
        ons_memory_fail_after(n);
        p[0] = ons_malloc(8);
        p[1] = ons_calloc(2, 8);
        p[2] = ons_strdup("text");
        p[3] = ons_format("%d", 12345);
        p[4] = ons_calloc_aligned(8);
        for (int i = 0; i < 5; i++)
            assert_int_equal(p[i] == NULL, i + 1 == n);
        for (int i = 0; i < 4; i++)
            ons_free(p[i]);
        ons_free_aligned(p[4]);
    }
    ons_memory_fail_after(3);
    ons_memory_fail_after(0);
    for (int i = 0; i < 5; i++) {
        void *p = ons_malloc(1);
        assert_non_null(p);
        ons_free(p);
    }
}

static void products_are_checked(void **state)
{
    uint64_t out;

    (void)state;
    volatile size_t huge = SIZE_MAX / 4;
    assert_null(ons_calloc(huge, 8));
    assert_null(ons_calloc_aligned(SIZE_MAX - 3));
    assert_true(ons_mul_u64(UINT64_C(1) << 31, UINT64_C(1) << 32, &out));
    assert_true(out == UINT64_C(1) << 63);
    assert_false(ons_mul_u64(UINT64_C(1) << 32, UINT64_C(1) << 32, &out));
}

static void aligned_blocks_are_aligned_and_zero(void **state)
{
    static const size_t sizes[] = {0, 1, 63, 64, 65, 4096, (1 << 20) - 65, 1 << 20, 3 << 20};

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        unsigned char *p = ons_calloc_aligned(sizes[i]);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 64, 0);
        for (size_t k = 0; k < sizes[i]; k++)
            assert_int_equal(p[k], 0);
        memset(p, 0xAA, sizes[i]);
        ons_free_aligned(p);
    }
    ons_free_aligned(NULL);
}

static void arenas_hand_out_separate_zeroed_pieces(void **state)
{
    ons_arena *a = ons_arena_create();
    unsigned char *pieces[200];

    (void)state;
    assert_non_null(a);
    for (size_t i = 0; i < 200; i++) {
        size_t size = i * i % 3000 + 1;
        pieces[i] = ons_arena_alloc(a, size);
        assert_non_null(pieces[i]);
        assert_int_equal((uintptr_t)pieces[i] % 16, 0);
        for (size_t k = 0; k < size; k++)
            assert_int_equal(pieces[i][k], 0);
        memset(pieces[i], (int)i, size);
    }
    for (size_t i = 0; i < 200; i++)
        for (size_t k = 0; k < i * i % 3000 + 1; k++)
            assert_int_equal(pieces[i][k], (unsigned char)i);
    assert_non_null(ons_arena_alloc(a, 100000)); /* more than a chunk */
    assert_null(ons_arena_alloc(a, SIZE_MAX - 8));
    assert_string_equal(ons_arena_strdup(a, "kept"), "kept");
    ons_memory_fail_after(1);
    assert_null(ons_arena_alloc(a, 100000));
    ons_memory_fail_after(0);
    ons_arena_destroy(&a);
    assert_null(a);
    ons_arena_destroy(&a);
    ons_arena_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statuses_have_names),
        cmocka_unit_test(messages_are_kept_cut_and_nested),
        cmocka_unit_test(the_chosen_allocation_fails),
        cmocka_unit_test(products_are_checked),
        cmocka_unit_test(aligned_blocks_are_aligned_and_zero),
        cmocka_unit_test(arenas_hand_out_separate_zeroed_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
