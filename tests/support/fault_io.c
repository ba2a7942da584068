/* Makes one chosen file operation of a process fail, to show what becomes of its files. Loaded with
   LD_PRELOAD, or linked into a test. Told what to do by the environment variable TUTTI_FAULT or by
   tutti_fault_set:

     OPERATION:N:FAULT[:PATH]     for example pwrite:12:ENOSPC:shard-

   OPERATION  write, pwrite, fsync, rename, mkdir, posix_fallocate, or any
   N          the Nth such call of the process fails, counted from 1; the others work
   FAULT      ENOSPC, EIO, EDQUOT, EINTR, EROFS, EACCES, or SHORT (half of it is written), or KILL
              (the process dies there)
   PATH       only calls on paths that contain this count

   Files in memory, pipes and devices do not count.

     TUTTI_NO_DIRECT=PATH

   puts paths that contain this on a file system without direct I/O. */
#define _GNU_SOURCE
#include "tests/support/fault_io.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { kNone = 0, kShort = -1, kKill = -2 };

static char the_operation[32], the_path[256];
static long the_number;
static int the_fault;
static atomic_long calls;

static int fault_of(const char* name) {
  if (strcmp(name, "ENOSPC") == 0) return ENOSPC;
  if (strcmp(name, "EIO") == 0) return EIO;
  if (strcmp(name, "EDQUOT") == 0) return EDQUOT;
  if (strcmp(name, "EINTR") == 0) return EINTR;
  if (strcmp(name, "EROFS") == 0) return EROFS;
  if (strcmp(name, "EACCES") == 0) return EACCES;
  if (strcmp(name, "SHORT") == 0) return kShort;
  if (strcmp(name, "KILL") == 0) return kKill;
  fprintf(stderr, "TUTTI_FAULT: unknown fault '%s'\n", name);
  abort();
}

void tutti_fault_set(const char* what) {
  char fault[32] = "";
  atomic_store(&calls, 0);
  the_operation[0] = the_path[0] = 0;
  the_fault = kNone;
  if (what == NULL) return;
  if (sscanf(what, "%31[^:]:%ld:%31[^:]:%255s", the_operation, &the_number, fault, the_path) < 3) {
    fprintf(stderr, "TUTTI_FAULT: want OPERATION:N:FAULT[:PATH], got '%s'\n", what);
    abort();
  }
  the_fault = fault_of(fault);
}

int tutti_fault_fired(void) { return the_fault != kNone && atomic_load(&calls) >= the_number; }

__attribute__((constructor)) static void read_environment(void) {
  const char* what = getenv("TUTTI_FAULT");
  if (what != NULL) tutti_fault_set(what);
}

/* The fault for this call, or kNone. */
static int fault_for(const char* operation, const char* path) {
  if (the_fault == kNone) return kNone;
  if (strcmp(the_operation, "any") != 0 && strcmp(the_operation, operation) != 0) return kNone;
  if (strstr(path, the_path) == NULL) return kNone;
  if (atomic_fetch_add(&calls, 1) + 1 != the_number) return kNone;
  if (the_fault == kKill) kill(getpid(), SIGKILL);
  return the_fault;
}

static int fault_for_descriptor(const char* operation, int descriptor) {
  char link[64], path[PATH_MAX];
  struct stat status;
  const int saved = errno;
  if (the_fault == kNone) return kNone;
  if (fstat(descriptor, &status) != 0 || !(S_ISREG(status.st_mode) || S_ISDIR(status.st_mode)))
    return kNone;
  snprintf(link, sizeof(link), "/proc/self/fd/%d", descriptor);
  const ssize_t length = readlink(link, path, sizeof(path) - 1);
  errno = saved;
  if (length <= 0) return kNone;
  path[length] = 0;
  if (strncmp(path, "/memfd:", 7) == 0) return kNone;
  return fault_for(operation, path);
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

#define FAIL_BY_ERRNO(fault) \
  if ((fault) > 0) {         \
    errno = (fault);         \
    return -1;               \
  }

ssize_t write(int descriptor, const void* data, size_t size) {
  const int fault = fault_for_descriptor("write", descriptor);
  FAIL_BY_ERRNO(fault)
  return NEXT(write)(descriptor, data, fault == kShort ? (size + 1) / 2 : size);
}

ssize_t pwrite(int descriptor, const void* data, size_t size, off_t offset) {
  const int fault = fault_for_descriptor("pwrite", descriptor);
  FAIL_BY_ERRNO(fault)
  return NEXT(pwrite)(descriptor, data, fault == kShort ? (size + 1) / 2 : size, offset);
}

ssize_t pwrite64(int descriptor, const void* data, size_t size, off64_t offset) {
  return pwrite(descriptor, data, size, offset);
}

int fsync(int descriptor) {
  const int fault = fault_for_descriptor("fsync", descriptor);
  FAIL_BY_ERRNO(fault)
  return NEXT(fsync)(descriptor);
}

int fdatasync(int descriptor) {
  const int fault = fault_for_descriptor("fsync", descriptor);
  FAIL_BY_ERRNO(fault)
  return NEXT(fdatasync)(descriptor);
}

int rename(const char* from, const char* to) {
  const int fault = fault_for("rename", to);
  FAIL_BY_ERRNO(fault)
  return NEXT(rename)(from, to);
}

int mkdir(const char* path, mode_t mode) {
  const int fault = fault_for("mkdir", path);
  FAIL_BY_ERRNO(fault)
  return NEXT(mkdir)(path, mode);
}

int posix_fallocate(int descriptor, off_t offset, off_t size) {
  const int fault = fault_for_descriptor("posix_fallocate", descriptor);
  if (fault > 0) return fault; /* it returns the error and leaves errno alone */
  return NEXT(posix_fallocate)(descriptor, offset, size);
}

int posix_fallocate64(int descriptor, off64_t offset, off64_t size) {
  return posix_fallocate(descriptor, offset, size);
}

static int open_with(const char* path, int flags, mode_t mode) {
  const char* without = getenv("TUTTI_NO_DIRECT");
  if ((flags & O_DIRECT) && without != NULL && strstr(path, without) != NULL) {
    errno = EINVAL;
    return -1;
  }
  return NEXT(openat)(AT_FDCWD, path, flags, mode);
}

/* A mode is given where a file may be made. */
#define OPEN(extra)                                                                          \
  va_list arguments;                                                                         \
  va_start(arguments, flags);                                                                \
  const mode_t mode =                                                                        \
      (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(arguments, mode_t) : 0; \
  va_end(arguments);                                                                         \
  return open_with(path, flags | (extra), mode);

int open(const char* path, int flags, ...) { OPEN(0) }

int open64(const char* path, int flags, ...) { OPEN(O_LARGEFILE) }
