// Convolution of float pixels with weights stored in 16 bits: block by block of a panel they are widened into a buffer
// that stays in the cache, for all tiles of a chunk. The order of summation is that of float weights.

// Rows of a block of widened weights: panels of most linear layers are one block, or few, whose sums are in registers.
#define BLOCK 640

// target[i x width + n] := the weights of `count` channels of a tap, from `channel` on, which is even.
typedef void (*ISA(widening))(
  float *target, const uint16_t *panel, int64_t tap, int64_t channel, int64_t count, int64_t channels, int64_t width);

static void ISA(widen_float16)(
  float *target, const uint16_t *panel, int64_t tap, int64_t channel, int64_t count, int64_t channels, int64_t width) {
  ISA(half_to_float)(target, panel + (tap * channels + channel) * width, count * width);
}

// Packed by pairs of channels.
static void ISA(widen_bfloat16)(
  float *target, const uint16_t *panel, int64_t tap, int64_t channel, int64_t count, int64_t channels, int64_t width) {
  panel += (tap * fs_bfloat16_padded(channels) + channel) * width;
  for (int64_t i = 0; i < count; i++, target += width) {
    const uint16_t *pairs = panel + i / 2 * 2 * width;
    for (int64_t n = 0; n < width; n += LANES) {
      vi pair = *(const vi *)(pairs + 2 * n);
      ISA(store)(target + n, (vf)(i % 2 == 0 ? pair << 16 : pair & (int32_t)0xffff0000));
    }
  }
}

static void ISA(convolve_halves)(
  const fs_convolution *op, int64_t padded_channels, ISA(widening) widen, int64_t row_begin, int64_t row_end,
  int64_t panel_begin, int64_t panel_end) {
  enum { MOST_TILES = MOST_CHUNK_ROWS / TILE_ROWS };
  const void *pointers[MOST_TILES][MAX_TAPS * TILE_ROWS];
  int64_t begins[MOST_TILES + 1];
  const void *part[MAX_TAPS * TILE_ROWS];
  float tiles[MOST_CHUNK_ROWS * FS_PANEL];
  float block[BLOCK * FS_PANEL] __attribute__((aligned(64)));
  fs_pixels pixels = {op->input, op->input_stride * (int64_t)sizeof(float), op->zeros, 0};
  int64_t taps = op->kernel_height * op->kernel_width, channels = op->channels;
  // Whole taps, or parts of one.
  int64_t block_taps = channels < BLOCK ? BLOCK / channels : 1;
  int64_t chunk_rows = ISA(chunk_rows)(taps, pixels.bytes);
  for (int64_t chunk = row_begin; chunk < row_end; chunk += chunk_rows) {
    int64_t end = chunk + chunk_rows < row_end ? chunk + chunk_rows : row_end;
    int64_t tile_count = ISA(gather_tiles)(op, &pixels, pointers, begins, chunk, end);
    for (int64_t panel = panel_begin; panel < panel_end; panel++) {
      int64_t column = panel * FS_PANEL;
      int64_t columns = op->outputs - column < FS_PANEL ? op->outputs - column : FS_PANEL;
      int64_t width = ISA(panel_width)(op, column);
      const uint16_t *packed = (const uint16_t *)op->weights + column * taps * padded_channels;
      for (int64_t tap = 0; tap < taps; tap += block_taps)
        for (int64_t channel = 0; channel < channels; channel += BLOCK) {
          int64_t tap_count = taps - tap < block_taps ? taps - tap : block_taps;
          int64_t count = channels - channel < BLOCK ? channels - channel : BLOCK;
          for (int64_t t = 0; t < tap_count; t++)
            widen(block + t * count * width, packed, tap + t, channel, count, channels, width);
          // The weights of the next block, which follow, are on their way meanwhile.
          const char *next = (const char *)(packed + (tap * padded_channels + channel + tap_count * count) * width);
          int64_t ahead = tap_count * count * width * 2;
          bool is_first = tap + channel == 0, is_last = tap + tap_count == taps && channel + count == channels;
          for (int64_t i = 0; i < tile_count; i++) {
            int64_t row = begins[i], rows = begins[i + 1] - row;
            float *tile = tiles + (row - chunk) * FS_PANEL;
            ISA(place) place = {op, row, rows, column, columns, ISA(fetch_part)(next, ahead, i, tile_count)};
            for (int64_t t = 0; t < tap_count; t++)
              for (int64_t r = 0; r < rows; r++)
                part[t * TILE_ROWS + r] = (const float *)pointers[i][(tap + t) * TILE_ROWS + r] + channel;
            if (!is_last)
              ISA(multiply_more)(
                tile, rows, columns, (const float *const *)part, tap_count, count, block, width, place.fetch,
                !is_first);
            else if (ISA(multiply_last)(&place, tile, part, tap_count, count, block, width, !is_first))
              ISA(finish)(op, tile, row, rows, column, columns);
          }
        }
    }
  }
}

static void ISA(convolve_float16)(
  const fs_convolution *op, int64_t row_begin, int64_t row_end, int64_t panel_begin, int64_t panel_end) {
  ISA(convolve_halves)(
    op, op->channels, ISA(widen_float16), row_begin, row_end, panel_begin, panel_end);
}

static void ISA(convolve_bfloat16)(
  const fs_convolution *op, int64_t row_begin, int64_t row_end, int64_t panel_begin, int64_t panel_end) {
  ISA(convolve_halves)(
    op, fs_bfloat16_padded(op->channels), ISA(widen_bfloat16), row_begin, row_end, panel_begin, panel_end);
}

#undef BLOCK
