// Convolution as a matrix product with packed weights and gathered rows.
//
// A tile of TILE_ROWS output pixels by VECTORS vectors of outputs stays in registers while all taps and channels are
// added up, one after another: no scratch, no im2col, and an order of summation that depends on taps and channels
// alone.

#define VECTORS 2
#define MAX_TAPS 49

// acc[r][v] = sum over taps and channels; pointers[tap x TILE_ROWS + r] is the tap's pixel of output row r.
#define ACCUMULATE(rows, vectors)                                                                     \
  vf acc[rows][vectors];                                                                              \
  _Pragma("clang loop unroll(full)") for (int r = 0; r < (rows); r++)                                 \
    _Pragma("clang loop unroll(full)") for (int v = 0; v < (vectors); v++) acc[r][v] = (vf){0};       \
  for (int64_t tap = 0; tap < taps; tap++) {                                                          \
    const float *a[rows];                                                                             \
    _Pragma("clang loop unroll(full)") for (int r = 0; r < (rows); r++) a[r] = pointers[tap * TILE_ROWS + r]; \
    for (int64_t c = 0; c < channels; c++, b += width) {                                              \
      vf w[vectors];                                                                                  \
      _Pragma("clang loop unroll(full)") for (int v = 0; v < (vectors); v++) w[v] = ISA(load)(b + v * LANES); \
      _Pragma("clang loop unroll(full)") for (int r = 0; r < (rows); r++)                             \
        _Pragma("clang loop unroll(full)") for (int v = 0; v < (vectors); v++) acc[r][v] += a[r][c] * w[v]; \
    }                                                                                                 \
  }                                                                                                   \
  _Pragma("clang loop unroll(full)") for (int r = 0; r < (rows); r++)                                 \
    _Pragma("clang loop unroll(full)") for (int v = 0; v < (vectors); v++)                            \
      ISA(store)(tile + r * tile_stride + v * LANES, acc[r][v]);

#define TILE(rows)                                                                                         \
  static void ISA(tile_##rows)(                                                                            \
    float *tile, int64_t tile_stride, const float *const *pointers, int64_t taps, int64_t channels,        \
    const float *b, int64_t width, int vectors) {                                                          \
    if (vectors == 1) {                                                                                    \
      ACCUMULATE(rows, 1)                                                                                  \
    } else {                                                                                               \
      ACCUMULATE(rows, VECTORS)                                                                            \
    }                                                                                                      \
  }

TILE(1)
TILE(2)
TILE(3)
TILE(4)
#if TILE_ROWS > 4
TILE(5)
TILE(6)
#endif
#if TILE_ROWS > 6
TILE(7)
TILE(8)
TILE(9)
TILE(10)
TILE(11)
TILE(12)
#endif

typedef void (*ISA(tile_function))(
  float *, int64_t, const float *const *, int64_t, int64_t, const float *, int64_t, int);

static const ISA(tile_function) ISA(tiles)[TILE_ROWS] = {
  ISA(tile_1), ISA(tile_2), ISA(tile_3), ISA(tile_4),
#if TILE_ROWS > 4
  ISA(tile_5), ISA(tile_6),
#endif
#if TILE_ROWS > 6
  ISA(tile_7), ISA(tile_8), ISA(tile_9), ISA(tile_10), ISA(tile_11), ISA(tile_12),
#endif
};

// tile := the product of `rows` gathered rows with one panel, whose packed rows are `width` wide.
INLINE void ISA(multiply)(
  float *tile, int64_t tile_stride, int64_t rows, int64_t columns, const float *const *pointers, int64_t taps,
  int64_t channels, const float *panel, int64_t width) {
  for (int64_t c = 0; c < columns; c += VECTORS * LANES)
    ISA(tiles)[rows - 1](
      tile + c, tile_stride, pointers, taps, channels, panel + c, width, width - c < VECTORS * LANES ? 1 : VECTORS);
}

// The packed width of the panel that starts at output `column`.
INLINE int64_t ISA(panel_width)(const fs_convolution *op, int64_t column) {
  return op->outputs - column <= FS_PANEL / 2 ? FS_PANEL / 2 : FS_PANEL;
}

// Writes a finished tile of `rows` x `columns` to the output from (row, column) on.
static void ISA(finish)(
  const fs_convolution *op, const float *tile, int64_t row, int64_t rows, int64_t column, int64_t columns) {
  int64_t pixels = op->out_height * op->out_width;
  vf scale = ISA(splat)(op->scale);
  for (int64_t r = 0; r < rows; r++) {
    const float *image_bias = op->image_bias ? op->image_bias + (row + r) / pixels * op->outputs + column : NULL;
    const float *residual = op->residual ? op->residual + (row + r) * op->outputs + column : NULL;
    const float *bias = op->bias ? op->bias + column : NULL;
    float *output = op->output + (row + r) * op->outputs + column;
    for (int64_t c = 0; c < columns; c += LANES) {
      int64_t lanes = columns - c < LANES ? columns - c : LANES;
      vf sum = ISA(load)(tile + r * FS_PANEL + c);
      if (lanes == LANES) {
        if (bias) sum += ISA(load)(bias + c);
        if (image_bias) sum += ISA(load)(image_bias + c);
        if (residual) sum += ISA(load)(residual + c);
        ISA(store)(output + c, sum * scale);
      } else {
        if (bias) sum += ISA(load_part)(bias + c, lanes);
        if (image_bias) sum += ISA(load_part)(image_bias + c, lanes);
        if (residual) sum += ISA(load_part)(residual + c, lanes);
        ISA(store_part)(output + c, sum * scale, lanes);
      }
    }
  }
}

// The pixels that each tap of `rows` output pixels reads.
static void ISA(gather)(const fs_convolution *op, const float **pointers, int64_t row, int64_t rows) {
  bool is_pixelwise = op->kernel_height * op->kernel_width == 1 && op->stride == op->upsampling && op->pad_top == 0 &&
                      op->pad_left == 0 && op->out_height == op->height && op->out_width == op->width;
  if (is_pixelwise) {
    for (int64_t r = 0; r < rows; r++) pointers[r] = op->input + (row + r) * op->input_stride;
    return;
  }
  int64_t height = op->height * op->upsampling, width = op->width * op->upsampling;
  int shift = op->upsampling == 2;
  int64_t x = row % op->out_width, y = row / op->out_width % op->out_height;
  const float *picture = op->input + row / op->out_width / op->out_height * op->height * op->width * op->input_stride;
  for (int64_t r = 0; r < rows; r++) {
    const float **pointer = pointers + r;
    int64_t left = x * op->stride - op->pad_left;
    for (int64_t ky = 0; ky < op->kernel_height; ky++) {
      int64_t in_y = y * op->stride + ky - op->pad_top;
      const float *line = in_y >= 0 && in_y < height ? picture + (in_y >> shift) * op->width * op->input_stride : NULL;
      for (int64_t in_x = left; in_x < left + op->kernel_width; in_x++, pointer += TILE_ROWS)
        *pointer = line && in_x >= 0 && in_x < width ? line + (in_x >> shift) * op->input_stride : op->zeros;
    }
    if (++x < op->out_width) continue;
    x = 0;
    if (++y < op->out_height) continue;
    y = 0;
    picture += op->height * op->width * op->input_stride;
  }
}

static void ISA(convolve)(
  const fs_convolution *op, int64_t row_begin, int64_t row_end, int64_t panel_begin, int64_t panel_end) {
  // The tiles of one chunk share a panel while it is in the cache.
  enum { CHUNK = 8 };
  const float *pointers[CHUNK][MAX_TAPS * TILE_ROWS];
  float tile[TILE_ROWS * FS_PANEL];
  int64_t taps = op->kernel_height * op->kernel_width, inputs = taps * op->channels;
  for (int64_t chunk = row_begin; chunk < row_end; chunk += CHUNK * TILE_ROWS) {
    int64_t chunk_end = chunk + CHUNK * TILE_ROWS < row_end ? chunk + CHUNK * TILE_ROWS : row_end;
    for (int64_t row = chunk, i = 0; row < chunk_end; row += TILE_ROWS, i++)
      ISA(gather)(op, pointers[i], row, chunk_end - row < TILE_ROWS ? chunk_end - row : TILE_ROWS);
    for (int64_t panel = panel_begin; panel < panel_end; panel++) {
      int64_t column = panel * FS_PANEL;
      int64_t columns = op->outputs - column < FS_PANEL ? op->outputs - column : FS_PANEL;
      int64_t width = ISA(panel_width)(op, column);
      const float *weights = (const float *)op->weights + column * inputs;
      for (int64_t row = chunk, i = 0; row < chunk_end; row += TILE_ROWS, i++) {
        int64_t rows = chunk_end - row < TILE_ROWS ? chunk_end - row : TILE_ROWS;
        ISA(multiply)(tile, FS_PANEL, rows, columns, pointers[i], taps, op->channels, weights, width);
        ISA(finish)(op, tile, row, rows, column, columns);
      }
    }
  }
}
