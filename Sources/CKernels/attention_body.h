// Scaled dot-product attention in one pass over the keys: Milakov and Gimelshein 2018, arXiv:1805.02867; Dao et al.
// 2022, arXiv:2205.14135.
//
// Vectors run over queries. The scores, their maxima and totals, and the outputs of a query then stay in one lane: no
// sum across lanes, no padding of the head's dimension to vectors, and results that do not depend on which queries are
// computed together. Keys and values are broadcast, element by element, from where they lie packed in blocks.

#define FULLY_UNROLLED _Pragma("clang loop unroll(full)")

// 2^x for x <= 0, error below 1 ulp (2 where there is no fused multiply-add); exactly 0 below -126.5. NaN stays NaN.
// 2^n 2^r with n = round(x) and, on |r| <= 1/2, the polynomial of degree 6 whose largest relative error is smallest.
INLINE vf ISA(exp2)(vf x) {
  x = ISA(max)(ISA(splat)(-127.0f), x);
  vf shifted = x + (12582912.0f + 127.0f);  // 1.5 x 2^23: the sum's low mantissa bits are n + 127, the exponent of 2^n
  vf r = x - (shifted - (12582912.0f + 127.0f));
  vf p = POLYNOMIAL(
    r, 1.535336196e-4f, 1.339887502e-3f, 9.618436918e-3f, 5.550332367e-2f, 2.402264774e-1f, 6.931471825e-1f, 1.0f);
  return p * (vf)((vi)shifted << 23);
}

static void ISA(exp2_all)(float *output, const float *input, int64_t count) {
  EACH_VECTOR(
    count, ISA(store)(output + i, ISA(exp2)(ISA(load)(input + i)));,
    ISA(store_part)(output + i, ISA(exp2)(ISA(load_part)(input + i, rest)), rest);)
}

// The blocks of one attention in scratch. Queries and outputs of a tile of queries: [columns][queries of the tile].
typedef struct {
  const fs_attention *op;
  int64_t padded;       // the dimension rounded up to tiles
  int64_t key_stride;   // floats from one packed key to the next
  int64_t keys;         // of the current block
  int64_t first_key;
  float *key_block;     // [fs_attention_key_block, key_stride]
  float *value_block;   // [tiles of columns][keys][SCORE_TILE]
  float *scores;        // [keys][queries of the tile]
} ISA(attention_state);

// What differs by precision: queries converted in place, packed keys, and what adds a block of them to one or
// SCORE_VECTORS vectors of queries.
typedef struct {
  fs_key_packing packing;
  void (*convert_queries)(float *query, int64_t width, int64_t padded);
  void (*attend_one)(const ISA(attention_state) *, const float *, float *, float *, float *, int64_t);
  void (*attend_all)(const ISA(attention_state) *, const float *, float *, float *, float *, int64_t);
} ISA(attention_methods);

// Which scores of keys from `key` on a lane may not see become -infinity; a lane sees the keys below `visible`.
INLINE vf ISA(mask_score)(vf score, int64_t key, vi visible) {
  vi mask = visible > (int32_t)key;
  vf lowest = ISA(splat)(-INFINITY);
  return (vf)(((vi)score & mask) | ((vi)lowest & ~mask));
}

// Masks and keeps the scores of one tile of keys, from `key` of the block on.
INLINE void ISA(keep_scores)(
  const ISA(attention_state) *s, int64_t key, vf *scores, const vi *visible, int64_t least_visible, vf *highest,
  const int vectors) {
  const int64_t width = vectors * LANES;
  bool is_masked = s->first_key + key + SCORE_TILE > least_visible;
  FULLY_UNROLLED for (int r = 0; r < SCORE_TILE; r++)
    FULLY_UNROLLED for (int v = 0; v < vectors; v++) {
      vf score = scores[r * SCORE_VECTORS + v];
      if (is_masked) score = ISA(mask_score)(score, s->first_key + key + r, visible[v]);
      highest[v] = ISA(max)(highest[v], score);
      ISA(store)(s->scores + (key + r) * width + v * LANES, score);
    }
}

// Scores of one tile of keys from `key` of the block on.
INLINE void ISA(score_tile)(
  const ISA(attention_state) *s, const float *query, int64_t key, const vi *visible, int64_t least_visible, vf *highest,
  const int vectors) {
  const int64_t width = vectors * LANES;
  const float *k[SCORE_TILE];
  vf acc[SCORE_TILE][SCORE_VECTORS];
  FULLY_UNROLLED for (int r = 0; r < SCORE_TILE; r++) {
    k[r] = s->key_block + (key + r) * s->key_stride;
    FULLY_UNROLLED for (int v = 0; v < vectors; v++) acc[r][v] = (vf){0};
  }
  const int64_t dimension = s->op->dimension;
  for (int64_t c = 0; c < dimension; c++, query += width) {
    vf q[SCORE_VECTORS];
    FULLY_UNROLLED for (int v = 0; v < vectors; v++) q[v] = ISA(load)(query + v * LANES);
    FULLY_UNROLLED for (int r = 0; r < SCORE_TILE; r++)
      FULLY_UNROLLED for (int v = 0; v < vectors; v++) acc[r][v] += k[r][c] * q[v];
  }
  ISA(keep_scores)(s, key, &acc[0][0], visible, least_visible, highest, vectors);
}

// output := output x factor + weights x values, for one tile of columns.
INLINE void ISA(value_tile)(
  const ISA(attention_state) *s, float *output, const float *value, const vf *factor, const int vectors) {
  const int64_t width = vectors * LANES;
  vf acc[SCORE_TILE][SCORE_VECTORS];
  FULLY_UNROLLED for (int r = 0; r < SCORE_TILE; r++)
    FULLY_UNROLLED for (int v = 0; v < vectors; v++)
      acc[r][v] = ISA(load)(output + r * width + v * LANES) * factor[v];
  const float *weights = s->scores;
  for (int64_t key = 0; key < s->keys; key++, weights += width, value += SCORE_TILE) {
    vf w[SCORE_VECTORS];
    FULLY_UNROLLED for (int v = 0; v < vectors; v++) w[v] = ISA(load)(weights + v * LANES);
    FULLY_UNROLLED for (int r = 0; r < SCORE_TILE; r++)
      FULLY_UNROLLED for (int v = 0; v < vectors; v++) acc[r][v] += value[r] * w[v];
  }
  FULLY_UNROLLED for (int r = 0; r < SCORE_TILE; r++)
    FULLY_UNROLLED for (int v = 0; v < vectors; v++) ISA(store)(output + r * width + v * LANES, acc[r][v]);
}

// The number of keys that a query sees.
INLINE int64_t ISA(visible_keys)(const fs_attention *op, int64_t query) {
  return op->causal && query + 1 < op->keys ? query + 1 : op->keys;
}

// The largest scores of a tile of queries before and after a block, and what each query sees: the keys below `visible`.
typedef struct {
  vf before[SCORE_VECTORS], top[SCORE_VECTORS];
  vi visible[SCORE_VECTORS];
  int64_t least_visible;
} ISA(query_lanes);

INLINE ISA(query_lanes) ISA(query_lanes_of)(
  const ISA(attention_state) *s, const float *highest, int64_t first_query, const int vectors) {
  ISA(query_lanes) lanes;
  lanes.least_visible = ISA(visible_keys)(s->op, first_query);
  FULLY_UNROLLED for (int v = 0; v < vectors; v++) {
    lanes.before[v] = lanes.top[v] = ISA(load)(highest + v * LANES);
    for (int lane = 0; lane < LANES; lane++)
      lanes.visible[v][lane] = (int32_t)ISA(visible_keys)(s->op, first_query + v * LANES + lane);
  }
  return lanes;
}

// Adds the current block of keys to a tile of queries, whose first one is `first_query`.
INLINE void ISA(attend_tile)(
  const ISA(attention_state) *s, const float *query, float *output, float *highest, float *total, int64_t first_query,
  const int vectors, const bool rounded) {
  const int64_t width = vectors * LANES;
  ISA(query_lanes) lanes = ISA(query_lanes_of)(s, highest, first_query, vectors);
  for (int64_t key = 0; key < s->keys; key += SCORE_TILE)
    ISA(score_tile)(s, query, key, lanes.visible, lanes.least_visible, lanes.top, vectors);
  vf factor[SCORE_VECTORS], sum[SCORE_VECTORS];
  FULLY_UNROLLED for (int v = 0; v < vectors; v++) {
    factor[v] = ISA(exp2)(lanes.before[v] - lanes.top[v]);
    sum[v] = ISA(load)(total + v * LANES) * factor[v];
  }
  for (int64_t key = 0; key < s->keys; key++)
    FULLY_UNROLLED for (int v = 0; v < vectors; v++) {
      float *score = s->scores + key * width + v * LANES;
      vf weight = ISA(exp2)(ISA(load)(score) - lanes.top[v]);
      sum[v] += weight;
      ISA(store)(score, rounded ? ISA(round_bfloat16)(weight) : weight);
    }
  FULLY_UNROLLED for (int v = 0; v < vectors; v++) {
    ISA(store)(highest + v * LANES, lanes.top[v]);
    ISA(store)(total + v * LANES, sum[v]);
  }
  for (int64_t c = 0; c < s->padded; c += SCORE_TILE)
    ISA(value_tile)(s, output + c * width, s->value_block + c * s->keys, factor, vectors);
}

#define ATTEND_TILE(name, tile, ...)                                                                                 \
  static void ISA(name)(                                                                                            \
    const ISA(attention_state) *s, const float *query, float *output, float *highest, float *total, int64_t first) { \
    ISA(tile)(s, query, output, highest, total, first, __VA_ARGS__);                                                 \
  }
ATTEND_TILE(attend_one, attend_tile, 1, false)
ATTEND_TILE(attend_all, attend_tile, SCORE_VECTORS, false)
ATTEND_TILE(attend_one_rounded, attend_tile, 1, true)
ATTEND_TILE(attend_all_rounded, attend_tile, SCORE_VECTORS, true)

// output[column][row] = input[row][column] x scale
INLINE void ISA(transpose)(
  float *output, int64_t output_stride, const float *input, int64_t input_stride, int64_t rows, int64_t columns,
  float scale) {
  typedef float v4 __attribute__((vector_size(16), aligned(4), may_alias));
  int64_t row = 0;
  for (; row + 4 <= rows; row += 4) {
    const float *in = input + row * input_stride;
    float *out = output + row;
    int64_t c = 0;
    for (; c + 4 <= columns; c += 4) {
      v4 r0 = *(const v4 *)(in + c) * scale, r1 = *(const v4 *)(in + input_stride + c) * scale;
      v4 r2 = *(const v4 *)(in + 2 * input_stride + c) * scale, r3 = *(const v4 *)(in + 3 * input_stride + c) * scale;
      v4 t0 = __builtin_shufflevector(r0, r1, 0, 4, 1, 5), t1 = __builtin_shufflevector(r0, r1, 2, 6, 3, 7);
      v4 t2 = __builtin_shufflevector(r2, r3, 0, 4, 1, 5), t3 = __builtin_shufflevector(r2, r3, 2, 6, 3, 7);
      *(v4 *)(out + c * output_stride) = __builtin_shufflevector(t0, t2, 0, 1, 4, 5);
      *(v4 *)(out + (c + 1) * output_stride) = __builtin_shufflevector(t0, t2, 2, 3, 6, 7);
      *(v4 *)(out + (c + 2) * output_stride) = __builtin_shufflevector(t1, t3, 0, 1, 4, 5);
      *(v4 *)(out + (c + 3) * output_stride) = __builtin_shufflevector(t1, t3, 2, 3, 6, 7);
    }
    for (; c < columns; c++)
      for (int r = 0; r < 4; r++) out[c * output_stride + r] = in[r * input_stride + c] * scale;
  }
  for (; row < rows; row++)
    for (int64_t c = 0; c < columns; c++) output[c * output_stride + row] = input[row * input_stride + c] * scale;
}

INLINE ISA(attention_state) ISA(attention_state_of)(const fs_attention *op) {
  return (ISA(attention_state)){
    .op = op, .padded = (op->dimension + SCORE_TILE - 1) / SCORE_TILE * SCORE_TILE,
    .key_stride = fs_attention_key_stride(op->dimension)};
}

INLINE void ISA(choose_block)(ISA(attention_state) *s, int64_t index, fs_key_packing packing) {
  const int64_t size = fs_attention_key_block(s->op->dimension, packing);
  s->first_key = index * size;
  s->keys = s->op->keys - s->first_key < size ? s->op->keys - s->first_key : size;
  s->key_block = s->op->packed + index * fs_attention_block_count(s->op->dimension, packing);
  s->value_block = s->key_block + size * (packing == FS_PAIRED_KEYS ? s->key_stride / 2 : s->key_stride);
}

// Copies the keys and values of a block. What fills up tiles is 0.
static void ISA(pack_block)(const ISA(attention_state) *s) {
  const fs_attention *op = s->op;
  const int64_t first = s->first_key, keys = s->keys;
  for (int64_t i = 0; i < keys; i++) {
    const float *key = op->key + (first + i) * op->key_stride, *value = op->value + (first + i) * op->key_stride;
    float *key_copy = s->key_block + i * s->key_stride, *value_copy = s->value_block + i * SCORE_TILE;
    int64_t c = 0;
    for (; c + SCORE_TILE <= op->dimension; c += SCORE_TILE, value_copy += keys * SCORE_TILE) {
      memcpy(key_copy + c, key + c, SCORE_TILE * sizeof(float));
      memcpy(value_copy, value + c, SCORE_TILE * sizeof(float));
    }
    for (int64_t r = 0; c < s->padded; r++, c++) {
      key_copy[c] = c < op->dimension ? key[c] : 0;
      value_copy[r] = c < op->dimension ? value[c] : 0;
    }
  }
  int64_t padding = (keys + SCORE_TILE - 1) / SCORE_TILE * SCORE_TILE - keys;
  memset(s->key_block + keys * s->key_stride, 0, (size_t)(padding * s->key_stride) * sizeof(float));
}

// Queries begin ..< end, at most fs_attention_queries.
static void ISA(attend_block)(
  const fs_attention *op, int64_t begin, int64_t end, float *scratch, const ISA(attention_methods) *methods) {
  enum { TILE = SCORE_VECTORS * LANES };
  const int64_t queries = (end - begin + LANES - 1) / LANES * LANES;
  ISA(attention_state) s = ISA(attention_state_of)(op);
  float *query = scratch, *output = query + queries * s.padded;
  float *highest = output + queries * s.padded, *total = highest + queries;
  s.scores = total + queries;
  memset(query, 0, (size_t)(2 * queries * s.padded) * sizeof(float));
  for (int64_t i = 0; i < queries; i++) {
    // Not -infinity: minus itself it would be NaN in a row whose first scores are all that low.
    highest[i] = -FLT_MAX;
    total[i] = 0;
  }
  for (int64_t q = 0, width; q < queries; q += width) {
    width = queries - q < TILE ? LANES : TILE;
    ISA(transpose)(
      query + q * s.padded, width, op->query + (begin + q) * op->query_stride, op->query_stride,
      end - begin - q < width ? end - begin - q : width, op->dimension, op->scale * 1.44269504f);
    if (methods->convert_queries) methods->convert_queries(query + q * s.padded, width, s.padded);
  }
  const int64_t keys = ISA(visible_keys)(op, end - 1), size = fs_attention_key_block(op->dimension, methods->packing);
  for (int64_t block = 0; block * size < keys; block++) {
    ISA(choose_block)(&s, block, methods->packing);
    for (int64_t q = 0, width; q < queries; q += width) {
      width = queries - q < TILE ? LANES : TILE;
      (width == LANES ? methods->attend_one : methods->attend_all)(
        &s, query + q * s.padded, output + q * s.padded, highest + q, total + q, begin + q);
    }
  }
  for (int64_t q = 0, width; q < queries; q += width) {
    width = queries - q < TILE ? LANES : TILE;
    float *columns = output + q * s.padded;
    for (int64_t i = 0; i < width; i += LANES) {
      vf inverse = 1.0f / ISA(load)(total + q + i);
      for (int64_t c = 0; c < op->dimension; c++)
        ISA(store)(columns + c * width + i, ISA(load)(columns + c * width + i) * inverse);
    }
    int64_t rows = end - begin - q < width ? end - begin - q : width;
    ISA(transpose)(
      op->output + (begin + q) * op->output_stride, op->output_stride, columns, width, op->dimension, rows, 1);
  }
}

INLINE void ISA(attend_blocks)(
  const fs_attention *op, int64_t begin, int64_t end, float *scratch, const ISA(attention_methods) *methods) {
  const int64_t block = fs_attention_queries(op->dimension);
  for (int64_t query = begin; query < end; query += block)
    ISA(attend_block)(op, query, end - query < block ? end : query + block, scratch, methods);
}

// Calls `pack` for the blocks begin ..< end.
#define PACK_KEYS(name, pack, packing)                                        \
  static void ISA(name)(const fs_attention *op, int64_t begin, int64_t end) { \
    ISA(attention_state) s = ISA(attention_state_of)(op);                     \
    for (int64_t block = begin; block < end; block++) {                       \
      ISA(choose_block)(&s, block, packing);                                  \
      ISA(pack)(&s);                                                          \
    }                                                                         \
  }

PACK_KEYS(pack_keys, pack_block, FS_FLOAT_KEYS)

static void ISA(attend)(const fs_attention *op, int64_t begin, int64_t end, float *scratch) {
  static const ISA(attention_methods) methods = {FS_FLOAT_KEYS, NULL, ISA(attend_one), ISA(attend_all)};
  ISA(attend_blocks)(op, begin, end, scratch, &methods);
}

static void ISA(round_all)(float *values, int64_t count) {
  EACH_VECTOR(
    count, ISA(store)(values + i, ISA(round_bfloat16)(ISA(load)(values + i)));,
    ISA(store_part)(values + i, ISA(round_bfloat16)(ISA(load_part)(values + i, rest)), rest);)
}

static void ISA(round_queries)(float *query, int64_t width, int64_t padded) { ISA(round_all)(query, width * padded); }

static void ISA(pack_rounded_block)(const ISA(attention_state) *s) {
  ISA(pack_block)(s);
  ISA(round_all)(s->key_block, s->keys * s->key_stride);
  ISA(round_all)(s->value_block, s->keys * s->padded);
}

PACK_KEYS(pack_rounded_keys, pack_rounded_block, FS_FLOAT_KEYS)

// Without instructions for bfloat16: float arithmetic on operands rounded to it.
static void ISA(attend_rounded)(const fs_attention *op, int64_t begin, int64_t end, float *scratch) {
  static const ISA(attention_methods) methods = {
    FS_FLOAT_KEYS, ISA(round_queries), ISA(attend_one_rounded), ISA(attend_all_rounded)};
  ISA(attend_blocks)(op, begin, end, scratch, &methods);
}
