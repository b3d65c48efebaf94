// What all convolutions share: which pixels a tile of output rows reads, and what follows the product.

#define MAX_TAPS 49

// Vectors of outputs in a tile of registers.
#define VECTORS 2

// A macro for every number of rows that a tile can have.
#if TILE_ROWS == 12
#define EACH_TILE(use) use(1) use(2) use(3) use(4) use(5) use(6) use(7) use(8) use(9) use(10) use(11) use(12)
#elif TILE_ROWS == 6
#define EACH_TILE(use) use(1) use(2) use(3) use(4) use(5) use(6)
#else
#define EACH_TILE(use) use(1) use(2) use(3) use(4)
#endif

// The tiles of one chunk share a panel while it is in the cache.
#define CHUNK_ROWS 96

// Rows of a linear layer's chunk are as many as stay in the second-level cache from panel to panel: the fewer, the more
// often are all weights read.
#define MOST_CHUNK_ROWS 264
INLINE int64_t ISA(chunk_rows)(int64_t taps, int64_t pixel_bytes) {
  enum { CACHED_BYTES = 768 << 10, FEWEST = 48 };
  int64_t rows = taps > 1 ? CHUNK_ROWS : CACHED_BYTES / pixel_bytes;
  return (rows < FEWEST ? FEWEST : rows > MOST_CHUNK_ROWS ? MOST_CHUNK_ROWS : rows) / TILE_ROWS * TILE_ROWS;
}

// The packed width of the panel that starts at output `column`.
INLINE int64_t ISA(panel_width)(const fs_convolution *op, int64_t column) {
  return op->outputs - column <= FS_PANEL / 2 ? FS_PANEL / 2 : FS_PANEL;
}

// Memory to have on its way to the second-level cache while something else is computed.
typedef struct {
  const char *first;
  int64_t bytes;
} ISA(fetch);

// The index-th of `count` parts of the lines of `bytes` bytes.
INLINE ISA(fetch) ISA(fetch_part)(const char *first, int64_t bytes, int64_t index, int64_t count) {
  enum { LINE = 64 };
  const int64_t lines = (bytes + LINE - 1) / LINE, begin = lines * index / count;
  return (ISA(fetch)){first + begin * LINE, (lines * (index + 1) / count - begin) * LINE};
}

// Goes on from the byte `done` to where it should be after `step` of `steps`; returns that.
INLINE int64_t ISA(fetch_more)(ISA(fetch) fetch, int64_t done, int64_t step, int64_t steps) {
  for (; done * steps < fetch.bytes * step; done += 64) __builtin_prefetch(fetch.first + done, 0, 2);
  return done;
}

// Where a tile belongs in the output, and what to fetch along with it.
typedef struct {
  const fs_convolution *op;
  int64_t row, rows, column, columns;
  ISA(fetch) fetch;
} ISA(place);

// Where a gated output is written as bfloat16.
INLINE uint16_t *ISA(gated_pixel)(const fs_convolution *op, int64_t row, int64_t column) {
  return (uint16_t *)((char *)op->output_pixels + row * fs_bfloat16_stride(op->outputs / 2) + column);
}

// Has a tile's place in the output, and what is added there, on their way to the cache by the time it is finished.
INLINE void ISA(prefetch_output)(
  const fs_convolution *op, int64_t row, int64_t rows, int64_t column, int64_t columns) {
  if (op->gated) {
    for (int64_t r = row; r < row + rows; r++)
      __builtin_prefetch(
        op->output_pixels ? (const void *)ISA(gated_pixel)(op, r, column) : op->output + (r * op->outputs + column) / 2,
        1);
    return;
  }
  for (int64_t r = row; r < row + rows; r++)
    for (int64_t c = column; c < column + columns; c += 16) {
      __builtin_prefetch(op->output + r * op->outputs + c, 1);
      if (op->residual) __builtin_prefetch(op->residual + r * op->outputs + c);
    }
}

// The same for one row of a tile, while the tile is computed: many rows at once would wait for each other.
INLINE void ISA(prefetch_row)(const ISA(place) *place, int64_t row) {
  ISA(prefetch_output)(place->op, place->row + row, 1, place->column, place->columns);
}

// Whether a tile can be finished by finish_whole.
INLINE bool ISA(is_whole)(const fs_convolution *op, int64_t columns) {
  return VECTORS * LANES == FS_PANEL && columns == FS_PANEL && !op->image_bias && !op->gated;
}

// Writes a tile of whole panels that is still in registers to the output from (row, column) on.
INLINE void ISA(finish_whole)(
  const fs_convolution *op, vf acc[TILE_ROWS][VECTORS], const int rows, int64_t row, int64_t column) {
  vf bias[VECTORS], scale = ISA(splat)(op->scale);
  _Pragma("clang loop unroll(full)") for (int v = 0; v < VECTORS; v++)
    bias[v] = op->bias ? ISA(load)(op->bias + column + v * LANES) : (vf){0};
  int64_t offset = row * op->outputs + column;
  _Pragma("clang loop unroll(full)") for (int r = 0; r < rows; r++, offset += op->outputs)
    _Pragma("clang loop unroll(full)") for (int v = 0; v < VECTORS; v++) {
      vf sum = acc[r][v] + bias[v];
      if (op->residual) sum += ISA(load)(op->residual + offset + v * LANES);
      ISA(store)(op->output + offset + v * LANES, sum * scale);
    }
}

// Writes a tile of values and their gates.
static void ISA(finish_gated)(const fs_convolution *op, const float *tile, int64_t row, int64_t rows, int64_t column) {
  const int64_t half = FS_PANEL / 2;
  for (int64_t r = row; r < row + rows; r++, tile += FS_PANEL)
    for (int64_t c = 0; c < half; c += LANES) {
      vf value = ISA(load)(tile + c), gate = ISA(load)(tile + half + c);
      if (op->bias) {
        value += ISA(load)(op->bias + column + c);
        gate += ISA(load)(op->bias + column + half + c);
      }
      value *= ISA(gelu)(gate);
      if (op->output_pixels) ISA(store_bfloat16)(ISA(gated_pixel)(op, r, column) + c, value);
      else ISA(store)(op->output + (r * op->outputs + column) / 2 + c, value);
    }
}

// Writes a finished tile of `rows` x `columns` to the output from (row, column) on.
static void ISA(finish)(
  const fs_convolution *op, const float *tile, int64_t row, int64_t rows, int64_t column, int64_t columns) {
  if (op->gated) return ISA(finish_gated)(op, tile, row, rows, column);
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

// Whether every output pixel reads the input pixel of the same number.
INLINE bool ISA(is_pixelwise)(const fs_convolution *op) {
  return op->kernel_height * op->kernel_width == 1 && op->stride == op->upsampling && op->pad_top == 0 &&
         op->pad_left == 0 && op->out_height == op->height && op->out_width == op->width;
}

// The pixels that each tap of `rows` output pixels reads: pointers[tap x TILE_ROWS + r].
static void ISA(gather)(
  const fs_convolution *op, const fs_pixels *pixels, const void **pointers, int64_t row, int64_t rows) {
  const char *first = pixels->first;
  int64_t bytes = pixels->bytes;
  if (ISA(is_pixelwise)(op)) {
    for (int64_t r = 0; r < rows; r++) pointers[r] = first + (row + r) * bytes;
    return;
  }
  int64_t height = op->height * op->upsampling, width = op->width * op->upsampling;
  int shift = op->upsampling == 2;
  int64_t x = row % op->out_width, y = row / op->out_width % op->out_height;
  const int64_t margin = pixels->margin, pitch = op->width + 2 * margin, size = (op->height + 2 * margin) * pitch;
  const char *picture = first + (row / op->out_width / op->out_height * size + margin * (pitch + 1)) * bytes;
  for (int64_t r = 0; r < rows; r++) {
    const void **pointer = pointers + r;
    int64_t left = x * op->stride - op->pad_left;
    for (int64_t ky = 0; ky < op->kernel_height; ky++) {
      int64_t in_y = y * op->stride + ky - op->pad_top;
      const char *line = in_y >= 0 && in_y < height ? picture + (in_y >> shift) * pitch * bytes : NULL;
      for (int64_t in_x = left; in_x < left + op->kernel_width; in_x++, pointer += TILE_ROWS)
        *pointer = line && in_x >= 0 && in_x < width ? line + (in_x >> shift) * bytes : pixels->zeros;
    }
    if (++x < op->out_width) continue;
    x = 0;
    if (++y < op->out_height) continue;
    y = 0;
    picture += size * bytes;
  }
}

// Copies gathered rows to where they do not lie a multiple of a page apart: there all share one set of the first-level
// cache, which holds fewer lines than a tile has rows.
static void ISA(spread)(
  const void *pointers[][MAX_TAPS * TILE_ROWS], const int64_t *begins, int64_t tiles, int64_t bytes) {
  enum { PAGE = 4096, LINE = 64 };
  if (bytes % PAGE != 0) return;
  char *row = fs_thread_scratch((size_t)((begins[tiles] - begins[0]) * (bytes + LINE)));
  for (int64_t i = 0; i < tiles; i++)
    for (int64_t r = 0; r < begins[i + 1] - begins[i]; r++, row += bytes + LINE)
      pointers[i][r] = memcpy(row, pointers[i][r], (size_t)bytes);
}

// Cuts rows into as few tiles as hold them, about equal ones, since a short one takes nearly the time of a whole one.
// Returns how many there are; the index-th begins at begins[index]. There is one row or more.
INLINE int64_t ISA(cut_tiles)(int64_t *begins, int64_t begin, int64_t end) {
  int64_t rows = end - begin, tiles = (rows + TILE_ROWS - 1) / TILE_ROWS;
  for (int64_t i = 0; i <= tiles; i++) begins[i] = begin + rows * i / tiles;
  return tiles;
}

// Cuts rows into tiles and gathers what they read. Returns how many there are; the index-th begins at begins[index].
static int64_t ISA(gather_tiles)(
  const fs_convolution *op, const fs_pixels *pixels, const void *pointers[][MAX_TAPS * TILE_ROWS], int64_t *begins,
  int64_t begin, int64_t end) {
  int64_t tiles = ISA(cut_tiles)(begins, begin, end);
  for (int64_t i = 0; i < tiles; i++) ISA(gather)(op, pixels, pointers[i], begins[i], begins[i + 1] - begins[i]);
  if (op->kernel_height * op->kernel_width == 1) ISA(spread)(pointers, begins, tiles, pixels->bytes);
  return tiles;
}

// tile := the product of gathered rows with outputs of one panel, whose packed rows are `width` wide; or false, and the
// tile has been finished at its place.
typedef bool (*ISA(multiplication))(
  const ISA(place) *place, float *tile, const void *const *pointers, int64_t taps, const void *panel, int64_t width);

// The convolution whose packed weights take `column_bytes` per output.
static void ISA(convolve_tiles)(
  const fs_convolution *op, const fs_pixels *pixels, int64_t column_bytes, ISA(multiplication) multiply,
  int64_t row_begin, int64_t row_end, int64_t panel_begin, int64_t panel_end) {
  enum { MOST_TILES = MOST_CHUNK_ROWS / TILE_ROWS };
  const void *pointers[MOST_TILES][MAX_TAPS * TILE_ROWS];
  int64_t begins[MOST_TILES + 1];
  float tile[TILE_ROWS * FS_PANEL];
  const char *weights = op->weights;
  int64_t taps = op->kernel_height * op->kernel_width;
  int64_t chunk_rows = ISA(chunk_rows)(taps, pixels->bytes);
  for (int64_t chunk = row_begin; chunk < row_end; chunk += chunk_rows) {
    int64_t end = chunk + chunk_rows < row_end ? chunk + chunk_rows : row_end;
    int64_t tiles = ISA(gather_tiles)(op, pixels, pointers, begins, chunk, end);
    for (int64_t panel = panel_begin; panel < panel_end; panel++) {
      int64_t column = panel * FS_PANEL;
      int64_t columns = op->outputs - column < FS_PANEL ? op->outputs - column : FS_PANEL;
      int64_t width = ISA(panel_width)(op, column);
      // The next panel's weights come evenly among this one's tiles.
      const char *panel_weights = weights + column * column_bytes, *next = panel_weights + width * column_bytes;
      const int64_t ahead = panel + 1 < panel_end ? ISA(panel_width)(op, column + FS_PANEL) * column_bytes : 0;
      for (int64_t i = 0; i < tiles; i++) {
        int64_t row = begins[i], rows = begins[i + 1] - row;
        ISA(place) place = {op, row, rows, column, columns, ISA(fetch_part)(next, ahead, i, tiles)};
        if (taps > 1) ISA(prefetch_output)(op, row, rows, column, columns);
        if (multiply(&place, tile, pointers[i], taps, panel_weights, width))
          ISA(finish)(op, tile, row, rows, column, columns);
      }
    }
  }
}
