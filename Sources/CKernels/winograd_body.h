// 3x3 convolution in a quarter of the multiplications: Winograd's F(4x4, 3x3).
//
// Lavin and Gray 2015, arXiv:1509.09308, section 4.2, with the points 0, 1, -1, 2, -2 and infinity. Every 6x6 patch of
// the input becomes 36 numbers per channel, each of which is multiplied with weights of its own; from the 36 sums come
// 4x4 outputs. The tiles of one call stay in its scratch, which should fit the second-level cache.

// x := B^T x for six vectors that are `stride` apart.
INLINE void ISA(transform_input)(vf *x, int stride) {
  vf x0 = x[0], x1 = x[stride], x2 = x[2 * stride], x3 = x[3 * stride], x4 = x[4 * stride], x5 = x[5 * stride];
  vf even = x4 - 4.0f * x2, odd = x3 - 4.0f * x1;
  vf even2 = x4 - x2, odd2 = 2.0f * (x3 - x1);
  x[0] = 4.0f * x0 - 5.0f * x2 + x4;
  x[stride] = even + odd;
  x[2 * stride] = even - odd;
  x[3 * stride] = even2 + odd2;
  x[4 * stride] = even2 - odd2;
  x[5 * stride] = 4.0f * x1 - 5.0f * x3 + x5;
}

// The first four of six vectors := A^T x.
INLINE void ISA(transform_output)(vf *x, int stride) {
  vf sum1 = x[stride] + x[2 * stride], difference1 = x[stride] - x[2 * stride];
  vf sum2 = x[3 * stride] + x[4 * stride], difference2 = x[3 * stride] - x[4 * stride];
  x[0] = x[0] + sum1 + sum2;
  x[stride] = difference1 + 2.0f * difference2;
  x[2 * stride] = sum1 + 4.0f * sum2;
  x[3 * stride] = difference1 + 8.0f * difference2 + x[5 * stride];
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

static void ISA(winograd)(const fs_convolution *op, int64_t begin, int64_t end, float *scratch) {
  int64_t tiles = end - begin, channels = op->channels, outputs = fs_padded_outputs(op->outputs);
  int64_t across = (op->out_width + 3) / 4, per_image = fs_winograd_tiles(op);
  int64_t in_plane = fs_plane_stride(tiles, channels), out_plane = fs_plane_stride(tiles, outputs);
  float *patches = scratch, *products = scratch + 36 * in_plane;

  for (int64_t t = 0; t < tiles; t++) {
    int64_t within = (begin + t) % per_image;
    const float *pixels[36];
    ISA(gather_patch)(op, pixels, (begin + t) / per_image, within / across * 4, within % across * 4);
    for (int64_t c = 0; c < channels; c += LANES) {
      int64_t lanes = channels - c < LANES ? channels - c : LANES;
      vf d[36];
      for (int k = 0; k < 36; k++)
        d[k] = lanes == LANES ? ISA(load)(pixels[k] + c) : ISA(load_part)(pixels[k] + c, lanes);
      for (int j = 0; j < 6; j++) ISA(transform_input)(d + j, 6);
      for (int i = 0; i < 6; i++) ISA(transform_input)(d + i * 6, 1);
      float *target = patches + t * channels + c;
      for (int k = 0; k < 36; k++, target += in_plane)
        if (lanes == LANES) ISA(store)(target, d[k]);
        else ISA(store_part)(target, d[k], lanes);
    }
  }

  int64_t weight_plane = fs_packed_count(op->outputs, channels);
  for (int k = 0; k < 36; k++)
    for (int64_t column = 0; column < op->outputs; column += FS_PANEL) {
      int64_t width = ISA(panel_width)(op, column);
      for (int64_t t = 0; t < tiles; t += TILE_ROWS) {
        int64_t rows = tiles - t < TILE_ROWS ? tiles - t : TILE_ROWS;
        const float *pointers[TILE_ROWS];
        for (int64_t r = 0; r < rows; r++) pointers[r] = patches + k * in_plane + (t + r) * channels;
        ISA(multiply)(
          products + k * out_plane + t * outputs + column, outputs, rows, width, pointers, 1, channels,
          op->weights + k * weight_plane + column * channels, width);
      }
    }

  for (int64_t t = 0; t < tiles; t++) {
    int64_t image = (begin + t) / per_image, within = (begin + t) % per_image;
    int64_t y = within / across * 4, x = within % across * 4;
    int64_t rows = op->out_height - y < 4 ? op->out_height - y : 4;
    int64_t row_length = op->out_width - x < 4 ? op->out_width - x : 4;
    for (int64_t column = 0; column < op->outputs; column += FS_PANEL) {
      int64_t columns = op->outputs - column < FS_PANEL ? op->outputs - column : FS_PANEL;
      float tile[16 * FS_PANEL];
      for (int64_t c = 0; c < columns; c += LANES) {
        vf m[36];
        const float *source = products + t * outputs + column + c;
        for (int k = 0; k < 36; k++, source += out_plane) m[k] = ISA(load)(source);
        for (int j = 0; j < 6; j++) ISA(transform_output)(m + j, 6);
        for (int i = 0; i < 4; i++) ISA(transform_output)(m + i * 6, 1);
        for (int i = 0; i < 4; i++)
          for (int j = 0; j < 4; j++) ISA(store)(tile + (i * 4 + j) * FS_PANEL + c, m[i * 6 + j]);
      }
      for (int64_t i = 0; i < rows; i++)
        ISA(finish)(
          op, tile + i * 4 * FS_PANEL, (image * op->out_height + y + i) * op->out_width + x, row_length, column,
          columns);
    }
  }
}
