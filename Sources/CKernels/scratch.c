// Memory that a task uses while it runs: a thread's own, kept for its next task.
#include <pthread.h>
#include <stdlib.h>

#include "kernels.h"

static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static _Thread_local size_t capacity;

static void make_key(void) {
  if (pthread_key_create(&key, free)) abort();
}

void *fs_thread_scratch(size_t bytes) {
  pthread_once(&once, make_key);
  void *scratch = pthread_getspecific(key);
  if (scratch && bytes <= capacity) return scratch;
  free(scratch);
  capacity = (bytes + 63) / 64 * 64;
  scratch = aligned_alloc(64, capacity);
  // The key must not keep what has been freed.
  if (!scratch || pthread_setspecific(key, scratch)) abort();
  return scratch;
}
