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

#include "vector_body.h"
#include "gemm_body.h"
#include "winograd_body.h"
#include "elementwise_body.h"
#include "state_body.h"
#include "norm_body.h"
#include "attention_body.h"

#pragma clang attribute pop

#define ATTEND_BFLOAT16 ISA(attend_rounded)
const fs_kernels fs_avx512 = KERNEL_TABLE("avx512");

// With BF16 too: Cooper Lake, Sapphire Rapids, Zen 4 and later.
#pragma clang attribute push( \
  __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,avx2,fma,f16c"))), apply_to = function)

#include "attention_bfloat16_body.h"

#pragma clang attribute pop

#undef ATTEND_BFLOAT16
#define ATTEND_BFLOAT16 ISA(attend_dot)
const fs_kernels fs_avx512bf16 = KERNEL_TABLE("avx512bf16");
#endif
