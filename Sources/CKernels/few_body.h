// Convolution to few outputs, such as a picture's colours: vectors of channels, since one of outputs would be mostly
// empty.
//
// Weights are [tap][output][channels, padded to FS_LINE]. The lanes of each sum are added up at the end.

// Pixels whose sums stay in registers.
enum { ISA(FEW_ROWS) = TILE_ROWS > 6 ? 4 : 2 };

INLINE void ISA(few_tile)(
  const fs_convolution *op, float *tile, const float *const *pointers, int64_t taps, const int outputs,
  fs_format format) {
  vf acc[ISA(FEW_ROWS)][FS_FEW] = {0};
  int64_t padded = fs_padded_lines(op->channels), index = 0;
  for (int64_t tap = 0; tap < taps; tap++, pointers += TILE_ROWS, index += outputs * padded)
    for (int64_t c = 0; c < op->channels; c += LANES) {
      int64_t lanes = op->channels - c < LANES ? op->channels - c : LANES;
      vf x[ISA(FEW_ROWS)];
      _Pragma("clang loop unroll(full)") for (int r = 0; r < ISA(FEW_ROWS); r++)
        x[r] = ISA(load_lanes)(pointers[r] + c, lanes);
      _Pragma("clang loop unroll(full)") for (int n = 0; n < outputs; n++) {
        vf w = ISA(load_weights)(op->weights, format, index + n * padded + c, false);
        _Pragma("clang loop unroll(full)") for (int r = 0; r < ISA(FEW_ROWS); r++) acc[r][n] += x[r] * w;
      }
    }
  for (int r = 0; r < ISA(FEW_ROWS); r++)
    for (int n = 0; n < outputs; n++) tile[r * FS_PANEL + n] = ISA(sum)(acc[r][n]);
}

INLINE void ISA(convolve_few_of)(
  const fs_convolution *op, int64_t row_begin, int64_t row_end, const int outputs, fs_format format) {
  fs_pixels pixels = {op->input, op->input_stride * (int64_t)sizeof(float), op->zeros, 0};
  const void *pointers[MAX_TAPS * TILE_ROWS];
  float tile[ISA(FEW_ROWS) * FS_PANEL];
  int64_t taps = op->kernel_height * op->kernel_width;
  for (int64_t row = row_begin; row < row_end; row += ISA(FEW_ROWS)) {
    int64_t rows = row_end - row < ISA(FEW_ROWS) ? row_end - row : ISA(FEW_ROWS);
    ISA(gather)(op, &pixels, pointers, row, rows);
    for (int64_t r = rows; r < ISA(FEW_ROWS); r++)
      for (int64_t tap = 0; tap < taps; tap++) pointers[tap * TILE_ROWS + r] = op->zeros;
    ISA(few_tile)(op, tile, (const float *const *)pointers, taps, outputs, format);
    ISA(finish)(op, tile, row, rows, 0, outputs);
  }
}

static void ISA(convolve_few)(const fs_convolution *op, int64_t row_begin, int64_t row_end) {
#define FEW(outputs) \
  case outputs: \
    if (op->format == FS_FLOAT16) ISA(convolve_few_of)(op, row_begin, row_end, outputs, FS_FLOAT16); \
    else ISA(convolve_few_of)(op, row_begin, row_end, outputs, FS_FLOAT32); \
    break;
  switch (op->outputs) { FEW(1) FEW(2) FEW(3) FEW(4) }
#undef FEW
}
