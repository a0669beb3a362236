/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * A job that fits, and times itself: what does it cost it to be watched?
 *
 *   worker KIND BYTES ROUNDS GO TOOK [FILE [TURN ME]]
 *
 *     room     holds BYTES; in each round it gives half of it back, fills it anew, and walks all of it
 *     cache    writes FILE, BYTES long, has the page cache forget it, and reads it in each round
 *     fill     fills BYTES once, at full speed, and keeps them for a second
 *
 * It begins when the file GO is there, and in the end writes a line for each round to TOOK, "WALL_NSEC
 * OWN_NSEC CPU_NSEC": what it took; the same without the time in which it waited for a processor that others
 * had; what it used of one.
 *
 * Two with the same file TURN, 4 bytes of zero, and ME 0 and 1, do their rounds by turns, a fraction of a
 * second each: so whatever else runs here hits both.
 */

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PAGE_BYTES 4096U
#define READ_BYTES (256U << 10)

static uint64_t nsec(clockid_t clock)
{
        struct timespec t;

        clock_gettime(clock, &t);
        return (uint64_t)t.tv_sec * 1000000000U + (uint64_t)t.tv_nsec;
}

static void fail(const char *what)
{
        fprintf(stderr, "worker: %s: %s\n", what, strerror(errno));
        exit(EXIT_FAILURE);
}

static char *take(size_t bytes)
{
        char *data = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (data == MAP_FAILED)
                fail("mmap");
        madvise(data, bytes, MADV_NOHUGEPAGE); /* a huge page is one fault: the clocks would tell little */
        return data;
}

static void touch(char *data, size_t bytes)
{
        for (size_t i = 0; i < bytes; i += PAGE_BYTES)
                data[i] = (char)i;
}

static unsigned walk(const char *data, size_t bytes)
{
        unsigned sum = 0;
        for (size_t i = 0; i < bytes; i += 64)
                sum += (unsigned char)data[i];
        return sum;
}

/* How long it was ready to run, and waited. */
static uint64_t waited_nsec(void)
{
        unsigned long long ran, waited = 0;
        FILE *in = fopen("/proc/self/schedstat", "re");
        if (!in || fscanf(in, "%llu %llu", &ran, &waited) != 2)
                fail("/proc/self/schedstat");
        fclose(in);
        return waited;
}

static void make_file(const char *path, size_t bytes)
{
        static char block[READ_BYTES];
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (fd < 0)
                fail(path);
        memset(block, 'x', sizeof(block));
        for (size_t done = 0; done < bytes; done += sizeof(block))
                if (write(fd, block, sizeof(block)) != (ssize_t)sizeof(block))
                        fail(path);
        if (fsync(fd) < 0)
                fail(path);
        posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        close(fd);
}

static void read_file(const char *path)
{
        static char block[READ_BYTES];
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = 0;
        if (fd < 0)
                fail(path);
        while ((n = read(fd, block, sizeof(block))) > 0)
                ;
        if (n < 0)
                fail(path);
        close(fd);
}

static uint32_t *open_turn(const char *path)
{
        int fd = open(path, O_RDWR | O_CLOEXEC);
        void *at = fd < 0 ? MAP_FAILED : mmap(NULL, 4, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (at == MAP_FAILED)
                fail(path);
        close(fd);
        return at;
}

static void await_turn(uint32_t *turn, uint32_t me)
{
        for (uint32_t now; turn && (now = __atomic_load_n(turn, __ATOMIC_ACQUIRE)) % 2 != me;)
                syscall(SYS_futex, turn, FUTEX_WAIT, now, NULL, NULL, 0);
}

static void pass_turn(uint32_t *turn)
{
        if (!turn)
                return;
        __atomic_add_fetch(turn, 1, __ATOMIC_RELEASE);
        syscall(SYS_futex, turn, FUTEX_WAKE, 1, NULL, NULL, 0);
}

int main(int argc, char **argv)
{
        if (argc < 6) {
                fprintf(stderr, "worker room|cache|fill BYTES ROUNDS GO TOOK [FILE [TURN ME]]\n");
                return 2;
        }
        size_t bytes = strtoull(argv[2], NULL, 10);
        unsigned rounds = (unsigned)strtoul(argv[3], NULL, 10), sum = 0;
        uint32_t *turn = argc > 8 ? open_turn(argv[7]) : NULL, me = argc > 8 ? argv[8][0] - '0' : 0;
        char kind = argv[1][0], *data = NULL, aside[600];

        snprintf(aside, sizeof(aside), "%s.new", argv[5]);
        FILE *out = fopen(aside, "we");
        if (!out)
                fail(aside);
        if (kind == 'r')
                touch(data = take(bytes), bytes);
        else if (kind == 'c' && argc > 6)
                make_file(argv[6], bytes);
        while (access(argv[4], F_OK) < 0)
                usleep(20000);
        for (unsigned i = 0; i < rounds; i++) {
                await_turn(turn, me);
                uint64_t wall = nsec(CLOCK_MONOTONIC), cpu = nsec(CLOCK_PROCESS_CPUTIME_ID),
                         waited = waited_nsec();
                if (kind == 'f') {
                        touch(data = take(bytes), bytes);
                } else if (kind == 'r') {
                        madvise(data, bytes / 2, MADV_DONTNEED);
                        touch(data, bytes / 2);
                        sum += walk(data, bytes);
                } else {
                        read_file(argv[6]);
                }
                wall = nsec(CLOCK_MONOTONIC) - wall;
                cpu = nsec(CLOCK_PROCESS_CPUTIME_ID) - cpu;
                waited = waited_nsec() - waited;
                pass_turn(turn);
                fprintf(out, "%llu %llu %llu\n", (unsigned long long)wall,
                        (unsigned long long)(wall - waited), (unsigned long long)cpu);
        }
        if (fclose(out) != 0 || rename(aside, argv[5]) < 0)
                fail(argv[5]);
        if (kind == 'f')
                sleep(1);
        return sum == 1 ? 3 : 0; /* nobody may drop the walk */
}
