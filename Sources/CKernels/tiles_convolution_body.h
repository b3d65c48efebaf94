// Convolution with AMX, of bfloat16 here and of int8 in tiles_int8_body.h.
//
// Pixels are brought into the order in which tiles are read, for a chunk of rows and as many channels and taps as keep
// them in the second-level cache; until all taps and channels are added up, sums wait beside them. Converted pixels are
// read from where they lie if lines and tiles are whole, those of more than one tap from pictures with margins.

// Rows of a chunk, and the lines that are taken at once: pixels of a chunk then take 640 KB.
#define CHUNK_LINES 256
#define SPAN 40

// Brings the line `step` of the pixels of rows from `row` of the chunk on, up to BLOCK_LINES, into one line of a block.
typedef void (*ISA(line_filler))(
  const ISA(tiling) *t, char *line, const void *const *pixels, int64_t row, int64_t rows, int64_t step);

// From floats.
static void ISA(round_line)(
  const ISA(tiling) *t, char *line, const void *const *pixels, int64_t row, int64_t rows, int64_t step) {
  for (int64_t r = 0; r < rows; r++)
    _mm512_store_si512(line + r * TILE_BYTES, ISA(rounded_line)(t, pixels[r], step));
}

// From pixels that are bfloat16.
static void ISA(copy_bfloat16_line)(
  const ISA(tiling) *t, char *line, const void *const *pixels, int64_t row, int64_t rows, int64_t step) {
  const int64_t offset = ISA(line_offset)(t, step);
  const __mmask32 mask = (__mmask32)ISA(line_mask)(t, step);
  for (int64_t r = 0; r < rows; r++)
    _mm512_store_si512(line + r * TILE_BYTES, _mm512_maskz_loadu_epi16(mask, (const char *)pixels[r] + offset));
}

// What a format has to know of a tap's pixels before their lines, for rows from `row` of the chunk on.
typedef void (*ISA(pixel_reader))(
  const ISA(tiling) *t, const void *const *pixels, int64_t tap, int64_t row, int64_t rows);

INLINE char *ISA(filled_lines)(const ISA(tiling) *t, int64_t block) {
  return t->lines + block / BLOCK_LINES * (t->end - t->begin) * LINE_BLOCK_BYTES;
}

// Where the first tap of an output pixel is among the converted ones.
INLINE int64_t ISA(first_pixel)(const ISA(tiling) *t, int64_t row) {
  const fs_convolution *op = t->op;
  if (t->taps == 1) return row;
  const int64_t x = row % op->out_width, y = row / op->out_width % op->out_height, margin = t->pixels.margin;
  const int64_t top = y * op->stride - op->pad_top + margin, left = x * op->stride - op->pad_left + margin;
  return row / op->out_width / op->out_height * t->picture + top * t->pitch + left;
}

// Whether tiles hold rows of a block as they lie.
INLINE bool ISA(lies_in_place)(const ISA(tiling) *t, int64_t block, int64_t rows) {
  return t->in_place && rows % TILE_LINES == 0 && (t->taps == 1 || (t->row + block) % TILE_LINES == 0);
}

// Where the chunk's block that starts with row `block` has its lines from `line` on.
INLINE ISA(lines) ISA(lines_of)(const ISA(tiling) *t, int64_t block, int64_t rows, int64_t line) {
  if (!ISA(lies_in_place)(t, block, rows))
    return ISA(block_lines)(ISA(filled_lines)(t, block) + (line - t->begin) * LINE_BLOCK_BYTES);
  const fs_convolution *op = t->op;
  const int64_t bytes = t->pixels.bytes, row = t->row + block, first = ISA(first_pixel)(t, row);
  const int64_t tap = line / t->steps, ky = tap / op->kernel_width, kx = tap % op->kernel_width;
  return (ISA(lines)){
    .first = (const char *)t->pixels.first + (first + ky * t->pitch + kx) * bytes + t->header_bytes +
             line % t->steps * TILE_BYTES,
    .row = op->stride * bytes, .lower = (ISA(first_pixel)(t, row + TILE_LINES) - first) * bytes, .line = TILE_BYTES,
    .tap = bytes - t->steps * TILE_BYTES, .tap_row = (t->pitch - op->kernel_width) * bytes,
    .taps_left = op->kernel_width - kx, .taps = op->kernel_width};
}

// Fills the lines begin ..< end of the chunk's rows, but for those that are read where they lie.
INLINE void ISA(fill_chunk)(const ISA(tiling) *t, ISA(pixel_reader) read, ISA(line_filler) fill) {
  enum { GATHERS = (BLOCK_LINES + TILE_ROWS - 1) / TILE_ROWS };
  const void *pointers[GATHERS][MAX_TAPS * TILE_ROWS], *pixels[BLOCK_LINES];
  for (int64_t first = 0; first < t->rows; first += BLOCK_LINES) {
    const int64_t rows = ISA(least)(t->rows - first, BLOCK_LINES);
    const bool in_place = ISA(lies_in_place)(t, first, rows);
    if (in_place && !read) continue;
    char *line = ISA(filled_lines)(t, first);
    for (int64_t r = 0; r < rows; r += TILE_ROWS)
      ISA(gather)(
        t->op, &t->pixels, pointers[r / TILE_ROWS], t->row + first + r, rows - r < TILE_ROWS ? rows - r : TILE_ROWS);
    int64_t tap = t->begin / t->steps, step = t->begin % t->steps;
    for (int64_t index = t->begin; index < t->end; index++, line += LINE_BLOCK_BYTES) {
      if (index == t->begin || step == 0) {
        for (int64_t r = 0; r < rows; r++) pixels[r] = pointers[r / TILE_ROWS][tap * TILE_ROWS + r % TILE_ROWS];
        if (read) read(t, pixels, tap, first, rows);
      }
      if (!in_place) fill(t, line, pixels, first, rows, step);
      if (++step == t->steps) {
        step = 0;
        tap++;
      }
    }
  }
}

// Equal parts of `all`, each of at most `most`.
INLINE int64_t ISA(equal_parts)(int64_t all, int64_t most) {
  return ISA(share)(all, ISA(share)(all, most));
}

// What is left to do for a block once its products are there.
typedef struct {
  ISA(companion) companion;
  const ISA(tiling) *t;
  ISA(place) place, next;  // of the block, and of the one whose products are added up meanwhile
  int64_t first, end;      // the lines that are added up in `sums`
  float *sums, *waiting;   // [BLOCK_LINES][FS_PANEL]: the new sums, and those of earlier lines
  const char *weights;     // the panel's, for int8
} ISA(rest);

INLINE void ISA(prefetch_next)(const ISA(rest) *rest, int64_t begin, int64_t end) {
  const ISA(place) *next = &rest->next;
  if (next->rows < end) end = next->rows;
  if (begin < end) ISA(prefetch_output)(next->op, next->row + begin, end - begin, next->column, next->columns);
}

// What to fetch along with the products of a block and a panel.
INLINE ISA(ahead) ISA(look_ahead)(
  const ISA(tiling) *t, int64_t panel, int64_t panel_begin, int64_t panel_end, int64_t block, int64_t row_end) {
  const int64_t blocks = ISA(share)(t->rows, BLOCK_LINES), panels = panel_end - panel_begin;
  const int64_t panel_bytes = (t->first_bytes + t->taps * t->column_bytes) * FS_PANEL;
  const int64_t weight_lines = FS_PANEL * TILE_BYTES / 64;
  ISA(ahead) ahead = {panel_bytes, weight_lines * block / blocks, weight_lines * (block + 1) / blocks, NULL, 0};
  if (panel + 1 == panel_end) ahead.end = ahead.first;
  const int64_t next = t->row + t->rows, rows = ISA(least)(row_end - next, t->rows);
  if (rows <= 0) return ahead;
  // All cache lines of the next chunk's pixels are spread over the lines of this one.
  const int64_t count = t->end - t->begin, products = panels * blocks * t->taps * t->steps;
  const int64_t done = (t->begin * panels + (panel - panel_begin) * count) * blocks + block * count;
  const int64_t first = ISA(first_pixel)(t, next), last = ISA(first_pixel)(t, next + rows - 1);
  const int64_t fetched = (last + 1 - first) * t->pixels.bytes / 64;
  ahead.pixel_lines = ISA(share)(fetched, products);
  ahead.pixels = (const char *)t->pixels.first + first * t->pixels.bytes + 64 * (done * fetched / products);
  return ahead;
}

// The convolution in parts of `span` lines, a multiple of `unit`: so many lines are added up at once.
INLINE void ISA(convolve_chunks)(
  ISA(tiling) *t, int64_t unit, int64_t span, const bool is_int8, ISA(pixel_reader) read, ISA(line_filler) fill,
  ISA(work) finish, int64_t row_begin, int64_t row_end, int64_t panel_begin, int64_t panel_end) {
  if (row_begin >= row_end || panel_begin >= panel_end) return;
  enum { TILE_FLOATS = BLOCK_LINES * FS_PANEL };
  const fs_convolution *op = t->op;
  const int64_t lines = t->taps * t->steps, panel_bytes = t->first_bytes + t->taps * t->column_bytes;
  float sums[2][TILE_FLOATS] __attribute__((aligned(64)));
  ISA(rest) rests[2], *rest = NULL;
  int64_t fitting = CHUNK_LINES * SPAN / span / BLOCK_LINES * BLOCK_LINES;
  int64_t most = fitting < BLOCK_LINES ? BLOCK_LINES : fitting < CHUNK_LINES ? fitting : CHUNK_LINES;
  int64_t blocks = ISA(share)(ISA(equal_parts)(row_end - row_begin, most), BLOCK_LINES);
  int64_t chunk_rows = blocks * BLOCK_LINES, taps = ISA(share)(span, t->steps);
  // Sums of one part of the lines wait for those of the next, or of one tap for those of the next.
  int64_t waiting_tiles = span < lines ? blocks * (panel_end - panel_begin) : 1;
  int64_t line_bytes = blocks * span * LINE_BLOCK_BYTES, waiting_bytes = waiting_tiles * TILE_FLOATS * 4;
  char *scratch = fs_thread_scratch(
    (size_t)(line_bytes + waiting_bytes + taps * CHUNK_LINES * (int64_t)sizeof(ISA(pixel_scale))));
  float *waiting = (float *)(scratch + line_bytes);
  t->lines = scratch;
  t->pixel_scales = (ISA(pixel_scale) *)(scratch + line_bytes + waiting_bytes);
  ISA(configure_tiles)(t->step_bytes);
  for (t->row = row_begin; t->row < row_end; t->row += chunk_rows) {
    t->rows = ISA(least)(row_end - t->row, chunk_rows);
    for (t->begin = 0; t->begin < lines; t->begin += span) {
      t->end = t->begin + span < lines ? t->begin + span : lines;
      ISA(fill_chunk)(t, read, fill);
      for (int64_t panel = panel_begin; panel < panel_end; panel++) {
        const int64_t column = panel * FS_PANEL, width = ISA(panel_width)(op, column);
        const int64_t columns = op->outputs - column < FS_PANEL ? op->outputs - column : FS_PANEL;
        const char *weights = (const char *)op->weights + column * panel_bytes;
        for (int64_t block = 0; block < t->rows; block += BLOCK_LINES) {
          const int64_t rows = t->rows - block < BLOCK_LINES ? t->rows - block : BLOCK_LINES;
          const ISA(place) place = {op, t->row + block, rows, column, columns, {0}};
          const int64_t tile = waiting_tiles > 1 ? (panel - panel_begin) * blocks + block / BLOCK_LINES : 0;
          float *earlier = waiting + tile * TILE_FLOATS;
          t->ahead = ISA(look_ahead)(t, panel, panel_begin, panel_end, block / BLOCK_LINES, row_end);
          for (int64_t line = t->begin, end; line < t->end; line = end) {
            end = line + unit < t->end ? line + unit : t->end;
            const int other = rest == rests;
            // Sums that only grow wait in tiles as they are.
            const bool waits = !is_int8 && end < lines;
            ISA(rest) *next = rests + other;
            *next = (ISA(rest)){
              .companion = {0, rows, (BLOCK_LINES + end - line - 1) / (end - line)}, .t = t, .place = place,
              .first = line, .end = end, .sums = sums[other], .waiting = earlier, .weights = weights};
            if (rest) rest->next = place;
            ISA(sum_block)(
              t, is_int8, ISA(start_of)(is_int8 || line == 0 ? NULL : earlier), waits ? earlier : next->sums,
              ISA(lines_of)(t, block, rows, line), weights + (is_int8 ? 8 : 0) * width, rows, width, line, end,
              rest ? &rest->companion : NULL, finish);
            if (rest) ISA(accompany)(&rest->companion, finish, BLOCK_LINES);
            rest = waits ? NULL : next;
          }
        }
      }
      // Where lines are filled again nothing is left to do.
      if (rest) ISA(accompany)(&rest->companion, finish, BLOCK_LINES);
      rest = NULL;
    }
  }
  _tile_release();
}

static void ISA(finish_floats)(ISA(companion) *companion, int64_t begin, int64_t end) {
  const ISA(rest) *rest = (const ISA(rest) *)companion;
  const ISA(place) *place = &rest->place;
  ISA(prefetch_next)(rest, begin, end);
  ISA(finish)(
    place->op, rest->sums + begin * FS_PANEL, place->row + begin, end - begin, place->column, place->columns);
}

static void ISA(convolve_bfloat16_tiles)(
  const fs_convolution *op, int64_t row_begin, int64_t row_end, int64_t panel_begin, int64_t panel_end) {
  ISA(tiling) t = ISA(convolution_tiling)(
    op, 2, 2 * fs_bfloat16_padded(op->channels), 0, 0, fs_bfloat16_stride(op->channels));
  int64_t span = ISA(equal_parts)(t.taps * t.steps, SPAN);
  ISA(convolve_chunks)(
    &t, span, span, false, NULL, op->pixels ? ISA(copy_bfloat16_line) : ISA(round_line), ISA(finish_floats), row_begin,
    row_end, panel_begin, panel_end);
}
