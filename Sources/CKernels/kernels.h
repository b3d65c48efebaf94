// The kernels of one instruction set, and the vector types that their shared source is written in.
#pragma once

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "CKernels.h"

// The input as a kernel reads it: the pixel in front, bytes from one to the next, and a pixel outside the picture.
typedef struct {
  const void *first;
  int64_t bytes;
  const void *zeros;
} fs_pixels;

typedef void fs_convolve_function(
  const fs_convolution *, const void *weights, const void *pixels, int64_t, int64_t, int64_t, int64_t);
typedef void fs_convert_function(void *, const float *, int64_t, int64_t, int64_t);

typedef struct {
  const char *name;
  void (*convolve)(const fs_convolution *, int64_t, int64_t, int64_t, int64_t);
  fs_convolve_function *convolve_float16, *convolve_bfloat16, *convolve_int8;
  fs_convert_function *convert_bfloat16;  // NULL where floats are read
  fs_convert_function *convert_int8;
  void (*winograd)(const fs_convolution *, int64_t, int64_t, float *);
  void (*activate)(float *, const float *, int64_t, fs_activation);
  void (*geglu)(float *, const float *, int64_t, int64_t);
  void (*add)(float *, const float *, const float *, int64_t, float);
  void (*combine)(float *, const double *, const float *const *, int64_t, const fs_noise *, int64_t, int64_t);
  double (*inner_product)(const float *, const float *, int64_t);
  double (*total_sum)(const float *, int64_t);
  void (*clamp)(float *, int64_t, float, float);
  void (*half_to_float)(float *, const uint16_t *, int64_t);
  void (*float_to_half)(uint16_t *, const float *, int64_t);
  void (*channel_sums)(double *, double *, const float *, int64_t, int64_t);
  void (*scale_shift)(float *, const float *, const float *, const float *, int64_t, int64_t, bool);
  void (*layer_norm)(float *, const float *, const float *, const float *, int64_t, int64_t, float);
  void (*softmax)(float *, int64_t, int64_t, int64_t, float);
} fs_kernels;

// Floats between the 36 planes of transformed tiles: not a multiple of 4096 bytes, which would share one cache set.
static inline int64_t fs_plane_stride(int64_t tiles, int64_t columns) { return tiles * columns + 16; }

// Outputs rounded up to what packed panels hold.
static inline int64_t fs_padded_outputs(int64_t outputs) { return fs_packed_count(outputs, 1); }

// Bytes of the channels of bfloat16, padded to pairs.
static inline int64_t fs_bfloat16_bytes(int64_t channels) { return (channels + 1) / 2 * 4; }

// Bytes from one pixel of bfloat16 to the next: not a multiple of 2048, which would have few cache sets share all rows.
static inline int64_t fs_bfloat16_stride(int64_t channels) {
  int64_t bytes = fs_bfloat16_bytes(channels);
  return bytes % 2048 == 0 ? bytes + 64 : bytes;
}

// An int8 pixel: step and zero point, then the channels, padded to fours.
typedef struct {
  float step;
  int32_t zero;
  uint8_t channels[];
} fs_int8_pixel;

static inline int64_t fs_int8_padded(int64_t channels) { return (channels + 3) / 4 * 4; }

extern const fs_kernels fs_portable;
#if defined(__x86_64__)
extern const fs_kernels fs_avx2, fs_avx512, fs_avx512vnni, fs_avx512bf16;
#endif
