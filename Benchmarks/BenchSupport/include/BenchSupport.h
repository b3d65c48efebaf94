#pragma once

#include <stdint.h>

// Calls of malloc, calloc, realloc and the aligned allocators in this process so far; 0 where they cannot be counted.
int64_t bench_allocation_count(void);
