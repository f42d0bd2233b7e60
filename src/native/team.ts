/**
 * @file The C file beside a model that runs its steps on a team of threads. All threads walk all steps and meet
 * after each: they spin for a while, yield, then sleep. Nothing of it is in the portable model.
 */

import { MOST_THREADS } from "../targets/c/emit.ts";

const GATES = `/* Opened again and again by one thread; others wait for the next time. */
struct gate {
  int opened;
  int sleepers;
  pthread_mutex_t lock;
  pthread_cond_t changed;
  char apart[64];
};

static int gate_count(struct gate *g) {
  return __atomic_load_n(&g->opened, __ATOMIC_SEQ_CST);
}

static void gate_open(struct gate *g) {
  __atomic_add_fetch(&g->opened, 1, __ATOMIC_SEQ_CST);
  if (__atomic_load_n(&g->sleepers, __ATOMIC_SEQ_CST) == 0) return;
  pthread_mutex_lock(&g->lock);
  pthread_cond_broadcast(&g->changed);
  pthread_mutex_unlock(&g->lock);
}

static void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

static int64_t nanoseconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/*
 * Waits until the gate has been opened more than \`seen\` times. Looks again and again at first; then lets others
 * use the core meanwhile, as the thread waited for may be one of them; sleeps after \`spin\` nanoseconds.
 */
static void gate_wait(struct gate *g, int seen, int64_t spin) {
  const int64_t start = nanoseconds();
  int64_t waited = 0;
  do {
    for (int i = 0; i < 64; i++) {
      if (gate_count(g) != seen) return;
      relax();
    }
    waited = nanoseconds() - start;
    if (waited > SPIN_ALONE) sched_yield();
  } while (waited < spin);
  __atomic_add_fetch(&g->sleepers, 1, __ATOMIC_SEQ_CST);
  pthread_mutex_lock(&g->lock);
  while (gate_count(g) == seen) pthread_cond_wait(&g->changed, &g->lock);
  pthread_mutex_unlock(&g->lock);
  __atomic_sub_fetch(&g->sleepers, 1, __ATOMIC_SEQ_CST);
}
`;

/** Results below the normal range, and operands, are zero: they cost a hundred times the others on many processors. */
const FLUSH = `#if defined(__x86_64__) || (defined(__i386__) && defined(__SSE__))
typedef unsigned int float_mode;
static float_mode get_mode(void) { return __builtin_ia32_stmxcsr(); }
static void set_mode(float_mode m) { __builtin_ia32_ldmxcsr(m); }
/* Flush to zero, denormals are zero. */
#define FLUSH_BITS 0x8040u
#elif defined(__aarch64__)
typedef uint64_t float_mode;
static float_mode get_mode(void) {
  float_mode m;
  __asm__ volatile("mrs %0, fpcr" : "=r"(m));
  return m;
}
static void set_mode(float_mode m) { __asm__ volatile("msr fpcr, %0" : : "r"(m)); }
#define FLUSH_BITS ((uint64_t)1 << 24)
#else
typedef int float_mode;
static float_mode get_mode(void) { return 0; }
static void set_mode(float_mode m) { (void)m; }
#define FLUSH_BITS 0
#endif
`;

const TEAM = `struct team {
  struct gate start;
  struct gate step;
  int arrived;
  char apart[64];
  /* The steps to run, from first to last; first < 0 ends the threads. */
  int first;
  int last;
  int threads;
  void *arena;
  const void *weights;
  struct team *next;
  pthread_t ids[MAX_THREADS];
};

/* Teams that are open. */
static struct team *teams;
static pthread_mutex_t teams_lock = PTHREAD_MUTEX_INITIALIZER;

struct member {
  struct team *team;
  int thread;
};

static void meet(struct team *t) {
  const int seen = gate_count(&t->step);
  if (__atomic_add_fetch(&t->arrived, 1, __ATOMIC_SEQ_CST) < t->threads) {
    gate_wait(&t->step, seen, SPIN_STEP);
    return;
  }
  __atomic_store_n(&t->arrived, 0, __ATOMIC_SEQ_CST);
  gate_open(&t->step);
}

/* Between two steps of the first thread there is nothing to wait for. */
static void work(struct team *t, int thread) {
  const int last = t->last;
  const float_mode before = get_mode();
  if (FLUSH_SUBNORMALS) set_mode(before | FLUSH_BITS);
  for (int i = t->first; i <= last; i++) {
    if (SHARED[i] || thread == 0) model_step(t->arena, t->weights, i, thread, t->threads);
    if (SHARED[i] || i == last || SHARED[i + 1]) meet(t);
  }
  set_mode(before);
}

static void *follow(void *given) {
  struct team *t = ((struct member *)given)->team;
  const int thread = ((struct member *)given)->thread;
  free(given);
  for (int seen = 0;; seen++) {
    gate_wait(&t->start, seen, SPIN_START);
    if (t->first < 0) return NULL;
    work(t, thread);
  }
}

/* Runs steps first to last on all threads. */
void team_run(struct team *t, int first, int last) {
  t->first = first;
  t->last = last;
  if (t->threads > 1) gate_open(&t->start);
  work(t, 0);
}

static void gate_make(struct gate *g) {
  pthread_mutex_init(&g->lock, NULL);
  pthread_cond_init(&g->changed, NULL);
}

static void gate_drop(struct gate *g) {
  pthread_cond_destroy(&g->changed);
  pthread_mutex_destroy(&g->lock);
}

static void forget(const struct team *t) {
  struct team **at = &teams;
  pthread_mutex_lock(&teams_lock);
  while (*at != NULL && *at != t) at = &(*at)->next;
  if (*at != NULL) *at = t->next;
  pthread_mutex_unlock(&teams_lock);
}

/* Ends the threads and frees the team. */
void team_close(struct team *t) {
  forget(t);
  t->first = -1;
  gate_open(&t->start);
  for (int i = 1; i < t->threads; i++) pthread_join(t->ids[i], NULL);
  gate_drop(&t->start);
  gate_drop(&t->step);
  free(t);
}

static int start_thread(struct team *t, int thread) {
  struct member *m = malloc(sizeof *m);
  if (m == NULL) return 0;
  m->team = t;
  m->thread = thread;
  if (pthread_create(&t->ids[thread], NULL, follow, m) == 0) return 1;
  free(m);
  return 0;
}

/* A team over an initialised arena, or NULL when the system gives no memory or threads. */
struct team *team_open(void *arena, const void *weights, int threads) {
  struct team *t;
  if (threads < 1 || threads > MAX_THREADS) return NULL;
  t = calloc(1, sizeof *t);
  if (t == NULL) return NULL;
  gate_make(&t->start);
  gate_make(&t->step);
  t->arena = arena;
  t->weights = weights;
  for (t->threads = 1; t->threads < threads; t->threads++) {
    if (start_thread(t, t->threads)) continue;
    team_close(t);
    return NULL;
  }
  pthread_mutex_lock(&teams_lock);
  t->next = teams;
  teams = t;
  pthread_mutex_unlock(&teams_lock);
  return t;
}

/* The threads of teams left open must not outlive the code that they run. */
__attribute__((destructor)) static void close_all(void) {
  while (teams != NULL) team_close(teams);
}
`;

export interface TeamOptions {
  /** Subnormal numbers are zero. */
  readonly flushSubnormals: boolean;
}

/** C of a team for a model with weights beside it, named "model". `shared`: which steps threads share. */
export const teamText = (
  shared: readonly boolean[],
  { flushSubnormals }: TeamOptions,
): string => `#define _GNU_SOURCE
#include "model.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>

#define MAX_THREADS ${MOST_THREADS}
/* Nanoseconds to spin: without yielding, between steps, and between inferences. */
#define SPIN_ALONE 50000
#define SPIN_STEP 100000
#define SPIN_START 50000
#define FLUSH_SUBNORMALS ${Number(flushSubnormals)}

/* Which steps all threads share; the first thread runs the others alone. */
static const unsigned char SHARED[] = {${[...shared.map(Number), 0].join(", ")}};

${GATES}
${FLUSH}
${TEAM}`;
