// Pixels of floats to int8 pixels. Every step is a rounding of its own, so that all instruction sets give the same bits.

static void ISA(convert_int8)(
  void *pixels, const float *input, int64_t input_stride, int64_t count, int64_t channels) {
#pragma clang fp contract(off)
  int64_t bytes = fs_format_pixel_bytes(FS_INT8, channels), padded = fs_int8_padded(channels);
  for (int64_t row = 0; row < count; row++, input += input_stride) {
    fs_int8_pixel *pixel = (fs_int8_pixel *)((char *)pixels + row * bytes);
    // The range with 0 in it, and 0 or NaN.
    vf lows = {0}, highs = {0}, zeros = {0};
    for (int64_t c = 0; c < channels; c += LANES) {
      vf x = channels - c < LANES ? ISA(load_part)(input + c, channels - c) : ISA(load)(input + c);
      lows = ISA(min)(x, lows);
      highs = ISA(max)(x, highs);
      zeros += x * 0.0f;
    }
    float low = 0, high = 0, nan = 0;
    for (int lane = 0; lane < LANES; lane++) {
      low = lows[lane] < low ? lows[lane] : low;
      high = highs[lane] > high ? highs[lane] : high;
      nan += zeros[lane];
    }
    // What has no range to speak of is 0.
    float range = high - low;
    bool usable = range > 1e-30f && nan == 0;
    float inverse = usable ? 255 / range : 0;
    const float round = 12582912;  // 1.5 x 2^23: the sum has no bits left for fractions
    float zero = usable ? -low * inverse + round - round : 0;
    pixel->step = usable ? range / 255 : nan;
    pixel->zero = (int32_t)zero;
    for (int64_t c = 0; c < padded; c += LANES) {
      int64_t left = channels - c;
      vf x = left < LANES ? ISA(load_part)(input + c, left) : ISA(load)(input + c);
      vf level = x * inverse + round - round + zero;
      // Also NaN becomes a number.
      level = (vf)((vi)level & (level > 0));
      level = ISA(min)(ISA(splat)(255), level);
      ISA(vb) narrow = __builtin_convertvector(__builtin_convertvector(level, vi), ISA(vb));
      int64_t space = padded - c;
      memcpy(pixel->channels + c, &narrow, (size_t)(space < LANES ? space : LANES));
    }
  }
}
