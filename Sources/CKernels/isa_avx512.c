// 512-bit vectors: Skylake-X, Ice Lake, Zen 4 and later.
#include "kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>

#pragma clang attribute push( \
  __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c"))), apply_to = function)

#define ISA(name) avx512_##name
#define LANES 16
#define TILE_ROWS 12
#define SCORE_TILE 8
#define SCORE_VECTORS 2

#include "bodies.h"

#define INT8(name) avx512_int8_##name
// Even and odd channels, widened to 16 bits: sums of two products do not overflow.
INLINE vi INT8(dot)(vi sum, vi x, vi w) {
  __m512i bytes = _mm512_set1_epi16(255), a = (__m512i)x, b = (__m512i)w;
  __m512i even = _mm512_madd_epi16(_mm512_and_si512(a, bytes), _mm512_srai_epi16(_mm512_slli_epi16(b, 8), 8));
  __m512i odd = _mm512_madd_epi16(_mm512_srli_epi16(a, 8), _mm512_srai_epi16(b, 8));
  return sum + (vi)even + (vi)odd;
}
#include "int8_body.h"

#pragma clang attribute pop

#define CONVOLVE_BFLOAT16 CONVOLVE_WIDENED_BFLOAT16
#define ATTEND_BFLOAT16 ATTEND_ROUNDED
const fs_kernels fs_avx512 = KERNEL_TABLE("avx512");

// With VNNI: Cascade Lake, Ice Lake and later.
#pragma clang attribute push( \
  __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c"))), apply_to = function)

#undef INT8
#define INT8(name) avx512vnni_int8_##name
INLINE vi INT8(dot)(vi sum, vi x, vi w) {
  return (vi)_mm512_dpbusd_epi32((__m512i)sum, (__m512i)x, (__m512i)w);
}
#include "int8_body.h"

#pragma clang attribute pop

const fs_kernels fs_avx512vnni = KERNEL_TABLE("avx512vnni");

// With BF16 too: Cooper Lake, Sapphire Rapids, Zen 4 and later.
#pragma clang attribute push( \
  __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,avx2,fma,f16c"))), apply_to = function)

#include "bfloat16_body.h"
#include "attention_bfloat16_body.h"

#pragma clang attribute pop

#undef CONVOLVE_BFLOAT16
#define CONVOLVE_BFLOAT16 \
  .convolve[FS_BFLOAT16] = ISA(convolve_bfloat16_dot), .convert[FS_BFLOAT16] = ISA(convert_bfloat16)
#undef ATTEND_BFLOAT16
#define ATTEND_BFLOAT16 \
  .pack_keys[1] = ISA(pack_paired_keys), .attend[1] = ISA(attend_dot), .packing[1] = FS_PAIRED_KEYS
const fs_kernels fs_avx512bf16 = KERNEL_TABLE("avx512bf16");

// With AMX too: Sapphire Rapids and later.
#pragma clang attribute push( \
  __attribute__((target("amx-tile,amx-int8,amx-bf16,avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,avx2,fma,f16c"))), \
  apply_to = function)

#include "tiles_body.h"
#include "tiles_convolution_body.h"
#include "tiles_int8_body.h"
#include "pieces_body.h"
#include "pieces_convolution_body.h"
#include "attention_tiles_packing_body.h"
#include "attention_tiles_body.h"

#pragma clang attribute pop

#undef CONVOLVE_BFLOAT16
#define CONVOLVE_BFLOAT16 \
  .convolve[FS_BFLOAT16] = ISA(convolve_bfloat16_tiles), .convert[FS_BFLOAT16] = ISA(convert_bfloat16)
#undef CONVOLVE_FLOATS
#define CONVOLVE_FLOATS \
  .convolve[FS_FLOAT32] = ISA(convolve_floats_in_pieces), .convolve[FS_FLOAT16] = ISA(convolve_halves_in_pieces)
#undef CONVOLVE_INT8
#define CONVOLVE_INT8 .convolve[FS_INT8] = ISA(convolve_int8_tiles), .tiles = true
#undef ATTEND_FLOATS
#define ATTEND_FLOATS \
  .pack_keys[0] = ISA(pack_key_pieces), .attend[0] = ISA(attend_pieces), .packing[0] = FS_TILED_PIECES
#undef ATTEND_BFLOAT16
#define ATTEND_BFLOAT16 \
  .pack_keys[1] = ISA(pack_tiled_keys), .attend[1] = ISA(attend_tiles), .packing[1] = FS_TILED_KEYS
const fs_kernels fs_amx = KERNEL_TABLE("amx");
#endif
