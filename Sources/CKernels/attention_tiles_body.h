// Attention with AMX: both products by tiles of bfloat16, of 32 queries and 32 keys at a time. What is to be rounded to
// bfloat16 is, and floats are multiplied in pieces (pieces_body.h).
//
// Scores are powers of 2 relative to a base of each query, which is an integer: whatever it is, weights and sums differ
// by a power of 2, and results do not differ at all. It follows the largest score at a distance, so that most scores
// become weights at once. Scores start from it in the registers of tiles, and a column of ones beside the values has
// their product add up the weights: what is left to vectors is the power of 2, and splitting it. Vectors have one port
// of the CPU while tiles have the other, and so they should have little to do, and evenly.

// BLOCK_LINES queries in scratch.
typedef struct {
  char *query;      // [BLOCK_LINES][query_bytes]
  float *bases;     // [BLOCK_LINES][LANES], each row minus the query's base
  float *output;    // [panel][BLOCK_LINES][FS_PANEL]
  char *weights;    // [2][panel of a group][piece][BLOCK_LINES][TILE_BYTES], for all tiles of queries by turns
  int64_t first, rows;
} ISA(tile_queries);

// How far scores may be above the base: weights and sums stay far from infinity. And 2 to that.
#define HEADROOM 16
#define LARGEST_WEIGHT 0x1p16f

// Scores that become weights, and the largest weights as integers: positive numbers keep their order, negative ones are
// below, NaN may be above. Two rows at a time, up to the row due / DUE_PER_ROW: `due` grows by `share` with each
// product, and by `rate` for each column of tiles in it.
enum { DUE_PER_ROW = 1024 };
typedef struct {
  const float *scores;
  char *weights;
  int64_t row, rows, due, rate, share;
  __m512i top;
} ISA(weighing);

// 2^x where subnormal results are flushed to 0. Relative to 2^floor(x) it is a polynomial: of degree 6, off by less
// than a unit in the last place; for what is rounded by cutting off the lower half of its bits, that of degree 3 whose
// largest relative error, 7.5e-5, is smallest, and half a unit of bfloat16. NaN stays NaN.
INLINE vf ISA(scaled_exp2)(const bool is_rounded, vf x) {
  const vf r = (vf)_mm512_reduce_ps((__m512)x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
  const vf p = is_rounded
    ? POLYNOMIAL(r, 7.80245215e-2f, 2.26067156e-1f, 6.95833564e-1f, 9.99925196e-1f + 0x1p-8f)
    : POLYNOMIAL(
        r, 2.161292941e-4f, 1.246782602e-3f, 9.675455280e-3f, 5.548530072e-2f, 2.402292639e-1f, 6.931470633e-1f, 1.0f);
  return (vf)_mm512_scalef_ps((__m512)p, (__m512)x);
}

// Weights are cut into pieces, not rounded: the values' pieces have either sign.
INLINE void ISA(weigh)(const int pieces, ISA(weighing) *w, int64_t end) {
  enum { ROWS = 2 };
  __m512i top = w->top;
  for (; w->row < end; w->row += ROWS) {
    vf low[ROWS], high[ROWS];
    FULLY_UNROLLED for (int r = 0; r < ROWS; r++) {
      const float *scores = w->scores + (w->row + r) * FS_PANEL;
      low[r] = ISA(scaled_exp2)(pieces == 1, ISA(load)(scores));
      high[r] = ISA(scaled_exp2)(pieces == 1, ISA(load)(scores + LANES));
      top = _mm512_max_epi32(top, _mm512_max_epi32((__m512i)low[r], (__m512i)high[r]));
    }
    FULLY_UNROLLED for (int r = 0; r < ROWS; r++)
      ISA(split)(w->weights + (w->row + r) * TILE_BYTES, low[r], high[r], pieces, false);
  }
  w->top = top;
}

INLINE void ISA(weigh_share)(const int pieces, ISA(weighing) *w) {
  if (!w) return;
  w->due += w->share;
  ISA(weigh)(pieces, w, ISA(least)(w->due / DUE_PER_ROW, w->rows));
}
// The same as an errand.
INLINE void ISA(weigh_rounded)(void *context) { ISA(weigh_share)(1, context); }
INLINE void ISA(weigh_pieces)(void *context) { ISA(weigh_share)(PIECES, context); }

// The products of tiles that a panel's scores take.
INLINE int64_t ISA(score_products)(const ISA(tile_attention) *s, const int pieces) {
  int64_t products = 0;
  for (int used = 1; used <= pieces; used++) products += fs_attention_lines(s->op->dimension, used);
  return products;
}

// scores[BLOCK_LINES][FS_PANEL] := `start` + queries x keys, for `rows` x two tiles. Products of the last pieces come
// first: they are the smallest.
INLINE void ISA(sum_scores)(
  const int rows, const int pieces, const ISA(tile_attention) *s, const ISA(tile_queries) *q, ISA(start) start,
  float *scores, const char *keys, ISA(weighing) *w) {
  ISA(start_sums)(rows, 2, start);
  for (int used = pieces; used > 0; used--, keys += s->pairs * SUM_STRIDE)
    for (int64_t line = 0; line < fs_attention_lines(s->op->dimension, used); line++) {
      ISA(load_rows)(rows, q->query + line * TILE_BYTES, s->query_bytes);
      ISA(load_columns)(2, ISA(start_of)(keys + line * TILE_LINES * SUM_STRIDE));
      ISA(multiply_tiles)(rows, 2);
      ISA(weigh_share)(pieces, w);
    }
  ISA(store_sums)(rows, 2, scores);
}

// scores := the scores of a panel of keys above `bases`, or above 0 where that is NULL.
INLINE void ISA(score_panel)(
  const int pieces, const ISA(tile_attention) *s, const ISA(tile_queries) *q, float *scores, const float *bases,
  int64_t panel, ISA(weighing) *w) {
  const ISA(start) start = {bases, TILE_BYTES, 0};
  const char *keys = s->key_block + panel * s->key_panel;
  if (w) w->share = 2 * w->rate;
  if (q->rows > TILE_LINES) ISA(sum_scores)(2, pieces, s, q, start, scores, keys, w);
  else ISA(sum_scores)(1, pieces, s, q, start, scores, keys, w);
  const int64_t first = s->first_key + panel * FS_PANEL;
  if (first + FS_PANEL <= ISA(visible_keys)(s->op, q->first)) return;
  for (int64_t r = 0; r < q->rows; r++) {
    const int64_t seen = ISA(visible_keys)(s->op, q->first + r) - first;
    for (int64_t key = 0; key < FS_PANEL; key += LANES)
      _mm512_mask_storeu_ps(
        scores + r * FS_PANEL + key, (__mmask16)~ISA(leading)(seen - key), (__m512)ISA(splat)(-INFINITY));
  }
}

// The same by itself, where that is seldom.
static __attribute__((noinline)) void ISA(score_panel_alone)(
  const ISA(tile_attention) *s, const ISA(tile_queries) *q, float *scores, const float *bases, int64_t panel) {
  if (s->packing == FS_TILED_KEYS) ISA(score_panel)(1, s, q, scores, bases, panel, NULL);
  else ISA(score_panel)(PIECES, s, q, scores, bases, panel, NULL);
}

// The weights of the panels begin ..< end of keys, yet to be used for the columns of values from `column` on.
typedef struct {
  const char *weights;
  int64_t begin, end, column;
} ISA(unused);

// output += weights x values, up to `column`, where a panel ends.
INLINE void ISA(use_weights)(
  const int pieces, const ISA(tile_attention) *s, const ISA(tile_queries) *q, ISA(unused) *unused, int64_t column,
  ISA(weighing) *w) {
  for (; unused->column < column; unused->column += FS_PANEL) {
    float *output = q->output + unused->column * BLOCK_LINES;
    const int64_t width = s->columns - unused->column;
    if (w) w->share = width > TILE_LINES ? 2 * w->rate : w->rate;
    ISA(sum_pieces)(
      pieces == 1 ? ONE_PRODUCT : SIX_PRODUCTS, ISA(start_of)(output), output, unused->weights,
      ISA(value_panel)(s, unused->begin, unused->column), q->rows, width, unused->end - unused->begin,
      pieces == 1 ? ISA(weigh_rounded) : ISA(weigh_pieces), w);
  }
}

// The same for all that is left.
static __attribute__((noinline)) void ISA(use_weights_alone)(
  const ISA(tile_attention) *s, const ISA(tile_queries) *q, ISA(unused) *unused) {
  if (s->packing == FS_TILED_KEYS) ISA(use_weights)(1, s, q, unused, s->columns, NULL);
  else ISA(use_weights)(PIECES, s, q, unused, s->columns, NULL);
}

// The largest of a row of scores; NaN where one of them is.
INLINE float ISA(largest_score)(const float *scores) {
  vf low = ISA(load)(scores), high = ISA(load)(scores + LANES);
  if (_mm512_cmp_ps_mask((__m512)low, (__m512)high, _CMP_UNORD_Q) != 0) return NAN;
  return _mm512_reduce_max_ps((__m512)ISA(max)(low, high));
}

// Gives each query whose `scores` of a panel, above 0, lie too far above its base another one, and scales what it has
// summed up.
static __attribute__((noinline)) void ISA(raise_tile_bases)(
  const ISA(tile_attention) *s, const ISA(tile_queries) *q, const float *scores, bool is_first) {
  for (int64_t r = 0; r < q->rows; r++) {
    const float top = ISA(largest_score)(scores + r * FS_PANEL), base = -q->bases[r * LANES];
    if (top - base <= HEADROOM) continue;
    const float raised = ceilf(top);
    ISA(store)(q->bases + r * LANES, ISA(splat)(-raised));
    if (is_first) continue;
    const float factor = ISA(exp2)(ISA(splat)(base - raised))[0];
    for (int64_t c = 0; c < s->columns; c += LANES) {
      float *output = q->output + c / FS_PANEL * BLOCK_LINES * FS_PANEL + r * FS_PANEL + c % FS_PANEL;
      ISA(store)(output, ISA(load)(output) * factor);
    }
  }
}

// scores := the scores of the first of all panels, from which the bases are chosen.
static __attribute__((noinline)) void ISA(score_first_panel)(
  const ISA(tile_attention) *s, const ISA(tile_queries) *q, float *scores) {
  ISA(score_panel_alone)(s, q, scores, NULL, 0);
  ISA(raise_tile_bases)(s, q, scores, true);
  for (int64_t r = 0; r < q->rows; r++)
    for (int64_t c = 0; c < FS_PANEL; c += LANES) {
      float *target = scores + r * FS_PANEL + c;
      ISA(store)(target, ISA(load)(target) + ISA(load)(q->bases + r * LANES));
    }
}

// Adds the current block of keys to a tile of queries. While the scores of one panel become weights, those of the next
// are added up, and a part of the weights of an earlier group are used: vectors have company all the time.
INLINE void ISA(attend_tile_block)(const int pieces, const ISA(tile_attention) *s, const ISA(tile_queries) *q) {
  float scores[2][BLOCK_LINES * FS_PANEL] __attribute__((aligned(64)));
  const int64_t panels = ISA(share)(s->keys, FS_PANEL), columns = fs_attention_value_panels(s->op->dimension);
  const int64_t group = FS_ATTENTION_GROUP, panel_bytes = pieces * PIECE_BYTES;
  const int64_t score_products = ISA(score_products)(s, pieces);
  char *weights = q->weights, *other = weights + group * panel_bytes;  // of this group, and of those that are unused
  int64_t begin = 0;  // the first panel of the group
  ISA(unused) unused = {other, 0, 0, s->columns};
  if (s->first_key == 0) ISA(score_first_panel)(s, q, scores[0]);
  else ISA(score_panel_alone)(s, q, scores[0], q->bases, 0);
  for (int64_t panel = 0; panel < panels; panel++) {
    const bool is_last = panel + 1 == panels;
    if (panel - begin == group) {
      unused = (ISA(unused)){weights, begin, panel, 0};
      begin = panel;
      weights = other;
      other = (char *)unused.weights;
    }
    const int64_t until = ISA(least)(columns * (panel - begin + 1) / group * FS_PANEL, s->columns);
    const int64_t used = until > unused.column ? (until - unused.column) / TILE_LINES * (unused.end - unused.begin) : 0;
    const int64_t products = used * (pieces == 1 ? ONE_PRODUCT : SIX_PRODUCTS) + (is_last ? 0 : 2 * score_products);
    float *current = scores[panel % 2], *next = scores[(panel + 1) % 2];
    const int64_t rows = (q->rows + 1) / 2 * 2;
    ISA(weighing) w = {
      .scores = current, .weights = weights + (panel - begin) * panel_bytes, .rows = rows,
      .rate = products > 0 ? ISA(share)(rows * DUE_PER_ROW, products) : 0, .top = _mm512_setzero_si512()};
    if (!is_last) ISA(score_panel)(pieces, s, q, next, q->bases, panel + 1, &w);
    if (used > 0) ISA(use_weights)(pieces, s, q, &unused, until, &w);
    ISA(weigh)(pieces, &w, rows);
    const __m512i largest = (__m512i)ISA(splat)(LARGEST_WEIGHT);
    if (__builtin_expect(_mm512_cmpgt_epi32_mask(w.top, largest) == 0, 1)) continue;
    // All weights so far are used before the sums are scaled.
    ISA(use_weights_alone)(s, q, &unused);
    unused = (ISA(unused)){weights, begin, panel, 0};
    ISA(use_weights_alone)(s, q, &unused);
    begin = panel;
    ISA(score_panel_alone)(s, q, current, NULL, panel);
    ISA(raise_tile_bases)(s, q, current, false);
    ISA(score_panel_alone)(s, q, current, q->bases, panel);
    w.weights = weights;
    w.row = 0;
    ISA(weigh)(pieces, &w, rows);
    if (!is_last) ISA(score_panel_alone)(s, q, next, q->bases, panel + 1);
  }
  ISA(use_weights_alone)(s, q, &unused);
  unused = (ISA(unused)){weights, begin, panels, 0};
  ISA(use_weights_alone)(s, q, &unused);
}

#undef LARGEST_WEIGHT
#undef HEADROOM

INLINE void ISA(load_queries)(const int pieces, const ISA(tile_attention) *s, const ISA(tile_queries) *q) {
  const fs_attention *op = s->op;
  const int64_t columns = 2 * s->pairs;
  const vf scale = ISA(splat)(op->scale * 1.44269504f);
  memset(q->query, 0, (size_t)(BLOCK_LINES * s->query_bytes));
  for (int64_t r = 0; r < q->rows; r++)
    for (int64_t c = 0; c < columns; c += 2 * LANES) {
      const uint32_t mask = columns - c < 2 * LANES ? ((uint32_t)1 << (columns - c)) - 1 : ~(uint32_t)0;
      __m512i lines[PIECES];
      ISA(row_pieces)(
        pieces, lines, op->query + (q->first + r) * op->query_stride + c, op->dimension - c, scale);
      for (int piece = 0; piece < pieces; piece++)
        _mm512_mask_storeu_epi16(q->query + r * s->query_bytes + 2 * (piece * columns + c), mask, lines[piece]);
    }
}

static void ISA(store_outputs)(const ISA(tile_attention) *s, const ISA(tile_queries) *q) {
  const fs_attention *op = s->op;
  const int64_t dimension = op->dimension, panel = BLOCK_LINES * FS_PANEL;
  for (int64_t r = 0; r < q->rows; r++) {
    const float *row = q->output + r * FS_PANEL;
    const float total = row[dimension / FS_PANEL * panel + dimension % FS_PANEL], inverse = 1 / total;
    float *output = op->output + (q->first + r) * op->output_stride;
    for (int64_t c = 0; c < dimension; c += LANES) {
      vf columns = ISA(load)(row + c / FS_PANEL * panel + c % FS_PANEL) * inverse;
      _mm512_mask_storeu_ps(output + c, ISA(leading)(dimension - c), (__m512)columns);
    }
  }
}

INLINE void ISA(attend_in_tiles)(
  const fs_attention *op, const fs_key_packing packing, int64_t begin, int64_t end, float *scratch) {
  const int pieces = (int)fs_attention_pieces(packing);
  ISA(tile_attention) s = ISA(tile_attention_of)(op, packing);
  const int64_t most = fs_attention_queries(op->dimension), count = fs_attention_tile_count(op->dimension, packing);
  const int64_t query_floats = BLOCK_LINES * s.query_bytes / 4, base_floats = BLOCK_LINES * LANES;
  ISA(configure_tiles)(TILE_BYTES);
  for (int64_t first = begin, last; first < end; first = last) {
    last = ISA(least)(end, first + most);
    const int64_t tiles = ISA(share)(last - first, BLOCK_LINES);
    ISA(tile_queries) queries[512 / BLOCK_LINES];
    for (int64_t i = 0; i < tiles; i++) {
      float *floats = scratch + i * count;
      const int64_t row = first + i * BLOCK_LINES;
      queries[i] = (ISA(tile_queries)){
        (char *)floats, floats + query_floats, floats + query_floats + base_floats, (char *)(scratch + tiles * count),
        row, ISA(least)(last - row, BLOCK_LINES)};
      ISA(load_queries)(pieces, &s, &queries[i]);
      // Where there is no query, scores are 0, and weights 1.
      for (int64_t r = 0; r < BLOCK_LINES; r++)
        ISA(store)(queries[i].bases + r * LANES, ISA(splat)(r < queries[i].rows ? FLT_MAX : 0));
      memset(queries[i].output, 0, (size_t)(count - query_floats - base_floats) * sizeof(float));
    }
    const int64_t blocks = ISA(share)(ISA(visible_keys)(op, last - 1), s.all_keys);
    // Each subnormal weight would cost the time of a hundred.
    const unsigned int control = _mm_getcsr();
    _mm_setcsr(control | _MM_FLUSH_ZERO_ON);
    for (int64_t block = 0; block < blocks; block++) {
      ISA(choose_tile_block)(&s, block);
      for (int64_t i = 0; i < tiles; i++) ISA(attend_tile_block)(pieces, &s, &queries[i]);
    }
    _mm_setcsr(control);
    for (int64_t i = 0; i < tiles; i++) ISA(store_outputs)(&s, &queries[i]);
  }
  _tile_release();
}

static void ISA(attend_tiles)(const fs_attention *op, int64_t begin, int64_t end, float *scratch) {
  ISA(attend_in_tiles)(op, FS_TILED_KEYS, begin, end, scratch);
}

static void ISA(attend_pieces)(const fs_attention *op, int64_t begin, int64_t end, float *scratch) {
  if (!fs_key_pieces_pay(op->keys)) return ISA(attend)(op, begin, end, scratch);
  ISA(attend_in_tiles)(op, FS_TILED_PIECES, begin, end, scratch);
}
