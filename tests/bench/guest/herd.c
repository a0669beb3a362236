/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * Jobs by the thousand, as small as they can be: one cgroup with a limit and one process each.
 *
 *   herd GROUP LIMIT_BYTES     takes commands from stdin, answers each with "ok JOBS" or "failed WHAT"
 *
 *     grow N      starts jobs until there are N: GROUP/job-1 ... GROUP/job-N
 *     shrink N    ends the last ones until there are N
 *     move        each job fills 2 MiB in 8 steps, gives it back in 8 steps, one a second, over and over;
 * where in this round a job begins is spread evenly rest        each job gives back what it has and sleeps
 * until it is told to move
 *
 * GROUP is a delegated cgroup (v2) whose only process is this one; it goes to GROUP/herd. Built statically. A
 * job is born in its cgroup (CLONE_INTO_CGROUP): moving a thousand would wait for a thousand grace periods of
 * the kernel. The jobs end with it.
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define JOBS_MAX 4096
#define STEPS 8
#define STEP_BYTES (256U << 10)
#define PAGE_BYTES 4096U

static pid_t jobs[JOBS_MAX];
static unsigned count;
static uint32_t *moving; /* shared with all of them */

static void pause_msec(unsigned msec)
{
        nanosleep(&(struct timespec){.tv_sec = msec / 1000, .tv_nsec = (long)(msec % 1000) * 1000000L}, NULL);
}

static _Noreturn void job(unsigned number)
{
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        char *data =
                mmap(NULL, STEPS * STEP_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (data == MAP_FAILED)
                _exit(1);
        madvise(data, STEPS * STEP_BYTES, MADV_NOHUGEPAGE);
        for (unsigned at = number * 5 % (2 * STEPS);; at = (at + 1) % (2 * STEPS)) {
                if (!__atomic_load_n(moving, __ATOMIC_ACQUIRE)) {
                        madvise(data, STEPS * STEP_BYTES, MADV_DONTNEED);
                        syscall(SYS_futex, moving, FUTEX_WAIT, 0, NULL, NULL, 0);
                        pause_msec(number * 37 % 1000); /* not all in the same moment */
                }
                if (at < STEPS)
                        for (unsigned i = 0; i < STEP_BYTES; i += PAGE_BYTES)
                                data[at * STEP_BYTES + i] = 1;
                else
                        madvise(data + (2 * STEPS - 1 - at) * STEP_BYTES, STEP_BYTES, MADV_DONTNEED);
                pause_msec(1000);
        }
}

static int write_file(const char *directory, const char *name, const char *text)
{
        char path[512];
        snprintf(path, sizeof(path), "%s/%s", directory, name);
        int fd = open(path, O_WRONLY | O_CLOEXEC);
        if (fd < 0)
                return -1;
        ssize_t n = write(fd, text, strlen(text));
        close(fd);
        return n < 0 ? -1 : 0;
}

static int start(const char *group, const char *limit)
{
        char path[400];
        snprintf(path, sizeof(path), "%s/job-%u", group, count + 1);
        if ((mkdir(path, 0755) < 0 && errno != EEXIST) || write_file(path, "memory.max", limit) < 0)
                return -1;
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -1;
        struct clone_args how = {.flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = (uint64_t)fd};
        pid_t pid = (pid_t)syscall(SYS_clone3, &how, sizeof(how));
        if (pid == 0)
                job(count + 1);
        close(fd);
        if (pid < 0)
                return -1;
        jobs[count++] = pid;
        return 0;
}

static void end(const char *group)
{
        char path[400];
        pid_t pid = jobs[--count];
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        snprintf(path, sizeof(path), "%s/job-%u", group, count + 1);
        rmdir(path); /* or a watcher has done it */
}

static int obey(const char *group, const char *limit, const char *line)
{
        unsigned wanted = count;
        if (strcmp(line, "move") == 0 || strcmp(line, "rest") == 0) {
                __atomic_store_n(moving, line[0] == 'm', __ATOMIC_RELEASE);
                syscall(SYS_futex, moving, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
        } else if ((sscanf(line, "grow %u", &wanted) != 1 && sscanf(line, "shrink %u", &wanted) != 1) ||
                   wanted > JOBS_MAX) {
                errno = EINVAL;
                return -1;
        }
        while (count < wanted)
                if (start(group, limit) < 0)
                        return -1;
        while (count > wanted)
                end(group);
        return 0;
}

int main(int argc, char **argv)
{
        char line[100], own[400];

        if (argc != 3) {
                fprintf(stderr, "herd GROUP LIMIT_BYTES\n");
                return 2;
        }
        moving = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        snprintf(own, sizeof(own), "%s/herd", argv[1]);
        if (moving == MAP_FAILED || (mkdir(own, 0755) < 0 && errno != EEXIST) ||
                write_file(own, "cgroup.procs", "0") < 0 ||
                write_file(argv[1], "cgroup.subtree_control", "+memory") < 0) {
                printf("failed %s: %s\n", argv[1], strerror(errno));
                return 1;
        }
        setvbuf(stdout, NULL, _IONBF, 0);
        printf("ok 0\n");
        while (fgets(line, sizeof(line), stdin)) {
                line[strcspn(line, "\n")] = '\0';
                if (obey(argv[1], argv[2], line) < 0)
                        printf("failed %s: %s\n", line, strerror(errno));
                else
                        printf("ok %u\n", count);
        }
        while (count > 0)
                end(argv[1]);
        return 0;
}
