// What a sampler does with states: linear combinations, noise and reductions, in double precision.

typedef float ISA(hf) __attribute__((vector_size(LANES * 2), aligned(4), may_alias));
typedef double ISA(vd) __attribute__((vector_size(LANES * 4), aligned(8), may_alias));
#define hf ISA(hf)
#define vd ISA(vd)
#define HALF (LANES / 2)

INLINE vd ISA(widened)(const float *p) { return __builtin_convertvector(*(const hf *)p, vd); }

// Of sums, 256 bits at most: conversions of wider vectors take longer for each element (Zen 4).
#define NARROW (HALF < 4 ? HALF : 4)
typedef float ISA(nf) __attribute__((vector_size(NARROW * 4), aligned(4), may_alias));
typedef double ISA(nd) __attribute__((vector_size(NARROW * 8), aligned(8), may_alias));
#define nf ISA(nf)
#define nd ISA(nd)

// Elements of a sum that are made at a time; a multiple of what one round of noise makes.
#define CHUNK 512
// Philox blocks, of four elements each, in a round.
#define BLOCKS 32

// The terms' sums, rounded to `output` if there is one, else to `sum`. The output may be an input: each block is read
// before it is written.
INLINE void ISA(add_terms)(
  double *sum, float *output, const double *coefficients, const float *const *inputs, int64_t terms, int64_t start,
  int64_t count) {
  enum { SUMS = 8, WIDTH = SUMS * NARROW };
  int64_t i = 0;
  for (; i + WIDTH <= count; i += WIDTH) {
    nd sums[SUMS] = {{0}};
    for (int64_t term = 0; term < terms; term++) {
      const nf *input = (const nf *)(inputs[term] + start + i);
      _Pragma("clang loop unroll(full)") for (int v = 0; v < SUMS; v++)
        sums[v] += coefficients[term] * __builtin_convertvector(input[v], nd);
    }
    _Pragma("clang loop unroll(full)") for (int v = 0; v < SUMS; v++) {
      if (output) ((nf *)(output + start + i))[v] = __builtin_convertvector(sums[v], nf);
      else ((nd *)(sum + i))[v] = sums[v];
    }
  }
  for (; i < count; i++) {
    double total = 0;
    for (int64_t term = 0; term < terms; term++) total += coefficients[term] * (double)inputs[term][start + i];
    if (output) output[start + i] = (float)total;
    else sum[i] = total;
  }
}

// Of noise, several registers: operations on independent numbers follow one another, and none waits for the one before.
#define WIDE (4 * HALF)
typedef double ISA(wd) __attribute__((vector_size(WIDE * 8), aligned(8), may_alias));
typedef uint64_t ISA(wu) __attribute__((vector_size(WIDE * 8), aligned(8), may_alias));
#define wd ISA(wd)
#define wu ISA(wu)

// 2^52 and 2^51 as doubles: whole numbers in their low bits are added to them, in units of 1 and 1/2.
#define BITS52 0x4330000000000000u
#define BITS51 0x4320000000000000u

// ln x for normal x > 0: 2^e m with m in [1/sqrt 2, sqrt 2), and the series of artanh with s = (m - 1) / (m + 1). The
// coefficients are those of the minimax polynomial in FreeBSD's msun (Sun 1993).
INLINE void ISA(take_log)(wd *x) {
#pragma clang fp contract(off)
  // Adding 2^52 (1 - 1/sqrt 2) rounds the exponent to the nearer power.
  wu shifted = *(wu *)x + (0x3ff0000000000000u - 0x3fe6a09e667f3bcdu);
  wu reduced = (shifted & 0x000fffffffffffffu) + 0x3fe6a09e667f3bcdu;
  wd e = (wd)(shifted >> 52 | BITS52) - (0x1p52 + 1023);
  wd f = (wd)reduced - 1.0, s = f / (2.0 + f), z = s * s;
  wd r = 1.531383769920937332e-1 + z * 1.479819860511658591e-1;
  r = 1.818357216161805012e-1 + z * r;
  r = 2.222219843214978396e-1 + z * r;
  r = 2.857142874366239149e-1 + z * r;
  r = 3.999999999940941908e-1 + z * r;
  r = 6.666666666666735130e-1 + z * r;
  r *= z;
  wd half = 0.5 * f * f;
  *x = e * 6.93147180369123816490e-1 - ((half - (s * (half + r) + e * 1.90821492927058770002e-10)) - f);
}

// cos and sin of 2 pi u for u = (word + 1/2) 2^-32: quarters are taken off exactly, what is left lies within pi / 4.
// The coefficients are those of the minimax polynomials in FreeBSD's msun (Sun 1993).
INLINE void ISA(turn)(const wu *word, wd *cosine, wd *sine) {
#pragma clang fp contract(off)
  wu quarter = *word + 0x20000000u;
  wd rest = (wd)((quarter << 1 & 0x7fffffffu) | BITS51) - (0x1p51 + 0x1p29 - 0.5);
  wd y = 6.283185307179586476925 * (rest * 0x1p-32);
  wd z = y * y;
  wd s = -2.50507602534068634195e-08 + z * 1.58969099521155010221e-10;
  s = 2.75573137070700676789e-06 + z * s;
  s = -1.98412698298579493134e-04 + z * s;
  s = 8.33333333332248946124e-03 + z * s;
  s = -1.66666666666666324348e-01 + z * s;
  s = y + y * (z * s);
  wd c = 2.08757232129817482790e-09 + z * -1.13596475577881948265e-11;
  c = -2.75573143513906633035e-07 + z * c;
  c = 2.48015872894767294178e-05 + z * c;
  c = -1.38888888888741095749e-03 + z * c;
  c = 4.16666666666666019037e-02 + z * c;
  c = 1.0 - (0.5 * z - z * z * c);
  // Odd quarters swap the two; the second and third turn the cosine's sign, the last two the sine's.
  wu odd = (wu)((quarter & 0x40000000u) != 0), first = ((wu)s & odd) | ((wu)c & ~odd);
  *cosine = (wd)(first ^ ((quarter + 0x40000000u) << 32 & 0x8000000000000000u));
  *sine = (wd)((((wu)c & odd) | ((wu)s & ~odd)) ^ (quarter << 32 & 0x8000000000000000u));
}

// Philox4x32-10 (Salmon et al. 2011) of the counters in four words, in place.
INLINE void ISA(philox)(wu words[4], uint64_t seed) {
  uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
  _Pragma("clang loop unroll(full)") for (int round = 0; round < 10; round++) {
    wu even = words[0] * 0xD2511F53u, odd = words[2] * 0xCD9E8D57u;
    words[0] = odd >> 32 ^ words[1] ^ (uint64_t)k0;
    words[2] = even >> 32 ^ words[3] ^ (uint64_t)k1;
    words[1] = odd & 0xffffffffu;
    words[3] = even & 0xffffffffu;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
}

// Two normals times a coefficient of two words, by the Box-Muller transform.
INLINE void ISA(normals)(const wu *size, const wu *angle, double coefficient, wd *first, wd *second) {
#pragma clang fp contract(off)
  wd logarithm = ((wd)(*size | BITS52) - (0x1p52 - 0.5)) * 0x1p-32, cosine, sine;
  ISA(take_log)(&logarithm);
  wd radius = __builtin_elementwise_sqrt(-2.0 * logarithm);
  ISA(turn)(angle, &cosine, &sine);
  *first = coefficient * (radius * cosine);
  *second = coefficient * (radius * sine);
}

// sum[i] += coefficient x element `4 block + i` of the field, for 4 x BLOCKS elements. The same operations in the same
// order on every instruction set, and so the same bits.
static void ISA(add_noise_round)(double *sum, double coefficient, const fs_noise *noise, uint64_t block) {
  wd normals[4][BLOCKS / WIDE];
  for (int v = 0; v < BLOCKS / WIDE; v++) {
    wu counter;
    for (int i = 0; i < WIDE; i++) counter[i] = block + (uint64_t)(v * WIDE + i);
    wu words[4] = {
      counter & 0xffffffffu, counter >> 32, (uint64_t)noise->stream - (wu){0}, (uint64_t)noise->image - (wu){0}};
    ISA(philox)(words, noise->seed);
    for (int pair = 0; pair < 4; pair += 2)
      ISA(normals)(&words[pair], &words[pair + 1], coefficient, &normals[pair][v], &normals[pair + 1][v]);
  }
  for (int i = 0; i < BLOCKS; i++)
    for (int k = 0; k < 4; k++) sum[4 * i + k] += ((const double *)normals[k])[i];
}

static void ISA(combine)(
  float *output, const double *coefficients, const float *const *inputs, int64_t terms, const fs_noise *noises,
  int64_t noise_count, int64_t count) {
  if (!noise_count) {
    // The number of terms a constant, the usual loops are unrolled.
    switch (terms) {
      case 1: ISA(add_terms)(NULL, output, coefficients, inputs, 1, 0, count); return;
      case 2: ISA(add_terms)(NULL, output, coefficients, inputs, 2, 0, count); return;
      case 3: ISA(add_terms)(NULL, output, coefficients, inputs, 3, 0, count); return;
      case 4: ISA(add_terms)(NULL, output, coefficients, inputs, 4, 0, count); return;
      default: ISA(add_terms)(NULL, output, coefficients, inputs, terms, 0, count); return;
    }
  }
  double sum[CHUNK];
  for (int64_t start = 0; start < count; start += CHUNK) {
    int64_t size = count - start < CHUNK ? count - start : CHUNK;
    ISA(add_terms)(sum, NULL, coefficients, inputs, terms, start, size);
    // The last round may make more than there is room for in the output, never more than a chunk.
    for (int64_t i = size; i < CHUNK; i++) sum[i] = 0;
    for (int64_t noise = 0; noise < noise_count; noise++)
      for (int64_t i = 0; i < size; i += 4 * BLOCKS)
        ISA(add_noise_round)(sum + i, noises[noise].coefficient, &noises[noise], (uint64_t)(start + i) / 4);
    int64_t i = 0;
    for (; i + HALF <= size; i += HALF)
      *(hf *)(output + start + i) = __builtin_convertvector(*(const vd *)(sum + i), hf);
    for (; i < size; i++) output[start + i] = (float)sum[i];
  }
}

// The lanes of four sums, in a fixed order.
INLINE double ISA(total)(vd a, vd b, vd c, vd d) {
  vd v = (a + b) + (c + d);
  double lanes[HALF], sum = 0;
  memcpy(lanes, &v, sizeof lanes);
  for (int i = 0; i < HALF; i++) sum += lanes[i];
  return sum;
}

// The squares of CHUNK differences are summed by ROW lanes, the chunks' sums by lanes in double, and these by one
// another, in the same order everywhere.
#define ROW 32

INLINE double ISA(accumulate_terms)(
  float *sum, float carry, const double *coefficients, const float *const *inputs, int64_t terms, int64_t count) {
#pragma clang fp contract(off)
  enum { VECTORS_PER_ROW = ROW / LANES, SUMS_PER_ROW = ROW / NARROW };
  nd totals[SUMS_PER_ROW] = {{0}};
  double total = 0;
  for (int64_t start = 0; start < count; start += CHUNK) {
    int64_t end = count - start < CHUNK ? count : start + CHUNK;
    vf squares[VECTORS_PER_ROW] = {{0}};
    int64_t i = start;
    for (; i + ROW <= end; i += ROW)
      _Pragma("clang loop unroll(full)") for (int v = 0; v < VECTORS_PER_ROW; v++) {
        int64_t at = i + v * LANES;
        vf difference = {0};
        for (int64_t term = 0; term < terms; term++)
          difference += ISA(splat)((float)coefficients[term]) * ISA(load)(inputs[term] + at);
        squares[v] += difference * difference;
        ISA(store)(sum + at, ISA(splat)(carry) * ISA(load)(sum + at) + difference);
      }
    _Pragma("clang loop unroll(full)") for (int v = 0; v < SUMS_PER_ROW; v++)
      totals[v] += __builtin_convertvector(((const nf *)squares)[v], nd);
    for (; i < end; i++) {
      float difference = 0;
      for (int64_t term = 0; term < terms; term++) difference += (float)coefficients[term] * inputs[term][i];
      total += (double)(difference * difference);
      sum[i] = carry * sum[i] + difference;
    }
  }
  for (int lane = 0; lane < ROW; lane++) total += ((const double *)totals)[lane];
  return total;
}

static double ISA(accumulate)(
  float *sum, double carry, const double *coefficients, const float *const *inputs, int64_t terms, int64_t count) {
  switch (terms) {
    case 2: return ISA(accumulate_terms)(sum, (float)carry, coefficients, inputs, 2, count);
    case 3: return ISA(accumulate_terms)(sum, (float)carry, coefficients, inputs, 3, count);
    case 4: return ISA(accumulate_terms)(sum, (float)carry, coefficients, inputs, 4, count);
    default: return ISA(accumulate_terms)(sum, (float)carry, coefficients, inputs, terms, count);
  }
}

static double ISA(inner_product)(const float *left, const float *right, int64_t count) {
  vd a = {0}, b = {0}, c = {0}, d = {0};
  int64_t i = 0;
  for (; i + 4 * HALF <= count; i += 4 * HALF) {
    a += ISA(widened)(left + i) * ISA(widened)(right + i);
    b += ISA(widened)(left + i + HALF) * ISA(widened)(right + i + HALF);
    c += ISA(widened)(left + i + 2 * HALF) * ISA(widened)(right + i + 2 * HALF);
    d += ISA(widened)(left + i + 3 * HALF) * ISA(widened)(right + i + 3 * HALF);
  }
  double sum = ISA(total)(a, b, c, d);
  for (; i < count; i++) sum += (double)left[i] * (double)right[i];
  return sum;
}

static double ISA(total_sum)(const float *input, int64_t count) {
  vd a = {0}, b = {0}, c = {0}, d = {0};
  int64_t i = 0;
  for (; i + 4 * HALF <= count; i += 4 * HALF) {
    a += ISA(widened)(input + i);
    b += ISA(widened)(input + i + HALF);
    c += ISA(widened)(input + i + 2 * HALF);
    d += ISA(widened)(input + i + 3 * HALF);
  }
  double sum = ISA(total)(a, b, c, d);
  for (; i < count; i++) sum += (double)input[i];
  return sum;
}

static void ISA(clamp)(float *values, int64_t count, float low, float high) {
  int64_t i = 0;
  for (; i + LANES <= count; i += LANES)
    ISA(store)(values + i, ISA(min)(ISA(splat)(high), ISA(max)(ISA(splat)(low), ISA(load)(values + i))));
  for (; i < count; i++) values[i] = values[i] < low ? low : values[i] > high ? high : values[i];
}

#undef CHUNK
#undef ROW
#undef BLOCKS
#undef BITS52
#undef BITS51
