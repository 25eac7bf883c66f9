#include "program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_ARGUMENTS = 64 };

/* What awaits the next run. */
static struct {
    int signal;
    char when_exists[4096];
    size_t max_file_bytes;
} next;

void program_signal(int signal_number, const char *when_exists)
{
    next.signal = signal_number;
    snprintf(next.when_exists, sizeof next.when_exists, "%s", when_exists);
}

void program_limit_files(size_t size_bytes)
{
    next.max_file_bytes = size_bytes;
}

static void limit_files(void)
{
    const struct rlimit limit = {next.max_file_bytes, next.max_file_bytes};

    signal(SIGXFSZ, SIG_IGN); /* which would kill; ignored, write says EFBIG */
    if (setrlimit(RLIMIT_FSIZE, &limit))
        _exit(126);
}

static void run_child(char **argv, FILE *out, FILE *err)
{
    const int null = open("/dev/null", O_RDONLY);

    if (next.max_file_bytes)
        limit_files();
    dup2(null, 0);
    dup2(fileno(out), 1);
    dup2(fileno(err), 2);
    execv(argv[0], argv);
    _exit(127);
}

/* Waits for the child's end, with the signal on the way that was asked for. */
static int wait_for(pid_t child)
{
    int status = 0;
    pid_t ended = 0;

    while (next.signal && access(next.when_exists, F_OK) != 0 && ended == 0) {
        usleep(2000);
        ended = waitpid(child, &status, WNOHANG);
    }
    if (ended)
        fail_msg("the program ended before %s was there", next.when_exists);
    if (next.signal)
        kill(child, next.signal);
    memset(&next, 0, sizeof next);
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static char *take_all(FILE *f, size_t *size)
{
    long n;
    char *text;

    fseek(f, 0, SEEK_END);
    n = ftell(f);
    rewind(f);
    text = malloc((size_t)n + 1);
    assert_non_null(text);
    *size = fread(text, 1, (size_t)n, f);
    text[*size] = 0;
    fclose(f);
    return text;
}

void free_run(program_run *r)
{
    free(r->out);
    free(r->err);
    *r = (program_run){0};
}

void run_program(program_run *r, const char *first, ...)
{
    char *argv[MAX_ARGUMENTS] = {getenv("ONESTEP_PROGRAM")};
    FILE *out = tmpfile(), *err = tmpfile();
    int n = 1;
    size_t err_size;
    va_list args;
    pid_t child;

    free_run(r);
    assert_non_null(argv[0]);
    assert_true(out && err);
    va_start(args, first);
    for (const char *a = first; a && n < MAX_ARGUMENTS - 1; a = va_arg(args, const char *))
        argv[n++] = (char *)a;
    va_end(args);
    child = fork();
    if (child == 0)
        run_child(argv, out, err);
    assert_true(child > 0);
    r->code = wait_for(child);
    r->out = take_all(out, &r->out_size);
    r->err = take_all(err, &err_size);
}

void expect(const program_run *r, int code, const char *err_has)
{
    if (r->code != code || (err_has && !strstr(r->err, err_has)))
        fail_msg("exit code %d, want %d; stderr, wanted with \"%s\":\n%s", r->code, code,
                 err_has ? err_has : "", r->err);
}

char *make_folder(void)
{
    const char *base = getenv("ONESTEP_TEST_TMP");
    char *path = malloc(4096);

    assert_non_null(path);
    snprintf(path, 4096, "%s/onestep-cli-XXXXXX", base ? base : "/tmp");
    assert_non_null(mkdtemp(path));
    return path;
}

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *where)
{
    (void)info;
    (void)type;
    (void)where;
    return remove(path);
}

void remove_folder(char *folder)
{
    nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    free(folder);
}

const char *in_folder(const char *folder, const char *name)
{
    static char paths[16][4096];
    static int turn;
    char *path = paths[turn++ % 16];

    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

char *read_file(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");

    if (!f)
        fail_msg("%s is not there", path);
    return take_all(f, size);
}

void copy_file(const char *from, const char *to)
{
    size_t n;
    char *content = read_file(from, &n);
    FILE *f = fopen(to, "wb");

    if (!f || fwrite(content, 1, n, f) != n || fclose(f))
        fail_msg("%s cannot be copied to %s", from, to);
    free(content);
}

void assert_same_file(const char *a, const char *b)
{
    size_t n, m;
    char *x = read_file(a, &n), *y = read_file(b, &m);

    if (n != m || memcmp(x, y, n) != 0)
        fail_msg("%s and %s differ", a, b);
    free(x);
    free(y);
}
