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
#endif

double bench_multiply_add(int64_t rounds) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) return multiply_add_avx512(rounds);
  if (__builtin_cpu_supports("fma")) return multiply_add_avx2(rounds);
#endif
  return multiply_add_portable(rounds);
}

double bench_bfloat16_dot(int64_t rounds) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512bf16")) return bfloat16_avx512(rounds);
#endif
  (void)rounds;
  return 0;
}

double bench_int8_dot(int64_t rounds) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512vnni")) return int8_avx512(rounds);
#endif
  (void)rounds;
  return 0;
}
