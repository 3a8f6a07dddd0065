// Preloaded into the broker by `cargo xtask crash`: a disk whose syncs fail and a wall clock that jumps, by order of a file
// that both sides have open. The layout is that of control.rs.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

struct control {
    int64_t clock_offset_seconds;
    int64_t failures_to_come; // -1: all syncs from now on
    int64_t failures;
    int64_t path_bytes;
    char path[4000];
};

static struct control *control;

__attribute__((constructor)) static void open_control(void) {
    const char *path = getenv("DOHLE_CRASH_CONTROL");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0) {
        return;
    }
    void *mapped = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    control = mapped == MAP_FAILED ? NULL : mapped;
}

// True when this sync has to fail. The first that does is named.
static int must_fail(int fd) {
    if (!control) {
        return 0;
    }
    int64_t left = __atomic_load_n(&control->failures_to_come, __ATOMIC_SEQ_CST);
    do {
        if (left == 0) {
            return 0;
        }
    } while (left > 0 && !__atomic_compare_exchange_n(&control->failures_to_come, &left, left - 1, 0, __ATOMIC_SEQ_CST,
                                                      __ATOMIC_SEQ_CST));
    int64_t none = 0;
    if (__atomic_compare_exchange_n(&control->path_bytes, &none, -1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
        char link[64];
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t bytes = readlink(link, control->path, sizeof control->path);
        __atomic_store_n(&control->path_bytes, bytes > 0 ? bytes : 0, __ATOMIC_SEQ_CST);
    }
    __atomic_add_fetch(&control->failures, 1, __ATOMIC_SEQ_CST);
    return 1;
}

// The function of that name that would have been called.
#define REAL(name)                                                                                                     \
    static __typeof__(&name) real;                                                                                     \
    if (!real) {                                                                                                       \
        real = (__typeof__(&name))dlsym(RTLD_NEXT, #name);                                                             \
    }

int fsync(int fd) {
    REAL(fsync)
    if (must_fail(fd)) {
        errno = EIO;
        return -1;
    }
    return real(fd);
}

int fdatasync(int fd) {
    REAL(fdatasync)
    if (must_fail(fd)) {
        errno = EIO;
        return -1;
    }
    return real(fd);
}

static int64_t offset(void) {
    return control ? __atomic_load_n(&control->clock_offset_seconds, __ATOMIC_SEQ_CST) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *at) {
    REAL(clock_gettime)
    int outcome = real(clock, at);
    if (outcome == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        at->tv_sec += offset();
    }
    return outcome;
}

int gettimeofday(struct timeval *at, void *zone) {
    REAL(gettimeofday)
    int outcome = real(at, zone);
    if (outcome == 0) {
        at->tv_sec += offset();
    }
    return outcome;
}

time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) {
        *at = now.tv_sec;
    }
    return now.tv_sec;
}
