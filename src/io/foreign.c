/*
 * What people have in the place of a safetensors file: other formats under any name, and downloads that brought
 * something else. The first eight bytes of a safetensors file are the length of its header, of which the upper
 * four are zero, so that text is never one.
 */
#include "io/foreign.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { N_LOOKED_AT = 64 };

/*
 * Zip archives and bare pickles, both as torch.save writes them. A header's length can look the same (80 02 is
 * 640 bytes), but the ninth byte of a safetensors file is the brace that opens the header.
 */
static bool is_pickle(const ons_map *map)
{
    const unsigned char *d = map->data;

    if (map->size < 4 || (map->size > 8 && d[8] == '{'))
        return false;
    return !memcmp(d, "PK\3\4", 4) || (d[0] == 0x80 && d[1] >= 2 && d[1] <= 5);
}

static bool begins(const ons_map *map, const char *text)
{
    const size_t n = strlen(text);

    return map->size >= n && !memcmp(map->data, text, n);
}

static bool is_text(const ons_map *map)
{
    for (size_t i = 0; i < N_LOOKED_AT && i < map->size; i++)
        if (!isprint(map->data[i]) && !isspace(map->data[i]))
            return false;
    return map->size > 8;
}

static bool begins_with_zeros(const ons_map *map)
{
    for (size_t i = 0; i < N_LOOKED_AT; i++)
        if (i >= map->size || map->data[i])
            return false;
    return true;
}

/* "version https://git-lfs…\noid sha256:…\nsize 3438167536\n" */
static onestep_status refuse_lfs_pointer(const ons_map *map)
{
    char text[256] = "", *size;

    memcpy(text, map->data, map->size < sizeof text ? map->size : sizeof text - 1);
    size = strstr(text, "\nsize ");
    if (size)
        size[6 + strspn(size + 6, "0123456789")] = 0;
    return ons_fail(
        ONESTEP_BAD_FILE,
        "%s: this is a pointer of Git LFS that stands for a file of %s bytes, of which %zu are here; fetch "
        "the file itself (git lfs pull)",
        map->path, size && size[6] ? size + 6 : "unknown many", map->size);
}

/* What a server said instead of sending the file, as far as it is one line. */
static onestep_status refuse_text(const ons_map *map)
{
    char text[N_LOOKED_AT + 1] = "";

    memcpy(text, map->data, map->size < N_LOOKED_AT ? map->size : N_LOOKED_AT);
    text[strcspn(text, "\r\n")] = 0;
    return ons_fail(
        ONESTEP_BAD_FILE,
        "%s: %zu bytes of text and no weights (it begins \"%s\"): a server's answer in the file's place? "
        "Fetch the file again",
        map->path, map->size, text);
}

onestep_status ons_refuse_foreign(const ons_map *map)
{
    if (is_pickle(map))
        return ons_fail(
            ONESTEP_BAD_FILE,
            "%s: this is a Python pickle, which can run code when it is read, so it is never opened; "
            "get the safetensors file, or convert it in Python with safetensors.torch.save_file",
            map->path);
    if (begins(map, "GGUF"))
        return ons_fail(ONESTEP_BAD_FILE,
                        "%s: this is a GGUF file; safetensors is expected: get the model in that format",
                        map->path);
    if (begins(map, "version https://git-lfs"))
        return refuse_lfs_pointer(map);
    if (is_text(map))
        return refuse_text(map);
    if (begins_with_zeros(map))
        return ons_fail(
            ONESTEP_BAD_FILE,
            "%s: begins with zeros: room was made for %zu bytes, but they never arrived; fetch it again",
            map->path, map->size);
    return ONESTEP_OK;
}
