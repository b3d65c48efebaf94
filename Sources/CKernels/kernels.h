// The kernels of one instruction set, and the vector types that their shared source is written in.
#pragma once

#include <float.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "CKernels.h"

// The input as a kernel reads it: the pixel in front, bytes from one to the next, a pixel outside the picture, and the
// margin of pixels around every picture.
typedef struct {
  const void *first;
  int64_t bytes;
  const void *zeros;
  int64_t margin;
} fs_pixels;

// How attention's keys and values are packed: as floats, as pairs of bfloat16 in the place of one float, or as tiles of
// such pairs, rounded or in pieces.
typedef enum { FS_FLOAT_KEYS, FS_PAIRED_KEYS, FS_TILED_KEYS, FS_TILED_PIECES } fs_key_packing;

typedef struct {
  const char *name;
  void (*convolve[FS_INT8 + 1])(const fs_convolution *, int64_t, int64_t, int64_t, int64_t);
  void (*convert[FS_INT8 + 1])(void *, const float *, int64_t, int64_t, int64_t);  // NULL where floats are read
  bool tiles;  // whether bfloat16 and int8 go by AMX's tiles, and linear layers convert their inputs themselves
  void (*convolve_few)(const fs_convolution *, int64_t, int64_t);
  void (*winograd_patches)(const fs_convolution *, int64_t, int64_t, int64_t, int64_t, float *);
  void (*winograd)(const fs_convolution *, int64_t, int64_t, int64_t, int64_t, const float *, float *);
  void (*pack_keys[2])(const fs_attention *, int64_t, int64_t);  // of floats, of bfloat16
  void (*attend[2])(const fs_attention *, int64_t, int64_t, float *);
  fs_key_packing packing[2];
  void (*exp2)(float *, const float *, int64_t);
  void (*activate)(float *, const float *, int64_t, fs_activation);
  void (*geglu)(float *, const float *, int64_t, int64_t);
  void (*add)(float *, const float *, const float *, int64_t, float);
  void (*combine)(float *, const double *, const float *const *, int64_t, const fs_noise *, int64_t, int64_t);
  double (*accumulate)(float *, double, const double *, const float *const *, int64_t, int64_t);
  double (*inner_product)(const float *, const float *, int64_t);
  double (*total_sum)(const float *, int64_t);
  void (*clamp)(float *, int64_t, float, float);
  void (*half_to_float)(float *, const uint16_t *, int64_t);
  void (*float_to_half)(uint16_t *, const float *, int64_t);
  void (*channel_sums)(double *, double *, const float *, int64_t, int64_t);
  void (*scale_shift)(float *, const float *, const float *, const float *, int64_t, int64_t, bool);
  void (*layer_norm)(float *, const float *, const float *, const float *, int64_t, int64_t, float);
} fs_kernels;

// One dimension of a convolution of three taps by evaluating polynomials at points, of which the last is infinity.
//
// Small: F(4, 3) at 0, 1, -1, 1/2 and -2, whose rounding errors are a third of those with 2 in place of 1/2 in the
// worst output. Large: F(6, 3) at 0, 1, -1, 2, -2, 1/2 and -1/2; a fifth fewer multiplications, and three times the
// error.
//
// Upsampling: of a picture whose pixels are each read twice, where of three taps two fall on the same pixel. Odd
// outputs are the sums a x[k] + b x[k + 1] with a = w0 + w1 and b = w2, even ones those with a = w0 and b = w1 + w2.
// Both are F(3, 2) at 0, 1, -1 and infinity, and at 1 they are one, for there a + b is the same: 7 products give 6
// outputs, and the transforms of pictures and products only add.
typedef struct {
  bool upsampling;
  int points, products, outputs;
  int step;      // from the first input pixel of one tile to that of the next
  int point[8];  // of each product
} fs_winograd_scheme;

typedef enum { FS_WINOGRAD_SMALL, FS_WINOGRAD_LARGE, FS_WINOGRAD_UPSAMPLING } fs_winograd_choice;

enum { FS_WINOGRAD_SMALL_PRODUCTS = 6, FS_MOST_POINTS = 8, FS_MOST_PRODUCTS = 8, FS_MOST_OUTPUTS = 6 };

static const fs_winograd_scheme fs_winograd_schemes[] = {
  [FS_WINOGRAD_SMALL] = {false, 6, FS_WINOGRAD_SMALL_PRODUCTS, 4, 4, {0, 1, 2, 3, 4, 5}},
  [FS_WINOGRAD_LARGE] = {false, 8, 8, 6, 6, {0, 1, 2, 3, 4, 5, 6, 7}},
  [FS_WINOGRAD_UPSAMPLING] = {true, 4, 7, 6, 3, {0, 0, 1, 2, 2, 3, 3}},
};

// The first input pixel and the first output of the first tile; the latter may lie outside.
static inline int64_t fs_winograd_first_input(fs_winograd_scheme scheme, int64_t padding) {
  return scheme.upsampling ? -((padding + 1) / 2) : -padding;
}
static inline int64_t fs_winograd_first_output(fs_winograd_scheme scheme, int64_t padding) {
  return scheme.upsampling ? -(padding % 2) : 0;
}

static inline int64_t fs_winograd_tiles_across(fs_winograd_scheme scheme, int64_t outputs, int64_t padding) {
  return (outputs - fs_winograd_first_output(scheme, padding) + scheme.outputs - 1) / scheme.outputs;
}

static inline int64_t fs_winograd_tiles_of(fs_winograd_scheme scheme, const fs_convolution *op) {
  return fs_winograd_tiles_across(scheme, op->out_height, op->pad_top) *
         fs_winograd_tiles_across(scheme, op->out_width, op->pad_left);
}

// What a weight costs in multiplications, its transform too. For two images, which guidance takes, and not for as many
// as there are: so that no image depends on its batch.
static inline int64_t fs_winograd_cost_of(fs_winograd_scheme scheme, const fs_convolution *op) {
  enum { IMAGES = 2, TRANSFORM = 5 };
  return scheme.products * scheme.products * (IMAGES * fs_winograd_tiles_of(scheme, op) + TRANSFORM) / IMAGES;
}

// The small scheme, whose rounding errors are the least, unless another saves a tenth.
static inline fs_winograd_choice fs_winograd_choice_of(const fs_convolution *op) {
  fs_winograd_choice other = op->upsampling == 2 ? FS_WINOGRAD_UPSAMPLING : FS_WINOGRAD_LARGE;
  int64_t small = fs_winograd_cost_of(fs_winograd_schemes[FS_WINOGRAD_SMALL], op);
  return 10 * fs_winograd_cost_of(fs_winograd_schemes[other], op) < 9 * small ? other : FS_WINOGRAD_SMALL;
}

static inline fs_winograd_scheme fs_winograd_scheme_of(const fs_convolution *op) {
  return fs_winograd_schemes[fs_winograd_choice_of(op)];
}

// How Winograd's convolution lays out what it keeps. Tiles are taken in groups, channels in blocks. Patches are
// [block][point][group][point][line of channels][tile of the group][FS_LINE], products
// [product][group][product][tile of the group][FS_PANEL].
typedef struct {
  int64_t groups, rows;   // rows: the tiles of every group but the last
  int64_t depth, blocks;  // depth: the channels of every block but the last
  int64_t plane, product_plane, weight_plane, column_plane;
} fs_winograd_layout;

// Floats of a cache line; the most tiles of a group.
enum { FS_LINE = 16, FS_GROUP = 12 };

// The most channels of a block. Deep ones are added to the products less often, but what is transformed of their
// weights leaves the caches sooner, which pays where many tiles use it.
enum { FS_DEPTH = 32, FS_LARGE_DEPTH = 64, FS_MANY_TILES = 64 };

// Planes are an odd number of cache lines long: were they a multiple of 4096 bytes, they would share one cache set.
static inline int64_t fs_odd_lines(int64_t lines) { return (lines | 1) * FS_LINE; }

static inline fs_winograd_layout fs_winograd_layout_of(const fs_convolution *op, int64_t tiles) {
  int64_t groups = (tiles + FS_GROUP - 1) / FS_GROUP, rows = groups == 0 ? 0 : (tiles + groups - 1) / groups;
  int64_t lines = (op->channels + FS_LINE - 1) / FS_LINE;
  // A matter of one image alone, as it orders the sums.
  int64_t most = fs_winograd_tiles_of(fs_winograd_scheme_of(op), op) < FS_MANY_TILES ? FS_DEPTH : FS_LARGE_DEPTH;
  int64_t depth = lines < most / FS_LINE ? lines * FS_LINE : most;
  return (fs_winograd_layout){
    .groups = groups, .rows = rows, .depth = depth, .blocks = (op->channels + depth - 1) / depth,
    .plane = fs_odd_lines(depth / FS_LINE * rows), .product_plane = fs_odd_lines(FS_PANEL / FS_LINE * rows),
    .weight_plane = fs_odd_lines(FS_PANEL / FS_LINE * depth),
    .column_plane = fs_odd_lines(3 * FS_PANEL / FS_LINE * depth),
  };
}

static inline bool fs_is_tiled(fs_key_packing packing) { return packing >= FS_TILED_KEYS; }

// Attention's keys per block, and the floats of each: rows that do not lie a multiple of 256 bytes apart, so as to
// spread over the sets of the cache.
static inline int64_t fs_attention_key_block(int64_t dimension, fs_key_packing packing) {
  if (packing == FS_TILED_PIECES && dimension > 256) return 64;
  return (dimension <= 64 ? 128 : 64) * (fs_is_tiled(packing) ? 4 : 1);
}
static inline int64_t fs_attention_padded(int64_t dimension) { return (dimension + 7) / 8 * 8; }
static inline int64_t fs_attention_key_stride(int64_t dimension) { return fs_attention_padded(dimension) + 8; }

// Tiles (attention_tiles_body.h): panels of keys whose weights are used at once; bfloat16s for a number; pairs of
// columns, and the tiles' lines that hold them; panels of the values' columns, one of which is of ones.
enum { FS_ATTENTION_GROUP = 4, FS_PIECES = 3 };
static inline int64_t fs_attention_pieces(fs_key_packing packing) { return packing == FS_TILED_PIECES ? FS_PIECES : 1; }
static inline int64_t fs_attention_pairs(int64_t dimension) { return (dimension + 1) / 2; }
static inline int64_t fs_attention_lines(int64_t dimension, int64_t pieces) {
  return (pieces * fs_attention_pairs(dimension) + 15) / 16;
}
static inline int64_t fs_attention_value_panels(int64_t dimension) { return dimension / FS_PANEL + 1; }

// The bytes of a query: an odd number of cache lines, as these rows are read side by side.
static inline int64_t fs_attention_query_bytes(int64_t dimension, fs_key_packing packing) {
  return fs_odd_lines(fs_attention_lines(dimension, fs_attention_pieces(packing))) * 4;
}

// The pairs of a panel of keys. Products start with any of the pieces, and take lines until the last one is used.
static inline int64_t fs_attention_key_pairs(int64_t dimension, fs_key_packing packing) {
  int64_t pieces = fs_attention_pieces(packing), most = 0;
  for (int64_t first = 0; first < pieces; first++) {
    int64_t end = first * fs_attention_pairs(dimension) + 16 * fs_attention_lines(dimension, pieces - first);
    most = end > most ? end : most;
  }
  return most;
}

// The bytes of a panel of keys, and of one of values for a panel of columns.
static inline int64_t fs_attention_key_panel(int64_t dimension, fs_key_packing packing) {
  return fs_attention_key_pairs(dimension, packing) * FS_PANEL * 4;
}
static inline int64_t fs_attention_value_panel(fs_key_packing packing) {
  return fs_attention_pieces(packing) * FS_PANEL / 2 * FS_PANEL * 4;
}

// The floats that 32 queries take: pieces, a base for each as a cache line, and outputs in panels.
static inline int64_t fs_attention_tile_count(int64_t dimension, fs_key_packing packing) {
  int64_t outputs = fs_attention_value_panels(dimension) * FS_PANEL;
  return 32 * (fs_attention_query_bytes(dimension, packing) / 4 + FS_LINE + outputs);
}

// The floats of the weights of two groups of panels of keys, for 32 queries.
static inline int64_t fs_attention_weight_count(fs_key_packing packing) {
  return 2 * FS_ATTENTION_GROUP * fs_attention_value_panel(packing) / 4;
}

// The floats of a packed block of keys and values.
static inline int64_t fs_attention_block_count(int64_t dimension, fs_key_packing packing) {
  int64_t keys = fs_attention_key_block(dimension, packing);
  if (fs_is_tiled(packing)) {
    int64_t values = fs_attention_value_panels(dimension) * fs_attention_value_panel(packing);
    return keys / FS_PANEL * (fs_attention_key_panel(dimension, packing) + values) / 4;
  }
  int64_t row = fs_attention_key_stride(dimension) + fs_attention_padded(dimension);
  return keys * (packing == FS_PAIRED_KEYS ? row / 2 : row);
}

static inline int64_t fs_padded_lines(int64_t count) { return (count + FS_LINE - 1) / FS_LINE * FS_LINE; }

// Convolutions to at most so many outputs from floats have packed weights and a kernel of their own (few_body.h).
enum { FS_FEW = 4 };
static inline bool fs_is_few(fs_format format, int64_t outputs, int64_t taps) {
  return outputs <= FS_FEW && taps > 1 && (format == FS_FLOAT32 || format == FS_FLOAT16);
}

// Outputs rounded up to what packed panels hold.
static inline int64_t fs_padded_outputs(int64_t outputs) {
  int64_t half = FS_PANEL / 2;
  return (outputs + half - 1) / half * half;
}

// Channels of bfloat16 are padded to pairs.
static inline int64_t fs_bfloat16_padded(int64_t channels) { return (channels + 1) / 2 * 2; }
// Bytes from one pixel of bfloat16 to the next: not a multiple of 2048, which would have few cache sets share all rows.
static inline int64_t fs_bfloat16_stride(int64_t channels) {
  int64_t bytes = 2 * fs_bfloat16_padded(channels);
  return bytes % 2048 == 0 ? bytes + 64 : bytes;
}

// An int8 pixel: step and zero point, then the channels, padded to fours.
typedef struct {
  float step;
  int32_t zero;
  uint8_t channels[];
} fs_int8_pixel;

static inline int64_t fs_int8_padded(int64_t channels) { return (channels + 3) / 4 * 4; }
static inline int64_t fs_int8_bytes(int64_t channels) {
  return (int64_t)sizeof(fs_int8_pixel) + fs_int8_padded(channels);
}

// The margin for tiles, which hold 16 pixels side by side. They are read from where they lie if these are of one row of
// the picture, and lines of 64 bytes whole; then all taps must lie within the margin.
static inline int64_t fs_tile_margin(const fs_convolution *op, int64_t channel_bytes) {
  bool is_whole = op->out_width % 16 == 0 && channel_bytes % 64 == 0;
  if (op->kernel_height * op->kernel_width == 1 || op->upsampling > 1 || !is_whole) return 0;
  int64_t bottom = (op->out_height - 1) * op->stride + op->kernel_height - op->pad_top - op->height;
  int64_t right = (op->out_width - 1) * op->stride + op->kernel_width - op->pad_left - op->width;
  int64_t before = op->pad_top > op->pad_left ? op->pad_top : op->pad_left, after = bottom > right ? bottom : right;
  return before > after ? before : after;
}

// What the calling thread chose by fs_isa_select, or NULL; and taking over another thread's choice.
const fs_kernels *fs_own_kernels(void);
void fs_adopt_kernels(const fs_kernels *kernels);

// Few channels are faster in vectors than in tiles: of int8, the sums of every tap have to be scaled; of floats and
// halves, splitting into pieces takes what they save.
static inline bool fs_tiles_pay(fs_format format, int64_t channels) {
  return format == FS_BFLOAT16 || (format == FS_INT8 ? channels > 128 : channels >= 320);
}

// Attention of floats by tiles: a base for every query, and keys in panels, take what few keys save.
static inline bool fs_key_pieces_pay(int64_t keys) { return keys >= 128; }

// Whether AMX is there and the system lets this process use it (tiles.c).
bool fs_may_use_tiles(void);

extern const fs_kernels fs_portable;
#if defined(__x86_64__)
extern const fs_kernels fs_avx2, fs_avxvnni, fs_avx512, fs_avx512vnni, fs_avx512bf16, fs_amx;
#endif
