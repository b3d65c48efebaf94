// Convolution as a matrix product with packed weights and gathered rows.
//
// A tile of TILE_ROWS output pixels by VECTORS vectors of outputs stays in registers while all taps and channels are
// added up, one after another: no scratch, no im2col, and an order of summation that depends on taps and channels alone.

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
      ISA(store)(tile + r * FS_PANEL + v * LANES, acc[r][v]);

#define TILE(rows)                                                                                         \
  static void ISA(tile_##rows)(                                                                            \
    float *tile, const float *const *pointers, int64_t taps, int64_t channels, const float *b, int64_t width, \
    int vectors) {                                                                                         \
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

typedef void (*ISA(tile_function))(float *, const float *const *, int64_t, int64_t, const float *, int64_t, int);

static const ISA(tile_function) ISA(tiles)[TILE_ROWS] = {
  ISA(tile_1), ISA(tile_2), ISA(tile_3), ISA(tile_4),
#if TILE_ROWS > 4
  ISA(tile_5), ISA(tile_6),
#endif
#if TILE_ROWS > 6
  ISA(tile_7), ISA(tile_8), ISA(tile_9), ISA(tile_10), ISA(tile_11), ISA(tile_12),
#endif
};

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
  int64_t height = op->height * op->upsampling, width = op->width * op->upsampling;
  for (int64_t r = 0; r < rows; r++) {
    int64_t x = (row + r) % op->out_width, y = (row + r) / op->out_width % op->out_height;
    int64_t image = (row + r) / op->out_width / op->out_height;
    const float *picture = op->input + image * op->height * op->width * op->input_stride;
    const float **pointer = pointers + r;
    for (int64_t ky = 0; ky < op->kernel_height; ky++) {
      int64_t in_y = y * op->stride + ky - op->pad_top;
      for (int64_t kx = 0; kx < op->kernel_width; kx++, pointer += TILE_ROWS) {
        int64_t in_x = x * op->stride + kx - op->pad_left;
        bool inside = in_y >= 0 && in_y < height && in_x >= 0 && in_x < width;
        *pointer = inside
          ? picture + (in_y / op->upsampling * op->width + in_x / op->upsampling) * op->input_stride
          : op->zeros;
      }
    }
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
      int64_t width = columns <= FS_PANEL / 2 ? FS_PANEL / 2 : FS_PANEL;
      const float *weights = op->weights + column * inputs;
      for (int64_t row = chunk, i = 0; row < chunk_end; row += TILE_ROWS, i++) {
        int64_t rows = chunk_end - row < TILE_ROWS ? chunk_end - row : TILE_ROWS;
        for (int64_t c = 0; c < columns; c += VECTORS * LANES)
          ISA(tiles)[rows - 1](
            tile + c, pointers[i], taps, op->channels, weights + c, width,
            width - c < VECTORS * LANES ? 1 : VECTORS);
        ISA(finish)(op, tile, row, rows, column, columns);
      }
    }
  }
}
