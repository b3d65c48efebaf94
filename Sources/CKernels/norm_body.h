// Group and layer norm.

#define NORM_ROWS 4

// Adds `rows` rows, one after another, while a channel's sums stay in registers.
INLINE void ISA(add_rows)(double *sums, double *squares, const float *input, const int rows, int64_t channels) {
  int64_t c = 0;
  for (; c + NARROW <= channels; c += NARROW) {
    // The CPU does not see what comes next where several rows are read by turns.
    for (int64_t i = 0; rows > 1 && i < rows * NARROW; i += FS_LINE)
      __builtin_prefetch(input + rows * (channels + c) + i);
    nd sum = *(const nd *)(sums + c), square = *(const nd *)(squares + c);
    _Pragma("clang loop unroll(full)") for (int r = 0; r < rows; r++) {
      nd x = __builtin_convertvector(*(const nf *)(input + r * channels + c), nd);
      sum += x;
      square += x * x;
    }
    *(nd *)(sums + c) = sum;
    *(nd *)(squares + c) = square;
  }
  for (; c < channels; c++)
    for (int r = 0; r < rows; r++) {
      double x = (double)input[r * channels + c];
      sums[c] += x;
      squares[c] += x * x;
    }
}

static void ISA(channel_sums)(double *sums, double *squares, const float *input, int64_t rows, int64_t channels) {
  enum { ROWS = 8 };
  int64_t row = 0;
  for (; row + ROWS <= rows; row += ROWS) ISA(add_rows)(sums, squares, input + row * channels, ROWS, channels);
  for (; row < rows; row++) ISA(add_rows)(sums, squares, input + row * channels, 1, channels);
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

// The sum of a row, or of the squares of what is left without `mean`, in a few sums that do not wait for one another.
INLINE float ISA(row_sum)(const float *input, int64_t channels, float mean, const bool squared) {
  enum { SUMS = 4 };
  vf sums[SUMS] = {{0}};
  int64_t c = 0;
  for (; c + SUMS * LANES <= channels; c += SUMS * LANES)
    _Pragma("clang loop unroll(full)") for (int v = 0; v < SUMS; v++) {
      vf x = ISA(load)(input + c + v * LANES) - mean;
      sums[v] += squared ? x * x : x;
    }
  for (; c + LANES <= channels; c += LANES) {
    vf x = ISA(load)(input + c) - mean;
    sums[0] += squared ? x * x : x;
  }
  if (c < channels) {
    vf means = ISA(splat)(mean);
    vf x = ISA(load_part)(input + c, channels - c) - ISA(load_part)((const float *)&means, channels - c);
    sums[1] += squared ? x * x : x;
  }
  return ISA(sum)((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

// A few rows at a time: the sums of one are waited for while those of the others are added up.
INLINE void ISA(normalize_rows)(
  float *output, const float *input, const float *gain, const float *shift, int64_t rows, int64_t channels,
  float epsilon) {
  float mean[NORM_ROWS], scale[NORM_ROWS];
  for (int64_t r = 0; r < rows; r++) mean[r] = ISA(row_sum)(input + r * channels, channels, 0, false) / (float)channels;
  // The variance about the mean in a second pass: the difference of large squares would lose it.
  for (int64_t r = 0; r < rows; r++)
    scale[r] = 1.0f / sqrtf(ISA(row_sum)(input + r * channels, channels, mean[r], true) / (float)channels + epsilon);
  for (int64_t r = 0; r < rows; r++, input += channels, output += channels) {
    EACH_VECTOR(
      channels, vf x = (ISA(load)(input + i) - mean[r]) * scale[r];
      ISA(store)(output + i, x * ISA(load)(gain + i) + ISA(load)(shift + i));,
      vf x = (ISA(load_part)(input + i, rest) - mean[r]) * scale[r];
      ISA(store_part)(output + i, x * ISA(load_part)(gain + i, rest) + ISA(load_part)(shift + i, rest), rest);)
  }
}

static void ISA(layer_norm)(
  float *output, const float *input, const float *gain, const float *shift, int64_t rows, int64_t channels,
  float epsilon) {
  for (int64_t row = 0; row < rows; row += NORM_ROWS)
    ISA(normalize_rows)(
      output + row * channels, input + row * channels, gain, shift, rows - row < NORM_ROWS ? rows - row : NORM_ROWS,
      channels, epsilon);
}
