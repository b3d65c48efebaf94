#include "BenchSupport.h"

#if defined(__linux__)
#include <stdlib.h>
#endif
#if defined(__GLIBC__)
#include <malloc.h>
#endif

void bench_stream_copy(void *target, const void *source, int64_t bytes) {
  typedef float line __attribute__((vector_size(64), may_alias));
  for (int64_t i = 0; i < bytes / 64; i++) __builtin_nontemporal_store(((const line *)source)[i], (line *)target + i);
#if defined(__x86_64__)
  __builtin_ia32_sfence();
#endif
}

void bench_release_memory(void) {
#if defined(__GLIBC__)
  malloc_trim(0);
#endif
}
