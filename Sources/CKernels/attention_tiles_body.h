// Attention with AMX: both products by tiles of bfloat16 (tiles_body.h), of 32 queries and 32 keys at a time.
//
// Scores are powers of 2 relative to a base of each query, which is an integer: whatever it is, weights and sums differ
// by a power of 2, and results do not differ at all. It follows the largest score at a distance, so that most scores
// become weights at once. Scores start from it in the registers of tiles, and a column of ones beside the values has
// their product add up the weights: what is left to vectors is the power of 2.

// A block of keys is packed as panels of 32 keys, [pair of columns][key][2], and its values as panels of 32 columns,
// [pair of keys][column][2]. A pair of keys are the i-th of a panel's first half and the i-th of its second.
typedef struct {
  const fs_attention *op;
  ISA(tiling) scores, values;
  int64_t columns;                    // of the values and the ones, padded to tiles
  int64_t first_key, keys, all_keys;  // of the current block; all_keys with those that fill it up
  char *key_block, *value_block;
} ISA(tile_attention);

INLINE ISA(tile_attention) ISA(tile_attention_of)(const fs_attention *op) {
  int64_t block = fs_attention_key_block(op->dimension, FS_TILED_KEYS);
  return (ISA(tile_attention)){
    .op = op, .scores = ISA(tiling_of)(op->dimension, 1, 2, fs_attention_tiled_bytes(op->dimension), 0),
    .values = ISA(tiling_of)(block, 1, 2, 2 * block, 0), .columns = fs_attention_tiled_columns(op->dimension),
    .all_keys = block};
}

INLINE void ISA(choose_tile_block)(ISA(tile_attention) *s, int64_t index) {
  const int64_t dimension = s->op->dimension, left = s->op->keys - index * s->all_keys;
  s->first_key = index * s->all_keys;
  s->keys = left < s->all_keys ? left : s->all_keys;
  s->key_block = (char *)(s->op->packed + index * fs_attention_block_count(dimension, FS_TILED_KEYS));
  s->value_block = s->key_block + s->all_keys * fs_attention_tiled_bytes(dimension);
}

// The panel of values that column c is in, and the columns of it.
INLINE char *ISA(value_panel)(const ISA(tile_attention) *s, int64_t c) {
  return s->value_block + c / FS_PANEL * FS_PANEL * 2 * s->all_keys;
}
INLINE int64_t ISA(value_width)(const ISA(tile_attention) *s, int64_t c) {
  return s->columns - c / FS_PANEL * FS_PANEL < FS_PANEL ? FS_PANEL / 2 : FS_PANEL;
}

// A bit for each of the first `count` lanes.
INLINE __mmask16 ISA(leading)(int64_t count) {
  return (__mmask16)(count >= LANES ? 0xffff : count > 0 ? (1 << count) - 1 : 0);
}

// What the lanes of a row hold, 0 from `count` on.
INLINE vf ISA(load_leading)(const float *row, int64_t count) {
  return (vf)_mm512_maskz_loadu_ps(ISA(leading)(count), row);
}

static void ISA(pack_tile_block)(const ISA(tile_attention) *s) {
  const fs_attention *op = s->op;
  const int64_t pairs = s->scores.tap_bytes / 4, panel = pairs * FS_PANEL * 4;
  const __m512i columns = _mm512_mullo_epi32(
    _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0), _mm512_set1_epi32(FS_PANEL));
  const float *key = op->key + s->first_key * op->key_stride, *value = op->value + s->first_key * op->key_stride;
  // Panels without keys are never read.
  const int64_t filled = (s->keys + FS_PANEL - 1) / FS_PANEL * FS_PANEL;
  memset(s->key_block, 0, (size_t)(filled * s->scores.tap_bytes));
  for (int64_t i = 0; i < s->keys; i++, key += op->key_stride) {
    int32_t *target = (int32_t *)(s->key_block + i / FS_PANEL * panel) + i % FS_PANEL;
    for (int64_t pair = 0; pair < pairs; pair += LANES, target += LANES * FS_PANEL) {
      const int64_t left = op->dimension - 2 * pair;
      const float *source = key + 2 * pair;
      __m512i both = (__m512i)_mm512_cvtne2ps_pbh(
        (__m512)ISA(load_leading)(source + LANES, left - LANES), (__m512)ISA(load_leading)(source, left));
      _mm512_mask_i32scatter_epi32(target, ISA(leading)(pairs - pair), columns, both, 4);
    }
  }
  for (int64_t c = 0; c < s->columns; c += LANES) {
    const int64_t left = op->dimension - c, width = ISA(value_width)(s, c);
    const vf ones = (vf)_mm512_maskz_mov_ps(
      (__mmask16)(left >= 0 && left < LANES ? 1 << left : 0), (__m512)ISA(splat)(1));
    char *target = ISA(value_panel)(s, c) + c % FS_PANEL * 4;
    for (int64_t pair = 0; pair < filled / 2; pair++, target += 4 * width) {
      const int64_t half = FS_PANEL / 2, i = pair / half * FS_PANEL + pair % half;
      const float *row = value + i * op->key_stride;
      vf low = {0}, high = {0};
      if (i < s->keys) low = ISA(load_leading)(row + c, left) + ones;
      if (i + half < s->keys) high = ISA(load_leading)(row + half * op->key_stride + c, left) + ones;
      _mm512_storeu_si512(target, ISA(pairs)(low, high));
    }
  }
}

static void ISA(pack_tiled_keys)(const fs_attention *op, int64_t begin, int64_t end) {
  ISA(tile_attention) s = ISA(tile_attention_of)(op);
  for (int64_t block = begin; block < end; block++) {
    ISA(choose_tile_block)(&s, block);
    ISA(pack_tile_block)(&s);
  }
}

// BLOCK_LINES queries in scratch.
typedef struct {
  char *query;      // [line][BLOCK_LINES][TILE_BYTES]
  float *bases;     // [BLOCK_LINES][LANES], each row minus the query's base
  float *output;    // [panel][BLOCK_LINES][FS_PANEL]
  char *weights;    // [panel of keys][BLOCK_LINES][TILE_BYTES], for all tiles of queries by turns
  int64_t first, rows;
} ISA(tile_queries);

// How far scores may be above the base: weights and sums stay far from infinity. And 2 to that as bfloat16.
#define HEADROOM 16
#define LARGEST_WEIGHT 0x4780

// Scores that become weights, and the largest weights as integers: positive numbers keep their order, negative ones are
// below, NaN may be above.
typedef struct {
  ISA(companion) companion;
  const float *scores;
  char *weights;
  __m512i top;
} ISA(weighing);

// 2^x, rounded to bfloat16 where the lower half of its bits is cut off; 0 below -126 where subnormal results are
// flushed. Relative to 2^floor(x) it is the polynomial of degree 3 whose largest relative error, 7.5e-5, is smallest,
// and half a unit of bfloat16. NaN stays NaN.
INLINE __m512i ISA(rounded_exp2)(vf x) {
  vf r = (vf)_mm512_reduce_ps((__m512)x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
  vf p = ISA(splat)(7.80245215e-2f);
  p = p * r + 2.26067156e-1f;
  p = p * r + 6.95833564e-1f;
  p = p * r + (9.99925196e-1f + 0x1p-8f);
  return (__m512i)_mm512_scalef_ps((__m512)p, (__m512)x);
}

INLINE void ISA(weigh_rows)(ISA(companion) *companion, int64_t begin, int64_t end) {
  ISA(weighing) *w = (ISA(weighing) *)companion;
  __m512i top = w->top;
  for (int64_t r = begin; r < end; r++) {
    const float *scores = w->scores + r * FS_PANEL;
    __m512i low = ISA(rounded_exp2)(ISA(load)(scores)), high = ISA(rounded_exp2)(ISA(load)(scores + LANES));
    __m512i both = _mm512_mask_mov_epi16(_mm512_srli_epi32(low, 16), 0xaaaaaaaa, high);
    top = _mm512_max_epi16(top, both);
    _mm512_storeu_si512(w->weights + r * TILE_BYTES, both);
  }
  w->top = top;
}

// scores := the scores of a panel of keys above `bases`, or above 0 where that is NULL.
INLINE void ISA(score_panel)(
  const ISA(tile_attention) *s, const ISA(tile_queries) *q, float *scores, const float *bases, int64_t panel,
  ISA(companion) *companion) {
  const ISA(start) start = {bases, TILE_BYTES, 0};
  const char *keys = s->key_block + panel * FS_PANEL * s->scores.tap_bytes;
  ISA(sum_block)(
    &s->scores, false, true, start, scores, ISA(block_lines)(q->query), keys, q->rows, FS_PANEL, 0, s->scores.steps,
    companion, ISA(weigh_rows));
  const int64_t first = s->first_key + panel * FS_PANEL, all = s->op->keys;
  if (first + FS_PANEL <= (s->op->causal && q->first < all ? q->first + 1 : all)) return;
  for (int64_t r = 0; r < q->rows; r++) {
    const int64_t seen = (s->op->causal && q->first + r < all ? q->first + r + 1 : all) - first;
    for (int64_t key = 0; key < FS_PANEL; key += LANES)
      _mm512_mask_storeu_ps(
        scores + r * FS_PANEL + key, (__mmask16)~ISA(leading)(seen - key), (__m512)ISA(splat)(-INFINITY));
  }
}

// Panels of keys whose weights are used at once.
#define GROUP 4

// The weights of the panels begin ..< end of keys, yet to be used for the columns of values from `column` on.
typedef struct {
  int64_t begin, end, column;
} ISA(unused);

// output += weights x values, up to `column`, a multiple of FS_PANEL.
INLINE void ISA(use_weights)(
  const ISA(tile_attention) *s, const ISA(tile_queries) *q, ISA(unused) *unused, int64_t column,
  ISA(companion) *companion) {
  for (; unused->column < column; unused->column += FS_PANEL) {
    float *output = q->output + unused->column * BLOCK_LINES;
    const ISA(lines) weights = ISA(block_lines)(q->weights + unused->begin * LINE_BLOCK_BYTES);
    ISA(sum_block)(
      &s->values, false, true, ISA(start_of)(output), output, weights, ISA(value_panel)(s, unused->column), q->rows,
      ISA(value_width)(s, unused->column), unused->begin, unused->end, companion, ISA(weigh_rows));
  }
}

// The same for all that is left, and then for the panels begin ..< end.
INLINE void ISA(use_all_weights)(
  const ISA(tile_attention) *s, const ISA(tile_queries) *q, ISA(unused) *unused, int64_t begin, int64_t end) {
  ISA(use_weights)(s, q, unused, s->columns, NULL);
  *unused = (ISA(unused)){begin, end, begin < end ? 0 : s->columns};
  ISA(use_weights)(s, q, unused, s->columns, NULL);
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
INLINE void ISA(score_first_panel)(const ISA(tile_attention) *s, const ISA(tile_queries) *q, float *scores) {
  ISA(score_panel)(s, q, scores, NULL, 0, NULL);
  ISA(raise_tile_bases)(s, q, scores, true);
  for (int64_t r = 0; r < q->rows; r++)
    for (int64_t c = 0; c < FS_PANEL; c += LANES) {
      float *target = scores + r * FS_PANEL + c;
      ISA(store)(target, ISA(load)(target) + ISA(load)(q->bases + r * LANES));
    }
}

// Adds the current block of keys to a tile of queries. While the scores of one panel become weights, those of the next
// are added up, and a part of the weights of an earlier group are used: vectors have company all the time.
static void ISA(attend_tile_block)(const ISA(tile_attention) *s, const ISA(tile_queries) *q) {
  float scores[2][BLOCK_LINES * FS_PANEL] __attribute__((aligned(64)));
  const int64_t panels = (s->keys + FS_PANEL - 1) / FS_PANEL, columns = (s->columns + FS_PANEL - 1) / FS_PANEL;
  int64_t begin = 0;  // the first panel that is not in `unused`
  ISA(unused) unused = {0, 0, columns * FS_PANEL};
  if (s->first_key == 0) ISA(score_first_panel)(s, q, scores[0]);
  else ISA(score_panel)(s, q, scores[0], q->bases, 0, NULL);
  for (int64_t panel = 0; panel < panels; panel++) {
    const bool is_last = panel + 1 == panels;
    if (panel - begin == GROUP) {
      unused = (ISA(unused)){begin, panel, 0};
      begin = panel;
    }
    const int64_t until = columns * (panel - begin + 1) / GROUP * FS_PANEL;
    const int64_t used = until > unused.column ? (until - unused.column) / FS_PANEL * (unused.end - unused.begin) : 0;
    const int64_t products = 4 * (used + (is_last ? 0 : s->scores.steps));
    float *current = scores[panel % 2], *next = scores[(panel + 1) % 2];
    ISA(weighing) w = {
      .companion = {0, q->rows, products > 0 ? (BLOCK_LINES + products - 1) / products : 0},
      .scores = current, .weights = q->weights + panel * LINE_BLOCK_BYTES};
    if (!is_last) ISA(score_panel)(s, q, next, q->bases, panel + 1, &w.companion);
    if (used > 0) ISA(use_weights)(s, q, &unused, until, &w.companion);
    ISA(accompany)(&w.companion, ISA(weigh_rows), BLOCK_LINES);
    if (__builtin_expect(_mm512_cmpgt_epi16_mask(w.top, _mm512_set1_epi16(LARGEST_WEIGHT)) == 0, 1)) continue;
    ISA(use_all_weights)(s, q, &unused, begin, panel);
    begin = panel;
    ISA(score_panel)(s, q, current, NULL, panel, NULL);
    ISA(raise_tile_bases)(s, q, current, false);
    ISA(score_panel)(s, q, current, q->bases, panel, NULL);
    w.companion.done = 0;
    ISA(accompany)(&w.companion, ISA(weigh_rows), BLOCK_LINES);
    if (!is_last) ISA(score_panel)(s, q, next, q->bases, panel + 1, NULL);
  }
  ISA(use_all_weights)(s, q, &unused, begin, panels);
}

#undef LARGEST_WEIGHT
#undef GROUP
#undef HEADROOM

static void ISA(load_queries)(const ISA(tile_attention) *s, const ISA(tile_queries) *q) {
  const fs_attention *op = s->op;
  const vf scale = ISA(splat)(op->scale * 1.44269504f);
  memset(q->query, 0, (size_t)(s->scores.steps * LINE_BLOCK_BYTES));
  for (int64_t r = 0; r < q->rows; r++) {
    const float *row = op->query + (q->first + r) * op->query_stride;
    for (int64_t step = 0; step < s->scores.steps; step++)
      _mm512_storeu_si512(
        q->query + step * LINE_BLOCK_BYTES + r * TILE_BYTES, ISA(rounded_line)(&s->scores, row, step, scale));
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

static void ISA(attend_tiles)(const fs_attention *op, int64_t begin, int64_t end, float *scratch) {
  ISA(tile_attention) s = ISA(tile_attention_of)(op);
  const int64_t most = fs_attention_queries(op->dimension), count = fs_attention_tile_count(op->dimension);
  const int64_t query_floats = s.scores.steps * LINE_BLOCK_BYTES / 4, base_floats = BLOCK_LINES * LANES;
  ISA(configure_tiles)(TILE_BYTES);
  for (int64_t first = begin, last; first < end; first = last) {
    last = end - first < most ? end : first + most;
    const int64_t tiles = (last - first + BLOCK_LINES - 1) / BLOCK_LINES;
    ISA(tile_queries) queries[512 / BLOCK_LINES];
    for (int64_t i = 0; i < tiles; i++) {
      float *floats = scratch + i * count;
      const int64_t row = first + i * BLOCK_LINES;
      queries[i] = (ISA(tile_queries)){
        (char *)floats, floats + query_floats, floats + query_floats + base_floats, (char *)(scratch + tiles * count),
        row, last - row < BLOCK_LINES ? last - row : BLOCK_LINES};
      ISA(load_queries)(&s, &queries[i]);
      for (int64_t r = 0; r < BLOCK_LINES; r++) ISA(store)(queries[i].bases + r * LANES, ISA(splat)(FLT_MAX));
      memset(queries[i].output, 0, (size_t)(count - query_floats - base_floats) * sizeof(float));
    }
    const int64_t keys = op->causal && last < op->keys ? last : op->keys;
    // Each subnormal weight would cost the time of a hundred.
    const unsigned int control = _mm_getcsr();
    _mm_setcsr(control | _MM_FLUSH_ZERO_ON);
    for (int64_t block = 0; block < fs_attention_blocks(keys, op->dimension, true); block++) {
      ISA(choose_tile_block)(&s, block);
      for (int64_t i = 0; i < tiles; i++) ISA(attend_tile_block)(&s, &queries[i]);
    }
    _mm_setcsr(control);
    for (int64_t i = 0; i < tiles; i++) ISA(store_outputs)(&s, &queries[i]);
  }
  _tile_release();
}
