// Plain C on 128-bit vectors, which every CPU of interest has: the reference of the other versions, and NEON's.
#include "kernels.h"

#define ISA(name) portable_##name
#define LANES 4
#define TILE_ROWS 4
#define SCORE_TILE 4
#define SCORE_VECTORS 2

#include "bodies.h"

#define INT8(name) portable_int8_##name
// The weights of a four, times the channels of one.
INLINE vi INT8(dot)(vi sum, vi x, vi w) {
  for (int shift = 0; shift < 32; shift += 8) sum += (x >> shift & 255) * (w << (24 - shift) >> 24);
  return sum;
}
#include "int8_body.h"

#define CONVOLVE_BFLOAT16 CONVOLVE_WIDENED_BFLOAT16
#define ATTEND_BFLOAT16 ATTEND_ROUNDED
const fs_kernels fs_portable = KERNEL_TABLE("portable");
