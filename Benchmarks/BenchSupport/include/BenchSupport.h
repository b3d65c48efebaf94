#pragma once

#include <stdbool.h>
#include <stdint.h>

// Calls of malloc, calloc, realloc and the aligned allocators in this process so far; 0 where they cannot be counted.
int64_t bench_allocation_count(void);

// Copies a multiple of 64 bytes between cache lines, past the caches.
void bench_stream_copy(void *target, const void *source, int64_t bytes);

// Each runs an instruction over and over, in `rounds` x some number of independent chains, and returns the number of
// multiplications and additions that this was: fused multiply-add in single precision, and dot products of bfloat16
// and of 8-bit integers, `tiles` of them at once where asked for. 0 where the CPU has no such instruction.
double bench_multiply_add(int64_t rounds);
double bench_bfloat16_dot(int64_t rounds, bool tiles);
double bench_int8_dot(int64_t rounds, bool tiles);
