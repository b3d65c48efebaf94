// Weights in the order in which the kernels read them. One panel after another:
//
// FS_FLOAT32   [tap][channel][output]
// FS_FLOAT16   the same
// FS_BFLOAT16  [tap][pair of channels][output][2]
// FS_INT8      [output] steps, then for every tap [output] sums of the weights, [four of channels][output][4]
#include "kernels.h"

static int64_t output_bytes(fs_format format, int64_t channels, int64_t taps) {
  switch (format) {
    case FS_FLOAT32: return taps * channels * 4;
    case FS_FLOAT16: return taps * channels * 2;
    case FS_BFLOAT16: return taps * fs_bfloat16_padded(channels) * 2;
    case FS_INT8: return 4 + taps * (4 + fs_int8_padded(channels));
  }
  return 0;
}

int64_t fs_packed_bytes(fs_format format, int64_t outputs, int64_t channels, int64_t taps) {
  if (fs_is_few(format, outputs, taps))
    return outputs * taps * fs_padded_lines(channels) * (format == FS_FLOAT16 ? 2 : 4);
  return fs_padded_outputs(outputs) * output_bytes(format, channels, taps);
}

// The weights of one panel.
typedef struct {
  const float *first;
  int64_t columns, width, channels, taps;
} panel_weights;

// 0 outside.
static float weight(const panel_weights *w, int64_t n, int64_t channel, int64_t tap) {
  return n < w->columns && channel < w->channels ? w->first[(n * w->channels + channel) * w->taps + tap] : 0;
}

static void pack_float32(float *packed, const panel_weights *w) {
  for (int64_t n = 0; n < w->width; n++)
    for (int64_t channel = 0; channel < w->channels; channel++)
      for (int64_t tap = 0; tap < w->taps; tap++)
        packed[(tap * w->channels + channel) * w->width + n] = weight(w, n, channel, tap);
}

static void pack_few(fs_format format, void *packed, const panel_weights *w) {
  int64_t padded = fs_padded_lines(w->channels), index = 0;
  float line[FS_LINE];
  for (int64_t tap = 0; tap < w->taps; tap++)
    for (int64_t n = 0; n < w->columns; n++)
      for (int64_t channel = 0; channel < padded; channel += FS_LINE, index += FS_LINE) {
        for (int64_t i = 0; i < FS_LINE; i++) line[i] = weight(w, n, channel + i, tap);
        if (format == FS_FLOAT16) fs_float_to_half((uint16_t *)packed + index, line, FS_LINE);
        else memcpy((float *)packed + index, line, sizeof line);
      }
}

static void pack_float16(uint16_t *packed, const panel_weights *w) {
  float row[FS_PANEL];
  for (int64_t tap = 0; tap < w->taps; tap++)
    for (int64_t channel = 0; channel < w->channels; channel++, packed += w->width) {
      for (int64_t n = 0; n < w->width; n++) row[n] = weight(w, n, channel, tap);
      fs_float_to_half(packed, row, w->width);
    }
}

// Nearest, ties to even; NaN stays NaN.
static uint16_t bfloat16(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  if (x != x) return (uint16_t)(bits >> 16 | 0x40);
  return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static void pack_bfloat16(uint16_t *packed, const panel_weights *w) {
  for (int64_t tap = 0; tap < w->taps; tap++)
    for (int64_t channel = 0; channel < w->channels; channel += 2)
      for (int64_t n = 0; n < w->width; n++)
        for (int64_t i = 0; i < 2; i++) *packed++ = bfloat16(weight(w, n, channel + i, tap));
}

// A weight that is not finite makes its output's step so, and thereby the output NaN.
static void pack_int8(char *packed, const panel_weights *w) {
  float *steps = (float *)packed, inverses[FS_PANEL];
  packed += 4 * w->width;
  for (int64_t n = 0; n < w->width; n++) {
    float largest = 0, nan = 0;
    for (int64_t i = 0; i < w->channels * w->taps && n < w->columns; i++) {
      float x = w->first[n * w->channels * w->taps + i];
      largest = fmaxf(largest, fabsf(x));
      nan += x * 0;
    }
    bool usable = largest > 1e-30f && nan == 0;
    steps[n] = usable ? largest / 127 : nan;
    inverses[n] = usable ? 127 / largest : 0;
  }
  for (int64_t tap = 0; tap < w->taps; tap++) {
    int32_t *sums = (int32_t *)packed;
    memset(sums, 0, (size_t)(4 * w->width));
    packed += 4 * w->width;
    for (int64_t channel = 0; channel < w->channels; channel += 4)
      for (int64_t n = 0; n < w->width; n++)
        for (int64_t i = 0; i < 4; i++) {
          float level = inverses[n] == 0 ? 0 : rintf(weight(w, n, channel + i, tap) * inverses[n]);
          sums[n] += (int32_t)level;
          *packed++ = (char)(int32_t)level;
        }
  }
}

void fs_pack_weights(
  fs_format format, void *packed, const float *weights, int64_t outputs, int64_t channels, int64_t taps,
  int64_t panel) {
  int64_t column = panel * FS_PANEL;
  int64_t columns = outputs - column < FS_PANEL ? outputs - column : FS_PANEL;
  int64_t width = columns <= FS_PANEL / 2 ? FS_PANEL / 2 : FS_PANEL;
  panel_weights w = {weights + column * channels * taps, columns, width, channels, taps};
  if (fs_is_few(format, outputs, taps)) return pack_few(format, packed, &w);
  void *target = (char *)packed + column * output_bytes(format, channels, taps);
  switch (format) {
    case FS_FLOAT32: return pack_float32(target, &w);
    case FS_FLOAT16: return pack_float16(target, &w);
    case FS_BFLOAT16: return pack_bfloat16(target, &w);
    case FS_INT8: return pack_int8(target, &w);
  }
}

int64_t fs_winograd_tiles(const fs_convolution *op) { return fs_winograd_tiles_of(fs_winograd_scheme_of(op), op); }

int64_t fs_winograd_products(const fs_convolution *op) {
  int64_t products = fs_winograd_scheme_of(op).products;
  return products * products;
}

int64_t fs_winograd_cost(const fs_convolution *op) { return fs_winograd_cost_of(fs_winograd_scheme_of(op), op); }

int64_t fs_winograd_patch_count(const fs_convolution *op, int64_t tiles) {
  fs_winograd_layout layout = fs_winograd_layout_of(op, tiles);
  int64_t points = fs_winograd_scheme_of(op).points;
  return layout.blocks * points * points * layout.groups * layout.plane;
}

int64_t fs_winograd_scratch_count(const fs_convolution *op, int64_t tiles) {
  fs_winograd_layout layout = fs_winograd_layout_of(op, tiles);
  int64_t products = fs_winograd_scheme_of(op).products;
  return products * layout.column_plane + 2 * layout.weight_plane +
         products * products * layout.groups * layout.product_plane;
}
