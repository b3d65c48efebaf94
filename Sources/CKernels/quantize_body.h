// Pixels of floats to int8 pixels. Every step is a rounding of its own, so that all instruction sets give the same
// bits.

// How a pixel is rounded. `offset` is the zero point less the bits of 1.5 x 2^23, in whose sum a float's last bits are
// its nearest integer.
typedef struct {
  float step, inverse;
  int32_t zero, offset;
} ISA(pixel_scale);

// The levels of LANES channels, before they are limited to 0 ... 255.
INLINE vi ISA(open_levels)(vf x, const ISA(pixel_scale) *scale) {
#pragma clang fp contract(off)
  return (vi)(x * scale->inverse + 12582912.0f) + scale->offset;
}

INLINE ISA(vb) ISA(levels)(vf x, const ISA(pixel_scale) *scale) {
  vi level = ISA(open_levels)(x, scale);
  level = __builtin_elementwise_min(__builtin_elementwise_max(level, (vi){0}), (vi){0} + 255);
  return __builtin_convertvector(level, ISA(vb));
}

// Writes the levels of the first channels, as many as fill whole bunches of four vectors, and returns how many.
INLINE int64_t ISA(store_levels)(uint8_t *target, const float *input, int64_t channels, const ISA(pixel_scale) *scale) {
  int64_t c = 0;
#if LANES == 16
  // Packing limits them, and brings fours of each of the vectors side by side.
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  for (; c + 4 * LANES <= channels; c += 4 * LANES) {
    __m512i level[4];
    for (int i = 0; i < 4; i++) level[i] = (__m512i)ISA(open_levels)(ISA(load)(input + c + i * LANES), scale);
    __m512i bytes =
      _mm512_packus_epi16(_mm512_packs_epi32(level[0], level[1]), _mm512_packs_epi32(level[2], level[3]));
    _mm512_storeu_si512(target + c, _mm512_permutexvar_epi32(order, bytes));
  }
#endif
  return c;
}

// The range with 0 in it, and sums that are 0 or NaN. What the sums round does not matter: they may be fused.
typedef struct {
  vf low, high, zeros;
} ISA(range);

INLINE void ISA(widen)(ISA(range) *range, vf x) {
  range->low = ISA(min)(x, range->low);
  range->high = ISA(max)(x, range->high);
  range->zeros += x * 0.0f;
}

// Of numbers not below 0, whose order is that of their bits.
INLINE float ISA(largest)(vf v) {
  int32_t bits = __builtin_reduce_max((vi)v);
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

INLINE ISA(pixel_scale) ISA(pixel_scale_of)(const float *input, int64_t channels) {
#pragma clang fp contract(off)
  ISA(range) even = {0}, odd = {0};
  int64_t c = 0;
  for (; c + 2 * LANES <= channels; c += 2 * LANES) {
    ISA(widen)(&even, ISA(load)(input + c));
    ISA(widen)(&odd, ISA(load)(input + c + LANES));
  }
  for (; c + LANES <= channels; c += LANES) ISA(widen)(&even, ISA(load)(input + c));
  if (c < channels) ISA(widen)(&odd, ISA(load_part)(input + c, channels - c));
  float least = -ISA(largest)(-ISA(min)(odd.low, even.low)), most = ISA(largest)(ISA(max)(odd.high, even.high));
  bool is_finite = __builtin_reduce_or((vi)(even.zeros + odd.zeros)) == 0;
  // What has no range to speak of is 0.
  float range = most - least;
  bool is_usable = is_finite && range > 1e-30f;
  float inverse = is_usable ? 255 / range : 0;
  int32_t zero = is_usable ? (int32_t)rintf(-least * inverse) : 0;
  return (ISA(pixel_scale)){is_usable ? range / 255 : is_finite ? 0 : NAN, inverse, zero, zero - 0x4b400000};
}

static void ISA(convert_int8)(
  void *pixels, const float *input, int64_t input_stride, int64_t count, int64_t channels) {
  int64_t bytes = fs_int8_bytes(channels), padded = fs_int8_padded(channels);
  for (int64_t row = 0; row < count; row++, input += input_stride) {
    fs_int8_pixel *pixel = (fs_int8_pixel *)((char *)pixels + row * bytes);
    ISA(pixel_scale) scale = ISA(pixel_scale_of)(input, channels);
    pixel->step = scale.step;
    pixel->zero = scale.zero;
    int64_t c = ISA(store_levels)(pixel->channels, input, channels, &scale);
    for (; c + LANES <= channels; c += LANES)
      *(ISA(vb) *)(pixel->channels + c) = ISA(levels)(ISA(load)(input + c), &scale);
    if (c < padded) {
      ISA(vb) last = ISA(levels)(ISA(load_part)(input + c, channels - c), &scale);
      memcpy(pixel->channels + c, &last, (size_t)(padded - c));
    }
  }
}
