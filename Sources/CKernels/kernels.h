// The kernels of one instruction set, and the vector types that their shared source is written in.
#pragma once

#include <float.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "CKernels.h"

typedef struct {
  const char *name;
  void (*convolve)(const fs_convolution *, int64_t, int64_t, int64_t, int64_t);
  void (*winograd)(const fs_convolution *, int64_t, int64_t, float *);
  void (*attend)(const fs_attention *, int64_t, int64_t, float *);
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

// Floats between the 36 planes of transformed tiles: not a multiple of 4096 bytes, which would share one cache set.
static inline int64_t fs_plane_stride(int64_t tiles, int64_t columns) { return tiles * columns + 16; }

// Outputs rounded up to what packed panels hold.
static inline int64_t fs_padded_outputs(int64_t outputs) { return fs_packed_count(outputs, 1); }

// Attention's keys per block, and what is copied of each: rows that do not lie a multiple of 256 bytes apart, so as to
// spread over the sets of the cache.
static inline int64_t fs_attention_key_block(int64_t dimension) { return dimension <= 64 ? 128 : 64; }
static inline int64_t fs_attention_padded(int64_t dimension) { return (dimension + 7) / 8 * 8; }
static inline int64_t fs_attention_key_stride(int64_t dimension) { return fs_attention_padded(dimension) + 8; }

extern const fs_kernels fs_portable;
#if defined(__x86_64__)
extern const fs_kernels fs_avx2, fs_avx512;
#endif
