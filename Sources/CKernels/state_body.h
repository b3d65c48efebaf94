// What a sampler does with states: linear combinations, noise and reductions, in double precision.

typedef float ISA(hf) __attribute__((vector_size(LANES * 2), aligned(4), may_alias));
typedef double ISA(vd) __attribute__((vector_size(LANES * 4), aligned(8), may_alias));
#define hf ISA(hf)
#define vd ISA(vd)
#define HALF (LANES / 2)

INLINE vd ISA(widened)(const float *p) { return __builtin_convertvector(*(const hf *)p, vd); }

// Elements of a sum that are made at a time; a multiple of what one round of noise makes.
#define CHUNK 512
// Philox blocks, of four elements each, in a round.
#define BLOCKS 8

// The terms' sums, rounded to `output` if there is one, else to `sum`. The output may be an input: each block is read
// before it is written.
INLINE void ISA(add_terms)(
  double *sum, float *output, const double *coefficients, const float *const *inputs, int64_t terms, int64_t start,
  int64_t count) {
  enum { WIDTH = 4 * HALF };
  int64_t i = 0;
  for (; i + WIDTH <= count; i += WIDTH) {
    vd a = {0}, b = {0}, c = {0}, d = {0};
    for (int64_t term = 0; term < terms; term++) {
      const float *input = inputs[term] + start + i;
      double weight = coefficients[term];
      a += weight * ISA(widened)(input);
      b += weight * ISA(widened)(input + HALF);
      c += weight * ISA(widened)(input + 2 * HALF);
      d += weight * ISA(widened)(input + 3 * HALF);
    }
    if (output) {
      hf *target = (hf *)(output + start + i);
      target[0] = __builtin_convertvector(a, hf);
      target[1] = __builtin_convertvector(b, hf);
      target[2] = __builtin_convertvector(c, hf);
      target[3] = __builtin_convertvector(d, hf);
    } else {
      vd *target = (vd *)(sum + i);
      target[0] = a;
      target[1] = b;
      target[2] = c;
      target[3] = d;
    }
  }
  for (; i < count; i++) {
    double total = 0;
    for (int64_t term = 0; term < terms; term++) total += coefficients[term] * (double)inputs[term][start + i];
    if (output) output[start + i] = (float)total;
    else sum[i] = total;
  }
}

// ln x for normal x > 0: 2^e m with m in [1/sqrt 2, sqrt 2), and the series of artanh with s = (m - 1) / (m + 1). The
// coefficients are those of the minimax polynomial in FreeBSD's msun (Sun 1993).
INLINE double ISA(log_double)(double x) {
#pragma clang fp contract(off)
  uint64_t bits;
  memcpy(&bits, &x, 8);
  // Adding 2^52 (1 - 1/sqrt 2) rounds the exponent to the nearer power.
  uint64_t shifted = bits + (0x3ff0000000000000u - 0x3fe6a09e667f3bcdu);
  double e = (double)(int32_t)((int32_t)(shifted >> 52) - 1023);
  uint64_t reduced = (shifted & 0x000fffffffffffffu) + 0x3fe6a09e667f3bcdu;
  double m;
  memcpy(&m, &reduced, 8);
  double f = m - 1.0, s = f / (2.0 + f), z = s * s;
  double r = 1.479819860511658591e-1;
  r = 1.531383769920937332e-1 + z * r;
  r = 1.818357216161805012e-1 + z * r;
  r = 2.222219843214978396e-1 + z * r;
  r = 2.857142874366239149e-1 + z * r;
  r = 3.999999999940941908e-1 + z * r;
  r = 6.666666666666735130e-1 + z * r;
  r *= z;
  double half = 0.5 * f * f;
  return e * 6.93147180369123816490e-1 - ((half - (s * (half + r) + e * 1.90821492927058770002e-10)) - f);
}

// cos and sin of 2 pi u for u = (word + 1/2) 2^-32: quarters are taken off exactly, what is left lies within pi / 4. The
// coefficients are those of the minimax polynomials in FreeBSD's msun (Sun 1993).
INLINE void ISA(turn)(uint32_t word, double *cosine, double *sine) {
#pragma clang fp contract(off)
  uint32_t quarter = word + 0x20000000u;
  int32_t rest = (int32_t)((quarter & 0x3fffffffu) - 0x20000000u);
  double y = 6.283185307179586476925 * (((double)rest + 0.5) * 0x1p-32);
  double z = y * y;
  double s = 1.58969099521155010221e-10;
  s = -2.50507602534068634195e-08 + z * s;
  s = 2.75573137070700676789e-06 + z * s;
  s = -1.98412698298579493134e-04 + z * s;
  s = 8.33333333332248946124e-03 + z * s;
  s = -1.66666666666666324348e-01 + z * s;
  s = y + y * (z * s);
  double c = -1.13596475577881948265e-11;
  c = 2.08757232129817482790e-09 + z * c;
  c = -2.75573143513906633035e-07 + z * c;
  c = 2.48015872894767294178e-05 + z * c;
  c = -1.38888888888741095749e-03 + z * c;
  c = 4.16666666666666019037e-02 + z * c;
  c = 1.0 - (0.5 * z - z * z * c);
  uint32_t turns = quarter >> 30;
  double first = turns & 1 ? s : c, second = turns & 1 ? c : s;
  *cosine = turns == 1 || turns == 2 ? -first : first;
  *sine = turns >= 2 ? -second : second;
}

// sum[i] += coefficient x element `4 block + i` of the field, for 4 x BLOCKS elements: Philox4x32-10 (Salmon et al. 2011)
// and the Box-Muller transform. The same operations in the same order on every instruction set, and so the same bits.
static void ISA(add_noise_round)(double *sum, double coefficient, const fs_noise *noise, uint64_t block) {
#pragma clang fp contract(off)
  uint64_t w0[BLOCKS], w1[BLOCKS], w2[BLOCKS], w3[BLOCKS];
  for (int i = 0; i < BLOCKS; i++) {
    w0[i] = (uint32_t)(block + (uint64_t)i);
    w1[i] = (block + (uint64_t)i) >> 32;
    w2[i] = noise->stream;
    w3[i] = noise->image;
  }
  uint32_t k0 = (uint32_t)noise->seed, k1 = (uint32_t)(noise->seed >> 32);
  for (int round = 0; round < 10; round++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
    for (int i = 0; i < BLOCKS; i++) {
      uint64_t even = w0[i] * 0xD2511F53u, odd = w2[i] * 0xCD9E8D57u;
      uint64_t a = (odd >> 32) ^ w1[i] ^ k0, c = (even >> 32) ^ w3[i] ^ k1;
      w1[i] = (uint32_t)odd;
      w3[i] = (uint32_t)even;
      w0[i] = a;
      w2[i] = c;
    }
  }
  double z0[BLOCKS], z1[BLOCKS], z2[BLOCKS], z3[BLOCKS];
  for (int i = 0; i < BLOCKS; i++) {
    double radius = __builtin_sqrt(-2.0 * ISA(log_double)(((double)(uint32_t)w0[i] + 0.5) * 0x1p-32));
    double cosine, sine;
    ISA(turn)((uint32_t)w1[i], &cosine, &sine);
    z0[i] = coefficient * (radius * cosine);
    z1[i] = coefficient * (radius * sine);
  }
  for (int i = 0; i < BLOCKS; i++) {
    double radius = __builtin_sqrt(-2.0 * ISA(log_double)(((double)(uint32_t)w2[i] + 0.5) * 0x1p-32));
    double cosine, sine;
    ISA(turn)((uint32_t)w3[i], &cosine, &sine);
    z2[i] = coefficient * (radius * cosine);
    z3[i] = coefficient * (radius * sine);
  }
  for (int i = 0; i < BLOCKS; i++) {
    sum[4 * i] += z0[i];
    sum[4 * i + 1] += z1[i];
    sum[4 * i + 2] += z2[i];
    sum[4 * i + 3] += z3[i];
  }
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

// The squares of CHUNK differences are summed by ROW lanes, and these by one another, in the same order everywhere.
#define ROW 32

INLINE double ISA(accumulate_terms)(
  float *sum, float carry, const double *coefficients, const float *const *inputs, int64_t terms, int64_t count) {
#pragma clang fp contract(off)
  enum { VECTORS_PER_ROW = ROW / LANES };
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
    float lanes[ROW];
    memcpy(lanes, squares, sizeof lanes);
    for (int lane = 0; lane < ROW; lane++) total += (double)lanes[lane];
    for (; i < end; i++) {
      float difference = 0;
      for (int64_t term = 0; term < terms; term++) difference += (float)coefficients[term] * inputs[term][i];
      total += (double)(difference * difference);
      sum[i] = carry * sum[i] + difference;
    }
  }
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
