// Convolution of int8 pixels: fours of channels, read by one 32-bit broadcast, times the fours of each output.
// INT8(dot) adds their products to 32-bit sums, exactly on every instruction set; included once per version of it.
//
// Each pixel has a step and a zero point of its own, so each tap's sum is brought to its true scale before the next:
// step x (sum - zero x sum of the tap's weights). 255 x 127 x 65536 channels stay within 32 bits.

INLINE bool INT8(accumulate)(
  const int rows, const int vectors, const ISA(place) *place, float *tile, const void *const *pointers, int64_t taps,
  const char *b, int64_t width) {
#pragma clang fp contract(off)
  const int64_t channels = place->op->channels;
  const bool is_whole = vectors == VECTORS && taps == 1 && ISA(is_whole)(place->op, place->columns);
  const float *steps = (const float *)b;
  b += 4 * width;
  for (int64_t tap = 0; tap < taps; tap++) {
    const uint8_t *a[TILE_ROWS];
    vi acc[TILE_ROWS][VECTORS];
    _Pragma("clang loop unroll(full)") for (int r = 0; r < rows; r++) {
      const fs_int8_pixel *pixel = pointers[tap * TILE_ROWS + r];
      a[r] = pixel->channels;
      _Pragma("clang loop unroll(full)") for (int v = 0; v < vectors; v++)
        acc[r][v] = *(const vi *)(b + 4 * v * LANES) * -pixel->zero;
    }
    b += 4 * width;
    const int64_t part = taps == 1 ? 4 * (channels / (4 * rows) + 1) : channels;
    for (int64_t c = 0, row = 0; c < channels; row++) {
      if (taps == 1) ISA(prefetch_row)(place, row);
      for (int64_t end = c + part < channels ? c + part : channels; c < end; c += 4, b += 4 * width) {
        vi w[VECTORS];
        _Pragma("clang loop unroll(full)") for (int v = 0; v < vectors; v++) w[v] = *(const vi *)(b + 4 * v * LANES);
        _Pragma("clang loop unroll(full)") for (int r = 0; r < rows; r++) {
          int32_t four;
          memcpy(&four, a[r] + c, 4);
          vi x = four - (vi){0};
          _Pragma("clang loop unroll(full)") for (int v = 0; v < vectors; v++)
            acc[r][v] = INT8(dot)(acc[r][v], x, w[v]);
        }
      }
    }
    if (is_whole) {
      vf sums[TILE_ROWS][VECTORS];
      _Pragma("clang loop unroll(full)") for (int r = 0; r < rows; r++) {
        float step = ((const fs_int8_pixel *)pointers[r])->step;
        _Pragma("clang loop unroll(full)") for (int v = 0; v < vectors; v++)
          sums[r][v] = __builtin_convertvector(acc[r][v], vf) * step * ISA(load)(steps + v * LANES);
      }
      ISA(finish_whole)(place->op, sums, rows, place->row, place->column);
      return false;
    }
    _Pragma("clang loop unroll(full)") for (int r = 0; r < rows; r++) {
      float step = ((const fs_int8_pixel *)pointers[tap * TILE_ROWS + r])->step;
      _Pragma("clang loop unroll(full)") for (int v = 0; v < vectors; v++) {
        float *target = tile + r * FS_PANEL + v * LANES;
        vf sum = __builtin_convertvector(acc[r][v], vf) * step;
        if (tap > 0) sum += ISA(load)(target);
        if (tap == taps - 1) sum *= ISA(load)(steps + v * LANES);
        ISA(store)(target, sum);
      }
    }
  }
  return true;
}

#define INT8_TILE(rows)                                                                                \
  case rows:                                                                                           \
    is_open = columns <= LANES                                                                         \
                ? INT8(accumulate)(rows, 1, place, tile, pointers, taps, panel, width)                 \
                : INT8(accumulate)(rows, VECTORS, place, tile, pointers, taps, panel, width);          \
    break;

static bool INT8(multiply)(
  const ISA(place) *place, float *tile, const void *const *pointers, int64_t taps, const void *panel, int64_t width) {
  bool is_open = true;
  for (int64_t columns = place->columns; columns > 0; columns -= VECTORS * LANES, tile += VECTORS * LANES) {
    switch (place->rows) {
      EACH_TILE(INT8_TILE)
    }
    panel = (const char *)panel + 4 * VECTORS * LANES;
  }
  return is_open;
}

static void INT8(convolve)(
  const fs_convolution *op, int64_t row_begin, int64_t row_end, int64_t panel_begin, int64_t panel_end) {
  fs_pixels pixels = {op->pixels, fs_int8_bytes(op->channels), op->zeros, op->margin};
  int64_t taps = op->kernel_height * op->kernel_width;
  ISA(convolve_tiles)(
    op, &pixels, 4 + taps * (4 + fs_int8_padded(op->channels)), INT8(multiply), row_begin, row_end,
    panel_begin, panel_end);
}
