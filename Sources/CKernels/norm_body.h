// Group and layer norm.

static void ISA(channel_sums)(double *sums, double *squares, const float *input, int64_t rows, int64_t channels) {
  for (int64_t row = 0; row < rows; row++, input += channels)
    for (int64_t c = 0; c < channels; c++) {
      double x = (double)input[c];
      sums[c] += x;
      squares[c] += x * x;
    }
}

static void ISA(scale_shift)(
  float *output, const float *input, const float *gain, const float *shift, int64_t rows, int64_t channels, bool silu) {
  for (int64_t row = 0; row < rows; row++, input += channels, output += channels) {
    if (silu) {
      EACH_VECTOR(
        channels,
        ISA(store)(output + i, ISA(silu)(ISA(load)(input + i) * ISA(load)(gain + i) + ISA(load)(shift + i)));,
        vf x = ISA(load_part)(input + i, rest) * ISA(load_part)(gain + i, rest) + ISA(load_part)(shift + i, rest);
        ISA(store_part)(output + i, ISA(silu)(x), rest);)
    } else {
      EACH_VECTOR(
        channels, ISA(store)(output + i, ISA(load)(input + i) * ISA(load)(gain + i) + ISA(load)(shift + i));,
        vf x = ISA(load_part)(input + i, rest) * ISA(load_part)(gain + i, rest) + ISA(load_part)(shift + i, rest);
        ISA(store_part)(output + i, x, rest);)
    }
  }
}

static void ISA(layer_norm)(
  float *output, const float *input, const float *gain, const float *shift, int64_t rows, int64_t channels,
  float epsilon) {
  for (int64_t row = 0; row < rows; row++, input += channels, output += channels) {
    vf total = {0};
    {
      EACH_VECTOR(channels, total += ISA(load)(input + i);, total += ISA(load_part)(input + i, rest);)
    }
    float mean = ISA(sum)(total) / (float)channels;
    vf square = {0};
    {
      // The variance about the mean in a second pass: the difference of large squares would lose it.
      EACH_VECTOR(
        channels, vf d = ISA(load)(input + i) - mean; square += d * d;,
        vf d = ISA(load_part)(input + i, rest) - mean; float lanes[LANES];
        ISA(store)(lanes, d * d); square += ISA(load_part)(lanes, rest);)
    }
    float scale = 1.0f / sqrtf(ISA(sum)(square) / (float)channels + epsilon);
    EACH_VECTOR(
      channels,
      ISA(store)(output + i, (ISA(load)(input + i) - mean) * scale * ISA(load)(gain + i) + ISA(load)(shift + i));,
      vf x = (ISA(load_part)(input + i, rest) - mean) * scale;
      ISA(store_part)(output + i, x * ISA(load_part)(gain + i, rest) + ISA(load_part)(shift + i, rest), rest);)
  }
}
