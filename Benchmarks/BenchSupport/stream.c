#include "BenchSupport.h"

void bench_stream_copy(void *target, const void *source, int64_t bytes) {
  typedef float line __attribute__((vector_size(64), may_alias));
  for (int64_t i = 0; i < bytes / 64; i++) __builtin_nontemporal_store(((const line *)source)[i], (line *)target + i);
#if defined(__x86_64__)
  __builtin_ia32_sfence();
#endif
}
