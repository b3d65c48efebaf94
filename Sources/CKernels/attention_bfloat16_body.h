// Attention with vdpbf16ps: sums of products of pairs of bfloat16, and everything else in float as in attention_body.h.
//
// Pairs are of columns in the scores, queries [pair of columns][queries of the tile][2] and keys
// [tiles of keys][pairs of columns][SCORE_TILE][2], and of keys in the products with the values, weights
// [pair of keys][queries of the tile][2] and values [tiles of columns][pairs of keys][SCORE_TILE][2]. A pair takes the
// place of one float.

// (low[i], high[i]) for every lane.
INLINE __m512i ISA(pairs)(vf low, vf high) {
  static const int16_t order[32] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                    8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  __m512i both = (__m512i)_mm512_cvtne2ps_pbh((__m512)high, (__m512)low);
  return _mm512_permutexvar_epi16(_mm512_loadu_si512(order), both);
}

// 2^x for x below 127, off by at most 1.1e-4 of it, a twentieth of the rounding to bfloat16 that follows; next to
// nothing below -126, exactly 0 from -127 on. As exp2, but 2^n is multiplied with by adding to the exponent. NaN whose
// lower half is empty stays NaN.
INLINE vf ISA(exp2_short)(vf x) {
  x = ISA(max)(ISA(splat)(-127.0f), x);
  vf shifted = x + 12582912.0f;
  vf r = x - (shifted - 12582912.0f);
  vf p = POLYNOMIAL(r, 5.50089329e-2f, 2.42210969e-1f, 6.93282902e-1f, 1.0f);
  return (vf)((vi)p + ((vi)shifted << 23));
}

// acc[r] += the products of the pairs of rows[r] and of each lane. In assembly, as the compiler would load rows ahead
// of time and run out of registers.
INLINE void ISA(dot_step)(vf acc[SCORE_TILE][SCORE_VECTORS], const float *rows, const float *lanes, const int vectors) {
  __m512i x[SCORE_VECTORS];
  FULLY_UNROLLED for (int v = 0; v < vectors; v++) x[v] = _mm512_loadu_si512(lanes + v * LANES);
  FULLY_UNROLLED for (int r = 0; r < SCORE_TILE; r++)
    for (int v = 0; v < vectors; v++)
      __asm__ volatile("vdpbf16ps %2%{1to16%}, %1, %0" : "+v"(acc[r][v]) : "v"(x[v]), "m"(rows[r]));
}

// The scores of a tile of keys, relative to the bases, [pair of keys][vector][2], that are yet to become `weights`.
// Their powers of 2 are taken while the next tile's products are computed: the two use different units.
typedef struct {
  float scores[SCORE_TILE * SCORE_VECTORS * LANES];
  float *weights;  // NULL where there are none
} ISA(pending_weights);

INLINE void ISA(weigh_pair)(const ISA(pending_weights) *p, vf *sum, int64_t pair, int v, const int vectors) {
  const int64_t index = pair * vectors + v;
  const float *scores = p->scores + 2 * index * LANES;
  vf low = ISA(exp2_short)(ISA(load)(scores)), high = ISA(exp2_short)(ISA(load)(scores + LANES));
  sum[v] += low;
  sum[v] += high;
  _mm512_storeu_si512(p->weights + index * LANES, ISA(pairs)(low, high));
}

// acc := the scores of one tile of keys from `key` of the block on, less `base`.
INLINE void ISA(dot_scores)(
  const ISA(attention_state) *s, const float *query, int64_t key, const vf *base, vi visible[SCORE_VECTORS],
  int64_t least_visible, vf acc[SCORE_TILE][SCORE_VECTORS], const ISA(pending_weights) *pending, vf *sum,
  const int vectors) {
  const int64_t width = vectors * LANES, pairs = (s->op->dimension + 1) / 2;
  const float *keys = s->key_block + key * (s->key_stride / 2);
  FULLY_UNROLLED for (int r = 0; r < SCORE_TILE; r++)
    FULLY_UNROLLED for (int v = 0; v < vectors; v++) acc[r][v] = -base[v];
  int64_t c = 0;
  if (pending && pending->weights) {
    int64_t i = 0;
    for (; i < SCORE_TILE / 2 && c + vectors <= pairs; i++)
      FULLY_UNROLLED for (int v = 0; v < vectors; v++, c++) {
        ISA(dot_step)(acc, keys + c * SCORE_TILE, query + c * width, vectors);
        ISA(weigh_pair)(pending, sum, i, v, vectors);
      }
    for (; i < SCORE_TILE / 2; i++)
      FULLY_UNROLLED for (int v = 0; v < vectors; v++) ISA(weigh_pair)(pending, sum, i, v, vectors);
  }
  for (; c < pairs; c++) ISA(dot_step)(acc, keys + c * SCORE_TILE, query + c * width, vectors);
  if (s->first_key + key + SCORE_TILE > least_visible)
    FULLY_UNROLLED for (int r = 0; r < SCORE_TILE; r++)
      FULLY_UNROLLED for (int v = 0; v < vectors; v++)
        acc[r][v] = ISA(mask_score)(acc[r][v], s->first_key + key + r, visible[v]);
}

// output += weights x values, for one tile of columns and the keys begin ..< end of the block.
INLINE void ISA(dot_value_tile)(
  const ISA(attention_state) *s, float *output, const float *value, int64_t begin, int64_t end, const int vectors) {
  const int64_t width = vectors * LANES;
  vf acc[SCORE_TILE][SCORE_VECTORS];
  FULLY_UNROLLED for (int r = 0; r < SCORE_TILE; r++)
    FULLY_UNROLLED for (int v = 0; v < vectors; v++) acc[r][v] = ISA(load)(output + r * width + v * LANES);
  const float *weights = s->scores + begin / 2 * width;
  value += begin / 2 * SCORE_TILE;
  for (int64_t key = begin; key < end; key += 2, weights += width, value += SCORE_TILE)
    ISA(dot_step)(acc, value, weights, vectors);
  FULLY_UNROLLED for (int r = 0; r < SCORE_TILE; r++)
    FULLY_UNROLLED for (int v = 0; v < vectors; v++) ISA(store)(output + r * width + v * LANES, acc[r][v]);
}

INLINE void ISA(dot_values)(
  const ISA(attention_state) *s, float *output, int64_t begin, int64_t end, const int vectors) {
  const int64_t width = vectors * LANES;
  for (int64_t c = 0; c < s->padded; c += SCORE_TILE)
    ISA(dot_value_tile)(s, output + c * width, s->value_block + c * ((s->keys + 1) / 2), begin, end, vectors);
}

// What a lane's scores may be above its base, as a power of 2: its weights stay far from infinity, and so do their
// sums.
#define HEADROOM 16

// Gives the lanes that are `raised` a new base, the largest score of a tile of keys, and scales what they have summed
// up. The weights since `begin` are used up before.
static __attribute__((noinline)) void ISA(raise_bases)(
  const ISA(attention_state) *s, const float *query, float *output, ISA(query_lanes) *lanes, vf *sum, const vi *raised,
  int64_t begin, int64_t key, const int vectors) {
  const int64_t width = vectors * LANES;
  vf acc[SCORE_TILE][SCORE_VECTORS], zero[SCORE_VECTORS] = {0}, factor[SCORE_VECTORS];
  ISA(dot_values)(s, output, begin, key, vectors);
  ISA(dot_scores)(s, query, key, zero, lanes->visible, lanes->least_visible, acc, NULL, NULL, vectors);
  for (int v = 0; v < vectors; v++) {
    vf top = lanes->top[v];
    for (int r = 0; r < SCORE_TILE; r++) top = ISA(max)(top, acc[r][v]);
    top = (vf)(((vi)top & raised[v]) | ((vi)lanes->top[v] & ~raised[v]));
    factor[v] = ISA(exp2)(lanes->top[v] - top);
    sum[v] *= factor[v];
    lanes->top[v] = top;
  }
  for (int64_t c = 0; c < s->padded; c++)
    for (int v = 0; v < vectors; v++) {
      float *column = output + c * width + v * LANES;
      ISA(store)(column, ISA(load)(column) * factor[v]);
    }
}

// Every lane takes its powers of 2 relative to a base of its own, which follows the largest score at a distance: most
// tiles of keys leave all bases, and scores become weights in registers.
INLINE void ISA(dot_attend_tile)(
  const ISA(attention_state) *s, const float *query, float *output, float *highest, float *total, int64_t first_query,
  const int vectors) {
  const int64_t width = vectors * LANES;
  ISA(query_lanes) lanes = ISA(query_lanes_of)(s, highest, first_query, vectors);
  ISA(pending_weights) pending;
  pending.weights = NULL;
  vf sum[SCORE_VECTORS];
  FULLY_UNROLLED for (int v = 0; v < vectors; v++) sum[v] = ISA(load)(total + v * LANES);
  int64_t begin = 0;
  for (int64_t key = 0; key < s->keys; key += SCORE_TILE) {
    const bool is_first = s->first_key + key == 0;
    vf acc[SCORE_TILE][SCORE_VECTORS], base[SCORE_VECTORS];
    FULLY_UNROLLED for (int v = 0; v < vectors; v++) base[v] = is_first ? (vf){0} : lanes.top[v];
    ISA(dot_scores)(s, query, key, base, lanes.visible, lanes.least_visible, acc, &pending, sum, vectors);
    if (is_first)
      FULLY_UNROLLED for (int v = 0; v < vectors; v++) {
        FULLY_UNROLLED for (int r = 0; r < SCORE_TILE; r++) lanes.top[v] = ISA(max)(lanes.top[v], acc[r][v]);
        FULLY_UNROLLED for (int r = 0; r < SCORE_TILE; r++) acc[r][v] -= lanes.top[v];
      }
    // As integers: positive numbers keep their order, negative ones are below, NaN may be above.
    vi top = (vi)acc[0][0];
    FULLY_UNROLLED for (int r = 0; r < SCORE_TILE; r++)
      FULLY_UNROLLED for (int v = 0; v < vectors; v++) top = __builtin_elementwise_max(top, (vi)acc[r][v]);
    if (__builtin_expect(_mm512_cmpgt_epi32_mask((__m512i)top, (__m512i)ISA(splat)(HEADROOM)) != 0, 0)) {
      // Copies: what the compiler keeps in registers has no address.
      ISA(query_lanes) raised_lanes = lanes;
      vf raised_sum[SCORE_VECTORS];
      vi raised[SCORE_VECTORS] = {0};
      FULLY_UNROLLED for (int v = 0; v < vectors; v++) {
        raised_sum[v] = sum[v];
        FULLY_UNROLLED for (int r = 0; r < SCORE_TILE; r++) raised[v] |= acc[r][v] > (float)HEADROOM;
      }
      ISA(raise_bases)(s, query, output, &raised_lanes, raised_sum, raised, begin, key, vectors);
      FULLY_UNROLLED for (int v = 0; v < vectors; v++) {
        sum[v] = raised_sum[v];
        lanes.top[v] = raised_lanes.top[v];
      }
      ISA(dot_scores)(s, query, key, lanes.top, lanes.visible, lanes.least_visible, acc, NULL, NULL, vectors);
      begin = key;
    }
    FULLY_UNROLLED for (int r = 0; r < SCORE_TILE; r++)
      FULLY_UNROLLED for (int v = 0; v < vectors; v++)
        ISA(store)(pending.scores + ((r / 2 * vectors + v) * 2 + r % 2) * LANES, acc[r][v]);
    pending.weights = s->scores + key / 2 * width;
  }
  for (int64_t i = 0; i < SCORE_TILE / 2; i++)
    FULLY_UNROLLED for (int v = 0; v < vectors; v++) ISA(weigh_pair)(&pending, sum, i, v, vectors);
  FULLY_UNROLLED for (int v = 0; v < vectors; v++) {
    ISA(store)(highest + v * LANES, lanes.top[v]);
    ISA(store)(total + v * LANES, sum[v]);
  }
  ISA(dot_values)(s, output, begin, s->keys, vectors);
}

#undef HEADROOM

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
  __m256 low = first ? _mm256_maskz_loadu_ps(mask, first + c) : _mm256_setzero_ps();
  __m256 high = second ? _mm256_maskz_loadu_ps(mask, second + c) : _mm256_setzero_ps();
  return _mm512_insertf32x8(_mm512_castps256_ps512(low), high, 1);
}

static void ISA(pack_paired_block)(const ISA(attention_state) *s) {
  static const int16_t order[16] = {0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15};
  // Of [8 keys][4 pairs of columns] to [pair][key], the first two pairs.
  static const int32_t turn[16] = {0, 4, 8, 12, 16, 20, 24, 28, 1, 5, 9, 13, 17, 21, 25, 29};
  const fs_attention *op = s->op;
  const int64_t keys = s->keys, pairs = (keys + 1) / 2, stride = op->key_stride;
  const __m512i first_turn = _mm512_loadu_si512(turn), second_turn = _mm512_add_epi32(first_turn, _mm512_set1_epi32(2));
  const __m256i zip = _mm256_loadu_si256((const __m256i *)order);
  const float *key = op->key + s->first_key * stride, *value = op->value + s->first_key * stride;
  for (int64_t i = 0; i < keys; i += SCORE_TILE) {
    float *tile = s->key_block + i * (s->key_stride / 2);
    for (int64_t c = 0; c < op->dimension; c += 8) {
      __m256i rows[SCORE_TILE / 2];
      FULLY_UNROLLED for (int64_t r = 0; r < SCORE_TILE / 2; r++) {
        const int64_t row = i + 2 * r;
        const float *first = row < keys ? key + row * stride : NULL, *second = row + 1 < keys ? first + stride : NULL;
        rows[r] = (__m256i)_mm512_cvtneps_pbh(ISA(load_two)(first, second, c, op->dimension));
        if (!first) continue;
        const float *next = second ? value + (row + 1) * stride : NULL;
        __m256i two = (__m256i)_mm512_cvtneps_pbh(ISA(load_two)(value + row * stride, next, c, op->dimension));
        _mm256_storeu_si256(
          (__m256i *)(s->value_block + c * pairs + row / 2 * SCORE_TILE), _mm256_permutexvar_epi16(zip, two));
      }
      __m512i low = _mm512_inserti64x4(_mm512_castsi256_si512(rows[0]), rows[1], 1);
      __m512i high = _mm512_inserti64x4(_mm512_castsi256_si512(rows[2]), rows[3], 1);
      _mm512_storeu_si512(tile + c / 2 * SCORE_TILE, _mm512_permutex2var_epi32(low, first_turn, high));
      _mm512_storeu_si512(tile + (c / 2 + 2) * SCORE_TILE, _mm512_permutex2var_epi32(low, second_turn, high));
    }
  }
}

PACK_KEYS(pack_paired_keys, pack_paired_block, FS_PAIRED_KEYS)

static void ISA(attend_dot)(const fs_attention *op, int64_t begin, int64_t end, float *scratch) {
  static const ISA(attention_methods) methods = {
    FS_PAIRED_KEYS, ISA(pair_queries), ISA(attend_one_dot), ISA(attend_all_dot)};
  ISA(attend_blocks)(op, begin, end, scratch, &methods);
}
