// Queries, keys and values as attention's tiles take them (attention_tiles_body.h).
//
// A query is a row of the pieces of its columns, one after another. Keys are packed as panels of 32, the pieces' pairs
// of columns in falling order, [piece][pair][key][2]. So are the products of the i-th piece of queries with the
// (n - i)-th of keys, for all i, one sum over a row and over the panel from one place to its end, and what lies behind
// the last piece that is wanted of a row meets zeros.
//
// Values are packed as panels of 32 columns, [panel of keys][piece][tile of columns][pair of keys][column][2]. A pair
// of keys are the i-th of a panel's first half and the i-th of its second.
typedef struct {
  const fs_attention *op;
  fs_key_packing packing;
  int64_t pairs, query_bytes, key_panel, value_panel;
  int64_t columns;                    // of the values and the ones, padded to tiles
  int64_t first_key, keys, all_keys;  // of the current block; all_keys with those that fill it up
  char *key_block, *value_block;
} ISA(tile_attention);

INLINE ISA(tile_attention) ISA(tile_attention_of)(const fs_attention *op, fs_key_packing packing) {
  const int64_t dimension = op->dimension;
  return (ISA(tile_attention)){
    .op = op, .packing = packing, .pairs = fs_attention_pairs(dimension),
    .query_bytes = fs_attention_query_bytes(dimension, packing),
    .key_panel = fs_attention_key_panel(dimension, packing), .value_panel = fs_attention_value_panel(packing),
    .columns = (dimension + 16) / 16 * 16, .all_keys = fs_attention_key_block(dimension, packing)};
}

INLINE void ISA(choose_tile_block)(ISA(tile_attention) *s, int64_t index) {
  const int64_t left = s->op->keys - index * s->all_keys;
  s->first_key = index * s->all_keys;
  s->keys = ISA(least)(left, s->all_keys);
  s->key_block = (char *)(s->op->packed + index * fs_attention_block_count(s->op->dimension, s->packing));
  s->value_block = s->key_block + s->all_keys / FS_PANEL * s->key_panel;
}

// The values of a panel of keys, for the panel of columns that column c is in.
INLINE char *ISA(value_panel)(const ISA(tile_attention) *s, int64_t panel, int64_t c) {
  return s->value_block + (c / FS_PANEL * (s->all_keys / FS_PANEL) + panel) * s->value_panel;
}

// A bit for each of the first `count` lanes.
INLINE __mmask16 ISA(leading)(int64_t count) {
  return (__mmask16)(count >= LANES ? 0xffff : count > 0 ? (1 << count) - 1 : 0);
}

// What the lanes of a row hold, 0 from `count` on.
INLINE vf ISA(load_leading)(const float *row, int64_t count) {
  return (vf)_mm512_maskz_loadu_ps(ISA(leading)(count), row);
}

INLINE __m256i ISA(upper_halves)(vi x) { return _mm512_cvtepi32_epi16(_mm512_srli_epi32((__m512i)x, 16)); }

// The pieces of up to 2 x LANES numbers of a row, each times `scale`, 0 from `count` on.
INLINE void ISA(row_pieces)(const int pieces, __m512i *lines, const float *row, int64_t count, vf scale) {
  vf low = ISA(load_leading)(row, count) * scale, high = ISA(load_leading)(row + LANES, count - LANES) * scale;
  if (pieces == 1) lines[0] = (__m512i)_mm512_cvtne2ps_pbh((__m512)high, (__m512)low);
  else
    for (int piece = 0; piece < pieces; piece++) {
      const __m256i first = ISA(upper_halves)(ISA(take_piece)(&low, piece == 0));
      lines[piece] = _mm512_inserti64x4(
        _mm512_castsi256_si512(first), ISA(upper_halves)(ISA(take_piece)(&high, piece == 0)), 1);
    }
}

// rows[i][j] := rows[j][i], of 16 x 16 pairs.
INLINE void ISA(transpose_pairs)(__m512i *rows) {
  __m512i other[LANES];
  for (int i = 0; i < LANES; i += 2) {
    other[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
    other[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
  }
  for (int i = 0; i < LANES; i += 4)
    for (int j = 0; j < 2; j++) {
      rows[i + 2 * j] = _mm512_unpacklo_epi64(other[i + j], other[i + j + 2]);
      rows[i + 2 * j + 1] = _mm512_unpackhi_epi64(other[i + j], other[i + j + 2]);
    }
  // Now rows[4 i + j] is column j, 4 + j, 8 + j and 12 + j of the rows 4 i ..< 4 i + 4.
  for (int j = 0; j < 4; j++) {
    const __m512i low = _mm512_shuffle_i32x4(rows[j], rows[4 + j], 0x88);
    const __m512i high = _mm512_shuffle_i32x4(rows[j], rows[4 + j], 0xdd);
    const __m512i low_after = _mm512_shuffle_i32x4(rows[8 + j], rows[12 + j], 0x88);
    const __m512i high_after = _mm512_shuffle_i32x4(rows[8 + j], rows[12 + j], 0xdd);
    other[j] = _mm512_shuffle_i32x4(low, low_after, 0x88);
    other[4 + j] = _mm512_shuffle_i32x4(high, high_after, 0x88);
    other[8 + j] = _mm512_shuffle_i32x4(low, low_after, 0xdd);
    other[12 + j] = _mm512_shuffle_i32x4(high, high_after, 0xdd);
  }
  memcpy(rows, other, sizeof other);
}

// The pairs first ..< first + LANES of LANES keys of the block, those from `key` on.
INLINE void ISA(pack_tiled_columns)(const ISA(tile_attention) *s, const int pieces, int64_t key, int64_t first) {
  const fs_attention *op = s->op;
  __m512i rows[PIECES][LANES], lines[PIECES];
  for (int64_t i = 0; i < LANES; i++) {
    const float *columns = op->key + (s->first_key + key + i) * op->key_stride + 2 * first;
    ISA(row_pieces)(pieces, lines, columns, key + i < s->keys ? op->dimension - 2 * first : 0, ISA(splat)(1));
    for (int piece = 0; piece < pieces; piece++) rows[piece][i] = lines[piece];
  }
  char *target = s->key_block + key / FS_PANEL * s->key_panel + key % FS_PANEL * 4 + first * SUM_STRIDE;
  for (int piece = 0; piece < pieces; piece++) {
    ISA(transpose_pairs)(rows[piece]);
    for (int64_t i = 0; i < LANES && first + i < s->pairs; i++)
      _mm512_store_si512(target + ((pieces - 1 - piece) * s->pairs + i) * SUM_STRIDE, rows[piece][i]);
  }
}

// The values of the block, from column c on, for LANES columns. Panels without keys are never read.
INLINE void ISA(pack_tiled_values)(const ISA(tile_attention) *s, const int pieces, int64_t c) {
  const fs_attention *op = s->op;
  const int64_t half = FS_PANEL / 2, left = op->dimension - c;
  const vf ones = (vf)_mm512_maskz_mov_ps(
    (__mmask16)(left >= 0 && left < LANES ? 1 << left : 0), (__m512)ISA(splat)(1));
  for (int64_t first = 0; first < s->keys; first += FS_PANEL) {
    char *target = ISA(value_panel)(s, first / FS_PANEL, c) + c % FS_PANEL / LANES * TILE_LINES * TILE_BYTES;
    for (int64_t i = first; i < first + half; i++, target += TILE_BYTES) {
      const float *row = op->value + (s->first_key + i) * op->key_stride + c;
      vf low = {0}, high = {0};
      if (i < s->keys) low = ISA(load_leading)(row, left) + ones;
      if (i + half < s->keys) high = ISA(load_leading)(row + half * op->key_stride, left) + ones;
      if (pieces == 1) _mm512_storeu_si512(target, ISA(pairs)(low, high));
      else ISA(split)(target, low, high, PIECES, true);
    }
  }
}

INLINE void ISA(pack_tile_blocks)(
  const fs_attention *op, const fs_key_packing packing, int64_t begin, int64_t end) {
  const int pieces = (int)fs_attention_pieces(packing);
  ISA(tile_attention) s = ISA(tile_attention_of)(op, packing);
  for (int64_t block = begin; block < end; block++) {
    ISA(choose_tile_block)(&s, block);
    const int64_t panels = ISA(share)(s.keys, FS_PANEL), written = pieces * s.pairs * SUM_STRIDE;
    for (int64_t panel = 0; panel < panels; panel++)
      memset(s.key_block + panel * s.key_panel + written, 0, (size_t)(s.key_panel - written));
    for (int64_t key = 0; key < panels * FS_PANEL; key += LANES)
      for (int64_t pair = 0; pair < s.pairs; pair += LANES) ISA(pack_tiled_columns)(&s, pieces, key, pair);
    for (int64_t c = 0; c < s.columns; c += LANES) ISA(pack_tiled_values)(&s, pieces, c);
  }
}

static void ISA(pack_tiled_keys)(const fs_attention *op, int64_t begin, int64_t end) {
  ISA(pack_tile_blocks)(op, FS_TILED_KEYS, begin, end);
}

static void ISA(pack_key_pieces)(const fs_attention *op, int64_t begin, int64_t end) {
  if (!fs_key_pieces_pay(op->keys)) return ISA(pack_keys)(op, begin, end);
  ISA(pack_tile_blocks)(op, FS_TILED_PIECES, begin, end);
}
