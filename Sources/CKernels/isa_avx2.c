// 256-bit vectors with FMA and F16C: Haswell, Zen and later.
#include "kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>

#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)

#define ISA(name) avx2_##name
#define LANES 8
#define TILE_ROWS 6
#define SCORE_TILE 2
#define SCORE_VECTORS 4

#include "bodies.h"

#define INT8(name) avx2_int8_##name
// Even and odd channels, widened to 16 bits: sums of two products do not overflow.
INLINE vi INT8(dot)(vi sum, vi x, vi w) {
  __m256i bytes = _mm256_set1_epi16(255), a = (__m256i)x, b = (__m256i)w;
  __m256i even = _mm256_madd_epi16(_mm256_and_si256(a, bytes), _mm256_srai_epi16(_mm256_slli_epi16(b, 8), 8));
  __m256i odd = _mm256_madd_epi16(_mm256_srli_epi16(a, 8), _mm256_srai_epi16(b, 8));
  return sum + (vi)even + (vi)odd;
}
#include "int8_body.h"

#pragma clang attribute pop

#define CONVOLVE_BFLOAT16 CONVOLVE_WIDENED_BFLOAT16
#define ATTEND_BFLOAT16 ATTEND_ROUNDED
const fs_kernels fs_avx2 = KERNEL_TABLE("avx2");

// With VNNI in 256 bits: Alder Lake, Zen 5 and later.
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,avxvnni"))), apply_to = function)

#undef INT8
#define INT8(name) avxvnni_int8_##name
INLINE vi INT8(dot)(vi sum, vi x, vi w) {
  return (vi)_mm256_dpbusd_avx_epi32((__m256i)sum, (__m256i)x, (__m256i)w);
}
#include "int8_body.h"

#pragma clang attribute pop

const fs_kernels fs_avxvnni = KERNEL_TABLE("avxvnni");
#endif
