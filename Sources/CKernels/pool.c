// A pool of threads that share the tasks of one job at a time.
//
// Every thread has a share of its own, tasks that follow one another: the same part of a picture from layer to layer,
// so that it finds in its cache what it has written. Who is done takes from the ends of the others' shares. A share is
// one word, the job's number and the tasks that are left in it, and is claimed from by replacing the word under which
// the job was read: a thread that comes late finds another and touches nothing. The caller returns when as many tasks
// are done as there were.
#include <pthread.h>
#include <sched.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "kernels.h"

// How long a thread waits awake: longer than the gaps between the layers of a model. Now and then it offers its core to
// others, since the thread that it waits for may be one of them.
enum { SPINS = 20000, SPINS_PER_YIELD = 128 };

// Of what several threads write, no two lie so near each other: some CPUs fetch cache lines by pairs.
#define APART 128

// The job's number in the upper half; then the first task that is left and the one after the last, in 16 bits each.
typedef struct {
  alignas(APART) _Atomic uint64_t word;
} share;

enum { MOST_TASKS = 0xFFFF };

static inline int first_of(uint64_t word) { return (int)(word >> 16 & MOST_TASKS); }
static inline int end_of(uint64_t word) { return (int)(word & MOST_TASKS); }

struct fs_pool {
  pthread_mutex_t owner;  // held by the caller whose job it is
  pthread_mutex_t sleep;
  pthread_cond_t wake;
  atomic_int sleepers;
  atomic_int numbered;  // threads that have got a number
  int threads;
  uint32_t job;
  // The job, written while no share holds tasks. Where there would be too many, `size` of the caller's are one.
  alignas(APART) _Atomic(void (*)(void *, int64_t)) body;
  _Atomic(void *) context;
  _Atomic(const fs_kernels *) kernels;
  _Atomic int64_t tasks, size;
  alignas(APART) _Atomic int64_t done;
  share shares[];
};

static inline void relax(int spins) {
  if (spins % SPINS_PER_YIELD == SPINS_PER_YIELD - 1) sched_yield();
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

// Claims and runs tasks of a share until none is left, and counts them; returns the share's word as last seen.
static uint64_t work_on(fs_pool *pool, share *share, bool is_own, int64_t *count) {
  uint64_t word = atomic_load(&share->word);
  while (first_of(word) < end_of(word)) {
    void (*body)(void *, int64_t) = atomic_load_explicit(&pool->body, memory_order_relaxed);
    void *context = atomic_load_explicit(&pool->context, memory_order_relaxed);
    const fs_kernels *kernels = atomic_load_explicit(&pool->kernels, memory_order_relaxed);
    int64_t tasks = atomic_load_explicit(&pool->tasks, memory_order_relaxed);
    int64_t size = atomic_load_explicit(&pool->size, memory_order_relaxed);
    int64_t task = (is_own ? first_of(word) : end_of(word) - 1) * size;
    if (!atomic_compare_exchange_weak(&share->word, &word, is_own ? word + (1 << 16) : word - 1)) continue;
    fs_adopt_kernels(kernels);
    int64_t end = task + size < tasks ? task + size : tasks;
    *count += end - task;
    for (; task < end; task++) body(context, task);
    word = atomic_load(&share->word);
  }
  return word;
}

// Runs tasks until none is left to claim; returns the word of the thread's own share as last seen.
static uint64_t work(fs_pool *pool, int thread) {
  int64_t count = 0;
  uint64_t seen = work_on(pool, &pool->shares[thread], true, &count);
  for (int i = 1; i < pool->threads; i++) work_on(pool, &pool->shares[(thread + i) % pool->threads], false, &count);
  if (count > 0) atomic_fetch_add(&pool->done, count);
  return seen;
}

static void *run_worker(void *argument) {
  fs_pool *pool = argument;
  int thread = 1 + atomic_fetch_add(&pool->numbered, 1);
  _Atomic uint64_t *word = &pool->shares[thread].word;
  uint64_t seen = work(pool, thread);
  for (;;) {
    int spins = 0;
    while (atomic_load(word) == seen && spins < SPINS) relax(spins++);
    if (spins == SPINS) {
      pthread_mutex_lock(&pool->sleep);
      atomic_fetch_add(&pool->sleepers, 1);
      while (atomic_load(word) == seen) pthread_cond_wait(&pool->wake, &pool->sleep);
      atomic_fetch_sub(&pool->sleepers, 1);
      pthread_mutex_unlock(&pool->sleep);
    }
    seen = work(pool, thread);
  }
  return NULL;
}

fs_pool *fs_pool_create(int threads) {
  if (threads < 1) threads = 1;
  size_t bytes = sizeof(fs_pool) + (size_t)threads * sizeof(share);
  fs_pool *pool = aligned_alloc(APART, bytes);
  if (!pool) return NULL;
  memset(pool, 0, bytes);
  pthread_mutex_init(&pool->owner, NULL);
  pthread_mutex_init(&pool->sleep, NULL);
  pthread_cond_init(&pool->wake, NULL);
  pool->threads = threads;
  for (int i = 1; i < threads; i++) {
    pthread_t thread;
    // With fewer threads than asked for, the others do their shares.
    if (pthread_create(&thread, NULL, run_worker, pool) != 0) break;
    pthread_detach(thread);
  }
  return pool;
}

void fs_pool_run(fs_pool *pool, int64_t tasks, void (*body)(void *context, int64_t task), void *context) {
  if (tasks <= 1 || !pool || pool->threads == 1 || pthread_mutex_trylock(&pool->owner) != 0) {
    for (int64_t task = 0; task < tasks; task++) body(context, task);
    return;
  }
  int64_t size = (tasks + MOST_TASKS - 1) / MOST_TASKS, count = (tasks + size - 1) / size, first = 0;
  atomic_store_explicit(&pool->tasks, tasks, memory_order_relaxed);
  atomic_store_explicit(&pool->size, size, memory_order_relaxed);
  atomic_store_explicit(&pool->done, 0, memory_order_relaxed);
  atomic_store_explicit(&pool->body, body, memory_order_relaxed);
  atomic_store_explicit(&pool->context, context, memory_order_relaxed);
  atomic_store_explicit(&pool->kernels, fs_own_kernels(), memory_order_relaxed);
  uint64_t job = (uint64_t)++pool->job << 32;
  for (int thread = 0; thread < pool->threads; thread++) {
    int64_t end = ((thread + 1) * count + pool->threads - 1) / pool->threads;
    atomic_store(&pool->shares[thread].word, job | (uint64_t)first << 16 | (uint64_t)end);
    first = end;
  }
  if (atomic_load(&pool->sleepers) > 0) {
    pthread_mutex_lock(&pool->sleep);
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->sleep);
  }
  work(pool, 0);
  for (int spins = 0; atomic_load(&pool->done) < tasks; spins++) relax(spins & (SPINS_PER_YIELD - 1));
  pthread_mutex_unlock(&pool->owner);
}

void fs_pool_hold(fs_pool *pool) {
  if (pool) pthread_mutex_lock(&pool->owner);
}

void fs_pool_release(fs_pool *pool) {
  if (pool) pthread_mutex_unlock(&pool->owner);
}
