// A pool of threads that claim the tasks of one job at a time.
//
// `state` holds the job's number in its upper half and the next unclaimed task in its lower half. A thread claims a
// task by raising `state` from the value under which it read the job; a thread that comes late finds another number
// and touches nothing. The caller returns when as many tasks are done as there were.
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "CKernels.h"

// How long a thread waits awake: longer than the gaps between the layers of a model. Now and then it offers its core to
// others, since the thread that it waits for may be one of them.
enum { SPINS = 20000, SPINS_PER_YIELD = 128 };
#define CLOSED 0xFFFFFFFFull

struct fs_pool {
  pthread_mutex_t owner;  // held by the caller whose job it is
  pthread_mutex_t sleep;
  pthread_cond_t wake;
  atomic_int sleepers;
  _Atomic uint64_t state;
  _Atomic int64_t tasks, done;
  _Atomic(void (*)(void *, int64_t)) body;
  _Atomic(void *) context;
};

static inline void relax(int spins) {
  if (spins % SPINS_PER_YIELD == SPINS_PER_YIELD - 1) sched_yield();
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

// Runs tasks until none is left to claim; returns the job's state as last seen.
static uint64_t work(fs_pool *pool) {
  for (;;) {
    uint64_t state = atomic_load(&pool->state);
    if ((state & CLOSED) == CLOSED) return state;
    int64_t task = (int64_t)(state & CLOSED);
    int64_t tasks = atomic_load(&pool->tasks);
    void (*body)(void *, int64_t) = atomic_load(&pool->body);
    void *context = atomic_load(&pool->context);
    if (task >= tasks) {
      if (atomic_load(&pool->state) == state) return state;
      continue;
    }
    if (!atomic_compare_exchange_weak(&pool->state, &state, state + 1)) continue;
    body(context, task);
    atomic_fetch_add(&pool->done, 1);
  }
}

static void *run_worker(void *argument) {
  fs_pool *pool = argument;
  uint64_t seen = work(pool);
  for (;;) {
    int spins = 0;
    while (atomic_load(&pool->state) == seen && spins < SPINS) {
      relax(spins++);
    }
    if (spins == SPINS) {
      pthread_mutex_lock(&pool->sleep);
      atomic_fetch_add(&pool->sleepers, 1);
      while (atomic_load(&pool->state) == seen) pthread_cond_wait(&pool->wake, &pool->sleep);
      atomic_fetch_sub(&pool->sleepers, 1);
      pthread_mutex_unlock(&pool->sleep);
    }
    seen = work(pool);
  }
  return NULL;
}

fs_pool *fs_pool_create(int threads) {
  fs_pool *pool = calloc(1, sizeof *pool);
  if (!pool) return NULL;
  pthread_mutex_init(&pool->owner, NULL);
  pthread_mutex_init(&pool->sleep, NULL);
  pthread_cond_init(&pool->wake, NULL);
  atomic_store(&pool->state, CLOSED);
  for (int i = 1; i < threads; i++) {
    pthread_t thread;
    // With fewer threads than asked for, the work is merely slower.
    if (pthread_create(&thread, NULL, run_worker, pool) != 0) break;
    pthread_detach(thread);
  }
  return pool;
}

void fs_pool_run(fs_pool *pool, int64_t tasks, void (*body)(void *context, int64_t task), void *context) {
  if (tasks <= 1 || !pool || tasks >= (int64_t)CLOSED || pthread_mutex_trylock(&pool->owner) != 0) {
    for (int64_t task = 0; task < tasks; task++) body(context, task);
    return;
  }
  uint64_t job = (atomic_load(&pool->state) >> 32) + 1;
  atomic_store(&pool->state, job << 32 | CLOSED);
  atomic_store(&pool->tasks, tasks);
  atomic_store(&pool->done, 0);
  atomic_store(&pool->body, body);
  atomic_store(&pool->context, context);
  atomic_store(&pool->state, job << 32);
  if (atomic_load(&pool->sleepers) > 0) {
    pthread_mutex_lock(&pool->sleep);
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->sleep);
  }
  work(pool);
  for (int spins = 0; atomic_load(&pool->done) < tasks; spins++) relax(spins & (SPINS_PER_YIELD - 1));
  pthread_mutex_unlock(&pool->owner);
}

void fs_pool_hold(fs_pool *pool) {
  if (pool) pthread_mutex_lock(&pool->owner);
}

void fs_pool_release(fs_pool *pool) {
  if (pool) pthread_mutex_unlock(&pool->owner);
}
