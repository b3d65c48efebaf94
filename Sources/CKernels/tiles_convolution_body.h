// Convolution with AMX, of bfloat16 here and of int8 in tiles_int8_body.h.
//
// Pixels are brought into the order in which tiles are read, for a chunk of rows and as many channels and taps as keep
// them in the second-level cache; until all taps and channels are added up, sums wait in the output.

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
    _mm512_store_si512(line + r * TILE_BYTES, ISA(rounded_line)(t, pixels[r], step, ISA(splat)(1)));
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

// Fills the lines begin ..< end of the chunk's rows.
INLINE void ISA(fill_chunk)(const ISA(tiling) *t, ISA(pixel_reader) read, ISA(line_filler) fill) {
  enum { GATHERS = (BLOCK_LINES + TILE_ROWS - 1) / TILE_ROWS };
  const void *pointers[GATHERS][MAX_TAPS * TILE_ROWS], *pixels[BLOCK_LINES];
  char *line = t->lines;
  for (int64_t first = 0; first < t->rows; first += BLOCK_LINES) {
    const int64_t rows = t->rows - first < BLOCK_LINES ? t->rows - first : BLOCK_LINES;
    for (int64_t r = 0; r < rows; r += TILE_ROWS)
      ISA(gather)(
        t->op, &t->pixels, pointers[r / TILE_ROWS], t->row + first + r, rows - r < TILE_ROWS ? rows - r : TILE_ROWS);
    int64_t tap = t->begin / t->steps, step = t->begin % t->steps;
    for (int64_t index = t->begin; index < t->end; index++, line += LINE_BLOCK_BYTES) {
      if (index == t->begin || step == 0) {
        for (int64_t r = 0; r < rows; r++) pixels[r] = pointers[r / TILE_ROWS][tap * TILE_ROWS + r % TILE_ROWS];
        if (read) read(t, pixels, tap, first, rows);
      }
      fill(t, line, pixels, first, rows, step);
      if (++step == t->steps) {
        step = 0;
        tap++;
      }
    }
  }
}

// Equal parts of `all`, each of at most `most`.
INLINE int64_t ISA(equal_parts)(int64_t all, int64_t most) {
  int64_t parts = (all + most - 1) / most;
  return (all + parts - 1) / parts;
}

// What is left to do for a block once its products are there.
typedef struct {
  ISA(companion) companion;
  const ISA(tiling) *t;
  const fs_convolution *op;  // what sums are finished by
  ISA(place) place, next;    // of the block, and of the one whose products are added up meanwhile
  int64_t first, end;        // the lines that are added up in `sums`
  float *sums, *tile;        // [BLOCK_LINES][FS_PANEL]; the tile has earlier sums of the chunk
  const char *weights;       // the panel's, for int8
} ISA(rest);

INLINE void ISA(prefetch_next)(const ISA(rest) *rest, int64_t begin, int64_t end) {
  const ISA(place) *next = &rest->next;
  if (next->rows < end) end = next->rows;
  if (begin < end) ISA(prefetch_output)(next->op, next->row + begin, end - begin, next->column, next->columns);
}

// What to fetch along with the products of a block and a panel.
INLINE ISA(ahead) ISA(look_ahead)(
  const ISA(tiling) *t, int64_t panel, int64_t panel_begin, int64_t panel_end, int64_t block, int64_t row_end) {
  const int64_t blocks = (t->rows + BLOCK_LINES - 1) / BLOCK_LINES, panels = panel_end - panel_begin;
  const int64_t panel_bytes = (t->first_bytes + t->taps * t->column_bytes) * FS_PANEL;
  const int64_t weight_lines = FS_PANEL * TILE_BYTES / 64;
  ISA(ahead) ahead = {panel_bytes, weight_lines * block / blocks, weight_lines * (block + 1) / blocks, NULL, 0};
  if (panel + 1 == panel_end) ahead.end = ahead.first;
  const int64_t next = t->row + t->rows, rows = row_end - next < t->rows ? row_end - next : t->rows;
  if (rows <= 0) return ahead;
  // All cache lines of the next chunk's pixels are spread over the lines of this one.
  const int64_t count = t->end - t->begin, products = panels * blocks * t->taps * t->steps;
  const int64_t done = (t->begin * panels + (panel - panel_begin) * count) * blocks + block * count;
  const int64_t fetched = rows * t->pixels.bytes / 64;
  ahead.pixel_lines = (fetched + products - 1) / products;
  ahead.pixels = (const char *)t->pixels.first + next * t->pixels.bytes + 64 * (done * fetched / products);
  return ahead;
}

// The convolution in sums of `unit` lines, which with its number of taps and channels alone decide the order of sums,
// and in parts of `span` lines, a multiple.
INLINE void ISA(convolve_chunks)(
  ISA(tiling) *t, int64_t unit, int64_t span, const bool is_int8, ISA(pixel_reader) read, ISA(line_filler) fill,
  void (*finish)(ISA(companion) *, int64_t, int64_t), int64_t row_begin, int64_t row_end, int64_t panel_begin,
  int64_t panel_end) {
  if (row_begin >= row_end || panel_begin >= panel_end) return;
  const fs_convolution *op = t->op;
  const int64_t lines = t->taps * t->steps, panel_bytes = t->first_bytes + t->taps * t->column_bytes;
  float tile[BLOCK_LINES * FS_PANEL] __attribute__((aligned(64)));
  float sums[2][BLOCK_LINES * FS_PANEL] __attribute__((aligned(64)));
  ISA(rest) rests[2], *rest = NULL;
  fs_convolution unfinished = *op;
  unfinished.bias = unfinished.image_bias = unfinished.residual = NULL;
  unfinished.scale = 1;
  // Gated outputs are too narrow for sums to wait in.
  if (op->gated) span = lines;
  int64_t fitting = CHUNK_LINES * SPAN / span / BLOCK_LINES * BLOCK_LINES;
  int64_t most = fitting < BLOCK_LINES ? BLOCK_LINES : fitting < CHUNK_LINES ? fitting : CHUNK_LINES;
  int64_t blocks = (ISA(equal_parts)(row_end - row_begin, most) + BLOCK_LINES - 1) / BLOCK_LINES;
  int64_t chunk_rows = blocks * BLOCK_LINES, taps = (span + t->steps - 1) / t->steps;
  int64_t line_bytes = blocks * span * LINE_BLOCK_BYTES;
  t->lines = fs_thread_scratch((size_t)(line_bytes + taps * CHUNK_LINES * (int64_t)sizeof(ISA(pixel_scale))));
  t->pixel_scales = (ISA(pixel_scale) *)(t->lines + line_bytes);
  ISA(configure_tiles)(t->step_bytes);
  for (t->row = row_begin; t->row < row_end; t->row += chunk_rows) {
    t->rows = row_end - t->row < chunk_rows ? row_end - t->row : chunk_rows;
    for (t->begin = 0; t->begin < lines; t->begin += span) {
      t->end = t->begin + span < lines ? t->begin + span : lines;
      const int64_t count = t->end - t->begin;
      ISA(fill_chunk)(t, read, fill);
      for (int64_t panel = panel_begin; panel < panel_end; panel++) {
        const int64_t column = panel * FS_PANEL, width = ISA(panel_width)(op, column);
        const int64_t columns = op->outputs - column < FS_PANEL ? op->outputs - column : FS_PANEL;
        const char *weights = (const char *)op->weights + column * panel_bytes;
        for (int64_t block = 0; block < t->rows; block += BLOCK_LINES) {
          const int64_t rows = t->rows - block < BLOCK_LINES ? t->rows - block : BLOCK_LINES;
          const ISA(place) place = {op, t->row + block, rows, column, columns};
          const char *a = t->lines + block / BLOCK_LINES * count * LINE_BLOCK_BYTES;
          t->ahead = ISA(look_ahead)(t, panel, panel_begin, panel_end, block / BLOCK_LINES, row_end);
          for (int64_t line = t->begin, end; line < t->end; line = end) {
            end = line + unit < t->end ? line + unit : t->end;
            const int other = rest == rests;
            ISA(rest) *next = rests + other;
            *next = (ISA(rest)){
              .companion = {finish, 0, rows, (BLOCK_LINES + end - line - 1) / (end - line)}, .t = t,
              .op = end < lines ? &unfinished : op, .place = place, .first = line, .end = end, .sums = sums[other],
              .tile = tile, .weights = weights};
            if (rest) rest->next = place;
            ISA(sum_block)(
              t, is_int8, false, ISA(start_of)(NULL), next->sums, a, weights + (is_int8 ? 8 : 0) * width, rows, width,
              line, end, rest ? &rest->companion : NULL);
            if (rest) ISA(accompany)(&rest->companion, BLOCK_LINES);
            rest = next;
            a += (end - line) * LINE_BLOCK_BYTES;
          }
        }
      }
      // Where lines are filled again, and where sums wait, nothing is left to do.
      ISA(accompany)(&rest->companion, BLOCK_LINES);
      rest = NULL;
    }
  }
  _tile_release();
}

// The earlier sums of the rows from `begin` on, and the floats from row to row: in the tile, or in the output where the
// chunk starts with the new ones.
typedef struct {
  const float *first;
  int64_t stride;
} ISA(earlier);

INLINE ISA(earlier) ISA(earlier_sums)(const ISA(rest) *rest, int64_t begin) {
  const fs_convolution *op = rest->t->op;
  if (rest->first > rest->t->begin) return (ISA(earlier)){rest->tile + begin * FS_PANEL, FS_PANEL};
  return (ISA(earlier)){op->output + (rest->place.row + begin) * op->outputs + rest->place.column, op->outputs};
}

// Keeps sums for the next ones of the chunk, or finishes them.
INLINE void ISA(pass_on)(const ISA(rest) *rest, int64_t begin, int64_t end) {
  const ISA(place) *place = &rest->place;
  const float *sums = rest->sums + begin * FS_PANEL;
  if (rest->end < rest->t->end)
    memcpy(rest->tile + begin * FS_PANEL, sums, (size_t)((end - begin) * FS_PANEL) * sizeof(float));
  else ISA(finish)(rest->op, sums, place->row + begin, end - begin, place->column, place->columns);
}

static void ISA(finish_floats)(ISA(companion) *companion, int64_t begin, int64_t end) {
  const ISA(rest) *rest = (const ISA(rest) *)companion;
  const int64_t columns = rest->place.columns;
  ISA(prefetch_next)(rest, begin, end);
  if (rest->first > 0) {
    ISA(earlier) earlier = ISA(earlier_sums)(rest, begin);
    for (int64_t r = begin; r < end; r++, earlier.first += earlier.stride)
      for (int64_t c = 0; c < columns; c += LANES) {
        const int64_t lanes = columns - c < LANES ? columns - c : LANES;
        float *sum = rest->sums + r * FS_PANEL + c;
        ISA(store)(sum, ISA(load_lanes)(earlier.first + c, lanes) + ISA(load)(sum));
      }
  }
  ISA(pass_on)(rest, begin, end);
}

static void ISA(convolve_bfloat16_tiles)(
  const fs_convolution *op, int64_t row_begin, int64_t row_end, int64_t panel_begin, int64_t panel_end) {
  ISA(tiling) t = ISA(convolution_tiling)(
    op, 2, 2 * fs_bfloat16_padded(op->channels), 0, fs_bfloat16_stride(op->channels));
  int64_t unit = ISA(equal_parts)(t.taps * t.steps, SPAN);
  ISA(convolve_chunks)(
    &t, unit, unit, false, NULL, t.taps > 1 ? ISA(copy_bfloat16_line) : ISA(round_line), ISA(finish_floats), row_begin,
    row_end, panel_begin, panel_end);
}
