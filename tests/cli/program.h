/* Runs the program as a user does and keeps what it said. */
#ifndef ONS_TESTS_CLI_PROGRAM_H
#define ONS_TESTS_CLI_PROGRAM_H

#include <stddef.h>

typedef struct program_run {
    int code;        /* exit code; 128 + signal */
    char *out, *err; /* NUL-terminated */
    size_t out_size;
} program_run;

/* Arguments end with NULL. Standard input is /dev/null. Released by the next call for the same struct. */
void run_program(program_run *r, const char *first, ...);
void free_run(program_run *r);

/* The next run gets this signal as soon as the file exists; a run that ends before it fails the test. */
void program_signal(int signal_number, const char *when_exists);
/* The next run cannot make a file longer than this, as on a full disk; the error is EFBIG instead of ENOSPC. */
void program_limit_files(size_t size_bytes);

/* Fails the test unless the code is this one and stderr holds the text. */
void expect(const program_run *r, int code, const char *err_has);

/* A fresh folder under the build folder's temporary place; removed with everything in it by remove_folder. */
char *make_folder(void);
void remove_folder(char *folder); /* frees */
/* FOLDER/NAME in one of a few static buffers. */
const char *in_folder(const char *folder, const char *name);
/* Content of a file, NUL-terminated; the test fails when it cannot be read. To be freed. */
char *read_file(const char *path, size_t *size);
void copy_file(const char *from, const char *to);
void assert_same_file(const char *a, const char *b);

#endif
