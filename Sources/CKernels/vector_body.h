// Vectors of LANES floats and the functions on them. Included once per instruction set.

typedef float ISA(vf) __attribute__((vector_size(LANES * 4), aligned(4), may_alias));
typedef int32_t ISA(vi) __attribute__((vector_size(LANES * 4), aligned(4), may_alias));
typedef int16_t ISA(vh) __attribute__((vector_size(LANES * 2), aligned(2), may_alias));
typedef uint8_t ISA(vb) __attribute__((vector_size(LANES), aligned(1), may_alias));
#define vf ISA(vf)
#define vi ISA(vi)
#define INLINE static inline __attribute__((always_inline))

INLINE vf ISA(load)(const float *p) { return *(const vf *)p; }
INLINE void ISA(store)(float *p, vf v) { *(vf *)p = v; }
INLINE vf ISA(splat)(float x) { return x - (vf){0}; }

// The first `count` lanes; the others are 0.
INLINE vf ISA(load_part)(const float *p, int64_t count) {
  vf v = {0};
  memcpy(&v, p, (size_t)count * sizeof(float));
  return v;
}

INLINE void ISA(store_part)(float *p, vf v, int64_t count) { memcpy(p, &v, (size_t)count * sizeof(float)); }

// To bfloat16 and back, to nearest, of halves to even. NaN stays NaN.
INLINE vf ISA(round_bfloat16)(vf x) {
  vi bits = (vi)x, mask = x == x;
  vi rounded = (bits + 0x7fff + ((bits >> 16) & 1)) & (int32_t)0xffff0000;
  return (vf)((rounded & mask) | (bits & ~mask));
}

INLINE void ISA(store_bfloat16)(uint16_t *p, vf x) {
  *(ISA(vh) *)p = __builtin_convertvector((vi)ISA(round_bfloat16)(x) >> 16, ISA(vh));
}

// The larger and the smaller of `bound` and x. What is not a number stays so, unlike with fmax, so that a model's NaN
// is seen in its output; and both are one instruction.
INLINE vf ISA(max)(vf bound, vf x) {
  vi mask = bound > x;
  return (vf)(((vi)bound & mask) | ((vi)x & ~mask));
}
INLINE vf ISA(min)(vf bound, vf x) {
  vi mask = bound < x;
  return (vf)(((vi)bound & mask) | ((vi)x & ~mask));
}

// The polynomial in x of these coefficients, that of the highest power first.
INLINE vf ISA(polynomial)(vf x, const float *coefficients, const int count) {
  vf sum = ISA(splat)(coefficients[0]);
  _Pragma("clang loop unroll(full)") for (int i = 1; i < count; i++) sum = sum * x + coefficients[i];
  return sum;
}
#define POLYNOMIAL(x, ...) \
  ISA(polynomial)(x, (const float[]){__VA_ARGS__}, sizeof((const float[]){__VA_ARGS__}) / sizeof(float))

// e^x for x limited to [-87.3, 88.3], relative error below 2e-7: 2^n e^r with n = round(x / ln 2) and, on
// |r| <= ln 2 / 2, the polynomial 1 + ... of degree 5 whose largest relative error, 9e-8, is smallest. ln 2 is taken
// off in two parts, the first of which is exact in n. What is not a number may become one.
INLINE vf ISA(exp)(vf x) {
  x = ISA(min)(ISA(splat)(88.3f), ISA(max)(ISA(splat)(-87.3f), x));
  vf shifted = x * 1.44269504f + 12582912.0f;  // 1.5 x 2^23: the sum's low mantissa bits are n
  vf n = shifted - 12582912.0f;
  vf r = x - n * 0.693359375f;
  r = r + n * 2.12194440e-4f;
  vf p = POLYNOMIAL(r, 8.28677416e-3f, 4.18974124e-2f, 1.66676059e-1f, 4.99991477e-1f, 9.99999762e-1f, 1.0f);
  return (vf)((vi)p + ((vi)shifted << 23));  // n goes to the exponent
}

// x sigmoid(factor x). NaN stays NaN, as a dividend.
INLINE vf ISA(swish)(vf x, float factor) { return x / (1.0f + ISA(exp)(x * -factor)); }
INLINE vf ISA(silu)(vf x) { return ISA(swish)(x, 1.0f); }

// x / y for normal y of no extreme size, within two units in the last place where the CPU estimates inverses: division
// is the slowest of all operations.
INLINE vf ISA(quotient)(vf x, vf y) {
#if LANES == 16
  vf inverse = (vf)_mm512_rcp14_ps((__m512)y);
  return x * (inverse * (2.0f - y * inverse));
#else
  return x / y;
#endif
}

// x Phi(x) = max(0, x) - |x| Phi(-|x|), where Phi is off by less than 2.6e-7, all roundings included. As Abramowitz and
// Stegun, "Handbook of Mathematical Functions", 7.1.28: 2 Phi(-a) = (1 + d)^-16 with d a polynomial of degree 6, here
// of the smallest error in Phi, 1.3e-7. Of powers, d alone is kept: 1 + d rounded would be 16 times as wrong in the
// end.
INLINE vf ISA(gelu)(vf x) {
  // Beyond 16, where nothing is left of Phi, powers would overflow.
  vf a = ISA(min)(ISA(splat)(16.0f), __builtin_elementwise_abs(x));
  vf d = ISA(splat)(5.38093400e-6f);
  d = d * a + 4.89033700e-5f;
  d = d * a + 3.79753765e-5f;
  d = d * a + 3.27765336e-3f;
  d = d * a + 2.11409964e-2f;
  d = d * a + 4.98673468e-2f;
  d = d * a;
  d = d * (d + 2.0f);
  d = d * (d + 2.0f);
  d = 1.0f + d * (d + 2.0f);
  // Of minus infinity, 0 times it makes what is not a number.
  return ISA(max)((vf){0}, x) + ISA(min)((vf){0}, x) * 0.0f - 0.5f * ISA(quotient)(a, d * d);
}

// The sum of the lanes, in a fixed order.
INLINE float ISA(sum)(vf v) {
  typedef float four __attribute__((vector_size(16)));
  four fours[LANES / 4];
  memcpy(fours, &v, sizeof v);
  for (int width = LANES / 8; width > 0; width /= 2)
    for (int i = 0; i < width; i++) fours[i] += fours[i + width];
  return (fours[0][0] + fours[0][2]) + (fours[0][1] + fours[0][3]);
}

#define CONVOLVE_FLOATS .convolve[FS_FLOAT32] = ISA(convolve), .convolve[FS_FLOAT16] = ISA(convolve_float16)

#define CONVOLVE_WIDENED_BFLOAT16 .convolve[FS_BFLOAT16] = ISA(convolve_bfloat16)

#define ATTEND_FLOATS .pack_keys[0] = ISA(pack_keys), .attend[0] = ISA(attend)

#define ATTEND_ROUNDED .pack_keys[1] = ISA(pack_rounded_keys), .attend[1] = ISA(attend_rounded)

#define CONVOLVE_INT8 .convolve[FS_INT8] = INT8(convolve)

#define KERNEL_TABLE(label) \
  { \
    .name = label, \
    CONVOLVE_FLOATS, \
    CONVOLVE_BFLOAT16, \
    CONVOLVE_INT8, \
    .convert[FS_INT8] = ISA(convert_int8), \
    .convolve_few = ISA(convolve_few), \
    .winograd_patches = ISA(winograd_patches), \
    .winograd = ISA(winograd), \
    .activate = ISA(activate), \
    .geglu = ISA(geglu), \
    .add = ISA(add), \
    ATTEND_FLOATS, \
    ATTEND_BFLOAT16, \
    .combine = ISA(combine), \
    .accumulate = ISA(accumulate), \
    .inner_product = ISA(inner_product), \
    .total_sum = ISA(total_sum), \
    .clamp = ISA(clamp), \
    .half_to_float = ISA(half_to_float), \
    .float_to_half = ISA(float_to_half), \
    .channel_sums = ISA(channel_sums), \
    .scale_shift = ISA(scale_shift), \
    .layer_norm = ISA(layer_norm), \
    .exp2 = ISA(exp2_all), \
  }
