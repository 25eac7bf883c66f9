/* A tiny teacher and a tiny student in a temporary folder, for all cases of a program. */
#ifndef ONS_TESTS_CLI_TINY_MODELS_H
#define ONS_TESTS_CLI_TINY_MODELS_H

extern char *folder, teacher[4096], student[4096]; /* between the two calls */

/* For cmocka_run_group_tests. */
int make_models(void **state);
int remove_models(void **state);

#endif
