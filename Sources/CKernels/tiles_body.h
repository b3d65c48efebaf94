// Products of AMX's tiles, 16 rows of up to 64 bytes, two by two at a time.
//
// A line is what one row of a tile holds: up to 64 bytes of the channels of one tap of a pixel. Weights are read as
// they lie packed, pixels as they are or from blocks, [line][BLOCK_LINES][TILE_BYTES].

// Rows of a tile; of a block, which is two tiles of pixels.
#define TILE_LINES 16
#define BLOCK_LINES 32

enum { TILE_BYTES = 64, LINE_BLOCK_BYTES = 32 * 64 };

INLINE int64_t ISA(least)(int64_t left, int64_t right) { return left < right ? left : right; }

// Work that is to be done in so many times: as much each time, rounded up.
INLINE int64_t ISA(share)(int64_t work, int64_t times) { return (work + times - 1) / times; }

// What is fetched into the second-level cache along with the products of a block: of each line of weights its share, at
// a distance of `weights` bytes, the cache lines first ..< end; and so many cache lines of pixels per line of weights.
typedef struct {
  int64_t weights, first, end;
  const char *pixels;
  int64_t pixel_lines;
} ISA(ahead);

typedef struct {
  const fs_convolution *op;
  fs_pixels pixels;
  int64_t channels, taps;
  int64_t steps;          // the lines of a tap
  int64_t size;           // bytes of a channel
  int64_t tap_bytes;      // of a tap's channels, padded to fours
  int64_t step_bytes;     // of a line
  int64_t column_bytes;   // of an output's weights for one tap
  int64_t first_bytes;    // of an output before its first weight
  int64_t header_bytes;   // of a converted pixel before its first channel
  bool in_place;          // whether tiles are read from where converted pixels lie
  int64_t pitch, picture; // converted pixels from row to row, and from picture to picture
  int64_t row, rows;      // the chunk
  int64_t begin, end;     // its lines, counted through taps and steps
  ISA(ahead) ahead;
  char *lines;            // [block][line][BLOCK_LINES][TILE_BYTES]
  ISA(pixel_scale) *pixel_scales;  // for int8, [tap][CHUNK_LINES]
} ISA(tiling);

// Work of vectors on a block's rows, done along with the products of another block: `share` rows with every line.
typedef struct {
  int64_t done, rows, share;
} ISA(companion);

// What a companion does with the rows begin ..< end; known where tiles are compiled, so that it costs no call.
typedef void (*ISA(work))(ISA(companion) *companion, int64_t begin, int64_t end);

INLINE void ISA(accompany)(ISA(companion) *c, ISA(work) work, int64_t rows) {
  const int64_t begin = c->done, left = c->rows - begin;
  if (left <= 0) return;
  c->done += ISA(least)(left, rows);
  work(c, begin, c->done);
}

// The byte of a tap's channels with which a line starts. Where the last line would reach beyond them it starts earlier,
// so that no weight outside is read; what the line before has is 0 in it.
INLINE int64_t ISA(line_offset)(const ISA(tiling) *t, int64_t step) {
  int64_t offset = step * TILE_BYTES, last = t->tap_bytes - t->step_bytes;
  return ISA(least)(offset, last);
}

// A bit for every channel of a line that it is there for.
INLINE uint64_t ISA(line_mask)(const ISA(tiling) *t, int64_t step) {
  int64_t offset = ISA(line_offset)(t, step);
  int64_t first = (step * TILE_BYTES - offset) / t->size, end = t->channels - offset / t->size;
  uint64_t below = end >= 64 ? ~(uint64_t)0 : ((uint64_t)1 << end) - 1;
  return below & ~(((uint64_t)1 << first) - 1);
}

// The tiling of a convolution that reads its input or, converted, pixels `pixel_bytes` apart.
INLINE ISA(tiling) ISA(convolution_tiling)(
  const fs_convolution *op, int64_t size, int64_t tap_bytes, int64_t first_bytes, int64_t header_bytes,
  int64_t pixel_bytes) {
  ISA(tiling) t = {
    .op = op, .channels = op->channels, .taps = op->kernel_height * op->kernel_width,
    .steps = (tap_bytes + TILE_BYTES - 1) / TILE_BYTES, .size = size, .tap_bytes = tap_bytes,
    .step_bytes = tap_bytes < TILE_BYTES ? tap_bytes : TILE_BYTES, .column_bytes = first_bytes + tap_bytes,
    .first_bytes = first_bytes, .header_bytes = header_bytes};
  t.pixels = op->pixels ? (fs_pixels){op->pixels, pixel_bytes, op->zeros, op->margin}
                        : (fs_pixels){op->input, op->input_stride * (int64_t)sizeof(float), op->zeros, 0};
  t.pitch = op->width + 2 * t.pixels.margin;
  t.picture = (op->height + 2 * t.pixels.margin) * t.pitch;
  bool is_linear = op->pixels && ISA(is_pixelwise)(op) && tap_bytes % TILE_BYTES == 0;
  t.in_place = is_linear || (op->margin > 0 && op->margin >= fs_tile_margin(op, tap_bytes));
  return t;
}

// The line `step` of a pixel of floats, as bfloat16.
INLINE __m512i ISA(rounded_line)(const ISA(tiling) *t, const float *pixel, int64_t step) {
  const float *source = pixel + ISA(line_offset)(t, step) / 2;
  const uint64_t mask = ISA(line_mask)(t, step);
  vf low = (vf)_mm512_maskz_loadu_ps((__mmask16)mask, source);
  vf high = (vf)_mm512_maskz_loadu_ps((__mmask16)(mask >> LANES), source + LANES);
  return (__m512i)_mm512_cvtne2ps_pbh((__m512)high, (__m512)low);
}

// Tells the CPU the shapes of the tiles: 0 to 3 are sums, 4 and 5 pixels, 6 and 7 weights.
INLINE void ISA(configure_tiles)(int64_t step_bytes) {
  struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t bytes[16];
    uint8_t rows[16];
  } shapes = {.palette = 1};
  for (int i = 0; i < 8; i++) {
    shapes.bytes[i] = (uint16_t)(i == 4 || i == 5 ? step_bytes : TILE_BYTES);
    shapes.rows[i] = (uint8_t)(i >= 6 ? step_bytes / 4 : TILE_LINES);
  }
  _tile_loadconfig(&shapes);
}

// What sums start from: NULL for 0, or the first tile with bytes from row to row and to the tile beside.
typedef struct {
  const void *first;
  int64_t stride, beside;
} ISA(start);

// Where the lines of a block's pixels lie.
typedef struct {
  const char *first;
  int64_t row, lower, line;  // bytes from row to row, from the upper tile to the lower, from line to line
  int64_t tap, tap_row;      // what is added after each tap, and after a row of taps
  int64_t taps_left, taps;   // of the row of taps, which ends when none is left
} ISA(lines);

INLINE ISA(lines) ISA(block_lines)(const char *block) {
  return (ISA(lines)){block, TILE_BYTES, TILE_LINES * TILE_BYTES, LINE_BLOCK_BYTES, 0, 0, 0, 0};
}

enum { SUM_STRIDE = 4 * 32 };  // FS_PANEL floats
INLINE ISA(start) ISA(start_of)(const void *sums) { return (ISA(start)){sums, SUM_STRIDE, TILE_BYTES}; }

// The tiles of sums := what they start from.
INLINE void ISA(start_sums)(const int rows, const int columns, ISA(start) start) {
  if (start.first) {
    const char *upper = start.first, *under = upper + TILE_LINES * start.stride;
    _tile_loadd(0, upper, start.stride);
    if (columns > 1) _tile_loadd(1, upper + start.beside, start.stride);
    if (rows > 1) _tile_loadd(2, under, start.stride);
    if (rows > 1 && columns > 1) _tile_loadd(3, under + start.beside, start.stride);
  } else {
    _tile_zero(0);
    if (columns > 1) _tile_zero(1);
    if (rows > 1) _tile_zero(2);
    if (rows > 1 && columns > 1) _tile_zero(3);
  }
}

INLINE void ISA(store_sums)(const int rows, const int columns, void *sums) {
  char *upper = sums, *under = upper + TILE_LINES * SUM_STRIDE;
  _tile_stored(0, upper, SUM_STRIDE);
  if (columns > 1) _tile_stored(1, upper + TILE_BYTES, SUM_STRIDE);
  if (rows > 1) _tile_stored(2, under, SUM_STRIDE);
  if (rows > 1 && columns > 1) _tile_stored(3, under + TILE_BYTES, SUM_STRIDE);
}

#define ADD_PRODUCT(sum, a, b)                  \
  {                                             \
    if (is_int8) _tile_dpbusd(sum, a, b);       \
    else _tile_dpbf16ps(sum, a, b);             \
  }

// sums[BLOCK_LINES][FS_PANEL] := `start` + the products of the lines begin ..< end, from `a` on, for `rows` x `columns`
// tiles; meanwhile a companion is at work.
INLINE void ISA(sum_tiles)(
  const ISA(tiling) *t, const int rows, const int columns, const bool is_int8, ISA(start) start, void *sums,
  ISA(lines) a, const char *weights, int64_t width, int64_t begin, int64_t end, ISA(companion) *companion,
  ISA(work) work) {
  const int64_t stride = 4 * width, tap_stride = t->column_bytes * width;
  int64_t step = begin % t->steps;
  weights += begin / t->steps * tap_stride;
  ISA(start_sums)(rows, columns, start);
  const ISA(ahead) ahead = t->ahead;
  const char *pixels = ahead.pixel_lines > 0 ? ahead.pixels + (begin - t->begin) * ahead.pixel_lines * 64 : NULL;
  for (int64_t line = begin; line < end; line++, a.first += a.line) {
    const char *b = weights + ISA(line_offset)(t, step) * width;
    _tile_loadd(4, a.first, a.row);
    _tile_loadd(6, b, stride);
    ADD_PRODUCT(0, 4, 6)
    for (int64_t i = ahead.first; i < ahead.end; i++) _mm_prefetch(b + ahead.weights + i * 64, _MM_HINT_T1);
    if (columns > 1) {
      _tile_loadd(7, b + TILE_BYTES, stride);
      ADD_PRODUCT(1, 4, 7)
    }
    for (int64_t i = 0; i < ahead.pixel_lines; i++, pixels += 64) _mm_prefetch(pixels, _MM_HINT_T1);
    if (companion) ISA(accompany)(companion, work, companion->share);
    if (rows > 1) {
      _tile_loadd(5, a.first + a.lower, a.row);
      ADD_PRODUCT(2, 5, 6)
      if (columns > 1) ADD_PRODUCT(3, 5, 7)
    }
    if (++step == t->steps) {
      step = 0;
      weights += tap_stride;
      a.first += a.tap;
      if (--a.taps_left == 0) {
        a.first += a.tap_row;
        a.taps_left = a.taps;
      }
    }
  }
  ISA(store_sums)(rows, columns, sums);
}

#undef ADD_PRODUCT

// use(rows, columns) with as many tiles as hold so many rows and so wide a panel.
#define BY_TILES(use, row_count, width)                                   \
  if ((row_count) > TILE_LINES && (width) > TILE_LINES) use(2, 2);         \
  else if ((row_count) > TILE_LINES) use(2, 1);                            \
  else if ((width) > TILE_LINES) use(1, 2);                                \
  else use(1, 1);

// The same for as many tiles as `rows` and the panel's `width` ask for.
INLINE void ISA(sum_block)(
  const ISA(tiling) *t, const bool is_int8, ISA(start) start, void *sums, ISA(lines) a, const char *weights,
  int64_t rows, int64_t width, int64_t begin, int64_t end, ISA(companion) *companion, ISA(work) work) {
#define SUM_TILES(rows, columns) \
  ISA(sum_tiles)(t, rows, columns, is_int8, start, sums, a, weights, width, begin, end, companion, work)
  BY_TILES(SUM_TILES, rows, width)
#undef SUM_TILES
}
