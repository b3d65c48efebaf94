// Whether AMX can be used. Linux saves the registers of tiles for processes that ask for it, from 5.16 on.
#include "kernels.h"

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 };  // ARCH_REQ_XCOMP_PERM of asm/prctl.h

bool fs_may_use_tiles(void) {
  enum { BFLOAT16 = 1 << 22, TILE = 1 << 24, INT8 = 1 << 25 };
  unsigned a, b, c, d;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
  if ((d & BFLOAT16) == 0 || (d & TILE) == 0 || (d & INT8) == 0) return false;
  return syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
}
#else
bool fs_may_use_tiles(void) { return false; }
#endif
