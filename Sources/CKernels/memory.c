#include "CKernels.h"

#if defined(__linux__)
#include <stdlib.h>
#endif
#if defined(__GLIBC__)
#include <malloc.h>
#endif

void fs_release_memory(void) {
#if defined(__GLIBC__)
  malloc_trim(0);
#endif
}
