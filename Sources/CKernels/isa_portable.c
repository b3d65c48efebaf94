// Plain C on 128-bit vectors, which every CPU of interest has: the reference of the other versions, and NEON's.
#include "kernels.h"

#define ISA(name) portable_##name
#define LANES 4
#define TILE_ROWS 4
#define SCORE_TILE 4
#define SCORE_VECTORS 2

#include "vector_body.h"
#include "gemm_body.h"
#include "winograd_body.h"
#include "elementwise_body.h"
#include "state_body.h"
#include "norm_body.h"
#include "attention_body.h"

#define ATTEND_BFLOAT16 ISA(attend_rounded)
const fs_kernels fs_portable = KERNEL_TABLE("portable");
