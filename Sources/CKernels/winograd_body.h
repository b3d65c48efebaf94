// 3x3 convolution in a quarter of the multiplications: Winograd's F(4x4, 3x3).
//
// Lavin and Gray 2015, arXiv:1509.09308, section 4.2, with the points 0, 1, -1, 1/2, -2 and infinity, whose rounding
// errors are a third of those of 0, 1, -1, 2, -2 and infinity in the worst of the 16 outputs. Every 6x6 patch of the
// input becomes 36 numbers per channel, each of which is multiplied with weights of its own; from the 36 sums come 4x4
// outputs.
//
// Four times the weights would be too many to keep: they are transformed when they are needed, for all tiles of a call,
// a block of channels and one of six rows at a time, and stay in the first-level cache. Blocks are summed on their own,
// which loses less than one long sum. Patches and products lie in the order in which the products are taken;
// fs_winograd_layout says where.

// Two of the six vectors B^T x, 0 and 5, 1 and 2, or 3 and 4: pairs need few registers.
INLINE void ISA(transform_input)(vf *first, vf *second, vf x0, vf x1, vf x2, vf x3, vf x4, vf x5, int pair) {
  vf even = x4 - x2, odd = x3 - x1;
  if (pair == 0) {
    *first = (x0 - x2) + even + 1.5f * odd;
    *second = (x5 - x3) - odd + 1.5f * even;
  } else if (pair == 1) {
    *first = (even + odd) + 1.5f * (x2 + x3);
    *second = (even - odd) + 1.5f * (x3 - x2);
  } else {
    *first = even + 2.0f * odd;
    *second = even - 0.5f * odd;
  }
}

// The six vectors G (x0, x1, x2).
INLINE void ISA(transform_weights)(vf *result, vf x0, vf x1, vf x2) {
  vf even = (1.0f / 3) * (x0 + x2);
  result[0] = x0;
  result[1] = even + (1.0f / 3) * x1;
  result[2] = (1.0f / 3) * x1 - even;
  result[3] = (-16.0f / 15) * (x0 + 0.5f * x1 + 0.25f * x2);
  result[4] = (1.0f / 15) * (x0 - 2.0f * x1 + 4.0f * x2);
  result[5] = x2;
}

// The first four of six vectors := A^T x.
INLINE void ISA(transform_output)(vf *x, int stride) {
  vf x3 = x[3 * stride], x4 = x[4 * stride];
  vf sum = x[stride] + x[2 * stride], difference = x[stride] - x[2 * stride];
  x[0] = x[0] + sum + (x3 + x4);
  x[stride] = difference + 0.5f * x3 - 2.0f * x4;
  x[2 * stride] = sum + 0.25f * x3 + 4.0f * x4;
  x[3 * stride] = difference + 0.125f * x3 - 8.0f * x4 + x[5 * stride];
}

// The pixels of the 6x6 patch around a tile.
static void ISA(gather_patch)(const fs_convolution *op, const float **pixels, int64_t image, int64_t y, int64_t x) {
  int shift = op->upsampling == 2;
  const float *picture = op->input + image * op->height * op->width * op->input_stride;
  for (int64_t i = 0; i < 6; i++) {
    int64_t in_y = y + i - op->pad_top;
    for (int64_t j = 0; j < 6; j++) {
      int64_t in_x = x + j - op->pad_left;
      bool inside = in_y >= 0 && in_y < op->height << shift && in_x >= 0 && in_x < op->width << shift;
      pixels[i * 6 + j] =
        inside ? picture + ((in_y >> shift) * op->width + (in_x >> shift)) * op->input_stride : op->zeros;
    }
  }
}

INLINE vf ISA(load_lanes)(const float *p, int64_t lanes) {
  return lanes == LANES ? ISA(load)(p) : ISA(load_part)(p, lanes);
}

// target[i][j] := B^T d B for one patch d and LANES channels.
INLINE void ISA(transform_patch)(
  float *target, int64_t row_stride, int64_t plane, const float *const *pixels, int64_t c, int64_t lanes) {
  static const int rows[3][2] = {{0, 5}, {1, 2}, {3, 4}};
  _Pragma("clang loop unroll(full)") for (int pair = 0; pair < 3; pair++) {
    vf d[2][6];
    _Pragma("clang loop unroll(full)") for (int j = 0; j < 6; j++) {
      vf x[6];
      _Pragma("clang loop unroll(full)") for (int i = 0; i < 6; i++)
        x[i] = pair == 0 || (i > 0 && i < 5) ? ISA(load_lanes)(pixels[i * 6 + j] + c, lanes) : (vf){0};
      ISA(transform_input)(&d[0][j], &d[1][j], x[0], x[1], x[2], x[3], x[4], x[5], pair);
    }
    _Pragma("clang loop unroll(full)") for (int i = 0; i < 2; i++)
      _Pragma("clang loop unroll(full)") for (int other = 0; other < 3; other++) {
        vf first, second;
        ISA(transform_input)(&first, &second, d[i][0], d[i][1], d[i][2], d[i][3], d[i][4], d[i][5], other);
        float *row = target + rows[pair][i] * row_stride;
        ISA(store)(row + rows[other][0] * plane, first);
        ISA(store)(row + rows[other][1] * plane, second);
      }
  }
}

static void ISA(winograd_patches)(
  const fs_convolution *op, int64_t begin, int64_t end, int64_t first, int64_t last, float *patches) {
  fs_winograd_layout layout = fs_winograd_layout_of(op, end - begin);
  int64_t across = (op->out_width + 3) / 4, per_image = fs_winograd_tiles(op);
  int64_t row_stride = 6 * layout.groups * layout.plane;
  const float *pixels[2][36];
  for (int64_t t = first; t < last; t++) {
    // The next tile's pixels are on their way while this one's are transformed; two columns both have.
    for (int64_t u = t == first ? t : t + 1; u <= t + 1 && u < last; u++)
      ISA(gather_patch)(op, pixels[u % 2], u / per_image, u % per_image / across * 4, u % per_image % across * 4);
    const float **own = pixels[t % 2], **next = t + 1 < last ? pixels[(t + 1) % 2] : own;
    int64_t group = (t - begin) / layout.rows, row = (t - begin) % layout.rows;
    float *tile = patches + group * 6 * layout.plane + row * FS_LINE;
    for (int64_t c = 0; c < op->channels; c += LANES) {
      float *target = tile + c / layout.depth * 6 * row_stride + c % layout.depth / FS_LINE * layout.rows * FS_LINE +
                      c % FS_LINE;
      for (int k = 0; k < 36; k++)
        if (k % 6 > 1) __builtin_prefetch(next[k] + c);
      if (op->channels - c >= LANES) ISA(transform_patch)(target, row_stride, layout.plane, own, c, LANES);
      else ISA(transform_patch)(target, row_stride, layout.plane, own, c, op->channels - c);
    }
  }
}

// m[r][v] (+)= the sum over channels of a x u, for the rows of one group, whose channels come in lines.
#define ADD_PRODUCTS(rows, vectors)                                                                                \
  vf acc[rows][vectors];                                                                                           \
  _Pragma("clang loop unroll(full)") for (int r = 0; r < (rows); r++)                                              \
    _Pragma("clang loop unroll(full)") for (int v = 0; v < (vectors); v++)                                         \
      acc[r][v] = (vf){0};                                                                                         \
  for (; channels > 0; channels -= FS_LINE, a += line) {                                                           \
    int64_t count = channels < FS_LINE ? channels : FS_LINE;                                                       \
    _Pragma("clang loop unroll_count(4)") for (int64_t c = 0; c < count; c++, u += width) {                        \
      vf w[vectors];                                                                                               \
      _Pragma("clang loop unroll(full)") for (int v = 0; v < (vectors); v++) w[v] = ISA(load)(u + v * LANES);      \
      _Pragma("clang loop unroll(full)") for (int r = 0; r < (rows); r++)                                          \
        _Pragma("clang loop unroll(full)") for (int v = 0; v < (vectors); v++)                                     \
          acc[r][v] += a[r * FS_LINE + c] * w[v];                                                                  \
    }                                                                                                              \
  }                                                                                                                \
  _Pragma("clang loop unroll(full)") for (int r = 0; r < (rows); r++)                                              \
    _Pragma("clang loop unroll(full)") for (int v = 0; v < (vectors); v++)                                         \
      ISA(store)(                                                                                                  \
        m + r * FS_PANEL + v * LANES, is_first ? acc[r][v] : ISA(load)(m + r * FS_PANEL + v * LANES) + acc[r][v]);

#define PRODUCTS(rows)                                                                                             \
  static void ISA(products_##rows)(                                                                                \
    float *m, const float *a, int64_t line, int64_t channels, const float *u, int64_t width, int vectors,          \
    bool is_first) {                                                                                               \
    if (vectors == 1) {                                                                                            \
      ADD_PRODUCTS(rows, 1)                                                                                        \
    } else {                                                                                                       \
      ADD_PRODUCTS(rows, VECTORS)                                                                                  \
    }                                                                                                              \
  }

PRODUCTS(1)
PRODUCTS(2)
PRODUCTS(3)
PRODUCTS(4)
#if TILE_ROWS > 4
PRODUCTS(5)
PRODUCTS(6)
#endif
#if TILE_ROWS > 6
PRODUCTS(7)
PRODUCTS(8)
PRODUCTS(9)
PRODUCTS(10)
PRODUCTS(11)
PRODUCTS(12)
#endif

typedef void (*ISA(products_function))(
  float *, const float *, int64_t, int64_t, const float *, int64_t, int, bool);

static const ISA(products_function) ISA(products)[TILE_ROWS] = {
  ISA(products_1), ISA(products_2), ISA(products_3), ISA(products_4),
#if TILE_ROWS > 4
  ISA(products_5), ISA(products_6),
#endif
#if TILE_ROWS > 6
  ISA(products_7), ISA(products_8), ISA(products_9), ISA(products_10), ISA(products_11), ISA(products_12),
#endif
};

// A vector of weights, from the index-th on; of bfloat16 the first or the second of each pair.
INLINE vf ISA(load_weights)(const void *weights, fs_format format, int64_t index, bool is_second) {
  typedef _Float16 halves __attribute__((vector_size(LANES * 2), aligned(2), may_alias));
  const uint16_t *short_weights = weights;
  switch (format) {
    case FS_FLOAT16: return __builtin_convertvector(*(const halves *)(short_weights + index), vf);
    case FS_BFLOAT16: {
      vi pairs = *(const vi *)(short_weights + index);
      return (vf)(is_second ? pairs & (int32_t)0xffff0000 : pairs << 16);
    }
    default: return ISA(load)((const float *)weights + index);
  }
}

// columns[i][channel][x] := (G g)[i][x] for the 3x3 weights g of `channels` channels, read from the index-th weight on;
// `tap` weights lie between the taps of one channel.
INLINE void ISA(transform_columns)(
  float *columns, int64_t column_plane, const void *weights, fs_format format, int64_t index, int64_t tap,
  int64_t channels, int64_t width) {
  for (int64_t c = 0; c < channels; c++)
    for (int64_t n = 0; n < width; n += LANES)
      for (int x = 0; x < 3; x++) {
        int64_t top = index + x * tap + (format == FS_BFLOAT16 ? c / 2 * 2 * width + 2 * n : c * width + n);
        bool is_second = c % 2 != 0;
        vf t[6];
        ISA(transform_weights)(
          t, ISA(load_weights)(weights, format, top, is_second),
          ISA(load_weights)(weights, format, top + 3 * tap, is_second),
          ISA(load_weights)(weights, format, top + 6 * tap, is_second));
        for (int i = 0; i < 6; i++) ISA(store)(columns + i * column_plane + (c * 3 + x) * width + n, t[i]);
      }
}

// Transforms the columns of the weights from (channel, column) on.
static void ISA(transform_block)(
  const fs_convolution *op, float *columns, int64_t column_plane, int64_t channel, int64_t channels, int64_t column,
  int64_t width) {
  int64_t padded = op->format == FS_BFLOAT16 ? fs_bfloat16_padded(op->channels) : op->channels;
  int64_t tap = padded * width, index = column * padded * 9 + channel * width;
#define TRANSFORM(format) \
  ISA(transform_columns)(columns, column_plane, op->weights, format, index, tap, channels, width)
  switch (op->format) {
    case FS_FLOAT16: TRANSFORM(FS_FLOAT16); break;
    case FS_BFLOAT16: TRANSFORM(FS_BFLOAT16); break;
    default: TRANSFORM(FS_FLOAT32);
  }
#undef TRANSFORM
}

// weights[j][channel] := columns[channel] G^T
INLINE void ISA(transform_row)(
  float *weights, int64_t weight_plane, const float *columns, int64_t channels, int64_t width) {
  for (int64_t c = 0; c < channels; c++, columns += 3 * width, weights += width)
    for (int64_t n = 0; n < width; n += LANES) {
      vf t[6];
      ISA(transform_weights)(
        t, ISA(load)(columns + n), ISA(load)(columns + width + n), ISA(load)(columns + 2 * width + n));
      for (int j = 0; j < 6; j++) ISA(store)(weights + j * weight_plane + n, t[j]);
    }
}

// Writes the outputs of all tiles of one panel.
static void ISA(winograd_outputs)(
  const fs_convolution *op, const fs_winograd_layout *layout, int64_t begin, int64_t end, int64_t column,
  const float *products) {
  int64_t across = (op->out_width + 3) / 4, per_image = fs_winograd_tiles(op);
  int64_t columns = op->outputs - column < FS_PANEL ? op->outputs - column : FS_PANEL;
  for (int64_t t = begin; t < end; t++) {
    int64_t image = t / per_image, y = t % per_image / across * 4, x = t % per_image % across * 4;
    int64_t rows = op->out_height - y < 4 ? op->out_height - y : 4;
    int64_t row_length = op->out_width - x < 4 ? op->out_width - x : 4;
    int64_t group = (t - begin) / layout->rows, row = (t - begin) % layout->rows;
    float tile[16 * FS_PANEL];
    for (int64_t c = 0; c < columns; c += LANES) {
      vf m[36];
      for (int i = 0; i < 6; i++) {
        const float *source =
          products + (i * layout->groups + group) * 6 * layout->product_plane + row * FS_PANEL + c;
        for (int j = 0; j < 6; j++) m[i * 6 + j] = ISA(load)(source + j * layout->product_plane);
        ISA(transform_output)(m + i * 6, 1);
      }
      for (int j = 0; j < 4; j++) ISA(transform_output)(m + j, 6);
      for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) ISA(store)(tile + (i * 4 + j) * FS_PANEL + c, m[i * 6 + j]);
    }
    for (int64_t i = 0; i < rows; i++)
      ISA(finish)(
        op, tile + i * 4 * FS_PANEL, (image * op->out_height + y + i) * op->out_width + x, row_length, column, columns);
  }
}

// products (+)= patches x weights for one of six rows and the rows of one group.
INLINE void ISA(multiply_group)(
  const fs_winograd_layout *layout, float *products, const float *patches, const float *weights, int64_t rows,
  int64_t channels, int64_t width, bool is_first) {
  for (int64_t n = 0; n < width; n += VECTORS * LANES)
    for (int64_t r = 0; r < rows; r += TILE_ROWS)
      ISA(products)[(rows - r < TILE_ROWS ? rows - r : TILE_ROWS) - 1](
        products + r * FS_PANEL + n, patches + r * FS_LINE, layout->rows * FS_LINE, channels, weights + n, width,
        width - n < VECTORS * LANES ? 1 : VECTORS, is_first);
}

static void ISA(winograd)(
  const fs_convolution *op, int64_t begin, int64_t end, int64_t panel_begin, int64_t panel_end, const float *patches,
  float *scratch) {
  fs_winograd_layout layout = fs_winograd_layout_of(op, end - begin);
  float *columns = scratch, *weights = columns + 6 * layout.column_plane, *products = weights + 6 * layout.weight_plane;
  for (int64_t panel = panel_begin; panel < panel_end; panel++) {
    int64_t column = panel * FS_PANEL, width = ISA(panel_width)(op, column);
    const float *patch = patches;
    for (int64_t channel = 0; channel < op->channels; channel += layout.depth) {
      int64_t channels = op->channels - channel < layout.depth ? op->channels - channel : layout.depth;
      ISA(transform_block)(op, columns, layout.column_plane, channel, channels, column, width);
      float *product = products;
      for (int64_t i = 0; i < 6; i++) {
        ISA(transform_row)(weights, layout.weight_plane, columns + i * layout.column_plane, channels, width);
        for (int64_t t = begin; t < end; t += layout.rows) {
          int64_t rows = end - t < layout.rows ? end - t : layout.rows;
          for (int64_t j = 0; j < 6; j++, patch += layout.plane, product += layout.product_plane)
            ISA(multiply_group)(
              &layout, product, patch, weights + j * layout.weight_plane, rows, channels, width, channel == 0);
        }
      }
    }
    ISA(winograd_outputs)(op, &layout, begin, end, column, products);
  }
}
