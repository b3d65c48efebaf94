// Attention with vdpbf16ps: sums of products of pairs of bfloat16, and everything else in float as in attention_body.h.
//
// Pairs are of columns in the scores, queries [pair of columns][queries of the tile][2] and keys [keys][padded], and of
// keys in the products with the values, weights [pair of keys][queries of the tile][2] and values
// [tiles of columns][pairs of keys][SCORE_TILE][2]. A pair takes the place of one float.

// (low[i], high[i]) for every lane.
INLINE __m512i ISA(pairs)(vf low, vf high) {
  static const int16_t order[32] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                    8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  __m512i both = (__m512i)_mm512_cvtne2ps_pbh((__m512)high, (__m512)low);
  return _mm512_permutexvar_epi16(_mm512_loadu_si512(order), both);
}

INLINE vf ISA(dot)(vf sum, __m512i left, __m512i right) {
  return (vf)_mm512_dpbf16_ps((__m512)sum, (__m512bh)left, (__m512bh)right);
}

INLINE void ISA(dot_score_tile)(
  const ISA(attention_state) *s, const float *query, int64_t key, const vi *visible, int64_t least_visible, vf *highest,
  const int vectors) {
  const int64_t width = vectors * LANES, pairs = (s->op->dimension + 1) / 2;
  const float *k[SCORE_TILE];
  vf acc[SCORE_TILE][SCORE_VECTORS];
  FULLY_UNROLLED for (int r = 0; r < SCORE_TILE; r++) {
    k[r] = s->key_block + (key + r) * (s->key_stride / 2);
    FULLY_UNROLLED for (int v = 0; v < vectors; v++) acc[r][v] = (vf){0};
  }
  for (int64_t c = 0; c < pairs; c++, query += width) {
    __m512i q[SCORE_VECTORS];
    FULLY_UNROLLED for (int v = 0; v < vectors; v++) q[v] = _mm512_loadu_si512(query + v * LANES);
    FULLY_UNROLLED for (int r = 0; r < SCORE_TILE; r++) {
      __m512i pair = (__m512i)_mm512_set1_ps(k[r][c]);
      FULLY_UNROLLED for (int v = 0; v < vectors; v++) acc[r][v] = ISA(dot)(acc[r][v], pair, q[v]);
    }
  }
  ISA(keep_scores)(s, key, &acc[0][0], visible, least_visible, highest, vectors);
}

INLINE void ISA(dot_value_tile)(
  const ISA(attention_state) *s, float *output, const float *value, const vf *factor, const int vectors) {
  const int64_t width = vectors * LANES;
  vf acc[SCORE_TILE][SCORE_VECTORS];
  FULLY_UNROLLED for (int r = 0; r < SCORE_TILE; r++)
    FULLY_UNROLLED for (int v = 0; v < vectors; v++)
      acc[r][v] = ISA(load)(output + r * width + v * LANES) * factor[v];
  const float *weights = s->scores;
  for (int64_t key = 0; key < s->keys; key += 2, weights += width, value += SCORE_TILE) {
    __m512i w[SCORE_VECTORS];
    FULLY_UNROLLED for (int v = 0; v < vectors; v++) w[v] = _mm512_loadu_si512(weights + v * LANES);
    FULLY_UNROLLED for (int r = 0; r < SCORE_TILE; r++) {
      __m512i pair = (__m512i)_mm512_set1_ps(value[r]);
      FULLY_UNROLLED for (int v = 0; v < vectors; v++) acc[r][v] = ISA(dot)(acc[r][v], pair, w[v]);
    }
  }
  FULLY_UNROLLED for (int r = 0; r < SCORE_TILE; r++)
    FULLY_UNROLLED for (int v = 0; v < vectors; v++) ISA(store)(output + r * width + v * LANES, acc[r][v]);
}

INLINE void ISA(dot_attend_tile)(
  const ISA(attention_state) *s, const float *query, float *output, float *highest, float *total, int64_t first_query,
  const int vectors) {
  const int64_t width = vectors * LANES;
  ISA(query_lanes) lanes = ISA(query_lanes_of)(s, highest, first_query, vectors);
  for (int64_t key = 0; key < s->keys; key += SCORE_TILE)
    ISA(dot_score_tile)(s, query, key, lanes.visible, lanes.least_visible, lanes.top, vectors);
  vf factor[SCORE_VECTORS], sum[SCORE_VECTORS];
  FULLY_UNROLLED for (int v = 0; v < vectors; v++) {
    factor[v] = ISA(exp2)(lanes.before[v] - lanes.top[v]);
    sum[v] = ISA(load)(total + v * LANES) * factor[v];
  }
  // Behind an odd last key lies a masked one. A row of pairs is written where the scores have been read already.
  for (int64_t key = 0; key < s->keys; key += 2)
    FULLY_UNROLLED for (int v = 0; v < vectors; v++) {
      const float *score = s->scores + key * width + v * LANES;
      vf low = ISA(exp2)(ISA(load)(score) - lanes.top[v]), high = ISA(exp2)(ISA(load)(score + width) - lanes.top[v]);
      sum[v] += low;
      sum[v] += high;
      _mm512_storeu_si512(s->scores + key / 2 * width + v * LANES, ISA(pairs)(low, high));
    }
  FULLY_UNROLLED for (int v = 0; v < vectors; v++) {
    ISA(store)(highest + v * LANES, lanes.top[v]);
    ISA(store)(total + v * LANES, sum[v]);
  }
  for (int64_t c = 0; c < s->padded; c += SCORE_TILE)
    ISA(dot_value_tile)(s, output + c * width, s->value_block + c * ((s->keys + 1) / 2), factor, vectors);
}

ATTEND_TILE(attend_one_dot, dot_attend_tile, 1)
ATTEND_TILE(attend_all_dot, dot_attend_tile, SCORE_VECTORS)

static void ISA(pair_queries)(float *query, int64_t width, int64_t padded) {
  for (int64_t c = 0; c < padded; c += 2)
    for (int64_t i = 0; i < width; i += LANES) {
      const float *columns = query + c * width + i;
      _mm512_storeu_si512(query + c / 2 * width + i, ISA(pairs)(ISA(load)(columns), ISA(load)(columns + width)));
    }
}

// 8 floats from column c of the two rows, as pairs; 0 where the row ends.
INLINE __m512 ISA(load_two)(const float *first, const float *second, int64_t c, int64_t columns) {
  __mmask8 mask = columns - c < 8 ? (__mmask8)((1 << (columns - c)) - 1) : 255;
  __m256 low = _mm256_maskz_loadu_ps(mask, first + c);
  __m256 high = second ? _mm256_maskz_loadu_ps(mask, second + c) : _mm256_setzero_ps();
  return _mm512_insertf32x8(_mm512_castps256_ps512(low), high, 1);
}

static void ISA(pack_paired_block)(const ISA(attention_state) *s) {
  static const int16_t order[16] = {0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15};
  const fs_attention *op = s->op;
  const int64_t first = s->first_key, keys = s->keys, stride = s->key_stride / 2, pairs = (keys + 1) / 2;
  for (int64_t i = 0; i < keys; i += 2) {
    const float *key = op->key + (first + i) * op->key_stride, *value = op->value + (first + i) * op->key_stride;
    const float *next_key = i + 1 < keys ? key + op->key_stride : NULL;
    const float *next_value = i + 1 < keys ? value + op->key_stride : NULL;
    float *copy = s->key_block + i * stride;
    for (int64_t c = 0; c < op->dimension; c += 8) {
      __m256i two_keys = (__m256i)_mm512_cvtneps_pbh(ISA(load_two)(key, next_key, c, op->dimension));
      _mm_storeu_si128((__m128i *)(copy + c / 2), _mm256_castsi256_si128(two_keys));
      _mm_storeu_si128((__m128i *)(copy + stride + c / 2), _mm256_extracti128_si256(two_keys, 1));
      __m256i two_values = (__m256i)_mm512_cvtneps_pbh(ISA(load_two)(value, next_value, c, op->dimension));
      _mm256_storeu_si256(
        (__m256i *)(s->value_block + c * pairs + i / 2 * SCORE_TILE),
        _mm256_permutexvar_epi16(_mm256_loadu_si256((const __m256i *)order), two_values));
    }
  }
  int64_t even = 2 * pairs, padding = (keys + SCORE_TILE - 1) / SCORE_TILE * SCORE_TILE - even;
  memset(s->key_block + even * stride, 0, (size_t)(padding * stride) * sizeof(float));
}

PACK_KEYS(pack_paired_keys, pack_paired_block, true)

static void ISA(attend_dot)(const fs_attention *op, int64_t begin, int64_t end, float *scratch) {
  static const ISA(attention_methods) methods = {
    true, ISA(pair_queries), ISA(attend_one_dot), ISA(attend_all_dot)};
  ISA(attend_blocks)(op, begin, end, scratch, &methods);
}
