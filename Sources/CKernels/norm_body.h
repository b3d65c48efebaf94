// Group and layer norm.

#define NORM_ROWS 4

// Adds `rows` rows, one after another, while a channel's sums stay in registers.
INLINE void ISA(add_rows)(double *sums, double *squares, const float *input, const int rows, int64_t channels) {
  int64_t c = 0;
  for (; c + NARROW <= channels; c += NARROW) {
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

// A few rows at a time: the sums of one are waited for while those of the others are added up.
INLINE void ISA(normalize_rows)(
  float *output, const float *input, const float *gain, const float *shift, const int rows, int64_t channels,
  float epsilon) {
  vf total[NORM_ROWS] = {{0}}, square[NORM_ROWS] = {{0}};
  float mean[NORM_ROWS], scale[NORM_ROWS];
#define EACH_ROW _Pragma("clang loop unroll(full)") for (int r = 0; r < rows; r++)
  {
    EACH_VECTOR(
      channels, EACH_ROW total[r] += ISA(load)(input + r * channels + i);,
      EACH_ROW total[r] += ISA(load_part)(input + r * channels + i, rest);)
  }
  EACH_ROW mean[r] = ISA(sum)(total[r]) / (float)channels;
  {
    // The variance about the mean in a second pass: the difference of large squares would lose it.
    EACH_VECTOR(
      channels, EACH_ROW { vf d = ISA(load)(input + r * channels + i) - mean[r]; square[r] += d * d; },
      EACH_ROW {
        vf d = ISA(load_part)(input + r * channels + i, rest) - mean[r]; float lanes[LANES];
        ISA(store)(lanes, d * d); square[r] += ISA(load_part)(lanes, rest);
      })
  }
  EACH_ROW scale[r] = 1.0f / sqrtf(ISA(sum)(square[r]) / (float)channels + epsilon);
  EACH_VECTOR(
    channels,
    vf g = ISA(load)(gain + i); vf s = ISA(load)(shift + i);
    EACH_ROW ISA(store)(output + r * channels + i, (ISA(load)(input + r * channels + i) - mean[r]) * scale[r] * g + s);,
    vf g = ISA(load_part)(gain + i, rest); vf s = ISA(load_part)(shift + i, rest);
    EACH_ROW {
      vf x = (ISA(load_part)(input + r * channels + i, rest) - mean[r]) * scale[r];
      ISA(store_part)(output + r * channels + i, x * g + s, rest);
    })
#undef EACH_ROW
}

static void ISA(layer_norm)(
  float *output, const float *input, const float *gain, const float *shift, int64_t rows, int64_t channels,
  float epsilon) {
  int64_t row = 0;
  for (; row + NORM_ROWS <= rows; row += NORM_ROWS)
    ISA(normalize_rows)(
      output + row * channels, input + row * channels, gain, shift, NORM_ROWS, channels, epsilon);
  for (; row < rows; row++)
    ISA(normalize_rows)(output + row * channels, input + row * channels, gain, shift, 1, channels, epsilon);
}
