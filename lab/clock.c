/* A clock of its own for a simulated Mac: this machine's, and the seconds that stand in CLOCK_FILE. Preloaded there.

   What waits until a time of day says so to the kernel, which knows this machine's clock only: those times are turned
   back. Programs without a C library to preload over (Go's) have this machine's clock. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* Where glibc notes that a condition variable goes by the monotonic clock (nptl/pthread_cond_wait.c). */
#define MONOTONIC_CONDITION 2

static const volatile int64_t *added;

__attribute__((constructor)) static void begin(void)
{
    int file = open(CLOCK_FILE, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return;
    void *found = mmap(NULL, sizeof *added, PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (found != MAP_FAILED)
        added = found;
}

static time_t offset(void) { return added ? *added : 0; }

static int of_day(clockid_t clock) { return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE; }

/* The same moment by this machine's clock. Not before its beginning, which would be no time at all. */
static struct timespec here(const struct timespec *there)
{
    struct timespec moment = *there;
    moment.tv_sec = moment.tv_sec > offset() ? moment.tv_sec - offset() : 0;
    return moment;
}

/* What the C library does by that name, looked up once. */
#define REAL(name)                                                                                                     \
    ({                                                                                                                 \
        static __typeof__(&name) real;                                                                                 \
        if (!real)                                                                                                     \
            real = (__typeof__(&name))dlsym(RTLD_NEXT, #name);                                                         \
        real;                                                                                                          \
    })

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int result = REAL(clock_gettime)(clock, now);
    if (result == 0 && of_day(clock))
        now->tv_sec += offset();
    return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec moment;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &moment);
    now->tv_sec = moment.tv_sec;
    now->tv_usec = moment.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *now)
{
    struct timespec moment;
    clock_gettime(CLOCK_REALTIME, &moment);
    if (now)
        *now = moment.tv_sec;
    return moment.tv_sec;
}

int timespec_get(struct timespec *now, int base)
{
    return base == TIME_UTC && clock_gettime(CLOCK_REALTIME, now) == 0 ? base : 0;
}

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *until, struct timespec *left)
{
    struct timespec moment = *until;
    if (of_day(clock) && flags & TIMER_ABSTIME)
        moment = here(until);
    return REAL(clock_nanosleep)(clock, flags, &moment, left);
}

int pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict until)
{
    int monotonic = condition->__data.__wrefs & MONOTONIC_CONDITION;
    struct timespec moment = monotonic ? *until : here(until);
    return REAL(pthread_cond_timedwait)(condition, mutex, &moment);
}

int pthread_cond_clockwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex, clockid_t clock,
                           const struct timespec *restrict until)
{
    struct timespec moment = of_day(clock) ? here(until) : *until;
    return REAL(pthread_cond_clockwait)(condition, mutex, clock, &moment);
}

int pthread_mutex_timedlock(pthread_mutex_t *restrict mutex, const struct timespec *restrict until)
{
    struct timespec moment = here(until);
    return REAL(pthread_mutex_timedlock)(mutex, &moment);
}

int sem_timedwait(sem_t *restrict semaphore, const struct timespec *restrict until)
{
    struct timespec moment = here(until);
    return REAL(sem_timedwait)(semaphore, &moment);
}

int sem_clockwait(sem_t *restrict semaphore, clockid_t clock, const struct timespec *restrict until)
{
    struct timespec moment = of_day(clock) ? here(until) : *until;
    return REAL(sem_clockwait)(semaphore, clock, &moment);
}

/* Abseil, which gRPC has within itself, waits by the system call. */
long syscall(long number, ...)
{
    long given[6];
    struct timespec moment;
    va_list rest;
    va_start(rest, number);
    for (int each = 0; each < 6; each++)
        given[each] = va_arg(rest, long);
    va_end(rest);
    if (number == SYS_futex && given[1] & FUTEX_CLOCK_REALTIME && given[3]) {
        moment = here((const struct timespec *)given[3]);
        given[3] = (long)&moment;
    }
    return REAL(syscall)(number, given[0], given[1], given[2], given[3], given[4], given[5]);
}
