// 3x3 convolution by Winograd's algorithm (Lavin and Gray 2015, arXiv:1509.09308, section 4.2): every patch of the
// input becomes a number per channel and pair of points, each of which is multiplied with weights of its own; from the
// sums come the outputs of a tile. kernels.h lists the schemes.
//
// So many weights would be too many to keep: they are transformed when they are needed, for all tiles of a call, a
// block of channels and two products at a time, and stay in the first-level cache, or in registers where tiles are few
// (winograd_few_body.h). Blocks are summed on their own, which loses less than one long sum. Patches and
// products lie in the order in which the products are taken; fs_winograd_layout says where.

#include "winograd_transforms.h"

// The pixels of the patch around a tile.
INLINE void ISA(gather_patch)(
  const fs_convolution *op, fs_winograd_scheme scheme, const float **pixels, int64_t tile) {
  int64_t per_image = fs_winograd_tiles(op), across = fs_winograd_tiles_across(scheme, op->out_width, op->pad_left);
  int64_t image = tile / per_image, y = tile % per_image / across, x = tile % per_image % across;
  int64_t top = fs_winograd_first_input(scheme, op->pad_top) + y * scheme.step;
  int64_t left = fs_winograd_first_input(scheme, op->pad_left) + x * scheme.step;
  const float *picture = op->input + image * op->height * op->width * op->input_stride;
  int shift = op->upsampling == 2 && !scheme.upsampling;
  for (int64_t i = 0; i < scheme.points; i++) {
    int64_t in_y = top + i;
    for (int64_t j = 0; j < scheme.points; j++) {
      int64_t in_x = left + j;
      bool inside = in_y >= 0 && in_y < op->height << shift && in_x >= 0 && in_x < op->width << shift;
      pixels[i * scheme.points + j] =
        inside ? picture + ((in_y >> shift) * op->width + (in_x >> shift)) * op->input_stride : op->zeros;
    }
  }
}

INLINE void ISA(transform_patch)(
  fs_winograd_scheme scheme, float *target, int64_t row_stride, int64_t plane, const float *const *pixels, int64_t c,
  int64_t lanes) {
  if (scheme.upsampling) ISA(transform_upsampled_patch)(target, row_stride, plane, pixels, c, lanes);
  else ISA(transform_plain_patch)(scheme, target, row_stride, plane, pixels, c, lanes);
}

INLINE void ISA(patches_of)(
  fs_winograd_scheme scheme, const fs_convolution *op, int64_t begin, int64_t end, int64_t first, int64_t last,
  float *patches) {
  fs_winograd_layout layout = fs_winograd_layout_of(op, end - begin);
  int64_t row_stride = scheme.points * layout.groups * layout.plane;
  const float *pixels[2][FS_MOST_POINTS * FS_MOST_POINTS];
  for (int64_t t = first; t < last; t++) {
    // The next tile's pixels are on their way while this one's are transformed; some columns both have.
    for (int64_t u = t == first ? t : t + 1; u <= t + 1 && u < last; u++)
      ISA(gather_patch)(op, scheme, pixels[u % 2], u);
    const float **own = pixels[t % 2], **next = t + 1 < last ? pixels[(t + 1) % 2] : own;
    int64_t group = (t - begin) / layout.rows, row = (t - begin) % layout.rows;
    float *tile = patches + group * scheme.points * layout.plane + row * FS_LINE;
    for (int64_t c = 0; c < op->channels; c += LANES) {
      float *target = tile + c / layout.depth * scheme.points * row_stride +
                      c % layout.depth / FS_LINE * layout.rows * FS_LINE + c % FS_LINE;
      for (int k = 0; k < scheme.points * scheme.points; k++)
        if (k % scheme.points >= scheme.points - scheme.step) __builtin_prefetch(next[k] + c);
      if (op->channels - c >= LANES) ISA(transform_patch)(scheme, target, row_stride, layout.plane, own, c, LANES);
      else ISA(transform_patch)(scheme, target, row_stride, layout.plane, own, c, op->channels - c);
    }
  }
}

// A function for the scheme that the layer takes, a constant in it, so that the loops over a tile are unrolled.
#define BY_SCHEME(function, ...)                                                                    \
  switch (fs_winograd_choice_of(op)) {                                                              \
    case FS_WINOGRAD_SMALL: function(fs_winograd_schemes[FS_WINOGRAD_SMALL], __VA_ARGS__); break; \
    case FS_WINOGRAD_LARGE: function(fs_winograd_schemes[FS_WINOGRAD_LARGE], __VA_ARGS__); break; \
    case FS_WINOGRAD_UPSAMPLING: function(fs_winograd_schemes[FS_WINOGRAD_UPSAMPLING], __VA_ARGS__); \
  }

static void ISA(winograd_patches)(
  const fs_convolution *op, int64_t begin, int64_t end, int64_t first, int64_t last, float *patches) {
  BY_SCHEME(ISA(patches_of), op, begin, end, first, last, patches)
}

// m[r][v] (+)= the sum over channels of a x u, for the rows of one group, whose channels come in lines. What it is
// added to, and the patches that are `next`, are on their way meanwhile: they may lie in the third-level cache.
INLINE void ISA(add_patches)(
  const int rows, const int vectors, float *m, const float *a, const float *next, int64_t line, int64_t channels,
  const float *u, int64_t width, bool is_first) {
  vf acc[TILE_ROWS][VECTORS];
  _Pragma("clang loop unroll(full)") for (int r = 0; r < rows; r++)
    _Pragma("clang loop unroll(full)") for (int v = 0; v < vectors; v++) {
      acc[r][v] = (vf){0};
      if (v * LANES % FS_LINE == 0) __builtin_prefetch(m + r * FS_PANEL + v * LANES, 1);
    }
  for (; channels > 0; channels -= FS_LINE, a += line, next += line) {
    int64_t count = channels < FS_LINE ? channels : FS_LINE;
    _Pragma("clang loop unroll(full)") for (int r = 0; r < rows; r++) __builtin_prefetch(next + r * FS_LINE);
    _Pragma("clang loop unroll_count(4)") for (int64_t c = 0; c < count; c++, u += width) {
      vf w[VECTORS];
      _Pragma("clang loop unroll(full)") for (int v = 0; v < vectors; v++) w[v] = ISA(load)(u + v * LANES);
      _Pragma("clang loop unroll(full)") for (int r = 0; r < rows; r++)
        _Pragma("clang loop unroll(full)") for (int v = 0; v < vectors; v++) acc[r][v] += a[r * FS_LINE + c] * w[v];
    }
  }
  _Pragma("clang loop unroll(full)") for (int r = 0; r < rows; r++)
    _Pragma("clang loop unroll(full)") for (int v = 0; v < vectors; v++) {
      float *sum = m + r * FS_PANEL + v * LANES;
      ISA(store)(sum, is_first ? acc[r][v] : ISA(load)(sum) + acc[r][v]);
    }
}

#define PRODUCTS(rows)                                                                               \
  static void ISA(products_##rows)(                                                                  \
    float *m, const float *a, const float *next, int64_t line, int64_t channels, const float *u,     \
    int64_t width, int vectors, bool is_first) {                                                     \
    if (vectors == 1) ISA(add_patches)(rows, 1, m, a, next, line, channels, u, width, is_first);     \
    else ISA(add_patches)(rows, VECTORS, m, a, next, line, channels, u, width, is_first);            \
  }

EACH_TILE(PRODUCTS)

typedef void (*ISA(products_function))(
  float *, const float *, const float *, int64_t, int64_t, const float *, int64_t, int, bool);

#define PRODUCTS_NAME(rows) ISA(products_##rows),
static const ISA(products_function) ISA(products)[TILE_ROWS] = {EACH_TILE(PRODUCTS_NAME)};

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

// The 3x3 weights of a block of channels and a panel, from the index-th on; `tap` weights lie between the taps of a
// channel.
typedef struct {
  const void *weights;
  int64_t index, tap, channels, width;
} ISA(weight_block);

// column[i] := (G g)[i][x] for LANES columns of weights from the n-th on.
INLINE void ISA(transform_column)(
  fs_winograd_scheme scheme, const fs_format format, vf *column, const ISA(weight_block) *block, int64_t c, int64_t n,
  int x) {
  int64_t top = block->index + x * block->tap +
                (format == FS_BFLOAT16 ? c / 2 * 2 * block->width + 2 * n : c * block->width + n);
  bool is_second = c % 2 != 0;
  ISA(transform_weights)(
    scheme, column, ISA(load_weights)(block->weights, format, top, is_second),
    ISA(load_weights)(block->weights, format, top + 3 * block->tap, is_second),
    ISA(load_weights)(block->weights, format, top + 6 * block->tap, is_second));
}

// Has some of the next block's weights of a tap on their way to the cache: taps are nine streams, which the CPU does
// not follow far.
INLINE void ISA(prefetch_tap)(
  const fs_format format, const ISA(weight_block) *block, int64_t tap, int64_t channel, int64_t count) {
  const int64_t size = format == FS_FLOAT32 ? sizeof(float) : sizeof(uint16_t);
  int64_t first = block->index + tap * block->tap + (block->channels + channel) * block->width;
  const char *next = (const char *)block->weights + first * size;
  for (int64_t byte = 0; byte < count * block->width * size; byte += 64) __builtin_prefetch(next + byte, 0, 2);
}

// columns[i][channel][x] := (G g)[i][x]
INLINE void ISA(columns_of)(
  fs_winograd_scheme scheme, const fs_format format, float *columns, int64_t column_plane,
  const ISA(weight_block) *block) {
  for (int64_t c = 0; c < block->channels; c++)
    for (int64_t n = 0; n < block->width; n += LANES)
      for (int x = 0; x < 3; x++) {
        vf t[FS_MOST_PRODUCTS];
        ISA(transform_column)(scheme, format, t, block, c, n, x);
        for (int i = 0; i < scheme.products; i++)
          ISA(store)(columns + i * column_plane + (c * 3 + x) * block->width + n, t[i]);
      }
}

// A function by itself, as others below: copied into the loops of every scheme and format it would be no faster.
static __attribute__((noinline)) void ISA(transform_columns)(
  const fs_convolution *op, float *columns, int64_t column_plane, const ISA(weight_block) *block) {
  switch (op->format) {
    case FS_FLOAT16: BY_SCHEME(ISA(columns_of), FS_FLOAT16, columns, column_plane, block) break;
    case FS_BFLOAT16: BY_SCHEME(ISA(columns_of), FS_BFLOAT16, columns, column_plane, block) break;
    default: BY_SCHEME(ISA(columns_of), FS_FLOAT32, columns, column_plane, block)
  }
}

// The s-th product of a row in the order in which they are computed: the first and the last one, then pairs whose
// weights have sums in common.
INLINE int ISA(product_at)(fs_winograd_scheme scheme, int s) {
  return s == 0 ? 0 : s == 1 ? scheme.products - 1 : s - 1;
}

// weights[k][channel] := (columns[channel] G^T)[j], where j is the k-th product of a pair.
INLINE void ISA(transform_pair_at)(
  fs_winograd_scheme scheme, const int pair, float *weights, int64_t weight_plane, const float *columns,
  int64_t channels, const int64_t width) {
  for (int64_t c = 0; c < channels; c++, columns += 3 * width, weights += width)
    _Pragma("clang loop unroll(full)") for (int64_t n = 0; n < width; n += LANES) {
      vf t[FS_MOST_PRODUCTS];
      ISA(transform_weights)(
        scheme, t, ISA(load)(columns + n), ISA(load)(columns + width + n), ISA(load)(columns + 2 * width + n));
      ISA(store)(weights + n, t[ISA(product_at)(scheme, 2 * pair)]);
      if (2 * pair + 1 < scheme.products)
        ISA(store)(weights + weight_plane + n, t[ISA(product_at)(scheme, 2 * pair + 1)]);
    }
}

// With the pair as a constant, so that the others' weights are not computed.
INLINE void ISA(transform_pair_of)(
  fs_winograd_scheme scheme, int pair, float *weights, int64_t weight_plane, const float *columns, int64_t channels,
  int64_t width) {
  _Pragma("clang loop unroll(full)") for (int k = 0; k < (scheme.products + 1) / 2; k++)
    if (k == pair && width == FS_PANEL)
      ISA(transform_pair_at)(scheme, k, weights, weight_plane, columns, channels, FS_PANEL);
    else if (k == pair) ISA(transform_pair_at)(scheme, k, weights, weight_plane, columns, channels, FS_PANEL / 2);
}

static __attribute__((noinline)) void ISA(transform_pair)(
  const fs_convolution *op, int pair, float *weights, int64_t weight_plane, const float *columns, int64_t channels,
  int64_t width) {
  BY_SCHEME(ISA(transform_pair_of), pair, weights, weight_plane, columns, channels, width)
}

// Writes LANES outputs of every pixel of a tile that lies inside, the first pixel being the row-th.
INLINE void ISA(finish_inside)(
  const fs_convolution *op, fs_winograd_scheme scheme, const vf *outputs, int64_t row, int64_t column) {
  vf zero = {0}, scale = ISA(splat)(op->scale), bias = op->bias ? ISA(load)(op->bias + column) : zero;
  int64_t image = row / (op->out_height * op->out_width), stride = op->outputs, line = op->out_width * stride;
  vf image_bias = op->image_bias ? ISA(load)(op->image_bias + image * stride + column) : zero;
  float *output = op->output + row * stride + column;
  const float *residual = op->residual ? op->residual + row * stride + column : NULL;
  for (int i = 0; i < scheme.outputs; i++)
    for (int j = 0; j < scheme.outputs; j++) {
      vf sum = outputs[i * scheme.products + j] + bias + image_bias;
      if (residual) sum += ISA(load)(residual + i * line + j * stride);
      ISA(store)(output + i * line + j * stride, sum * scale);
    }
}

// Where a tile's outputs belong: the row of its first pixel, and what of it lies inside the picture.
typedef struct {
  int64_t row, top, bottom, left, right;
} ISA(tile_place);

INLINE ISA(tile_place) ISA(place_of)(const fs_convolution *op, fs_winograd_scheme scheme, int64_t tile) {
  int64_t per_image = fs_winograd_tiles(op), across = fs_winograd_tiles_across(scheme, op->out_width, op->pad_left);
  int64_t image = tile / per_image;
  int64_t y = tile % per_image / across * scheme.outputs + fs_winograd_first_output(scheme, op->pad_top);
  int64_t x = tile % per_image % across * scheme.outputs + fs_winograd_first_output(scheme, op->pad_left);
  return (ISA(tile_place)){
    (image * op->out_height + y) * op->out_width + x,
    y < 0 ? -y : 0, op->out_height - y < scheme.outputs ? op->out_height - y : scheme.outputs,
    x < 0 ? -x : 0, op->out_width - x < scheme.outputs ? op->out_width - x : scheme.outputs};
}

// Writes the outputs of all tiles of one panel.
INLINE void ISA(outputs_of)(
  fs_winograd_scheme scheme, const fs_convolution *op, const fs_winograd_layout *layout, int64_t begin, int64_t end,
  int64_t column, const float *products) {
  int64_t columns = op->outputs - column < FS_PANEL ? op->outputs - column : FS_PANEL;
  ISA(tile_place) place = ISA(place_of)(op, scheme, begin);
  for (int64_t t = begin; t < end; t++) {
    ISA(tile_place) next = ISA(place_of)(op, scheme, t + 1 < end ? t + 1 : t);
    for (int64_t i = next.top; i < next.bottom; i++)
      ISA(prefetch_output)(op, next.row + i * op->out_width + next.left, next.right - next.left, column, columns);
    int64_t group = (t - begin) / layout->rows, row = (t - begin) % layout->rows;
    bool is_inside = place.bottom - place.top == scheme.outputs && place.right - place.left == scheme.outputs &&
                     columns % LANES == 0;
    float tile[FS_MOST_OUTPUTS * FS_MOST_OUTPUTS * FS_PANEL];
    for (int64_t c = 0; c < columns; c += LANES) {
      vf m[FS_MOST_PRODUCTS * FS_MOST_PRODUCTS];
      for (int i = 0; i < scheme.products; i++) {
        const float *source = products +
                              (i * layout->groups + group) * scheme.products * layout->product_plane +
                              row * FS_PANEL + c;
        for (int j = 0; j < scheme.products; j++)
          m[i * scheme.products + j] = ISA(load)(source + j * layout->product_plane);
        ISA(transform_output)(scheme, m + i * scheme.products, 1);
      }
      for (int j = 0; j < scheme.outputs; j++)
        ISA(transform_output)(scheme, m + j, scheme.products);
      if (is_inside) {
        ISA(finish_inside)(op, scheme, m, place.row, column + c);
        continue;
      }
      for (int i = 0; i < scheme.outputs; i++)
        for (int j = 0; j < scheme.outputs; j++)
          ISA(store)(tile + (i * scheme.outputs + j) * FS_PANEL + c, m[i * scheme.products + j]);
    }
    for (int64_t i = place.top; i < place.bottom && !is_inside; i++)
      ISA(finish)(
        op, tile + (i * scheme.outputs + place.left) * FS_PANEL, place.row + i * op->out_width + place.left,
        place.right - place.left, column, columns);
    place = next;
  }
}

static __attribute__((noinline)) void ISA(winograd_outputs)(
  const fs_convolution *op, const fs_winograd_layout *layout, int64_t begin, int64_t end, int64_t column,
  const float *products) {
  BY_SCHEME(ISA(outputs_of), op, layout, begin, end, column, products)
}

#include "winograd_few_body.h"

// products (+)= patches x weights for one product and the rows of one group.
INLINE void ISA(multiply_group)(
  const fs_winograd_layout *layout, float *products, const float *patches, const float *next, const float *weights,
  int64_t rows, int64_t channels, int64_t width, bool is_first) {
  for (int64_t n = 0; n < width; n += VECTORS * LANES)
    for (int64_t r = 0; r < rows; r += TILE_ROWS)
      ISA(products)[(rows - r < TILE_ROWS ? rows - r : TILE_ROWS) - 1](
        products + r * FS_PANEL + n, patches + r * FS_LINE, next + r * FS_LINE, layout->rows * FS_LINE, channels,
        weights + n, width, width - n < VECTORS * LANES ? 1 : VECTORS, is_first);
}

// The patches of a group for the s-th product of a row.
INLINE const float *ISA(patches_at)(
  fs_winograd_scheme scheme, const fs_winograd_layout *layout, const float *row, int64_t group, int s) {
  return row + (group * scheme.points + scheme.point[ISA(product_at)(scheme, s)]) * layout->plane;
}

// products (+)= patches x weights for one block of channels and all tiles of a part. The weights of a pair of products
// stay in the first-level cache while all tiles use them.
INLINE void ISA(multiply_block)(
  const fs_convolution *op, fs_winograd_scheme scheme, const fs_format format, const fs_winograd_layout *layout,
  int64_t tiles, float *products, const float *patches, const ISA(weight_block) *block, bool is_first, float *columns,
  float *weights) {
  if (ISA(multiply_few)(scheme, format, layout, tiles, products, patches, block, is_first)) return;
  ISA(transform_columns)(op, columns, layout->column_plane, block);
  const int count = scheme.products, parts = count * count / 9;
  const int64_t share = (block->channels + parts - 1) / parts, groups = layout->groups;
  for (int i = 0; i < count; i++, columns += layout->column_plane) {
    const float *row = patches + scheme.point[i] * groups * scheme.points * layout->plane;
    for (int first = 0, end; first < count; first = end) {
      end = first + 2 < count ? first + 2 : count;
      ISA(transform_pair)(op, first / 2, weights, layout->weight_plane, columns, block->channels, block->width);
      for (int64_t group = 0; group < groups; group++)
        for (int s = first; s < end; s++) {
          // The next block's weights come evenly among all products.
          const int index = i * count + s;
          if (group == 0 && index < 9 * parts)
            ISA(prefetch_tap)(format, block, index / parts, index % parts * share, share);
          const float *next = s + 1 < end          ? ISA(patches_at)(scheme, layout, row, group, s + 1)
                              : group + 1 < groups ? ISA(patches_at)(scheme, layout, row, group + 1, first)
                              : end < count        ? ISA(patches_at)(scheme, layout, row, 0, end)
                                                   : row + groups * scheme.points * layout->plane;
          const int64_t product = (i * groups + group) * count + ISA(product_at)(scheme, s);
          const int64_t left = tiles - group * layout->rows;
          ISA(multiply_group)(
            layout, products + product * layout->product_plane, ISA(patches_at)(scheme, layout, row, group, s), next,
            weights + (s - first) * layout->weight_plane, left < layout->rows ? left : layout->rows, block->channels,
            block->width, is_first);
        }
    }
  }
}

INLINE void ISA(winograd_of)(
  fs_winograd_scheme scheme, const fs_convolution *op, int64_t begin, int64_t end, int64_t panel_begin,
  int64_t panel_end, const float *patches, float *scratch) {
  fs_winograd_layout layout = fs_winograd_layout_of(op, end - begin);
  float *columns = scratch, *weights = columns + scheme.products * layout.column_plane;
  float *products = weights + 2 * layout.weight_plane;
  int64_t padded = op->format == FS_BFLOAT16 ? fs_bfloat16_padded(op->channels) : op->channels;
  for (int64_t panel = panel_begin; panel < panel_end; panel++) {
    int64_t column = panel * FS_PANEL, width = ISA(panel_width)(op, column);
    const float *patch = patches;
    for (int64_t channel = 0; channel < op->channels; channel += layout.depth) {
      int64_t channels = op->channels - channel < layout.depth ? op->channels - channel : layout.depth;
      ISA(weight_block) block = {
        op->weights, column * padded * 9 + channel * width, padded * width, channels, width};
#define MULTIPLY(format) \
  ISA(multiply_block)( \
    op, scheme, format, &layout, end - begin, products, patch, &block, channel == 0, columns, weights)
      switch (op->format) {
        case FS_FLOAT16: MULTIPLY(FS_FLOAT16); break;
        case FS_BFLOAT16: MULTIPLY(FS_BFLOAT16); break;
        default: MULTIPLY(FS_FLOAT32);
      }
#undef MULTIPLY
      patch += scheme.points * layout.groups * scheme.points * layout.plane;
    }
    ISA(winograd_outputs)(op, &layout, begin, end, column, products);
  }
}

static void ISA(winograd)(
  const fs_convolution *op, int64_t begin, int64_t end, int64_t panel_begin, int64_t panel_end, const float *patches,
  float *scratch) {
  BY_SCHEME(ISA(winograd_of), op, begin, end, panel_begin, panel_end, patches, scratch)
}

#undef BY_SCHEME
