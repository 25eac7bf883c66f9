/* UTF-8 that may be damaged, and Latin-1 that people still have. */
#ifndef ONS_TEXT_UTF8_H
#define ONS_TEXT_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Decodes one code point of text[0, size), size > 0; *n_bytes consumed (>= 1). A damaged sequence gives U+FFFD.
 */
int32_t ons_utf8_next(const char *text, size_t size, size_t *n_bytes);
/* Writes 1 to 4 bytes for a valid code point; returns how many. */
int ons_utf8_put(int32_t code_point, char out[4]);
bool ons_utf8_valid(const char *text, size_t size);
/* NUL-terminated UTF-8 of Latin-1 bytes; NULL: no memory. Free with ons_free. */
char *ons_latin1_to_utf8(const char *text, size_t size);

#endif
