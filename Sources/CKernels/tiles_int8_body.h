// Convolution of int8 with AMX: the sums of int8_body.h, with the same bits.

// Where the chunk keeps what belongs to a pixel.
INLINE int64_t ISA(pixel_index)(const ISA(tiling) *t, int64_t tap, int64_t row) {
  return (tap - t->begin / t->steps) * CHUNK_LINES + row;
}

static void ISA(measure_pixels)(
  const ISA(tiling) *t, const void *const *pixels, int64_t tap, int64_t row, int64_t rows) {
  for (int64_t r = 0; r < rows; r++)
    t->pixel_scales[ISA(pixel_index)(t, tap, row + r)] = ISA(pixel_scale_of)(pixels[r], t->channels);
}

static void ISA(read_scales)(
  const ISA(tiling) *t, const void *const *pixels, int64_t tap, int64_t row, int64_t rows) {
  for (int64_t r = 0; r < rows; r++) {
    const fs_int8_pixel *pixel = pixels[r];
    t->pixel_scales[ISA(pixel_index)(t, tap, row + r)] = (ISA(pixel_scale)){.step = pixel->step, .zero = pixel->zero};
  }
}

// From floats.
static void ISA(quantize_line)(
  const ISA(tiling) *t, char *line, const void *const *pixels, int64_t row, int64_t rows, int64_t step) {
  const int64_t offset = ISA(line_offset)(t, step);
  const ISA(pixel_scale) *scales = t->pixel_scales + row;
  for (int64_t r = 0; r < rows; r++, line += TILE_BYTES) {
    uint64_t mask = ISA(line_mask)(t, step);
    for (int i = 0; i < TILE_BYTES; i += LANES, mask >>= LANES) {
      vf x = (vf)_mm512_maskz_loadu_ps((__mmask16)mask, (const float *)pixels[r] + offset + i);
      __m128i levels = (__m128i)ISA(levels)(x, &scales[r]);
      _mm_store_si128((__m128i *)(line + i), _mm_maskz_mov_epi8((__mmask16)mask, levels));
    }
  }
}

// From pixels that are int8.
static void ISA(copy_int8_line)(
  const ISA(tiling) *t, char *line, const void *const *pixels, int64_t row, int64_t rows, int64_t step) {
  const int64_t offset = ISA(line_offset)(t, step);
  const uint64_t mask = ISA(line_mask)(t, step);
  for (int64_t r = 0; r < rows; r++) {
    const uint8_t *channels = ((const fs_int8_pixel *)pixels[r])->channels;
    _mm512_store_si512(line + r * TILE_BYTES, _mm512_maskz_loadu_epi8(mask, channels + offset));
  }
}

// Brings a tap's sums to their true scale and adds them to the earlier ones.
static void ISA(finish_tap)(ISA(companion) *companion, int64_t begin, int64_t end) {
#pragma clang fp contract(off)
  const ISA(rest) *rest = (const ISA(rest) *)companion;
  const ISA(tiling) *t = rest->t;
  const ISA(place) *place = &rest->place;
  const int64_t tap = rest->first / t->steps, columns = place->columns;
  const int64_t width = ISA(panel_width)(t->op, place->column);
  const float *steps = (const float *)rest->weights;
  const int32_t *weight_sums = (const int32_t *)(rest->weights + (4 + tap * t->column_bytes) * width);
  const ISA(pixel_scale) *scales = t->pixel_scales + ISA(pixel_index)(t, tap, place->row - t->row);
  const bool is_last = rest->end == t->taps * t->steps;
  float *target = is_last ? rest->sums : rest->waiting;
  if (is_last) ISA(prefetch_next)(rest, begin, end);
  for (int64_t i = begin * FS_PANEL; i < end * FS_PANEL; i += FS_PANEL)
    for (int64_t c = 0; c < columns; c += LANES) {
      const ISA(pixel_scale) *scale = scales + i / FS_PANEL;
      vi exact = *(const vi *)(rest->sums + i + c) - *(const vi *)(weight_sums + c) * scale->zero;
      vf sum = __builtin_convertvector(exact, vf) * scale->step;
      if (tap > 0) sum += ISA(load)(rest->waiting + i + c);
      if (is_last) sum *= ISA(load)(steps + c);
      ISA(store)(target + i + c, sum);
    }
  if (is_last)
    ISA(finish)(
      place->op, rest->sums + begin * FS_PANEL, place->row + begin, end - begin, place->column, place->columns);
}

static void ISA(convolve_int8_tiles)(
  const fs_convolution *op, int64_t row_begin, int64_t row_end, int64_t panel_begin, int64_t panel_end) {
  if (!fs_tiles_pay(FS_INT8, op->channels)) return INT8(convolve)(op, row_begin, row_end, panel_begin, panel_end);
  ISA(tiling) t = ISA(convolution_tiling)(
    op, 1, fs_int8_padded(op->channels), 4, sizeof(fs_int8_pixel), fs_int8_bytes(op->channels));
  int64_t most = SPAN / t.steps, span = ISA(equal_parts)(t.taps, most > 0 ? most : 1) * t.steps;
  ISA(convolve_chunks)(
    &t, t.steps, span, true, op->pixels ? ISA(read_scales) : ISA(measure_pixels),
    op->pixels ? ISA(copy_int8_line) : ISA(quantize_line), ISA(finish_tap), row_begin, row_end, panel_begin,
    panel_end);
}
