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

// G of F(4x4, 3x3) with the points 0, 1, -1, 2, -2 and infinity (Lavin and Gray 2015, arXiv:1509.09308, section 4.2).
static const double G[6][3] = {
  {1.0 / 4, 0, 0},
  {-1.0 / 6, -1.0 / 6, -1.0 / 6},
  {-1.0 / 6, 1.0 / 6, -1.0 / 6},
  {1.0 / 24, 1.0 / 12, 1.0 / 6},
  {1.0 / 24, -1.0 / 12, 1.0 / 6},
  {0, 0, 1},
};

int64_t fs_winograd_weight_count(int64_t outputs, int64_t channels) { return 36 * fs_packed_count(outputs, channels); }

void fs_winograd_transform_weights(float *transformed, const float *weights, int64_t outputs, int64_t channels) {
  int64_t plane = fs_packed_count(outputs, channels);
  for (int64_t i = 0; i < 36 * plane; i++) transformed[i] = 0;
  for (int64_t n = 0; n < outputs; n++) {
    int64_t column = n / FS_PANEL * FS_PANEL;
    int64_t width = outputs - column <= FS_PANEL / 2 ? FS_PANEL / 2 : FS_PANEL;
    for (int64_t c = 0; c < channels; c++) {
      const float *g = weights + (n * channels + c) * 9;
      float *target = transformed + column * channels + c * width + (n - column);
      for (int i = 0; i < 6; i++)
        for (int j = 0; j < 6; j++) {
          double sum = 0;
          for (int y = 0; y < 3; y++)
            for (int x = 0; x < 3; x++) sum += G[i][y] * (double)g[y * 3 + x] * G[j][x];
          target[(i * 6 + j) * plane] = (float)sum;
        }
    }
  }
}

int64_t fs_winograd_tiles(const fs_convolution *op) {
  return (op->out_height + 3) / 4 * ((op->out_width + 3) / 4);
}

int64_t fs_winograd_scratch_count(const fs_convolution *op, int64_t tiles) {
  return 36 * (fs_plane_stride(tiles, op->channels) + fs_plane_stride(tiles, fs_padded_outputs(op->outputs)));
}
