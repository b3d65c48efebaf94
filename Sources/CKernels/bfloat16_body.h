// Convolution of bfloat16 pixels with vdpbf16ps: pairs of channels, read by one 32-bit broadcast, times 32 outputs.

// One vector of 16 outputs, each with the two weights of a channel pair.
#define PAIRS ((int64_t)2 * LANES)

INLINE bool ISA(accumulate_bfloat16)(
  const int rows, const int vectors, const ISA(place) *place, float *tile, const void *const *pointers, int64_t taps,
  const uint16_t *b, int64_t width) {
  const int64_t channels = place->op->channels;
  vf acc[TILE_ROWS][VECTORS];
  _Pragma("clang loop unroll(full)") for (int r = 0; r < rows; r++)
    _Pragma("clang loop unroll(full)") for (int v = 0; v < vectors; v++) acc[r][v] = (vf){0};
  for (int64_t tap = 0; tap < taps; tap++) {
    const int32_t *a[TILE_ROWS];
    _Pragma("clang loop unroll(full)") for (int r = 0; r < rows; r++) a[r] = pointers[tap * TILE_ROWS + r];
    const int64_t pairs = (channels + 1) / 2, part = taps == 1 ? pairs / rows + 1 : pairs;
    for (int64_t pair = 0, row = 0; pair < pairs; row++) {
      if (taps == 1) ISA(prefetch_row)(place, row);
      for (int64_t end = pair + part < pairs ? pair + part : pairs; pair < end; pair++, b += 2 * width) {
        __m512bh w[VECTORS];
        _Pragma("clang loop unroll(full)") for (int v = 0; v < vectors; v++)
          w[v] = (__m512bh)_mm512_loadu_si512(b + v * PAIRS);
        _Pragma("clang loop unroll(full)") for (int r = 0; r < rows; r++) {
          __m512bh x = (__m512bh)_mm512_set1_epi32(a[r][pair]);
          _Pragma("clang loop unroll(full)") for (int v = 0; v < vectors; v++)
            acc[r][v] = (vf)_mm512_dpbf16_ps((__m512)acc[r][v], w[v], x);
        }
      }
    }
  }
  if (vectors == VECTORS && ISA(is_whole)(place->op, place->columns)) {
    ISA(finish_whole)(place->op, acc, rows, place->row, place->column);
    return false;
  }
  _Pragma("clang loop unroll(full)") for (int r = 0; r < rows; r++)
    _Pragma("clang loop unroll(full)") for (int v = 0; v < vectors; v++)
      ISA(store)(tile + r * FS_PANEL + v * LANES, acc[r][v]);
  return true;
}

#define BFLOAT16_TILE(rows)                                                                       \
  case rows:                                                                                      \
    return place->columns <= LANES                                                                \
             ? ISA(accumulate_bfloat16)(rows, 1, place, tile, pointers, taps, panel, width)       \
             : ISA(accumulate_bfloat16)(rows, VECTORS, place, tile, pointers, taps, panel, width);

static bool ISA(multiply_bfloat16)(
  const ISA(place) *place, float *tile, const void *const *pointers, int64_t taps, const void *panel, int64_t width) {
  switch (place->rows) {
    EACH_TILE(BFLOAT16_TILE)
  }
  return true;
}

static void ISA(convolve_bfloat16_dot)(
  const fs_convolution *op, int64_t row_begin, int64_t row_end, int64_t panel_begin, int64_t panel_end) {
  fs_pixels pixels = {op->pixels, fs_bfloat16_stride(op->channels), op->zeros, op->margin};
  int64_t inputs = op->kernel_height * op->kernel_width * fs_bfloat16_padded(op->channels);
  ISA(convolve_tiles)(
    op, &pixels, inputs * (int64_t)sizeof(uint16_t), ISA(multiply_bfloat16), row_begin, row_end, panel_begin,
    panel_end);
}

// Rounds to the nearest bfloat16, ties to even.
static void ISA(convert_bfloat16)(
  void *pixels, const float *input, int64_t input_stride, int64_t count, int64_t channels) {
  uint16_t *pixel = pixels;
  int64_t padded = fs_bfloat16_padded(channels), stride = fs_bfloat16_stride(channels) / 2;
  for (int64_t row = 0; row < count; row++, input += input_stride, pixel += stride) {
    for (int64_t c = 0; c < channels; c += LANES) {
      int64_t left = channels - c;
      __mmask16 read = left < LANES ? (1u << left) - 1 : 0xffff;
      int64_t space = padded - c;
      __mmask16 written = space < LANES ? (1u << space) - 1 : 0xffff;
      __m256bh rounded = _mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(read, input + c));
      _mm256_mask_storeu_epi16(pixel + c, written, (__m256i)rounded);
    }
  }
}
