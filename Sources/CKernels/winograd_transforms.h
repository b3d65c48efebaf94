// The transforms of Winograd's schemes (kernels.h): of patches, weights and products.

// Two of the vectors B^T x of the small scheme, 0 and 5, 1 and 2, or 3 and 4: pairs need few registers.
INLINE void ISA(transform_small_input)(vf *result, const vf *x, int pair) {
  vf even = x[4] - x[2], odd = x[3] - x[1];
  if (pair == 0) {
    result[0] = (x[0] - x[2]) + even + 1.5f * odd;
    result[1] = (x[5] - x[3]) - odd + 1.5f * even;
  } else if (pair == 1) {
    result[0] = (even + odd) + 1.5f * (x[2] + x[3]);
    result[1] = (even - odd) + 1.5f * (x[3] - x[2]);
  } else {
    result[0] = even + 2.0f * odd;
    result[1] = even - 0.5f * odd;
  }
}

// The same of the large scheme: 0 and 7, 1 and 2, 3 and 4, or 5 and 6.
INLINE void ISA(transform_large_input)(vf *result, const vf *x, int pair) {
  if (pair == 0) {
    result[0] = (x[0] - x[6]) + 5.25f * (x[4] - x[2]);
    result[1] = (x[7] - x[1]) + 5.25f * (x[3] - x[5]);
    return;
  }
  vf even, odd;
  if (pair == 1) {
    even = (x[2] + x[6]) - 4.25f * x[4];
    odd = (x[1] + x[5]) - 4.25f * x[3];
  } else if (pair == 2) {
    even = x[6] + 0.25f * x[2] - 1.25f * x[4];
    odd = 0.5f * x[1] + 2.0f * x[5] - 2.5f * x[3];
  } else {
    even = x[6] + 4.0f * x[2] - 5.0f * x[4];
    odd = 2.0f * x[1] + 0.5f * x[5] - 2.5f * x[3];
  }
  result[0] = even + odd;
  result[1] = even - odd;
}

INLINE void ISA(transform_input)(fs_winograd_scheme scheme, vf *result, const vf *x, int pair) {
  if (scheme.points == 8) ISA(transform_large_input)(result, x, pair);
  else ISA(transform_small_input)(result, x, pair);
}

// The four vectors B^T x of the upsampling scheme.
INLINE void ISA(transform_upsampled_input)(vf *result, vf x0, vf x1, vf x2, vf x3) {
  result[0] = x0 - x2;
  result[1] = x1 + x2;
  result[2] = x2 - x1;
  result[3] = x3 - x1;
}

// The vectors G (x0, x1, x2), one for each product.
INLINE void ISA(transform_weights)(fs_winograd_scheme scheme, vf *result, vf x0, vf x1, vf x2) {
  if (scheme.upsampling) {
    vf first = x0 + x1, second = x1 + x2;  // the taps that fall on one pixel of the input
    result[0] = x0;
    result[1] = first;
    result[2] = 0.5f * (first + x2);
    result[3] = 0.5f * (x0 - second);
    result[4] = 0.5f * (first - x2);
    result[5] = second;
    result[6] = x2;
    return;
  }
  if (scheme.points == 8) {
    vf ends = (-2.0f / 9) * (x0 + x2), twice = (1.0f / 90) * x0 + (2.0f / 45) * x2;
    vf half = (32.0f / 45) * x0 + (8.0f / 45) * x2;
    result[0] = x0;
    result[1] = ends - (2.0f / 9) * x1;
    result[2] = ends + (2.0f / 9) * x1;
    result[3] = twice + (1.0f / 45) * x1;
    result[4] = twice - (1.0f / 45) * x1;
    result[5] = half + (16.0f / 45) * x1;
    result[6] = half - (16.0f / 45) * x1;
    result[7] = x2;
    return;
  }
  vf even = (1.0f / 3) * (x0 + x2);
  result[0] = x0;
  result[1] = even + (1.0f / 3) * x1;
  result[2] = (1.0f / 3) * x1 - even;
  result[3] = (-16.0f / 15) * (x0 + 0.5f * x1 + 0.25f * x2);
  result[4] = (1.0f / 15) * (x0 - 2.0f * x1 + 4.0f * x2);
  result[5] = x2;
}

// The first vectors := A^T x, one for each output.
INLINE void ISA(transform_output)(fs_winograd_scheme scheme, vf *x, int stride) {
  if (scheme.upsampling) {
    vf shared = x[2 * stride], even = x[3 * stride], odd = x[4 * stride];
    vf last_even = x[5 * stride], last_odd = x[6 * stride];
    vf even_sum = shared + even, odd_sum = shared + odd, first_even = x[0];
    x[0] = x[stride] + odd_sum;
    x[stride] = first_even + even_sum;
    x[2 * stride] = shared - odd;
    x[3 * stride] = shared - even;
    x[4 * stride] = odd_sum + last_odd;
    x[5 * stride] = even_sum + last_even;
    return;
  }
  if (scheme.points == 8) {
    vf one = x[stride] + x[2 * stride], two = x[3 * stride] + x[4 * stride], half = x[5 * stride] + x[6 * stride];
    vf odd_one = x[stride] - x[2 * stride], odd_two = x[3 * stride] - x[4 * stride];
    vf odd_half = x[5 * stride] - x[6 * stride];
    x[0] = x[0] + one + (two + half);
    x[stride] = odd_one + 2.0f * odd_two + 0.5f * odd_half;
    x[2 * stride] = one + 4.0f * two + 0.25f * half;
    x[3 * stride] = odd_one + 8.0f * odd_two + 0.125f * odd_half;
    x[4 * stride] = one + 16.0f * two + 0.0625f * half;
    x[5 * stride] = odd_one + 32.0f * odd_two + 0.03125f * odd_half + x[7 * stride];
    return;
  }
  vf x3 = x[3 * stride], x4 = x[4 * stride];
  vf sum = x[stride] + x[2 * stride], difference = x[stride] - x[2 * stride];
  x[0] = x[0] + sum + (x3 + x4);
  x[stride] = difference + 0.5f * x3 - 2.0f * x4;
  x[2 * stride] = sum + 0.25f * x3 + 4.0f * x4;
  x[3 * stride] = difference + 0.125f * x3 - 8.0f * x4 + x[5 * stride];
}

INLINE vf ISA(load_lanes)(const float *p, int64_t lanes) {
  return lanes == LANES ? ISA(load)(p) : ISA(load_part)(p, lanes);
}

// target[i][j] := B^T d B for one patch d and LANES channels, of all schemes but the upsampling one.
INLINE void ISA(transform_plain_patch)(
  fs_winograd_scheme scheme, float *target, int64_t row_stride, int64_t plane, const float *const *pixels, int64_t c,
  int64_t lanes) {
  enum { MOST = FS_MOST_POINTS };
  int last = scheme.points - 1;
  _Pragma("clang loop unroll(full)") for (int pair = 0; pair < scheme.points / 2; pair++) {
    vf d[2][MOST];
    _Pragma("clang loop unroll(full)") for (int j = 0; j <= last; j++) {
      vf x[MOST], column[2];
      _Pragma("clang loop unroll(full)") for (int i = 0; i <= last; i++)
        x[i] = pair == 0 || (i > 0 && i < last) ? ISA(load_lanes)(pixels[i * scheme.points + j] + c, lanes) : (vf){0};
      ISA(transform_input)(scheme, column, x, pair);
      d[0][j] = column[0];
      d[1][j] = column[1];
    }
    _Pragma("clang loop unroll(full)") for (int i = 0; i < 2; i++)
      _Pragma("clang loop unroll(full)") for (int other = 0; other < scheme.points / 2; other++) {
        vf products[2];
        ISA(transform_input)(scheme, products, d[i], other);
        float *row = target + (pair == 0 ? i * last : 2 * pair - 1 + i) * row_stride;
        ISA(store)(row + (other == 0 ? 0 : 2 * other - 1) * plane, products[0]);
        ISA(store)(row + (other == 0 ? last : 2 * other) * plane, products[1]);
      }
  }
}

// The same for the upsampling scheme.
INLINE void ISA(transform_upsampled_patch)(
  float *target, int64_t row_stride, int64_t plane, const float *const *pixels, int64_t c, int64_t lanes) {
  vf d[4][4];
  _Pragma("clang loop unroll(full)") for (int j = 0; j < 4; j++) {
    vf x[4], column[4];
    _Pragma("clang loop unroll(full)") for (int i = 0; i < 4; i++)
      x[i] = ISA(load_lanes)(pixels[i * 4 + j] + c, lanes);
    ISA(transform_upsampled_input)(column, x[0], x[1], x[2], x[3]);
    _Pragma("clang loop unroll(full)") for (int i = 0; i < 4; i++) d[i][j] = column[i];
  }
  _Pragma("clang loop unroll(full)") for (int i = 0; i < 4; i++) {
    vf row[4];
    ISA(transform_upsampled_input)(row, d[i][0], d[i][1], d[i][2], d[i][3]);
    _Pragma("clang loop unroll(full)") for (int j = 0; j < 4; j++)
      ISA(store)(target + i * row_stride + j * plane, row[j]);
  }
}
