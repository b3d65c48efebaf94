// Convolution of floats with AMX, of weights that are floats or halves: both sides are split into pieces
// (pieces_body.h) just before they are multiplied, weights for a chunk of pixels, pixels for all panels. To split takes
// vectors as long as to multiply takes tiles where pixels are few, and is done meanwhile, as is what is left to do with
// finished sums.

// Lines of pixels that are kept at once, in all blocks of a chunk (1 MB), and for one block; lines of weights, and of
// those that only one block uses: they stay in the first-level cache.
enum { ISA(KEPT_LINES) = 160, ISA(BLOCK_SPAN) = 20, ISA(WEIGHT_LINES) = 10, ISA(FEW_WEIGHT_LINES) = 2 };

typedef struct {
  const fs_convolution *op;
  fs_pixels pixels;
  int64_t taps, steps, lines;  // steps: the lines of a tap
  int64_t row_end, panel_begin, panel_end;
  int64_t chunk_rows, span, weight_lines;
} ISA(piece_convolution);

// What is multiplied next: weights of one panel for the lines line ..< end, of the span begin ..< span_end, with all
// pixels of a chunk of `rows` rows.
typedef struct {
  int64_t row, rows, begin, span_end, panel, line, end;
} ISA(piece_group);

INLINE ISA(piece_group) ISA(group_at)(
  const ISA(piece_convolution) *c, int64_t row, int64_t begin, int64_t panel, int64_t line) {
  const int64_t span_end = ISA(least)(begin + c->span, c->lines);
  return (ISA(piece_group)){
    row, ISA(least)(c->chunk_rows, c->row_end - row), begin, span_end, panel, line,
    ISA(least)(line + c->weight_lines, span_end)};
}

// Lines of a panel, then panels, then spans of lines, then chunks. After the last one, a group of no rows.
INLINE ISA(piece_group) ISA(group_after)(const ISA(piece_convolution) *c, const ISA(piece_group) *g) {
  if (g->end < g->span_end) return ISA(group_at)(c, g->row, g->begin, g->panel, g->end);
  if (g->panel + 1 < c->panel_end) return ISA(group_at)(c, g->row, g->begin, g->panel + 1, g->begin);
  if (g->span_end < c->lines) return ISA(group_at)(c, g->row, g->span_end, c->panel_begin, g->span_end);
  return ISA(group_at)(c, g->row + g->rows, 0, c->panel_begin, 0);
}

// Weights of a group that are being split, pair after pair of channels.
typedef struct {
  const ISA(piece_convolution) *c;
  const char *row;                     // of the pair's first channel
  int64_t width, bytes;                // bytes: from row to row
  int64_t pair, channels, left;        // channels: from the first of this line to the last of its tap; left: pairs
  char *target;
} ISA(split_weights);

INLINE ISA(split_weights) ISA(split_weights_of)(
  const ISA(piece_convolution) *c, const ISA(piece_group) *g, const bool halves, char *target) {
  const int64_t column = g->panel * FS_PANEL, channels = c->op->channels, size = halves ? 2 : 4;
  const int64_t width = ISA(panel_width)(c->op, column), tap = g->line / c->steps, step = g->line % c->steps;
  const int64_t first = column * c->taps * channels + (tap * channels + step * 2 * LANES) * width;
  return (ISA(split_weights)){
    .c = c, .row = (const char *)c->op->weights + first * size, .width = width, .bytes = width * size,
    .channels = channels - step * 2 * LANES, .left = g->rows > 0 ? (g->end - g->line) * TILE_LINES : 0,
    .target = target};
}

// The pair's weights, `width` of each channel; those of channels that are not there are 0.
INLINE void ISA(split_pair)(
  const ISA(split_weights) *s, const bool halves, const int64_t width, const bool has_low, const bool has_high) {
  enum { AHEAD = 16384 };  // bytes that are on their way to the second-level cache
  const fs_format format = halves ? FS_FLOAT16 : FS_FLOAT32;
  const char *rows[2] = {s->row, s->row + LANES * s->bytes};
  for (int64_t n = 0; n < width; n += LANES) {
    __builtin_prefetch(rows[0] + AHEAD + n * (halves ? 2 : 4), 0, 2);
    __builtin_prefetch(rows[1] + AHEAD + n * (halves ? 2 : 4), 0, 2);
    vf low = has_low ? ISA(load_weights)(rows[0], format, n, false) : (vf){0};
    vf high = has_high ? ISA(load_weights)(rows[1], format, n, false) : (vf){0};
    ISA(split)(
      s->target + (n / LANES * TILE_LINES + s->pair) * TILE_BYTES, low, high, halves ? PIECES - 1 : PIECES, true);
  }
}

INLINE void ISA(split_weight_pairs)(ISA(split_weights) *s, const bool halves, int64_t count) {
  for (count = ISA(least)(count, s->left), s->left -= count; count > 0; count--) {
    if (s->width == FS_PANEL && s->channels >= 2 * LANES) ISA(split_pair)(s, halves, FS_PANEL, true, true);
    else ISA(split_pair)(s, halves, s->width, s->pair < s->channels, s->pair + LANES < s->channels);
    s->row += s->bytes;
    if (++s->pair < TILE_LINES) continue;
    // The next line's first channel, or the next tap's.
    s->pair = 0;
    s->target += PIECES_BYTES;
    s->row += LANES * s->bytes;
    s->channels -= 2 * LANES;
    if (s->channels > 0) continue;
    s->row += s->channels * s->bytes;
    s->channels = s->c->op->channels;
  }
}

// Pixels of a block that are being split, row after row of each line.
typedef struct {
  const ISA(piece_convolution) *c;
  const void *pointers[(BLOCK_LINES + TILE_ROWS - 1) / TILE_ROWS][MAX_TAPS * TILE_ROWS];
  const float *pixels[BLOCK_LINES];  // of the tap
  int64_t tap, channel, row, rows, left;  // left: rows of lines
  char *target;
} ISA(split_pixels);

INLINE int64_t ISA(block_rows)(const ISA(piece_group) *g, int64_t block) {
  return ISA(least)(BLOCK_LINES, g->rows - block * BLOCK_LINES);
}

INLINE void ISA(choose_tap)(ISA(split_pixels) *s) {
  for (int64_t r = 0; r < s->rows; r++)
    s->pixels[r] = s->pointers[r / TILE_ROWS][s->tap * TILE_ROWS + r % TILE_ROWS];
}

// The lines of a group, of the block-th block of its chunk.
INLINE void ISA(begin_pixels)(
  ISA(split_pixels) *s, const ISA(piece_convolution) *c, const ISA(piece_group) *g, int64_t block, char *target) {
  const int64_t rows = ISA(block_rows)(g, block), row = g->row + block * BLOCK_LINES;
  s->c = c;
  s->tap = g->line / c->steps;
  s->channel = g->line % c->steps * 2 * LANES;
  s->row = 0;
  s->rows = rows;
  s->left = (g->end - g->line) * rows;
  s->target = target;
  for (int64_t r = 0; r < rows; r += TILE_ROWS)
    ISA(gather)(c->op, &c->pixels, s->pointers[r / TILE_ROWS], row + r, ISA(least)(TILE_ROWS, rows - r));
  ISA(choose_tap)(s);
}

INLINE void ISA(split_pixel_rows)(ISA(split_pixels) *s, int64_t count) {
  for (count = ISA(least)(count, s->left), s->left -= count; count > 0; count--) {
    const int64_t left = s->c->op->channels - s->channel;
    const uint32_t mask = left < 2 * LANES ? ((uint32_t)1 << left) - 1 : ~(uint32_t)0;
    const float *pixel = s->pixels[s->row] + s->channel;
    vf low = (vf)_mm512_maskz_loadu_ps((__mmask16)mask, pixel);
    vf high = (vf)_mm512_maskz_loadu_ps((__mmask16)(mask >> LANES), pixel + LANES);
    __builtin_prefetch(pixel + 2 * LANES);
    __builtin_prefetch(pixel + 3 * LANES);
    ISA(split)(s->target + s->row * TILE_BYTES, low, high, PIECES, true);
    if (++s->row < s->rows) continue;
    s->row = 0;
    s->target += PIECES_BYTES;
    s->channel += 2 * LANES;
    if (s->channel < s->c->op->channels) continue;
    s->channel = 0;
    if (++s->tap < s->c->taps) ISA(choose_tap)(s);
  }
}

// What is done along with a block's products, and how much of it with each product of pieces.
typedef struct {
  ISA(split_weights) weights;
  ISA(split_pixels) pixels;
  ISA(rest) *rest;
  int64_t weight_share, pixel_share, rest_share;
} ISA(errands);

#define ERRANDS(name, halves)                                                                  \
  INLINE void ISA(name)(void *context) {                                                       \
    ISA(errands) *e = context;                                                                 \
    if (e->weight_share > 0) ISA(split_weight_pairs)(&e->weights, halves, e->weight_share);    \
    if (e->pixel_share > 0) ISA(split_pixel_rows)(&e->pixels, e->pixel_share);                 \
    if (e->rest_share > 0) ISA(accompany)(&e->rest->companion, ISA(finish_floats), e->rest_share); \
  }
ERRANDS(errands_of_floats, false)
ERRANDS(errands_of_halves, true)
#undef ERRANDS

INLINE void ISA(convolve_piece_groups)(
  const ISA(piece_convolution) *c, const bool halves, ISA(errand) errand, int64_t row_begin) {
  enum { TILE_FLOATS = BLOCK_LINES * FS_PANEL };
  const fs_convolution *op = c->op;
  const int products = halves ? FIVE_PRODUCTS : SIX_PRODUCTS;
  const int64_t most_blocks = ISA(share)(c->chunk_rows, BLOCK_LINES), block_bytes = c->span * PIECES_BYTES;
  // Sums of one span of lines wait for those of the next, of all panels, or of a panel's lines for its next ones.
  const bool waits_long = c->span < c->lines;
  const int64_t waiting_tiles = most_blocks * (waits_long ? c->panel_end - c->panel_begin : 1);
  const int64_t weight_bytes = c->weight_lines * PIECES_BYTES;
  char *scratch = fs_thread_scratch(
    (size_t)(most_blocks * block_bytes + 2 * weight_bytes + waiting_tiles * TILE_FLOATS * (int64_t)sizeof(float)));
  char *weights[2] = {scratch + most_blocks * block_bytes, scratch + most_blocks * block_bytes + weight_bytes};
  float *waiting = (float *)(weights[1] + weight_bytes);
  float sums[2][TILE_FLOATS] __attribute__((aligned(64)));
  ISA(rest) rests[2];
  ISA(errands) e = {.rest = NULL};
  ISA(piece_group) g = ISA(group_at)(c, row_begin, 0, c->panel_begin, 0), next;
  e.weights = ISA(split_weights_of)(c, &g, halves, weights[0]);
  ISA(split_weight_pairs)(&e.weights, halves, e.weights.left);
  for (int turn = 0; g.rows > 0; g = next, turn = !turn) {
    next = ISA(group_after)(c, &g);
    const int64_t blocks = ISA(share)(g.rows, BLOCK_LINES), lines = g.end - g.line;
    const int64_t times = products * lines;
    const int64_t column = g.panel * FS_PANEL, width = ISA(panel_width)(op, column);
    const bool is_first_panel = g.panel == c->panel_begin, is_last = g.end == c->lines;
    char *pixels = scratch + (g.line - g.begin) * PIECES_BYTES;
    e.weights = ISA(split_weights_of)(c, &next, halves, weights[!turn]);
    e.weight_share = ISA(share)(e.weights.left, blocks * times);
    if (is_first_panel) {
      ISA(begin_pixels)(&e.pixels, c, &g, 0, pixels);
      ISA(split_pixel_rows)(&e.pixels, e.pixels.left);
    }
    for (int64_t block = 0; block < blocks; block++, pixels += block_bytes) {
      const int64_t row = g.row + block * BLOCK_LINES, rows = ISA(block_rows)(&g, block);
      e.pixel_share = 0;
      if (is_first_panel && block + 1 < blocks) {
        ISA(begin_pixels)(&e.pixels, c, &g, block + 1, pixels + block_bytes);
        e.pixel_share = ISA(share)(e.pixels.left, times);
      }
      const ISA(place) place = {op, row, rows, column, ISA(least)(FS_PANEL, op->outputs - column), {0}};
      e.rest_share = 0;
      if (e.rest) {
        e.rest->next = place;
        e.rest_share = ISA(share)(e.rest->companion.rows, times);
      }
      float *earlier = waiting + ((waits_long ? g.panel - c->panel_begin : 0) * most_blocks + block) * TILE_FLOATS;
      ISA(rest) *rest = rests + (e.rest == rests);
      float *target = is_last ? sums[rest - rests] : earlier;
      ISA(sum_pieces)(
        products, ISA(start_of)(g.line == 0 ? NULL : earlier), target, pixels, weights[turn], rows, width, lines,
        errand, &e);
      if (e.pixel_share > 0) ISA(split_pixel_rows)(&e.pixels, e.pixels.left);
      if (e.rest) ISA(accompany)(&e.rest->companion, ISA(finish_floats), BLOCK_LINES);
      e.rest = NULL;
      if (!is_last) continue;
      *rest = (ISA(rest)){.companion = {0, rows, 0}, .place = place, .sums = target};
      e.rest = rest;
    }
    ISA(split_weight_pairs)(&e.weights, halves, e.weights.left);
  }
  if (e.rest) ISA(accompany)(&e.rest->companion, ISA(finish_floats), BLOCK_LINES);
}

INLINE void ISA(convolve_pieces)(
  const fs_convolution *op, const bool halves, ISA(errand) errand, int64_t row_begin, int64_t row_end,
  int64_t panel_begin, int64_t panel_end) {
  if (row_begin >= row_end || panel_begin >= panel_end) return;
  ISA(piece_convolution) c = {
    .op = op, .pixels = {op->input, op->input_stride * (int64_t)sizeof(float), op->zeros, 0},
    .taps = op->kernel_height * op->kernel_width, .steps = ISA(share)(op->channels, 2 * LANES),
    .row_end = row_end, .panel_begin = panel_begin, .panel_end = panel_end};
  c.lines = c.taps * c.steps;
  c.span = ISA(equal_parts)(c.lines, ISA(BLOCK_SPAN));
  const int64_t most = ISA(KEPT_LINES) / c.span * BLOCK_LINES, rows = ISA(equal_parts)(row_end - row_begin, most);
  c.chunk_rows = ISA(share)(rows, BLOCK_LINES) * BLOCK_LINES;
  c.weight_lines = rows > BLOCK_LINES ? ISA(WEIGHT_LINES) : ISA(FEW_WEIGHT_LINES);
  ISA(configure_tiles)(TILE_BYTES);
  ISA(convolve_piece_groups)(&c, halves, errand, row_begin);
  _tile_release();
}

static void ISA(convolve_floats_in_pieces)(
  const fs_convolution *op, int64_t row_begin, int64_t row_end, int64_t panel_begin, int64_t panel_end) {
  if (!fs_tiles_pay(op->format, op->channels))
    return ISA(convolve)(op, row_begin, row_end, panel_begin, panel_end);
  ISA(convolve_pieces)(op, false, ISA(errands_of_floats), row_begin, row_end, panel_begin, panel_end);
}

static void ISA(convolve_halves_in_pieces)(
  const fs_convolution *op, int64_t row_begin, int64_t row_end, int64_t panel_begin, int64_t panel_end) {
  if (!fs_tiles_pay(op->format, op->channels))
    return ISA(convolve_float16)(op, row_begin, row_end, panel_begin, panel_end);
  ISA(convolve_pieces)(op, true, ISA(errands_of_halves), row_begin, row_end, panel_begin, panel_end);
}
