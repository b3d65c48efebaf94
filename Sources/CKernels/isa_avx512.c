// 512-bit vectors: Skylake-X, Ice Lake, Zen 4 and later.
#include "kernels.h"

#if defined(__x86_64__)
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

const fs_kernels fs_avx512 = KERNEL_TABLE("avx512");
#endif
