// Vectors of LANES floats and the functions on them. Included once per instruction set.

typedef float ISA(vf) __attribute__((vector_size(LANES * 4), aligned(4), may_alias));
typedef int32_t ISA(vi) __attribute__((vector_size(LANES * 4), aligned(4), may_alias));
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

// The larger and the smaller of `bound` and x. What is not a number stays so, unlike with fmax, so that a model's NaN is
// seen in its output; and both are one instruction.
INLINE vf ISA(max)(vf bound, vf x) {
  vi mask = bound > x;
  return (vf)(((vi)bound & mask) | ((vi)x & ~mask));
}
INLINE vf ISA(min)(vf bound, vf x) {
  vi mask = bound < x;
  return (vf)(((vi)bound & mask) | ((vi)x & ~mask));
}

// e^x for x limited to [-87.3, 88.3], relative error below 2e-7: 2^n e^r with n = round(x / ln 2) and the Taylor
// polynomial of degree 7 on |r| <= ln 2 / 2. ln 2 is taken off in two parts, the first of which is exact in n.
INLINE vf ISA(exp)(vf x) {
  x = ISA(min)(ISA(splat)(88.3f), ISA(max)(ISA(splat)(-87.3f), x));
  vf shifted = x * 1.44269504f + 12582912.0f;  // 1.5 x 2^23: the sum's low mantissa bits are n
  vf n = shifted - 12582912.0f;
  vf r = x - n * 0.693359375f;
  r = r + n * 2.12194440e-4f;
  vf p = ISA(splat)(1.0f / 5040);
  p = p * r + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  vi exponent = ((vi)shifted << 23) + (127 << 23);
  return p * (vf)exponent;
}

// The error function, absolute error below 5e-7: Abramowitz and Stegun, "Handbook of Mathematical Functions", 7.1.26.
INLINE vf ISA(erf)(vf x) {
  vf magnitude = __builtin_elementwise_abs(x);
  vf t = 1.0f / (1.0f + 0.3275911f * magnitude);
  vf p = ISA(splat)(1.061405429f);
  p = p * t - 1.453152027f;
  p = p * t + 1.421413741f;
  p = p * t - 0.284496736f;
  p = p * t + 0.254829592f;
  vf value = 1.0f - p * t * ISA(exp)(-magnitude * magnitude);
  vi sign = (vi)x & (int32_t)0x80000000;
  return (vf)((vi)value | sign);
}

INLINE vf ISA(sigmoid)(vf x) { return 1.0f / (1.0f + ISA(exp)(-x)); }
INLINE vf ISA(silu)(vf x) { return x * ISA(sigmoid)(x); }
INLINE vf ISA(gelu)(vf x) { return 0.5f * x * (1.0f + ISA(erf)(x * 0.70710678f)); }

// The sum of the lanes, in a fixed order.
INLINE float ISA(sum)(vf v) {
  float lanes[LANES];
  ISA(store)(lanes, v);
  for (int width = LANES / 2; width > 0; width /= 2)
    for (int i = 0; i < width; i++) lanes[i] += lanes[i + width];
  return lanes[0];
}

#define CONVOLVE_WIDENED_BFLOAT16 .convolve[FS_BFLOAT16] = ISA(convolve_bfloat16)

#define ATTEND_ROUNDED .pack_keys[1] = ISA(pack_rounded_keys), .attend[1] = ISA(attend_rounded)

#define KERNEL_TABLE(label) \
  { \
    .name = label, \
    .convolve[FS_FLOAT32] = ISA(convolve), \
    .convolve[FS_FLOAT16] = ISA(convolve_float16), \
    CONVOLVE_BFLOAT16, \
    .convolve[FS_INT8] = INT8(convolve), \
    .convert[FS_INT8] = ISA(convert_int8), \
    .convolve_few = ISA(convolve_few), \
    .winograd_patches = ISA(winograd_patches), \
    .winograd = ISA(winograd), \
    .activate = ISA(activate), \
    .geglu = ISA(geglu), \
    .add = ISA(add), \
    .pack_keys[0] = ISA(pack_keys), \
    .attend[0] = ISA(attend), \
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
