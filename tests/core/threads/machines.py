"""C that stands in for the system, so that a process sees another machine than this one."""

PROCESSORS = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#ifndef FIRST
#define FIRST 0
#endif
int sched_getaffinity(pid_t pid, size_t size, cpu_set_t *mask) {
  if (size < COUNT / 8) { errno = EINVAL; return -1; }
  memset(mask, 0, size);
  for (int i = FIRST; i < COUNT; ++i) ((unsigned char *)mask)[i / 8] |= 1 << i % 8;
  return 0;
}
"""
"""The process may run on the processors FIRST (else 0) to COUNT - 1."""

FILES = (
    PROCESSORS
    + r"""
static const char *const elsewhere[] = {
    "/sys/devices/system/cpu", "/proc/self/cgroup", "/sys/fs/cgroup"};
static FILE *opened(const char *function, const char *path, const char *mode) {
  FILE *(*next)(const char *, const char *) = dlsym(RTLD_NEXT, function);
  char other[4096];
  for (int i = 0; i < 3; ++i) {
    if (strncmp(path, elsewhere[i], strlen(elsewhere[i])) != 0) continue;
    snprintf(other, sizeof other, "%s%s", FOLDER, path);
    return next(other, mode);
  }
  return next(path, mode);
}
FILE *fopen(const char *path, const char *mode) { return opened("fopen", path, mode); }
FILE *fopen64(const char *path, const char *mode) { return opened("fopen64", path, mode); }
"""
)
"""What the system says of processors and control groups is looked for in FOLDER, too."""

MOVES = (
    PROCESSORS
    + r"""
int sched_setaffinity(pid_t pid, size_t size, const cpu_set_t *mask) {
  if (pid != 0) fputs("moved\n", stderr);
  return 0;
}
"""
)
"""A word on stderr for each time that another thread is told where it may run, too."""
