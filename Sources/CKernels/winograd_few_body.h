// Winograd's products with few tiles: a row of transformed weights is made in registers and used at once, for to store
// it would take longer than to multiply with it. The same sums, bit for bit, as with stored weights.

// Tiles of which all products of a row fit the registers.
enum { ISA(FEW_TILES) = TILE_ROWS / 3 };

#define EACH_PRODUCT(j) _Pragma("clang loop unroll(full)") for (int j = 0; j < FS_WINOGRAD_SMALL_PRODUCTS; j++)
#define EACH_TILE_OF(tiles, r) _Pragma("clang loop unroll(full)") for (int r = 0; r < (tiles); r++)

// products[j] (+)= patches x (G g G^T)[i][j] for LANES columns of weights from the n-th on. As i is a constant, what is
// not needed of G g is not computed.
INLINE void ISA(multiply_few_row)(
  fs_winograd_scheme scheme, const int i, const fs_format format, const int tiles, const fs_winograd_layout *layout,
  float *products, const float *patches, const ISA(weight_block) *block, int64_t n, bool is_first) {
  vf acc[FS_WINOGRAD_SMALL_PRODUCTS][ISA(FEW_TILES)];
  EACH_PRODUCT(j)
    EACH_TILE_OF(tiles, r) acc[j][r] = (vf){0};
  for (int64_t c = 0; c < block->channels; c++) {
    // A tap in each of the first nine rows.
    int64_t tap = n / LANES * FS_WINOGRAD_SMALL_PRODUCTS + i;
    if (tap < 9) ISA(prefetch_tap)(format, block, tap, c, 1);
    const float *a = patches + c / FS_LINE * layout->rows * FS_LINE + c % FS_LINE;
    vf g[3], u[FS_MOST_PRODUCTS];
    _Pragma("clang loop unroll(full)") for (int x = 0; x < 3; x++) {
      vf column[FS_MOST_PRODUCTS];
      ISA(transform_column)(scheme, format, column, block, c, n, x);
      g[x] = column[i];
    }
    ISA(transform_weights)(scheme, u, g[0], g[1], g[2]);
    EACH_PRODUCT(j)
      EACH_TILE_OF(tiles, r) acc[j][r] += a[j * layout->plane + r * FS_LINE] * u[j];
  }
  EACH_PRODUCT(j)
    EACH_TILE_OF(tiles, r) {
      float *m = products + j * layout->product_plane + r * FS_PANEL + n;
      ISA(store)(m, is_first ? acc[j][r] : ISA(load)(m) + acc[j][r]);
    }
}

// All rows, while the weights of a vector's columns are in the first-level cache. So few tiles are one group, and the
// small scheme's products are its points.
INLINE void ISA(multiply_few_rows)(
  fs_winograd_scheme scheme, const fs_format format, const int tiles, const fs_winograd_layout *layout,
  float *products, const float *patches, const ISA(weight_block) *block, bool is_first) {
  for (int64_t n = 0; n < block->width; n += LANES)
    EACH_PRODUCT(i)
      ISA(multiply_few_row)(
        scheme, i, format, tiles, layout, products + i * scheme.products * layout->product_plane,
        patches + i * scheme.points * layout->plane, block, n, is_first);
}

// products (+)= patches x weights for one block of channels, if the tiles of a part are few enough.
INLINE bool ISA(multiply_few)(
  fs_winograd_scheme scheme, const fs_format format, const fs_winograd_layout *layout, int64_t tiles, float *products,
  const float *patches, const ISA(weight_block) *block, bool is_first) {
  if (scheme.products != FS_WINOGRAD_SMALL_PRODUCTS || tiles > ISA(FEW_TILES)) return false;
#define FEW(count) \
  case count: ISA(multiply_few_rows)(scheme, format, count, layout, products, patches, block, is_first); return true;
  switch (tiles) {
    FEW(1)
#if TILE_ROWS >= 6
    FEW(2)
#endif
#if TILE_ROWS >= 12
    FEW(3) FEW(4)
#endif
  }
#undef FEW
  return false;
}

#undef EACH_TILE_OF
#undef EACH_PRODUCT
