// Convolution as a matrix product with packed weights and gathered rows.
//
// A tile of TILE_ROWS output pixels by VECTORS vectors of outputs stays in registers while all taps and channels are
// added up, one after another: no scratch, no im2col, and an order of summation that depends on taps and channels
// alone.

// Adds the products of the channels c ..< end of `rows` pixels, and has the pixels' next channels on their way: so many
// streams of lines from the second-level cache are too many for the CPU's own prefetching.
INLINE void ISA(add_products)(
  const int rows, const int vectors, vf acc[TILE_ROWS][VECTORS], const float *const *a, int64_t c, int64_t end,
  const float *b, int64_t width) {
  _Pragma("clang loop unroll(full)") for (int r = 0; r < rows; r++) __builtin_prefetch(a[r] + c + FS_LINE);
  for (; c < end; c++, b += width) {
    vf w[VECTORS];
    _Pragma("clang loop unroll(full)") for (int v = 0; v < vectors; v++) w[v] = ISA(load)(b + v * LANES);
    _Pragma("clang loop unroll(full)") for (int r = 0; r < rows; r++)
      _Pragma("clang loop unroll(full)") for (int v = 0; v < vectors; v++) acc[r][v] += a[r][c] * w[v];
  }
}

INLINE int64_t ISA(line_count)(int64_t channels) { return (channels + FS_LINE - 1) / FS_LINE; }

// The end of the line of channels from c on.
INLINE int64_t ISA(line_end)(int64_t c, int64_t channels) {
  return c + FS_LINE < channels ? c + FS_LINE : channels;
}

// tile[r][v] := the sum over taps and channels; pointers[tap x TILE_ROWS + r] is the tap's pixel of output row r.
INLINE void ISA(multiply_tile)(
  const int rows, const int vectors, float *tile, const float *const *pointers, int64_t taps,
  int64_t channels, const float *b, int64_t width, ISA(fetch) fetch, bool resume) {
  const int64_t lines = taps * ISA(line_count)(channels);
  vf acc[TILE_ROWS][VECTORS];
  _Pragma("clang loop unroll(full)") for (int r = 0; r < rows; r++)
    _Pragma("clang loop unroll(full)") for (int v = 0; v < vectors; v++)
      acc[r][v] = resume ? ISA(load)(tile + r * FS_PANEL + v * LANES) : (vf){0};
  for (int64_t tap = 0, line = 0, fetched = 0; tap < taps; tap++) {
    const float *a[TILE_ROWS];
    _Pragma("clang loop unroll(full)") for (int r = 0; r < rows; r++) a[r] = pointers[tap * TILE_ROWS + r];
    for (int64_t c = 0; c < channels; c += FS_LINE) {
      fetched = ISA(fetch_more)(fetch, fetched, ++line, lines);
      ISA(add_products)(rows, vectors, acc, a, c, ISA(line_end)(c, channels), b + c * width, width);
    }
    b += channels * width;
  }
  _Pragma("clang loop unroll(full)") for (int r = 0; r < rows; r++)
    _Pragma("clang loop unroll(full)") for (int v = 0; v < vectors; v++)
      ISA(store)(tile + r * FS_PANEL + v * LANES, acc[r][v]);
}

#define TILE(rows)                                                                                             \
  static void ISA(tile_##rows)(                                                                                \
    float *tile, const float *const *pointers, int64_t taps, int64_t channels, const float *b, int64_t width,  \
    ISA(fetch) fetch, int vectors, bool resume) {                                                              \
    if (vectors == 1) ISA(multiply_tile)(rows, 1, tile, pointers, taps, channels, b, width, fetch, resume);    \
    else ISA(multiply_tile)(rows, VECTORS, tile, pointers, taps, channels, b, width, fetch, resume);           \
  }

EACH_TILE(TILE)

typedef void (*ISA(tile_function))(
  float *, const float *const *, int64_t, int64_t, const float *, int64_t, ISA(fetch), int, bool);

#define TILE_NAME(rows) ISA(tile_##rows),
static const ISA(tile_function) ISA(tiles)[TILE_ROWS] = {EACH_TILE(TILE_NAME)};

// tile := the product of `rows` gathered rows with one panel, whose packed rows are `width` wide; or, where `resume`,
// the sum goes on from what the tile holds.
INLINE void ISA(multiply_more)(
  float *tile, int64_t rows, int64_t columns, const float *const *pointers, int64_t taps,
  int64_t channels, const float *panel, int64_t width, ISA(fetch) fetch, bool resume) {
  for (int64_t c = 0; c < columns; c += VECTORS * LANES)
    ISA(tiles)[rows - 1](
      tile + c, pointers, taps, channels, panel + c, width, c == 0 ? fetch : (ISA(fetch)){0},
      width - c < VECTORS * LANES ? 1 : VECTORS, resume);
}

// A linear layer's whole tile, finished in registers; where `sums` are given, they go on from those.
INLINE void ISA(multiply_whole)(
  const int rows, const ISA(place) *place, const float *sums, const void *const *pointers, int64_t channels,
  const float *b) {
  const int64_t lines = ISA(line_count)(channels);
  const float *a[TILE_ROWS];
  vf acc[TILE_ROWS][VECTORS];
  _Pragma("clang loop unroll(full)") for (int r = 0; r < rows; r++) {
    a[r] = pointers[r];
    _Pragma("clang loop unroll(full)") for (int v = 0; v < VECTORS; v++)
      acc[r][v] = sums ? ISA(load)(sums + r * FS_PANEL + v * LANES) : (vf){0};
  }
  for (int64_t line = 0, row = 0, fetched = 0; line < lines; line++, b += FS_LINE * VECTORS * LANES) {
    for (; row * lines < (line + 1) * rows; row++) ISA(prefetch_row)(place, row);
    fetched = ISA(fetch_more)(place->fetch, fetched, line + 1, lines);
    const int64_t c = line * FS_LINE;
    ISA(add_products)(rows, VECTORS, acc, a, c, ISA(line_end)(c, channels), b, VECTORS * LANES);
  }
  ISA(finish_whole)(place->op, acc, rows, place->row, place->column);
}

#define WHOLE_TILE(rows) \
  case rows: ISA(multiply_whole)(rows, place, resume ? tile : NULL, pointers, channels, panel); return false;

// The last products of a tile: of all channels, or, where `resume`, of the last ones.
static bool ISA(multiply_last)(
  const ISA(place) *place, float *tile, const void *const *pointers, int64_t taps, int64_t channels, const float *panel,
  int64_t width, bool resume) {
  if (taps == 1 && ISA(is_whole)(place->op, place->columns)) switch (place->rows) { EACH_TILE(WHOLE_TILE) }
  if (taps == 1) ISA(prefetch_output)(place->op, place->row, place->rows, place->column, place->columns);
  ISA(multiply_more)(
    tile, place->rows, place->columns, (const float *const *)pointers, taps, channels, panel, width, place->fetch,
    resume);
  return true;
}

static bool ISA(multiply_floats)(
  const ISA(place) *place, float *tile, const void *const *pointers, int64_t taps, const void *panel, int64_t width) {
  return ISA(multiply_last)(place, tile, pointers, taps, place->op->channels, panel, width, false);
}

static void ISA(convolve)(
  const fs_convolution *op, int64_t row_begin, int64_t row_end, int64_t panel_begin, int64_t panel_end) {
  fs_pixels pixels = {op->input, op->input_stride * (int64_t)sizeof(float), op->zeros, 0};
  int64_t inputs = op->kernel_height * op->kernel_width * op->channels;
  ISA(convolve_tiles)(
    op, &pixels, inputs * (int64_t)sizeof(float), ISA(multiply_floats), row_begin, row_end, panel_begin, panel_end);
}
