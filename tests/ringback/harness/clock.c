/* A preloaded clock that a test can set. It shows a process the system's time of day plus the seconds in a file. It
 * allocates nothing, because allocators ask for the time too. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

typedef int (*posix_wait)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
typedef int (*c11_wait)(cnd_t *, mtx_t *, const struct timespec *);

static volatile const int64_t *ahead_s;
static posix_wait real_posix_wait;
static c11_wait real_c11_wait;

__attribute__((constructor)) static void begin(void) {
    /* x86-64 also has an older version of this function. */
    real_posix_wait = (posix_wait)dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
    if (!real_posix_wait) real_posix_wait = (posix_wait)dlsym(RTLD_NEXT, "pthread_cond_timedwait");
    real_c11_wait = (c11_wait)dlsym(RTLD_NEXT, "cnd_timedwait");
    const char *path = getenv("RINGBACK_TEST_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *map = mmap(NULL, sizeof *ahead_s, PROT_READ, MAP_SHARED, file, 0);
    if (map != MAP_FAILED) ahead_s = map;
    close(file);
}

int clock_gettime(clockid_t id, struct timespec *now) {
    long result = syscall(SYS_clock_gettime, id, now);
    if (result == 0 && ahead_s && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) now->tv_sec += *ahead_s;
    return (int)result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec precise;
    (void)zone;
    int result = clock_gettime(CLOCK_REALTIME, &precise);
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return result;
}

time_t time(time_t *out) {
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    if (out) *out = precise.tv_sec;
    return precise.tv_sec;
}

/* A wait until a time of day refers to the shown time, so it is converted to the real time. */
static struct timespec real(const struct timespec *shown) {
    struct timespec until = *shown;
    if (ahead_s) until.tv_sec -= *ahead_s;
    return until;
}

int pthread_cond_timedwait(pthread_cond_t *restrict cond, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict until) {
    struct timespec end = real(until);
    return real_posix_wait(cond, mutex, &end);
}

int cnd_timedwait(cnd_t *restrict cond, mtx_t *restrict mutex, const struct timespec *restrict until) {
    struct timespec end = real(until);
    return real_c11_wait(cond, mutex, &end);
}
