// Stands before the C library's file operations and lets the n-th of a process fail, stop half-way, or kill it.
//
// EMO_FAULT_ROOT    only files below this folder count
// EMO_FAULT_ROLE    `worker` or `coordinator`: in which of the two processes
// EMO_FAULT_LOG     a file that gets a line for each operation
// EMO_FAULT         `N ACTION`: what happens at the N-th operation (from 1)
//                   kill     the process dies before it
//                   torn     half of a write reaches the file, then the process dies; other operations are done, then it dies
//                   enospc   it fails as on a full disk; everything after it that needs space, too
//                   eio      it fails as on a bad disk, once
//                   short    a write writes half and says so; other operations are done
//                   half     a write writes half and says so, and the operation after it fails as on a bad disk
// EMO_FAULT_CLOCK   `N SECONDS`: after the N-th look at it the wall clock goes so much behind, in all processes
//
// cc -shared -fPIC -O1 -o shim.so shim.c -ldl

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int ready, active;
static long count, chosen;
static char action[16], root[4096], journal[4096];

static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_read)(int, void *, size_t);

// Our own files, which do not count.
static int own(const char *path, int flags) { return (int)syscall(SYS_openat, AT_FDCWD, path, flags, 0644); }

static void prepare(void) {
    ready = 1;
    real_write = dlsym(RTLD_NEXT, "write");
    real_read = dlsym(RTLD_NEXT, "read");
    const char *folder = getenv("EMO_FAULT_ROOT"), *role = getenv("EMO_FAULT_ROLE");
    const char *fault = getenv("EMO_FAULT"), *log = getenv("EMO_FAULT_LOG");
    char line[4096] = {0};
    int file = own("/proc/self/cmdline", O_RDONLY);
    ssize_t length = file < 0 ? 0 : real_read(file, line, sizeof line - 1);
    if (file >= 0) close(file);
    // The second argument is the command.
    size_t first = strnlen(line, sizeof line - 1) + 1;
    int is_worker = length > (ssize_t)first && strcmp(line + first, "worker") == 0;
    if (!folder || !role || is_worker != (strcmp(role, "worker") == 0)) return;
    snprintf(root, sizeof root, "%s", folder);
    if (log) snprintf(journal, sizeof journal, "%s", log);
    if (fault) sscanf(fault, "%ld %15s", &chosen, action);
    active = 1;
}

enum verdict { GO, FAIL, HALF, HALF_THEN_DIE };

static enum verdict judge(const char *operation, const char *path, int needs_space) {
    if (strncmp(path, root, strlen(root)) != 0) return GO;
    pthread_mutex_lock(&lock);
    long number = ++count;
    pthread_mutex_unlock(&lock);
    if (journal[0]) {
        char line[4200];
        int length = snprintf(line, sizeof line, "%s %s\n", operation, path + strlen(root));
        int file = own(journal, O_WRONLY | O_CREAT | O_APPEND);
        if (file >= 0) {
            ssize_t ignored = real_write(file, line, (size_t)length);
            (void)ignored;
            close(file);
        }
    }
    if (!chosen || number < chosen) return GO;
    if (strcmp(action, "enospc") == 0) {
        errno = ENOSPC;
        return needs_space ? FAIL : GO;
    }
    if (strcmp(action, "half") == 0 && number == chosen + 1) {
        errno = EIO;
        return FAIL;
    }
    if (number != chosen) return GO;
    if (strcmp(action, "kill") == 0) kill(getpid(), SIGKILL);
    if (strcmp(action, "torn") == 0) return HALF_THEN_DIE;
    if (strcmp(action, "short") == 0 || strcmp(action, "half") == 0) return HALF;
    if (strcmp(action, "eio") == 0) {
        errno = EIO;
        return FAIL;
    }
    return GO;
}

static enum verdict judge_file(const char *operation, int file, int needs_space) {
    if (!ready) prepare();
    if (!active) return GO;
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return GO;
    path[length] = 0;
    return judge(operation, path, needs_space);
}

static void die(void) { kill(getpid(), SIGKILL); }

ssize_t write(int file, const void *bytes, size_t length) {
    if (!ready) prepare();
    enum verdict verdict = file > 2 ? judge_file("write", file, 1) : GO;
    if (verdict == FAIL) return -1;
    if (verdict == GO || length < 2) return real_write(file, bytes, length);
    ssize_t written = real_write(file, bytes, length / 2);
    if (verdict == HALF_THEN_DIE) die();
    return written;
}

static ssize_t at(const char *name, int file, const void *bytes, size_t length, off64_t place) {
    ssize_t (*real)(int, const void *, size_t, off64_t) = dlsym(RTLD_NEXT, name);
    enum verdict verdict = judge_file("pwrite", file, 1);
    if (verdict == FAIL) return -1;
    if (verdict == GO || length < 2) return real(file, bytes, length, place);
    ssize_t written = real(file, bytes, length / 2, place);
    if (verdict == HALF_THEN_DIE) die();
    return written;
}

ssize_t pwrite64(int file, const void *bytes, size_t length, off64_t place) {
    return at("pwrite64", file, bytes, length, place);
}

ssize_t pwrite(int file, const void *bytes, size_t length, off_t place) {
    return at("pwrite", file, bytes, length, place);
}

static int on_file(const char *name, int file) {
    int (*real)(int) = dlsym(RTLD_NEXT, name);
    enum verdict verdict = judge_file(name, file, 0);
    if (verdict == FAIL) return -1;
    int result = real(file);
    if (verdict == HALF_THEN_DIE) die();
    return result;
}

int fsync(int file) { return on_file("fsync", file); }

int fdatasync(int file) { return on_file("fdatasync", file); }

static int cut(const char *name, int file, off64_t length) {
    int (*real)(int, off64_t) = dlsym(RTLD_NEXT, name);
    enum verdict verdict = judge_file("truncate", file, 1);
    if (verdict == FAIL) return -1;
    int result = real(file, length);
    if (verdict == HALF_THEN_DIE) die();
    return result;
}

int ftruncate64(int file, off64_t length) { return cut("ftruncate64", file, length); }

int ftruncate(int file, off_t length) { return cut("ftruncate", file, length); }

static enum verdict judge_path(const char *operation, const char *path, int needs_space) {
    if (!ready) prepare();
    if (!active) return GO;
    char whole[8192];
    if (path[0] == '/') {
        snprintf(whole, sizeof whole, "%s", path);
    } else {
        if (!getcwd(whole, 4096)) return GO;
        size_t length = strlen(whole);
        snprintf(whole + length, sizeof whole - length, "/%s", path);
    }
    return judge(operation, whole, needs_space);
}

int rename(const char *from, const char *to) {
    int (*real)(const char *, const char *) = dlsym(RTLD_NEXT, "rename");
    enum verdict verdict = judge_path("rename", to, 0);
    if (verdict == FAIL) return -1;
    int result = real(from, to);
    if (verdict == HALF_THEN_DIE) die();
    return result;
}

int unlink(const char *path) {
    int (*real)(const char *) = dlsym(RTLD_NEXT, "unlink");
    enum verdict verdict = judge_path("unlink", path, 0);
    if (verdict == FAIL) return -1;
    int result = real(path);
    if (verdict == HALF_THEN_DIE) die();
    return result;
}

int mkdir(const char *path, mode_t mode) {
    int (*real)(const char *, mode_t) = dlsym(RTLD_NEXT, "mkdir");
    enum verdict verdict = judge_path("mkdir", path, 1);
    if (verdict == FAIL) return -1;
    int result = real(path, mode);
    if (verdict == HALF_THEN_DIE) die();
    return result;
}

static int opened(const char *name, const char *path, int flags, mode_t mode) {
    int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, name);
    enum verdict verdict = judge_path("open", path, flags & O_CREAT);
    if (verdict == FAIL) return -1;
    int file = real(path, flags, mode);
    if (verdict == HALF_THEN_DIE) die();
    return file;
}

static mode_t mode_of(int flags, va_list rest) { return flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; }

int open(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = mode_of(flags, rest);
    va_end(rest);
    return opened("open", path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = mode_of(flags, rest);
    va_end(rest);
    return opened("open64", path, flags, mode);
}

ssize_t read(int file, void *bytes, size_t length) {
    if (!ready) prepare();
    enum verdict verdict = file > 2 ? judge_file("read", file, 0) : GO;
    if (verdict == FAIL) return -1;
    ssize_t result = real_read(file, bytes, verdict == HALF && length > 1 ? length / 2 : length);
    if (verdict == HALF_THEN_DIE) die();
    return result;
}

ssize_t pread64(int file, void *bytes, size_t length, off64_t place) {
    ssize_t (*real)(int, void *, size_t, off64_t) = dlsym(RTLD_NEXT, "pread64");
    enum verdict verdict = judge_file("pread64", file, 0);
    if (verdict == FAIL) return -1;
    ssize_t result = real(file, bytes, length, place);
    if (verdict == HALF_THEN_DIE) die();
    return result;
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    static long looks;
    int result = (int)syscall(SYS_clock_gettime, clock, time);
    const char *change = clock == CLOCK_REALTIME ? getenv("EMO_FAULT_CLOCK") : NULL;
    long after, seconds;
    if (change && sscanf(change, "%ld %ld", &after, &seconds) == 2 && __sync_add_and_fetch(&looks, 1) > after)
        time->tv_sec -= seconds;
    return result;
}
