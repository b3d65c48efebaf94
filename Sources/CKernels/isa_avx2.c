// 256-bit vectors with FMA and F16C: Haswell, Zen and later.
#include "kernels.h"

#if defined(__x86_64__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)

#define ISA(name) avx2_##name
#define LANES 8
#define TILE_ROWS 6
#define SCORE_TILE 2
#define SCORE_VECTORS 4

#include "vector_body.h"
#include "gemm_body.h"
#include "winograd_body.h"
#include "elementwise_body.h"
#include "state_body.h"
#include "norm_body.h"
#include "attention_body.h"

#pragma clang attribute pop

#define ATTEND_BFLOAT16 ISA(attend_rounded)
const fs_kernels fs_avx2 = KERNEL_TABLE("avx2");
#endif
