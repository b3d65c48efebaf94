// Loops that do nothing but one arithmetic instruction, in enough independent chains to fill its pipeline.

#include "BenchSupport.h"

enum { CHAINS = 12 };

// Makes a value unknown to the optimiser, and used.
#define OPAQUE(value) __asm__ volatile("" : "+m"(value))

typedef float float4 __attribute__((vector_size(16)));

static double multiply_add_portable(int64_t rounds) {
  float4 sums[CHAINS] = {0}, factor = {0.5f, 0.5f, 0.5f, 0.5f}, summand = {1, 1, 1, 1};
  OPAQUE(factor);
  OPAQUE(summand);
  for (int64_t round = 0; round < rounds; round++)
#pragma clang loop unroll(full)
    for (int i = 0; i < CHAINS; i++) sums[i] = sums[i] * factor + summand;
  OPAQUE(sums);
  return 2.0 * 4 * CHAINS * (double)rounds;
}

#if defined(__x86_64__)
#include <immintrin.h>

// One function: `accumulator` += an instruction of `operations` operations on `operand` twice.
#define LOOP(name, isa, accumulator, operand, operations, instruction)                  \
  __attribute__((target(isa))) static double name(int64_t rounds) {                     \
    accumulator sums[CHAINS] = {0};                                                     \
    operand left = {0}, right = {0};                                                    \
    OPAQUE(left);                                                                       \
    OPAQUE(right);                                                                      \
    for (int64_t round = 0; round < rounds; round++)                                    \
      _Pragma("clang loop unroll(full)") for (int i = 0; i < CHAINS; i++) sums[i] = instruction; \
    OPAQUE(sums);                                                                       \
    return (double)(operations) * CHAINS * (double)rounds;                              \
  }

LOOP(multiply_add_avx2, "avx2,fma", __m256, __m256, 2 * 8, _mm256_fmadd_ps(left, right, sums[i]))
LOOP(multiply_add_avx512, "avx512f", __m512, __m512, 2 * 16, _mm512_fmadd_ps(left, right, sums[i]))
LOOP(bfloat16_avx512, "avx512f,avx512bf16", __m512, __m512bh, 4 * 16, _mm512_dpbf16_ps(sums[i], left, right))
LOOP(int8_avx512, "avx512f,avx512vnni", __m512i, __m512i, 8 * 16, _mm512_dpbusd_epi32(sums[i], left, right))

// A product of tiles again and again, in the four chains of sums that a kernel keeps, of numbers that are not 0: the
// power that these take can lower the clock.
#define TILE_LOOP(name, isa, operations, instruction)                                          \
  __attribute__((target("amx-tile," isa))) static double name(int64_t rounds) {                \
    struct {                                                                                   \
      uint8_t palette, start_row, reserved[14];                                                \
      uint16_t bytes[16];                                                                      \
      uint8_t rows[16];                                                                        \
    } shapes = {.palette = 1};                                                                 \
    uint16_t numbers[16 * 32];                                                                 \
    for (int i = 0; i < 8; i++) {                                                              \
      shapes.bytes[i] = 64;                                                                    \
      shapes.rows[i] = 16;                                                                     \
    }                                                                                          \
    for (int i = 0; i < 16 * 32; i++) numbers[i] = (uint16_t)(0x3f80 + (i * 37 & 0x807f));     \
    _tile_loadconfig(&shapes);                                                                 \
    _tile_zero(0);                                                                             \
    _tile_zero(1);                                                                             \
    _tile_zero(2);                                                                             \
    _tile_zero(3);                                                                             \
    _tile_loadd(4, numbers, 64);                                                               \
    _tile_loadd(5, numbers, 64);                                                               \
    _tile_loadd(6, numbers, 64);                                                               \
    _tile_loadd(7, numbers, 64);                                                               \
    for (int64_t round = 0; round < rounds; round++) {                                         \
      instruction(0, 4, 6);                                                                    \
      instruction(1, 4, 7);                                                                    \
      instruction(2, 5, 6);                                                                    \
      instruction(3, 5, 7);                                                                    \
    }                                                                                          \
    _tile_release();                                                                           \
    return 4.0 * 16 * 16 * (operations) * (double)rounds;                                      \
  }

TILE_LOOP(bfloat16_tiles, "amx-bf16", 2 * 32, _tile_dpbf16ps)
TILE_LOOP(int8_tiles, "amx-int8", 2 * 64, _tile_dpbusd)
#endif

double bench_multiply_add(int64_t rounds) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) return multiply_add_avx512(rounds);
  if (__builtin_cpu_supports("fma")) return multiply_add_avx2(rounds);
#endif
  return multiply_add_portable(rounds);
}

double bench_bfloat16_dot(int64_t rounds, bool tiles) {
#if defined(__x86_64__)
  if (tiles) return bfloat16_tiles(rounds);
  if (__builtin_cpu_supports("avx512bf16")) return bfloat16_avx512(rounds);
#endif
  (void)rounds, (void)tiles;
  return 0;
}

double bench_int8_dot(int64_t rounds, bool tiles) {
#if defined(__x86_64__)
  if (tiles) return int8_tiles(rounds);
  if (__builtin_cpu_supports("avx512vnni")) return int8_avx512(rounds);
#endif
  (void)rounds, (void)tiles;
  return 0;
}
