#include "tiny_models.h"

#include <string.h>

#include "program.h"
#include "tiny.h"

char *folder, teacher[4096], student[4096];

int make_models(void **state)
{
    (void)state;
    folder = make_folder();
    strcpy(teacher, in_folder(folder, "teacher"));
    strcpy(student, in_folder(folder, "student"));
    make_tiny_model(teacher, false);
    make_tiny_model(student, true);
    return 0;
}

int remove_models(void **state)
{
    (void)state;
    remove_folder(folder);
    return 0;
}
