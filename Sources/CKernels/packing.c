// Weights in the order in which the kernels read them.
#include "kernels.h"

int64_t fs_packed_count(int64_t outputs, int64_t inputs) {
  int64_t half = FS_PANEL / 2;
  return (outputs + half - 1) / half * half * inputs;
}

void fs_pack_weights(
  float *packed, const float *weights, int64_t outputs, int64_t channels, int64_t taps, int64_t panel) {
  int64_t column = panel * FS_PANEL;
  int64_t columns = outputs - column < FS_PANEL ? outputs - column : FS_PANEL;
  int64_t width = columns <= FS_PANEL / 2 ? FS_PANEL / 2 : FS_PANEL;
  packed += column * channels * taps;
  for (int64_t n = 0; n < width; n++) {
    const float *row = weights + (column + n) * channels * taps;
    for (int64_t channel = 0; channel < channels; channel++)
      for (int64_t tap = 0; tap < taps; tap++)
        packed[(tap * channels + channel) * width + n] = n < columns ? row[channel * taps + tap] : 0;
  }
}

int64_t fs_winograd_tiles(const fs_convolution *op) {
  return (op->out_height + 3) / 4 * ((op->out_width + 3) / 4);
}

int64_t fs_winograd_patch_count(const fs_convolution *op, int64_t tiles) {
  fs_winograd_layout layout = fs_winograd_layout_of(op, tiles);
  return layout.blocks * 36 * layout.groups * layout.plane;
}

int64_t fs_winograd_scratch_count(const fs_convolution *op, int64_t tiles) {
  fs_winograd_layout layout = fs_winograd_layout_of(op, tiles);
  return 6 * (layout.column_plane + layout.weight_plane) + 36 * layout.groups * layout.product_plane;
}
