// Products of floats by AMX's tiles of bfloat16, no less exact than by vectors. A float is the sum of three bfloat16s,
// its pieces, of which each holds the next eight bits. Of the nine products of two floats' pieces the six largest are
// taken (Henry, Tang and Heinecke 2019, arXiv:1904.06376): the others are below 2^-22 of the floats' product, as a rule
// 2^-26. Sums are rounded once for 32 products, and so lose less than one product after another.
//
// A line is 32 channels of one tap of a pixel, and the weights for them; pieces lie in lines as tiles hold them, in
// pairs of the channels c and c + 16: [piece][BLOCK_LINES][TILE_BYTES] for pixels, [piece][column tile][pair][output]
// for weights.

enum { PIECES = FS_PIECES, PIECE_BYTES = LINE_BLOCK_BYTES, PIECES_BYTES = PIECES * PIECE_BYTES };

// The next piece of floats, as the upper halves of lanes, which is taken off them. Rounded to nearest, what is left has
// either sign, and so have the products that are left out.
INLINE vi ISA(take_piece)(vf *x, const bool is_rounded) {
  const vi bits = (vi)*x + (is_rounded ? 0x8000 : 0), upper = bits & (int32_t)0xffff0000;
  *x -= (vf)upper;
  return upper;
}

// So many pieces of a row of pairs, to its place in each; whether the first is rounded.
INLINE void ISA(split)(char *row, vf low, vf high, const int pieces, const bool is_rounded) {
  FULLY_UNROLLED for (int piece = 0; piece < pieces; piece++) {
    const bool rounds = is_rounded && piece == 0;
    const __m512i lows = (__m512i)ISA(take_piece)(&low, rounds), highs = (__m512i)ISA(take_piece)(&high, rounds);
    _mm512_store_si512(
      row + piece * PIECE_BYTES, _mm512_mask_mov_epi16(_mm512_srli_epi32(lows, 16), 0xaaaaaaaa, highs));
  }
}

// Work of vectors that is done along with each product of tiles, of up to two by two.
typedef void (*ISA(errand))(void *context);

// Pixels and weights for the next products of tiles; and these.
INLINE void ISA(load_rows)(const int rows, const char *first, int64_t stride) {
  _tile_loadd(4, first, stride);
  if (rows > 1) _tile_loadd(5, first + TILE_LINES * stride, stride);
}
INLINE void ISA(load_columns)(const int columns, ISA(start) columns_of) {
  _tile_loadd(6, columns_of.first, columns_of.stride);
  if (columns > 1) _tile_loadd(7, (const char *)columns_of.first + columns_of.beside, columns_of.stride);
}
INLINE void ISA(multiply_tiles)(const int rows, const int columns) {
  _tile_dpbf16ps(0, 4, 6);
  if (columns > 1) _tile_dpbf16ps(1, 4, 7);
  if (rows > 1) _tile_dpbf16ps(2, 5, 6);
  if (rows > 1 && columns > 1) _tile_dpbf16ps(3, 5, 7);
}

// The products of a line: of three pieces and three, of three and two (weights that have no last piece), of one and one
// (bfloat16s, whose lines have one piece).
enum { SIX_PRODUCTS = 6, FIVE_PRODUCTS = 5, ONE_PRODUCT = 1 };

INLINE int64_t ISA(line_bytes)(const int products) { return products == ONE_PRODUCT ? PIECE_BYTES : PIECES_BYTES; }

// sums[BLOCK_LINES][FS_PANEL] := `start` + the products of `lines` lines, for `rows` x `columns` tiles.
INLINE void ISA(sum_piece_tiles)(
  const int rows, const int columns, const int products, ISA(start) start, float *sums, const char *pixels,
  const char *weights, int64_t lines, ISA(errand) errand, void *context) {
#define PIXELS(piece) ISA(load_rows)(rows, pixels + piece * PIECE_BYTES, TILE_BYTES);
#define WEIGHTS(piece)    \
  ISA(load_columns)(      \
    columns, (ISA(start)){weights + piece * PIECE_BYTES, TILE_BYTES, TILE_LINES * TILE_BYTES});
#define PRODUCTS_OF_PIECES                  \
  {                                         \
    ISA(multiply_tiles)(rows, columns);     \
    errand(context);                        \
  }
  ISA(start_sums)(rows, columns, start);
  // From product to product one piece stays.
  for (int64_t line = 0; line < lines; line++) {
    PIXELS(0)
    if (products == SIX_PRODUCTS) {
      WEIGHTS(2)
      PRODUCTS_OF_PIECES
    }
    if (products != ONE_PRODUCT) {
      WEIGHTS(1)
      PRODUCTS_OF_PIECES
      PIXELS(1)
      PRODUCTS_OF_PIECES
    }
    WEIGHTS(0)
    PRODUCTS_OF_PIECES
    if (products != ONE_PRODUCT) {
      PIXELS(0)
      PRODUCTS_OF_PIECES
      PIXELS(2)
      PRODUCTS_OF_PIECES
    }
    pixels += ISA(line_bytes)(products);
    weights += ISA(line_bytes)(products);
  }
  ISA(store_sums)(rows, columns, sums);
#undef PRODUCTS_OF_PIECES
#undef WEIGHTS
#undef PIXELS
}

// The same for as many tiles as `rows` and the panel's `width` ask for.
INLINE void ISA(sum_pieces)(
  const int products, ISA(start) start, float *sums, const char *pixels, const char *weights, int64_t rows,
  int64_t width, int64_t lines, ISA(errand) errand, void *context) {
#define SUM_TILES(rows, columns) \
  ISA(sum_piece_tiles)(rows, columns, products, start, sums, pixels, weights, lines, errand, context)
  BY_TILES(SUM_TILES, rows, width)
#undef SUM_TILES
}
