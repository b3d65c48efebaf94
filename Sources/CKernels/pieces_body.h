// Products of floats by AMX's tiles of bfloat16, no less exact than by vectors. A float is the sum of three bfloat16s,
// its pieces, of which each holds the next eight bits. Of the nine products of two floats' pieces the six largest are
// taken (Henry, Tang and Heinecke 2019, arXiv:1904.06376): the others are below 2^-22 of the floats' product, as a rule
// 2^-26. Sums are rounded once for 32 products, and so lose less than one product after another.
//
// A line is 32 channels of one tap of a pixel, and the weights for them; pieces lie in lines as tiles hold them, in
// pairs of the channels c and c + 16: [piece][BLOCK_LINES][TILE_BYTES] for pixels, [piece][column tile][pair][output]
// for weights.

enum { PIECES = 3, PIECE_BYTES = LINE_BLOCK_BYTES, PIECES_BYTES = PIECES * PIECE_BYTES };

// The pieces of a row of pairs, to its place in each; whether the last ones are wanted. The first is rounded to
// nearest: what is left has either sign, and so have the products that are left out.
INLINE void ISA(split)(char *row, vf low, vf high, const bool has_last) {
  const int32_t upper = (int32_t)0xffff0000;
  _Pragma("clang loop unroll(full)") for (int piece = 0; piece < (has_last ? PIECES : PIECES - 1); piece++) {
    const int32_t half = piece == 0 ? 0x8000 : 0;
    const vi lows = (vi)low + half, highs = (vi)high + half;
    const __m512i pairs = _mm512_mask_mov_epi16(_mm512_srli_epi32((__m512i)lows, 16), 0xaaaaaaaa, (__m512i)highs);
    _mm512_store_si512(row + piece * PIECE_BYTES, pairs);
    low -= (vf)(lows & upper);
    high -= (vf)(highs & upper);
  }
}

// Work of vectors that is done along with each product of pieces.
typedef void (*ISA(errand))(void *context);

// The products of a line's pieces.
INLINE int64_t ISA(piece_products)(const bool has_last) { return has_last ? 6 : 5; }

// sums[BLOCK_LINES][FS_PANEL] := `start` + the products of `lines` lines, for `rows` x `columns` tiles. `has_last`:
// whether weights have a last piece.
INLINE void ISA(sum_piece_tiles)(
  const int rows, const int columns, const bool has_last, ISA(start) start, float *sums, const char *pixels,
  const char *weights, int64_t lines, ISA(errand) errand, void *context) {
#define EACH_SUM(use) use(0, 0, 0) if (columns > 1) use(1, 0, 1) if (rows > 1) use(2, 1, 0) \
  if (rows > 1 && columns > 1) use(3, 1, 1)
#define START(sum, row, column)                                                                             \
  {                                                                                                         \
    if (!start.first) _tile_zero(sum);                                                                      \
    else                                                                                                    \
      _tile_loadd(                                                                                          \
        sum, (const char *)start.first + row * TILE_LINES * start.stride + column * start.beside, start.stride); \
  }
#define PIXELS(piece)                                                                                       \
  {                                                                                                         \
    _tile_loadd(4, pixels + piece * PIECE_BYTES, TILE_BYTES);                                               \
    if (rows > 1) _tile_loadd(5, pixels + piece * PIECE_BYTES + TILE_LINES * TILE_BYTES, TILE_BYTES);       \
  }
#define WEIGHTS(piece)                                                                                      \
  {                                                                                                         \
    _tile_loadd(6, weights + piece * PIECE_BYTES, TILE_BYTES);                                              \
    if (columns > 1) _tile_loadd(7, weights + piece * PIECE_BYTES + TILE_LINES * TILE_BYTES, TILE_BYTES);   \
  }
#define PRODUCT_0_0 _tile_dpbf16ps(0, 4, 6);
#define PRODUCT_0_1 _tile_dpbf16ps(1, 4, 7);
#define PRODUCT_1_0 _tile_dpbf16ps(2, 5, 6);
#define PRODUCT_1_1 _tile_dpbf16ps(3, 5, 7);
#define PRODUCT(sum, row, column) { PRODUCT_##row##_##column }
#define PRODUCTS_OF_PIECES { EACH_SUM(PRODUCT) errand(context); }
  EACH_SUM(START)
  // From product to product one piece stays.
  for (int64_t line = 0; line < lines; line++, pixels += PIECES_BYTES, weights += PIECES_BYTES) {
    PIXELS(0)
    if (has_last) {
      WEIGHTS(2)
      PRODUCTS_OF_PIECES
    }
    WEIGHTS(1)
    PRODUCTS_OF_PIECES
    PIXELS(1)
    PRODUCTS_OF_PIECES
    WEIGHTS(0)
    PRODUCTS_OF_PIECES
    PIXELS(0)
    PRODUCTS_OF_PIECES
    PIXELS(2)
    PRODUCTS_OF_PIECES
  }
#define STORE(sum, row, column) \
  _tile_stored(sum, (char *)sums + row * TILE_LINES * SUM_STRIDE + column * TILE_BYTES, SUM_STRIDE);
  EACH_SUM(STORE)
#undef STORE
#undef PRODUCTS_OF_PIECES
#undef PRODUCT
#undef PRODUCT_0_0
#undef PRODUCT_0_1
#undef PRODUCT_1_0
#undef PRODUCT_1_1
#undef WEIGHTS
#undef PIXELS
#undef START
#undef EACH_SUM
}

// The same for as many tiles as `rows` and the panel's `width` ask for.
INLINE void ISA(sum_pieces)(
  const bool has_last, ISA(start) start, float *sums, const char *pixels, const char *weights, int64_t rows,
  int64_t width, int64_t lines, ISA(errand) errand, void *context) {
#define SUM_TILES(rows, columns) \
  ISA(sum_piece_tiles)(rows, columns, has_last, start, sums, pixels, weights, lines, errand, context)
  BY_TILES(SUM_TILES, rows, width)
#undef SUM_TILES
}
