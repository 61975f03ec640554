/* The loops of the corruptions that array code is slow at. Every function repeats the arithmetic of its array form,
 * operation for operation, so that both give the same bytes; it must be compiled without contraction to fused
 * multiply-adds. Images are interleaved (n, h, w, c). No function allocates: callers pass the workspace. */
#include <math.h>
#include <stdint.h>
#include <string.h>

#define CHANNELS 3
#define QUAD 4
typedef double quad __attribute__((vector_size(QUAD * sizeof(double))));
typedef float quad32 __attribute__((vector_size(QUAD * sizeof(float))));

static uint8_t to_byte(double v) {
    v = v > 0.0 ? v : 0.0;
    v = v < 1.0 ? v : 1.0;
    return (uint8_t)(v * 255.0);
}

static uint8_t to_byte32(float v) {
    v = v > 0.0f ? v : 0.0f;
    v = v < 1.0f ? v : 1.0f;
    return (uint8_t)(v * 255.0f);
}

/* Uniform numbers of raw words: ((w >> 11) + 1/2) / 2**53, at most the largest number below 1. */
void uniform(const uint64_t *restrict words, double *restrict out, long n) {
    const double scale = 1.0 / 9007199254740992.0, top = 1.0 - scale;
    for (long i = 0; i < n; i++) {
        const double u = ((double)(int64_t)(words[i] >> 11) + 0.5) * scale;
        out[i] = u < top ? u : top;
    }
}

/* Normal numbers of uniform ones; table: (pieces, 8), 32 pieces an octave from 2**-54 on. */
void normal(const double *restrict in, double *restrict out, long n, const double *restrict table) {
    const double scale = 1.0 / 140737488355328.0; /* 2**-47 */
    for (long i = 0; i < n; i++) {
        const double u = in[i], other = 1.0 - u, tail = other < u ? other : u;
        int64_t bits;
        memcpy(&bits, &tail, sizeof bits);
        const double *c = table + 8 * ((bits >> 47) - ((1023 - 54) << 5));
        const double t = (double)(bits & 0x7FFFFFFFFFFF) * scale - 0.5;
        const double z = (((((c[6] * t + c[5]) * t + c[4]) * t + c[3]) * t + c[2]) * t + c[1]) * t + c[0];
        out[i] = copysign(z, u - 0.5);
    }
}

/* Poisson counts: the first place of the row of `cdf` above the uniform number, between two guides. */
void poisson(const double *restrict in, const uint8_t *restrict levels, int16_t *restrict out, long n,
             const double *restrict cdf, const int16_t *restrict first, const int16_t *restrict last, long counts,
             long bins) {
    for (long i = 0; i < n; i++) {
        const long cell = levels[i] * bins + (long)(in[i] * bins);
        long low = first[cell], high = last[cell];
        const double *row = cdf + levels[i] * counts;
        while (low < high) {
            const long middle = (low + high) / 2;
            if (row[middle] > in[i])
                high = middle;
            else
                low = middle + 1 < high ? middle + 1 : high;
        }
        out[i] = (int16_t)low;
    }
}

/* Sum of a row of `length` values and its neighbours at distance `step`, 2 * step, ...: pairs from the outermost in. */
static void filter_row(const double *restrict centre, double *restrict out, long length, long step,
                       const double *restrict weights, long radius) {
    for (long i = 0; i < length; i++)
        out[i] = centre[i] * weights[0];
    for (long k = radius; k >= 1; k--) {
        const double *before = centre - k * step, *after = centre + k * step;
        const double weight = weights[k];
        for (long i = 0; i < length; i++)
            out[i] += (before[i] + after[i]) * weight;
    }
}

/* Place beyond a border of 0..n-1: the edge repeated, or mirrored with the edge (at most n beyond). */
static long inside(long place, long n, long reflect) {
    if (place < 0)
        return reflect ? -place - 1 : 0;
    if (place >= n)
        return reflect ? 2 * n - 1 - place : n - 1;
    return place;
}

/* Gaussian filter, columns then rows. work: (h + 2 r) * w * c + (w + 2 r) * c doubles. */
void gaussian(const double *restrict in, double *restrict out, long n, long h, long w, long c,
              const double *restrict weights, long radius, long reflect, double *restrict work) {
    const long line = w * c, image = h * line;
    double *padded = work, *row = work + (h + 2 * radius) * line;
    for (long k = 0; k < n; k++, in += image, out += image) {
        for (long y = -radius; y < h + radius; y++)
            memcpy(padded + (y + radius) * line, in + inside(y, h, reflect) * line, line * sizeof(double));
        for (long y = 0; y < h; y++) {
            double *middle = row + radius * c;
            filter_row(padded + (y + radius) * line, middle, line, line, weights, radius);
            for (long x = 1; x <= radius; x++)
                for (long j = 0; j < c; j++) {
                    middle[j - x * c] = middle[inside(-x, w, reflect) * c + j];
                    middle[line + (x - 1) * c + j] = middle[inside(w + x - 1, w, reflect) * c + j];
                }
            filter_row(middle, out + y * line, line, c, weights, radius);
        }
    }
}

/* One tap after the other of a weighted sum over shifted images in 16-bit quanta (motion blur).
 * steps: (n, taps, 2) as (row, column). work: w * c doubles. */
void motion(const uint8_t *restrict in, uint8_t *restrict out, long n, long h, long w, long c,
            const double *restrict weights, const int32_t *restrict steps, long taps, long margin,
            double *restrict work) {
    const long line = w * c, wide = (w + 2 * margin) * c;
    double *sum = work, *padded = work + line;
    for (long k = 0; k < n; k++, in += h * line, out += h * line, steps += 2 * taps) {
        for (long y = 0; y < h; y++)
            for (long x = -margin; x < w + margin; x++) {
                long from = x < 0 ? 0 : x >= w ? w - 1 : x;
                for (long j = 0; j < c; j++)
                    padded[y * wide + (x + margin) * c + j] = 257.0 * in[y * line + from * c + j];
            }
        for (long y = 0; y < h; y++) {
            memset(sum, 0, line * sizeof(double));
            for (long t = 0; t < taps; t++) {
                long from = y + steps[2 * t];
                from = from < 0 ? 0 : from >= h ? h - 1 : from;
                const double *source = padded + from * wide + (margin + steps[2 * t + 1]) * c, weight = weights[t];
                for (long i = 0; i < line; i++)
                    sum[i] += source[i] * weight;
            }
            for (long i = 0; i < line; i++)
                out[y * line + i] = (uint8_t)((int32_t)(sum[i] + 0.5) / 257);
        }
    }
}

/* Copies between neighbours, target after target from the last to the first (glass blur).
 * shifts: (n, rounds, k, k, 2) as (column, row), k = h - 2 distance. */
void shuffle(uint8_t *restrict images, long n, long h, long w, const int8_t *restrict shifts, long rounds,
             long distance) {
    for (long k = 0; k < n; k++, images += h * w * CHANNELS)
        for (long r = 0; r < rounds; r++)
            for (long y = h - distance; y > distance; y--)
                for (long x = w - distance; x > distance; x--, shifts += 2) {
                    const uint8_t *source = images + ((y + shifts[1]) * w + x + shifts[0]) * CHANNELS;
                    uint8_t *target = images + (y * w + x) * CHANNELS;
                    uint8_t red = source[0], green = source[1], blue = source[2];
                    target[0] = red, target[1] = green, target[2] = blue;
                }
}

/* Mean of an image and its zooms. first, second, share: (layers, side). Pixels have four channels here, the last unused,
 * so that one is one vector. work: side * (side + 2) * 4 doubles; sum: side * side * 4 floats. */
void zoom_blur(const uint8_t *restrict in, uint8_t *restrict out, long n, long side, const int32_t *restrict first,
               const int32_t *restrict second, const double *restrict share, long layers, const float *restrict unit,
               double *restrict work, float *restrict sum) {
    const long line = side * QUAD, size = side * side;
    double *restrict above = work, *restrict below = work + line, *restrict level = work + 2 * line;
    for (long k = 0; k < n; k++, in += size * CHANNELS, out += size * CHANNELS) {
        memset(sum, 0, size * QUAD * sizeof(float));
        for (long i = 0; i < size; i++) {
            for (int j = 0; j < CHANNELS; j++)
                level[i * QUAD + j] = unit[in[i * CHANNELS + j]];
            level[i * QUAD + CHANNELS] = 0.0;
        }
        for (long l = 0; l < layers; l++) {
            const int32_t *f = first + l * side, *s = second + l * side;
            const double *u = share + l * side;
            const long left = f[0], right = s[side - 1] + 1;
            for (long y = 0; y < side; y++) {
                const double *top = level + f[y] * line, *bottom = level + s[y] * line;
                const double wy1 = u[y], wy0 = 1.0 - wy1;
                for (long i = left * QUAD; i < right * QUAD; i++) {
                    above[i] = top[i] * wy0;
                    below[i] = bottom[i] * wy1;
                }
                float *restrict to = sum + y * line;
                for (long x = 0; x < side; x++, to += QUAD) {
                    const double wx1 = u[x], wx0 = 1.0 - wx1;
                    const double *a = above + f[x] * QUAD, *b = above + s[x] * QUAD;
                    const double *c = below + f[x] * QUAD, *d = below + s[x] * QUAD;
                    quad p, q, r, t;
                    memcpy(&p, a, sizeof p), memcpy(&q, b, sizeof q), memcpy(&r, c, sizeof r), memcpy(&t, d, sizeof t);
                    const quad value = ((p * wx0 + q * wx1) + r * wx0) + t * wx1;
                    quad32 total;
                    memcpy(&total, to, sizeof total);
                    total += __builtin_convertvector(value, quad32);
                    memcpy(to, &total, sizeof total);
                }
            }
        }
        for (long i = 0; i < size; i++)
            for (int j = 0; j < CHANNELS; j++) {
                const float here = unit[in[i * CHANNELS + j]];
                out[i * CHANNELS + j] = to_byte32((sum[i * QUAD + j] + here) / (float)(layers + 1));
            }
    }
}

static long mirrored(long place, long side) {
    const long period = side > 1 ? 2 * side - 2 : 1;
    place = (place < 0 ? -place : place) % period;
    return place >= side ? period - place : place;
}

static double folded(double place, double n) {
    if (place < 0) {
        if (place < -2 * n)
            place += 2 * n * floor(-place / (2 * n));
        return place < -n ? place + 2 * n : -place - 1;
    }
    if (place > n - 1) {
        place -= 2 * n * floor(place / (2 * n));
        if (place >= n)
            place = 2 * n - place - 1;
    }
    return place;
}

/* Affine map at fixed-point places, then a displacement (elastic transform).
 * place: (n, 2, side, side) in 1/32 pixel as (x, y); shift: (n, 2, side, side) in pixels as (x, y).
 * work: side * side * c floats. */
void elastic(const uint8_t *restrict in, uint8_t *restrict out, long n, long side, const int32_t *restrict place,
             const float *restrict shift, const float *restrict unit, float *restrict work) {
    const long size = side * side;
    for (long k = 0; k < n; k++, in += size * CHANNELS, out += size * CHANNELS, place += 2 * size, shift += 2 * size) {
        for (long i = 0; i < size; i++) {
            const long px = place[i], py = place[size + i], x = px >> 5, y = py >> 5;
            const float fx = (float)(px & 31) / 32.0f, fy = (float)(py & 31) / 32.0f;
            const long x0 = mirrored(x, side), x1 = mirrored(x + 1, side);
            const long y0 = mirrored(y, side) * side, y1 = mirrored(y + 1, side) * side;
            const float w0 = (1 - fy) * (1 - fx), w1 = (1 - fy) * fx, w2 = fy * (1 - fx), w3 = fy * fx;
            const uint8_t *a = in + (y0 + x0) * CHANNELS, *b = in + (y0 + x1) * CHANNELS;
            const uint8_t *c = in + (y1 + x0) * CHANNELS, *d = in + (y1 + x1) * CHANNELS;
            for (int j = 0; j < CHANNELS; j++)
                work[i * CHANNELS + j] = ((unit[a[j]] * w0 + unit[b[j]] * w1) + unit[c[j]] * w2) + unit[d[j]] * w3;
        }
        for (long y = 0; y < side; y++)
            for (long x = 0; x < side; x++) {
                const long i = y * side + x;
                const double cx = folded(x + (double)shift[i], side), cy = folded(y + (double)shift[size + i], side);
                const double fx = floor(cx), fy = floor(cy), wx1 = cx - fx, wy1 = cy - fy;
                const double wx0 = 1.0 - wx1, wy0 = 1.0 - wy1;
                const long x0 = mirrored((long)fx, side), x1 = mirrored((long)fx + 1, side);
                const long y0 = mirrored((long)fy, side) * side, y1 = mirrored((long)fy + 1, side) * side;
                const float *a = work + (y0 + x0) * CHANNELS, *b = work + (y0 + x1) * CHANNELS;
                const float *c = work + (y1 + x0) * CHANNELS, *d = work + (y1 + x1) * CHANNELS;
                for (int j = 0; j < CHANNELS; j++)
                    out[i * CHANNELS + j] = to_byte32((float)(((a[j] * wy0) * wx0 + (b[j] * wy0) * wx1) +
                                                              (c[j] * wy1) * wx0 + (d[j] * wy1) * wx1));
            }
    }
}

#define BLOCK 32 /* values summed side by side, in registers */

/* Weighted sum over the taps of a disk in raster order (defocus blur). padded: one image (h + 2 m, w + 2 m, c) of
 * doubles, followed by BLOCK more; taps: (count) offsets into it, in values. */
void disk(const double *restrict padded, uint8_t *restrict out, long h, long w, long c, long margin,
          const long *restrict taps, const double *restrict weights, long count) {
    const long line = w * c, wide = (w + 2 * margin) * c;
    for (long y = 0; y < h; y++)
        for (long start = 0; start < line; start += BLOCK) {
            const double *corner = padded + y * wide + start;
            double sum[BLOCK] = {0};
            for (long t = 0; t < count; t++) {
                const double *source = corner + taps[t], weight = weights[t];
                for (int i = 0; i < BLOCK; i++)
                    sum[i] += source[i] * weight;
            }
            const long end = line - start < BLOCK ? line - start : BLOCK;
            for (long i = 0; i < end; i++)
                out[y * line + start + i] = to_byte(sum[i]);
        }
}

/* Saturation times `factor` plus `add`, value plus `lift`, each cut to 0..1; hue stays (saturate, brightness).
 * `which` is 0 for the value, 1 for the saturation: the other is left as it is. */
void colour(const uint8_t *restrict in, uint8_t *restrict out, long pixels, const double *restrict unit, long which,
            double factor, double add) {
    static const uint8_t places[6][3] = {{0, 2, 1}, {2, 0, 1}, {1, 0, 2}, {1, 2, 0}, {2, 1, 0}, {0, 1, 2}};
    for (long i = 0; i < pixels; i++, in += CHANNELS, out += CHANNELS) {
        const double r = unit[in[0]], g = unit[in[1]], b = unit[in[2]];
        const double rg_high = r > g ? r : g, rg_low = r < g ? r : g;
        double high = rg_high > b ? rg_high : b;
        const double spread = high - (rg_low < b ? rg_low : b);
        double hue = 0.0, share = 0.0;
        if (spread != 0.0) {
            if (b == high)
                hue = (r - g) / spread + 4.0;
            else if (g == high)
                hue = (b - r) / spread + 2.0;
            else
                hue = (g - b) / spread;
            hue /= 6.0;
            if (hue < 0)
                hue += 1.0;
            hue *= 6.0;
            share = spread / high;
        }
        const double sixth = floor(hue), rest = hue - sixth;
        double *changed = which ? &share : &high;
        double v = which ? *changed * factor + add : *changed + add;
        v = v > 0.0 ? v : 0.0;
        *changed = v < 1.0 ? v : 1.0;
        const long place = (long)sixth;
        const double middle = (place % 2 == 1 ? rest : 1.0 - rest) * share;
        double triple[3] = {high, high * (1.0 - share), high * (1.0 - middle)};
        uint8_t bytes[3];
        for (int j = 0; j < 3; j++) {
            double level = triple[j] < 1.0 ? triple[j] : 1.0;
            bytes[j] = (uint8_t)(level * 255.0);
        }
        for (int j = 0; j < 3; j++)
            out[j] = bytes[places[place][j]];
    }
}

static void chamfer_pass(int32_t *d, long h, long w, long step) {
    const int32_t straight = 65536, diagonal = 91750, knight = 143976;
    const long wide = w + 4;
    int32_t *rows = d;
    for (long y = 0; y < h; y++) {
        int32_t *row = rows + (step > 0 ? (y + 2) : (h + 1 - y)) * wide + 2;
        const int32_t *one = row - step * wide, *two = row - 2 * step * wide;
        for (long x = 0; x < w; x++) {
            int32_t best = row[x], t;
#define TAKE(value) t = (value), best = t < best ? t : best
            TAKE(two[x - 1] + knight);
            TAKE(two[x + 1] + knight);
            TAKE(one[x - 2] + knight);
            TAKE(one[x + 2] + knight);
            TAKE(one[x - 1] + diagonal);
            TAKE(one[x + 1] + diagonal);
            TAKE(one[x] + straight);
            row[x] = best;
        }
        for (long i = 1; i < w; i++) {
            const long x = step > 0 ? i : w - 1 - i;
            const int32_t t = row[x - step] + straight;
            row[x] = t < row[x] ? t : row[x];
        }
    }
}

/* 5 x 5 chamfer distance to the nearest edge in pixels. work: (h + 4) * (w + 4) int32. */
void chamfer(const uint8_t *restrict edges, float *restrict out, long n, long h, long w, int32_t *restrict work) {
    const int32_t far = 1 << 29;
    const long wide = w + 4;
    for (long k = 0; k < n; k++, edges += h * w, out += h * w) {
        for (long i = 0; i < (h + 4) * wide; i++)
            work[i] = far;
        for (long y = 0; y < h; y++)
            for (long x = 0; x < w; x++)
                work[(y + 2) * wide + x + 2] = edges[y * w + x] ? 0 : far;
        chamfer_pass(work, h, w, 1);
        chamfer_pass(work, h, w, -1);
        for (long y = 0; y < h; y++)
            for (long x = 0; x < w; x++) {
                const int32_t v = work[(y + 2) * wide + x + 2];
                out[y * w + x] = (float)(v < far ? v : far) / 65536.0f;
            }
    }
}
