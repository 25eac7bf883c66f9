/* Writes the tiny teacher into the folder named by the first argument; for tests that must not see the inside
 * of the library. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tiny.h"

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    make_tiny_model(argv[1], false);
    return 0;
}
