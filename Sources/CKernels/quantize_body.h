// Pixels of floats to int8 pixels. Every step is a rounding of its own, so that all instruction sets give the same
// bits.

// The levels of LANES channels.
INLINE ISA(vb) ISA(levels)(vf x, float inverse, float zero) {
#pragma clang fp contract(off)
  vf level = x * inverse + 12582912.0f - 12582912.0f + zero;  // 1.5 x 2^23: the sum has no bits left for fractions
  // Also NaN becomes a number.
  level = (vf)((vi)level & (level > 0));
  level = ISA(min)(ISA(splat)(255), level);
  return __builtin_convertvector(__builtin_convertvector(level, vi), ISA(vb));
}

static void ISA(convert_int8)(
  void *pixels, const float *input, int64_t input_stride, int64_t count, int64_t channels) {
#pragma clang fp contract(off)
  int64_t bytes = fs_pixel_bytes(FS_INT8, channels), padded = fs_int8_padded(channels);
  for (int64_t row = 0; row < count; row++, input += input_stride) {
    fs_int8_pixel *pixel = (fs_int8_pixel *)((char *)pixels + row * bytes);
    // The range with 0 in it, and sums that are 0 or NaN.
    vf low = {0}, high = {0}, zeros = {0}, low2 = {0}, high2 = {0}, zeros2 = {0};
    int64_t c = 0;
    for (; c + 2 * LANES <= channels; c += 2 * LANES) {
      vf x = ISA(load)(input + c), y = ISA(load)(input + c + LANES);
      low = ISA(min)(x, low);
      high = ISA(max)(x, high);
      zeros += x * 0.0f;
      low2 = ISA(min)(y, low2);
      high2 = ISA(max)(y, high2);
      zeros2 += y * 0.0f;
    }
    for (; c < channels; c += LANES) {
      vf x = channels - c < LANES ? ISA(load_part)(input + c, channels - c) : ISA(load)(input + c);
      low = ISA(min)(x, low);
      high = ISA(max)(x, high);
      zeros += x * 0.0f;
    }
    float least = __builtin_reduce_min(ISA(min)(low2, low)), most = __builtin_reduce_max(ISA(max)(high2, high));
    bool is_finite = __builtin_reduce_or((vi)(zeros + zeros2)) == 0;
    // What has no range to speak of is 0.
    float range = most - least;
    bool is_usable = is_finite && range > 1e-30f;
    float inverse = is_usable ? 255 / range : 0;
    float zero = is_usable ? rintf(-least * inverse) : 0;
    pixel->step = is_usable ? range / 255 : is_finite ? 0 : NAN;
    pixel->zero = (int32_t)zero;
    for (c = 0; c + LANES <= channels; c += LANES)
      *(ISA(vb) *)(pixel->channels + c) = ISA(levels)(ISA(load)(input + c), inverse, zero);
    if (c < padded) {
      ISA(vb) last = ISA(levels)(ISA(load_part)(input + c, channels - c), inverse, zero);
      memcpy(pixel->channels + c, &last, (size_t)(padded - c));
    }
  }
}
