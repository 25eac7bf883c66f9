/* SHA-256 (FIPS 180-4), piece by piece; of a file read in blocks: models are larger than one wants to map for a
 * checksum. */
#include "base/file.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

static const uint32_t round_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t rotate_right(uint32_t x, int n)
{
    return x >> n | x << (32 - n);
}

static void expand_block(const unsigned char *block, uint32_t w[64])
{
    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 |
               (uint32_t)block[4 * i + 2] << 8 | block[4 * i + 3];
    for (int i = 16; i < 64; i++) {
        uint32_t s0 = rotate_right(w[i - 15], 7) ^ rotate_right(w[i - 15], 18) ^ w[i - 15] >> 3;
        uint32_t s1 = rotate_right(w[i - 2], 17) ^ rotate_right(w[i - 2], 19) ^ w[i - 2] >> 10;
        w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
}

/* v holds a..h; each round moves them by one place. */
static void digest_block(uint32_t state[8], const unsigned char *block)
{
    uint32_t w[64], v[8];

    expand_block(block, w);
    memcpy(v, state, sizeof v);
    for (int i = 0; i < 64; i++) {
        uint32_t s1 = rotate_right(v[4], 6) ^ rotate_right(v[4], 11) ^ rotate_right(v[4], 25);
        uint32_t choice = (v[4] & v[5]) ^ (~v[4] & v[6]);
        uint32_t t1 = v[7] + s1 + choice + round_constants[i] + w[i];
        uint32_t s0 = rotate_right(v[0], 2) ^ rotate_right(v[0], 13) ^ rotate_right(v[0], 22);
        uint32_t majority = (v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]);
        memmove(v + 1, v, 7 * sizeof *v);
        v[4] += t1;
        v[0] = t1 + s0 + majority;
    }
    for (int i = 0; i < 8; i++)
        state[i] += v[i];
}

void ons_sha256_begin(ons_sha256 *h)
{
    *h = (ons_sha256){.state = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c,
                                0x1f83d9ab, 0x5be0cd19}};
}

void ons_sha256_add(ons_sha256 *h, const void *data, size_t size)
{
    const unsigned char *p = data;
    const size_t held = h->total_bytes % 64;

    h->total_bytes += size;
    if (held) {
        const size_t taken = size < 64 - held ? size : 64 - held;

        memcpy(h->tail + held, p, taken);
        if (held + taken < 64)
            return;
        digest_block(h->state, h->tail);
        p += taken;
        size -= taken;
    }
    for (; size >= 64; p += 64, size -= 64)
        digest_block(h->state, p);
    if (size)
        memcpy(h->tail, p, size);
}

/* The last partial block with its padding: a one bit, zeros, and the length in bits, big endian. */
void ons_sha256_end(ons_sha256 *h, char hex[65])
{
    const size_t n = h->total_bytes % 64, padded = n < 56 ? 64 : 128;
    unsigned char block[128] = {0};

    memcpy(block, h->tail, n);
    block[n] = 0x80;
    for (int i = 0; i < 8; i++)
        block[padded - 1 - (size_t)i] = (unsigned char)(h->total_bytes * 8 >> 8 * i);
    for (size_t i = 0; i < padded; i += 64)
        digest_block(h->state, block + i);
    for (int i = 0; i < 8; i++)
        snprintf(hex + 8 * i, 9, "%08x", h->state[i]);
}

onestep_status ons_sha256_file(const char *path, char hex[65])
{
    unsigned char buf[16384];
    ons_sha256 hash;
    size_t n;
    FILE *f = fopen(path, "rb");

    if (!f)
        return ons_fail(errno == ENOENT ? ONESTEP_NOT_FOUND : ONESTEP_IO,
                        "%s: cannot read it for its checksum: %s", path, strerror(errno));
    ons_sha256_begin(&hash);
    while ((n = fread(buf, 1, sizeof buf, f)) > 0)
        ons_sha256_add(&hash, buf, n);
    int failed = ferror(f), reason = errno;
    fclose(f);
    if (failed)
        return ons_fail(ONESTEP_IO, "%s: reading for its checksum failed: %s", path, strerror(reason));
    ons_sha256_end(&hash, hex);
    return ONESTEP_OK;
}
