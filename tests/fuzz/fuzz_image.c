/* PNG and JPEG decoding, and fitting of what came out. Sizes that would only cost time are left out. */
#include <stdlib.h>

#include "fuzz.h"
#include "io/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { SIDE = 16 };
    uint8_t fitted[SIDE * SIDE * 3];
    ons_image image;

    if (ons_image_decode(data, size, "input", &image) != ONESTEP_OK) {
        if (image.rgb)
            abort();
        return 0;
    }
    if (image.width < 1 || image.height < 1 || image.width > ONS_IMAGE_MAX_SIDE ||
        image.height > ONS_IMAGE_MAX_SIDE)
        abort();
    if ((long)image.width * image.height <= 1 << 20)
        ons_image_fit(&image, SIDE, SIDE, fitted);
    ons_image_fini(&image);
    return 0;
}
