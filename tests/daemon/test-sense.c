/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "test.h"

/*
 * sense/ against fixture trees in a temporary directory, and against the kernel of this machine. For the
 * latter cgroups named hr-test-* are made below the test's own cgroup (or below $HR_TEST_CGROUP, a path in
 * the memory hierarchy) and removed again. What can't run here says SKIP and why.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "sense/discover.h"
#include "sense/group.h"
#include "sense/host.h"
#include "sense/limits.h"
#include "sense/mapping.h"
#include "sense/proctree.h"
#include "sense/psi.h"
#include "sense/tripwire.h"

#define SAY_SKIP(...)                                \
        do {                                         \
                print_message("SKIP: " __VA_ARGS__); \
                print_message("\n");                 \
                skip();                              \
        } while (0)

/* --- allocations are counted, to show that the sampling path makes none --- */

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#endif

static _Atomic unsigned long allocations;

#ifndef SANITIZED
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *p, size_t size);

void *malloc(size_t size)
{
        allocations++;
        return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
        allocations++;
        return __libc_calloc(count, size);
}

void *realloc(void *p, size_t size)
{
        allocations++;
        return __libc_realloc(p, size);
}
#endif

/* --- fixtures --- */

static char root[64];

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
        (void)st, (void)type, (void)ftw;
        return remove(path);
}

static int fixture_setup(void **state)
{
        (void)state;
        strcpy(root, "/tmp/hr-test-XXXXXX");
        return mkdtemp(root) ? 0 : -1;
}

static int fixture_teardown(void **state)
{
        (void)state;
        return nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void make_parents(const char *path)
{
        char part[PATH_MAX];

        snprintf(part, sizeof(part), "%s", path);
        for (char *c = part + 1; *c; c++) {
                if (*c != '/')
                        continue;
                *c = '\0';
                mkdir(part, 0755);
                *c = '/';
        }
}

static void put_bytes(const char *path, const void *text, size_t size)
{
        char full[PATH_MAX];

        snprintf(full, sizeof(full), "%s%s", root, path);
        make_parents(full);
        _close_ int fd = open(full, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, text, size), size);
}

/* Writes in place: kept descriptors see it. */
static void put(const char *path, const char *text)
{
        put_bytes(path, text, strlen(text));
}

static void put_dir(const char *path)
{
        char full[PATH_MAX];

        snprintf(full, sizeof(full), "%s%s/", root, path);
        make_parents(full);
}

static void take_away(const char *path)
{
        char full[PATH_MAX];

        snprintf(full, sizeof(full), "%s%s", root, path);
        assert_int_equal(nftw(full, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

#define V2 "/sys/fs/cgroup"
#define V1 "/sys/fs/cgroup/memory"

static void put_group2(const char *path, const char *current)
{
        const char *files[][2] = {
                {"memory.current", current},
                {"memory.stat",
                        "anon 1\nfile 2\nshmem 7\ninactive_file 100\nactive_file 200\nslab_reclaimable 50\n"},
                {"memory.swap.current", "4096\n"},
                {"memory.max", "400000000\n"},
                {"memory.high", "max\n"},
                {"memory.swap.max", "1000\n"},
                {"memory.peak", "123456\n"},
                {"memory.events", "low 0\nhigh 5\nmax 6\noom 2\noom_kill 1\noom_group_kill 0\n"},
                {"cgroup.events", "populated 1\nfrozen 0\n"},
                {"cgroup.procs", "10\n11\n"},
        };

        put(V2 "/cgroup.controllers", "cpu io memory pids\n");
        for (size_t i = 0; i < ELEMENTSOF(files); i++) {
                char name[512];

                snprintf(name, sizeof(name), V2 "%s/%s", path, files[i][0]);
                put(name, files[i][1]);
        }
}

static void put_group1(const char *path, const char *current)
{
        const char *files[][2] = {
                {"memory.usage_in_bytes", current},
                {"memory.stat",
                        "cache 1\nshmem 2\nhierarchical_memory_limit 9223372036854771712\ntotal_cache 5\n"
                        "total_shmem 7\ntotal_swap 4096\ntotal_inactive_file 100\ntotal_active_file 200\n"},
                {"memory.kmem.usage_in_bytes", "8192\n"},
                {"memory.limit_in_bytes", "9223372036854771712\n"},
                {"memory.memsw.limit_in_bytes", "500000000\n"},
                {"memory.max_usage_in_bytes", "123456\n"},
                {"memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n"},
                {"cgroup.procs", ""},
        };

        for (size_t i = 0; i < ELEMENTSOF(files); i++) {
                char name[512];

                snprintf(name, sizeof(name), V1 "%s/%s", path, files[i][0]);
                put(name, files[i][1]);
        }
}

static void find_fixture(struct hr_hierarchy *ret)
{
        assert_int_equal(hr_hierarchy_find(root, ret), 0);
        assert_true(ret->fixture);
}

/* --- hierarchies --- */

static void test_hierarchy(void **state)
{
        static const struct {
                const char *name;
                const char *files[4][2];
                const char *memory, *unified, *freezer;
                int version;
        } cases[] = {
                {"nothing", {{0}}, "", "", "", 0},
                {"v2 at the usual place", {{V2 "/cgroup.controllers", "cpu memory pids\n"}}, V2, V2, "", 2},
                {"v2 without memory", {{V2 "/cgroup.controllers", "cpu pids\n"}}, "", V2, "", 0},
                {"a controller named alike", {{V2 "/cgroup.controllers", "memory2 xmemory\n"}}, "", V2, "",
                        0},
                {"v2 with nothing", {{V2 "/cgroup.controllers", ""}}, "", V2, "", 0},
                {"v1 at the usual place", {{V1 "/tasks", ""}, {V2 "/freezer/tasks", ""}}, V1, "",
                        V2 "/freezer", 1},
                {"hybrid at the usual place", {{V1 "/tasks", ""}, {V2 "/unified/cgroup.controllers", "\n"}},
                        V1, V2 "/unified", "", 1},
                {"mounted v1, v2 without memory",
                        {{"/proc/self/mountinfo", "35 31 0:32 / /cg/memory rw - cgroup cgroup rw,memory\n"
                                                  "37 31 0:34 / /cg/fr rw - cgroup cgroup rw,freezer\n"
                                                  "41 31 0:38 / /cg/u rw - cgroup2 cgroup2 rw\n"},
                                {"/cg/u/cgroup.controllers", "hugetlb\n"}},
                        "/cg/memory", "/cg/u", "/cg/fr", 1},
                {"mounted at a name with a blank",
                        {{"/proc/self/mountinfo", "41 31 0:38 / /a\\040b rw - cgroup2 cgroup2 rw\n"},
                                {"/a b/cgroup.controllers", "memory"}},
                        "/a b", "/a b", "", 2},
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                struct hr_hierarchy h;
                char expected[3][512], slashed[80];

                print_message("  %s\n", cases[i].name);
                fixture_setup(state);
                for (size_t f = 0; f < 4 && cases[i].files[f][0]; f++)
                        put(cases[i].files[f][0], cases[i].files[f][1]);
                snprintf(slashed, sizeof(slashed), "%s//", root);
                assert_int_equal(hr_hierarchy_find(slashed, &h), 0);
                const char *wanted[] = {cases[i].memory, cases[i].unified, cases[i].freezer};
                for (size_t k = 0; k < 3; k++)
                        snprintf(expected[k], sizeof(expected[k]), "%s%s", wanted[k][0] ? root : "",
                                wanted[k]);
                assert_string_equal(h.root, root);
                assert_string_equal(h.memory, expected[0]);
                assert_string_equal(h.unified, expected[1]);
                assert_string_equal(h.freezer, expected[2]);
                assert_int_equal(h.memory_version, cases[i].version);
                assert_true(h.fixture);
                fixture_teardown(state);
        }
}

static void test_hierarchy_large(void **state)
{
        _free_ char *text = malloc(400000);
        struct hr_hierarchy h;
        size_t size = 0;

        (void)state;
        for (unsigned i = 0; size < 390000; i++)
                size += (size_t)sprintf(text + size, "%u 1 0:9 / /mnt/%u rw - ext4 /dev/x rw\n", i, i);
        size += (size_t)sprintf(text + size, "35 31 0:32 / /m rw - cgroup cgroup rw,memory\n");
        put_bytes("/proc/self/mountinfo", text, size);
        find_fixture(&h);
        assert_int_equal(h.memory_version, 1);
}

static void test_hierarchy_real(void **state)
{
        struct hr_hierarchy h, again;

        (void)state;
        assert_int_equal(hr_hierarchy_find("", &h), 0);
        assert_int_equal(hr_hierarchy_find("/", &again), 0);
        assert_false(h.fixture || again.fixture);
        assert_string_equal(h.proc, "/proc");
        assert_string_equal(h.memory, again.memory);
        print_message("  memory v%d at \"%s\", v2 at \"%s\", freezer at \"%s\"\n", h.memory_version, h.memory,
                h.unified, h.freezer);
}

/* --- groups in a fixture --- */

static void test_group_paths(void **state)
{
        static const char *const refused[] = {
                "", "/", "a", "/a/../b", "/..", "/a//b", "/.", "/a/", "//a", "/a/."};
        struct hr_hierarchy h, none = {0};
        struct hr_group g = HR_GROUP_INIT;

        (void)state;
        put_group2("/a", "1\n");
        put_group2("/a/.b..c", "1\n");
        find_fixture(&h);
        for (size_t i = 0; i < ELEMENTSOF(refused); i++) {
                print_message("  \"%s\"\n", refused[i]);
                assert_int_equal(hr_group_open(&h, refused[i], &g), -EINVAL);
        }
        assert_int_equal(hr_group_open(&none, "/a", &g), -EOPNOTSUPP);
        assert_int_equal(hr_group_open(&h, "/missing", &g), HR_SENSE_GONE);
        assert_int_equal(g.dir_fd, -1); /* untouched */
        hr_group_close(&g);
        assert_int_equal(hr_group_open(&h, "/a/.b..c", &g), 0);
        hr_group_close(&g);
        hr_group_close(&g);

        take_away(V2 "/a/memory.current"); /* a cgroup without the controller: no group, but not away */
        assert_int_equal(hr_group_open(&h, "/a", &g), -ENOENT);
}

static void assert_cloexec(int fd)
{
        assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

static void test_group2(void **state)
{
        struct hr_hierarchy h;
        struct hr_group g = HR_GROUP_INIT;
        struct hr_group_limits limits;
        struct hr_usage u;
        uint64_t n;
        bool populated;

        (void)state;
        put_group2("/a", "1000000\n");
        find_fixture(&h);
        assert_int_equal(hr_group_open(&h, "/a", &g), 0);
        assert_int_equal(g.kind, HR_KIND_CGROUP2);
        assert_string_equal(g.path, "/a");
        assert_cloexec(g.dir_fd);
        assert_cloexec(g.current_fd);
        assert_cloexec(g.stat_fd);
        assert_cloexec(g.swap_fd);
        assert_int_equal(hr_group_read_usage(&g, &u), 0);
        assert_int_equal(u.current_bytes, 1000000);
        assert_int_equal(u.inactive_file_bytes, 100);
        assert_int_equal(u.active_file_bytes, 200);
        assert_int_equal(u.slab_reclaimable_bytes, 50);
        assert_int_equal(u.shmem_bytes, 7);
        assert_int_equal(u.swap_bytes, 4096);
        assert_int_equal(u.kernel_bytes, 0);

        assert_int_equal(hr_group_read_limits(&g, &limits), 0);
        assert_int_equal(limits.limit_bytes, 400000000);
        assert_int_equal(limits.swap_max_bytes, 1000);
        assert_true(limits.high_bytes == HR_BYTES_NONE && limits.memsw_bytes == HR_BYTES_NONE);
        take_away(V2 "/a/memory.swap.max");
        assert_int_equal(hr_group_read_limits(&g, &limits), 0);
        assert_true(limits.swap_max_bytes == HR_BYTES_NONE);
        put(V2 "/a/memory.max", "12");
        assert_int_equal(hr_group_read_limits(&g, &limits), -EBADMSG);
        take_away(V2 "/a/memory.max");
        assert_int_equal(hr_group_read_limits(&g, &limits), -ENOENT);

        assert_int_equal(hr_group_read_peak(&g, &n), 0);
        assert_int_equal(n, 123456);
        take_away(V2 "/a/memory.peak");
        assert_int_equal(hr_group_read_peak(&g, &n), -ENODATA);
        assert_int_equal(hr_group_read_oom_kills(&g, &n), 0);
        assert_int_equal(n, 1);
        take_away(V2 "/a/memory.events");
        assert_int_equal(hr_group_read_oom_kills(&g, &n), -ENODATA);
        assert_int_equal(hr_group_read_populated(&g, &populated), 0);
        assert_true(populated);
        assert_int_equal(g.bad_count, 0);
        assert_int_equal(hr_group_check_identity(&h, &g), 0);
        take_away(V2 "/a");
        assert_int_equal(hr_group_check_identity(&h, &g), HR_SENSE_GONE);
        assert_int_equal(hr_group_read_limits(&g, &limits), HR_SENSE_GONE);
        put_group2("/a", "1\n"); /* made again: another inode, as the old one is held */
        assert_int_equal(hr_group_check_identity(&h, &g), HR_SENSE_GONE);
        assert_int_equal(hr_group_read_peak(&g, &n), HR_SENSE_GONE);
        hr_group_close(&g);

        take_away(V2 "/a/memory.swap.current");
        assert_int_equal(hr_group_open(&h, "/a", &g), 0);
        assert_int_equal(g.swap_fd, -1);
        assert_int_equal(hr_group_read_usage(&g, &u), 0);
        assert_int_equal(u.swap_bytes, 0);
        hr_group_close(&g);
}

static void test_group1(void **state)
{
        struct hr_hierarchy h;
        struct hr_group g = HR_GROUP_INIT;
        struct hr_group_limits limits;
        struct hr_usage u;
        uint64_t n;
        bool populated;

        (void)state;
        put_group1("/a", "1000000\n");
        find_fixture(&h);
        assert_int_equal(h.memory_version, 1);
        assert_int_equal(hr_group_open(&h, "/a", &g), 0);
        assert_int_equal(g.kind, HR_KIND_CGROUP1);
        assert_int_equal(hr_group_read_usage(&g, &u), 0);
        assert_int_equal(u.current_bytes, 1000000);
        assert_int_equal(u.inactive_file_bytes, 100);
        assert_int_equal(u.active_file_bytes, 200);
        assert_int_equal(u.slab_reclaimable_bytes, 0);
        assert_int_equal(u.swap_bytes, 4096);
        assert_int_equal(u.kernel_bytes, 8192);
        take_away(V1 "/a/memory.kmem.usage_in_bytes");
        assert_int_equal(hr_group_read_usage(&g, &u), 0);
        assert_int_equal(u.kernel_bytes, 0);

        assert_int_equal(hr_group_read_limits(&g, &limits), 0);
        assert_true(limits.limit_bytes == HR_BYTES_NONE && limits.swap_max_bytes == HR_BYTES_NONE);
        assert_int_equal(limits.memsw_bytes, 500000000);
        put(V1 "/a/memory.limit_in_bytes", "400000000\n");
        take_away(V1 "/a/memory.memsw.limit_in_bytes");
        assert_int_equal(hr_group_read_limits(&g, &limits), 0);
        assert_int_equal(limits.limit_bytes, 400000000);
        assert_true(limits.memsw_bytes == HR_BYTES_NONE);
        put(V1 "/a/memory.limit_in_bytes", "9223372036854710272\n"); /* 64 KiB pages */
        assert_int_equal(hr_group_read_limits(&g, &limits), 0);
        assert_true(limits.limit_bytes == HR_BYTES_NONE);

        assert_int_equal(hr_group_read_peak(&g, &n), 0);
        assert_int_equal(n, 123456);
        assert_int_equal(hr_group_read_oom_kills(&g, &n), 0);
        assert_int_equal(n, 3);
        assert_int_equal(hr_group_read_populated(&g, &populated), 0);
        assert_false(populated);
        put(V1 "/a/b/c/cgroup.procs", "7\n");
        assert_int_equal(hr_group_read_populated(&g, &populated), 0);
        assert_true(populated);
        hr_group_close(&g);
}

/* Each keeps the last good value and is counted, or (good) is taken. */
static void test_group_bad_values(void **state)
{
        static const struct {
                const char *name, *file, *text;
                bool good;
        } cases[] = {
                {"empty", "memory.current", "", false},
                {"cut off", "memory.current", "123", false},
                {"no number", "memory.current", "abc\n", false},
                {"negative", "memory.current", "-4096\n", false},
                {"does not fit", "memory.current", "99999999999999999999999\n", false},
                {"more than the buffer", "memory.current", "0000000000000000000000000000000000000001\n",
                        false},
                {"wrapped below zero", "memory.current", "18446744073709547520\n", false},
                {"more than any machine", "memory.current", "4503599627370497\n", false},
                {"max", "memory.current", "max\n", false},
                {"two lines", "memory.current", "1\n2\n", false},
                {"the largest", "memory.current", "4503599627370496\n", true},
                {"nothing", "memory.current", "0\n", true},
                {"stat empty", "memory.stat", "", false},
                {"stat cut off", "memory.stat", "inactive_file 1\nactive_file 2\nslab_recl", false},
                {"stat implausible", "memory.stat",
                        "inactive_file 18446744073709551615\nactive_file 2\nslab_reclaimable 3\nshmem 4\n",
                        false},
                {"swap no number", "memory.swap.current", "x\n", false},
                {"swap implausible", "memory.swap.current", "9223372036854775807\n", false},
                {"swap", "memory.swap.current", "1\n", true},
        };
        struct hr_hierarchy h;

        (void)state;
        put_group2("/a", "1000000\n");
        find_fixture(&h);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                struct hr_group g = HR_GROUP_INIT;
                struct hr_usage before, after;
                char path[256];

                print_message("  %s\n", cases[i].name);
                put_group2("/a", "1000000\n");
                assert_int_equal(hr_group_open(&h, "/a", &g), 0);
                assert_int_equal(hr_group_read_usage(&g, &before), 0);
                snprintf(path, sizeof(path), V2 "/a/%s", cases[i].file);
                put(path, cases[i].text);
                assert_int_equal(hr_group_read_usage(&g, &after), 0);
                assert_int_equal(g.bad_count, cases[i].good ? 0 : 1);
                assert_int_equal(memcmp(&before, &after, sizeof(before)) == 0, !cases[i].good);
                hr_group_close(&g);
                if (!cases[i].good) /* with nothing good before, it isn't opened */
                        assert_int_equal(hr_group_open(&h, "/a", &g), -EBADMSG);
        }
}

static void test_read_sizes(void **state)
{
        char text[64];
        size_t size = 99;
        _close_ int fd = -1;

        (void)state;
        put_bytes("/f", "0123456789", 10);
        put_dir("/d");
        _close_ int dir_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(hr_sense_read_at(dir_fd, "f", text, sizeof(text), &size), 0);
        assert_int_equal(size, 10);
        size = 99;
        assert_int_equal(hr_sense_read_at(dir_fd, "f", text, 10, &size), -EFBIG);
        assert_int_equal(hr_sense_read_at(dir_fd, "f", text, 9, &size), -EFBIG);
        assert_int_equal(hr_sense_read_at(dir_fd, "d", text, 9, &size), -EISDIR);
        assert_int_equal(hr_sense_read_at(dir_fd, "g", text, 9, &size), -ENOENT);
        assert_int_equal(size, 99);
        fd = openat(dir_fd, "d", O_PATH | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(hr_sense_read_at(fd, "g", text, 9, &size), -ENOENT);
        take_away("/d");
        assert_int_equal(hr_sense_read_at(fd, "g", text, 9, &size), HR_SENSE_GONE);

        hr_close(fd);
        fd = openat(dir_fd, "f", O_RDONLY | O_CLOEXEC);
        for (int all = 0; all < 2; all++) {
                int (*read_fd)(int, char *, size_t, size_t *) = all ? hr_sense_read_all_fd : hr_sense_read_fd;

                size = 99;
                assert_int_equal(read_fd(fd, text, 10, &size), -EFBIG);
                assert_int_equal(size, 99);
                assert_int_equal(read_fd(fd, text, 11, &size), 0);
                assert_int_equal(size, 10);
        }
        hr_close(fd);
        fd = open("/proc/self/smaps", O_RDONLY | O_CLOEXEC); /* many records */
        static char many[3 * 4096];
        assert_int_equal(hr_sense_read_fd(fd, many, sizeof(many), &size), 0);
        assert_int_equal(hr_sense_read_all_fd(fd, many, sizeof(many), &size), -EFBIG);
}

struct pids {
        size_t count;
        uint64_t sum;
        pid_t stop_at, last;
        int answer;
};

static int count_pid(pid_t pid, void *userdata)
{
        struct pids *p = userdata;

        p->count++;
        p->sum += (uint64_t)pid;
        p->last = pid;
        return pid == p->stop_at ? p->answer : 0;
}

static void test_each_pid(void **state)
{
        _free_ char *text = malloc(100000);
        char path[256] = V2 "/t";
        size_t size = 0;
        struct pids p = {0};

        (void)state;
        put_dir(V2 "/t");
        char full[PATH_MAX];
        snprintf(full, sizeof(full), "%s" V2 "/t", root);
        _close_ int fd = open(full, O_PATH | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(hr_cgroup_each_pid(fd, count_pid, &p), 0); /* no cgroup.procs */
        assert_int_equal(p.count, 0);

        uint64_t sum = 0;
        for (unsigned i = 1; i <= 9999; i++, sum += i - 1)
                size += (size_t)sprintf(text + size, "%u\n", i);
        put_bytes(V2 "/t/cgroup.procs", text, size);
        put(V2 "/t/b/cgroup.procs", "0\n20000\n0\n0\n30000\n0\n");
        put(V2 "/t/b/c/cgroup.procs", "0\n");
        assert_int_equal(hr_cgroup_each_pid(fd, count_pid, &p), 0);
        assert_int_equal(p.count, 10001);
        assert_int_equal(p.sum, sum + 50000);

        const int answers[] = {1, 7, -EPERM};
        for (size_t i = 0; i < ELEMENTSOF(answers); i++) {
                p = (struct pids){.stop_at = 5000, .answer = answers[i]};
                assert_int_equal(hr_cgroup_each_pid(fd, count_pid, &p), answers[i]);
                assert_int_equal(p.last, 5000);
        }

        p = (struct pids){0};
        put_bytes(V2 "/t/cgroup.procs", text, size - 1);
        assert_int_equal(hr_cgroup_each_pid(fd, count_pid, &p), -EBADMSG);
        put_bytes(V2 "/t/cgroup.procs", "1\n\0002\n", 6);
        assert_int_equal(hr_cgroup_each_pid(fd, count_pid, &p), -EBADMSG);

        put(V2 "/t/cgroup.procs", ""); /* 8 levels with the top one, and one too many */
        for (int depth = 1; depth < 8; depth++)
                strcat(path, "/d");
        strcat(path, "/cgroup.procs");
        put(path, "8\n");
        p = (struct pids){0};
        assert_int_equal(hr_cgroup_each_pid(fd, count_pid, &p), 0);
        assert_int_equal(p.last == 8 || p.count == 3, true);
        strcpy(strstr(path, "cgroup.procs"), "d/cgroup.procs");
        put(path, "9\n");
        p = (struct pids){0};
        assert_int_equal(hr_cgroup_each_pid(fd, count_pid, &p), -E2BIG);
        assert_int_equal(p.count, 3);

        take_away(V2 "/t");
        assert_int_equal(hr_cgroup_each_pid(fd, count_pid, &p), 0); /* nobody there */
}

static void test_each_pid_most(void **state)
{
        _free_ char *text = malloc(1000000);
        size_t size = 0;
        struct pids p = {0};

        (void)state;
        for (unsigned i = 1; i <= 65537; i++)
                size += (size_t)sprintf(text + size, "%u\n", i);
        put_bytes("/t/cgroup.procs", text, size);
        char full[PATH_MAX];
        snprintf(full, sizeof(full), "%s/t", root);
        _close_ int fd = open(full, O_PATH | O_DIRECTORY | O_CLOEXEC);
        assert_int_equal(hr_cgroup_each_pid(fd, count_pid, &p), -E2BIG);
        assert_int_equal(p.count, 65536);
}

/* --- processes in a fixture --- */

static void put_process(
        pid_t pid, pid_t ppid, const char *name, char status, uint64_t start, unsigned anon_kib)
{
        char path[128], text[1024];

        snprintf(path, sizeof(path), "/proc/%d/stat", pid);
        snprintf(text, sizeof(text),
                "%d (%s) %c %d %d %d 0 -1 4194304 101 0 0 0 0 0 0 0 20 0 1 0 %" PRIu64 " 3133440 362 "
                "18446744073709551615 1 1 1 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0 1 1 1 1 1 1 1 0\n",
                pid, name, status, ppid, pid, pid, start);
        put(path, text);
        snprintf(path, sizeof(path), "/proc/%d/status", pid);
        snprintf(text, sizeof(text),
                "Name:\tx\nState:\t%c\nPid:\t%d\nPPid:\t%d\nUid:\t1000\t1000\t1000\t1000\nGid:"
                "\t100\t100\t100\t100\n"
                "RssAnon:\t%u kB\nRssFile:\t4 kB\nRssShmem:\t8 kB\nVmData:\t360 kB\nVmSwap:\t16 "
                "kB\nThreads:\t1\n"
                "SigPnd:\t0000000000000000\nShdPnd:\t0000000000000000\nSigBlk:\t0000000000000000\n"
                "SigIgn:\t0000000000000000\nSigCgt:\t0000000000000000\n",
                status, pid, ppid, anon_kib);
        put(path, text);
}

static bool has_member(const struct hr_tree *t, pid_t pid)
{
        for (size_t i = 0; i < t->member_count; i++)
                if (t->members[i].pid == pid)
                        return true;
        return false;
}

static void free_table(struct hr_proc_table **t)
{
        hr_proc_table_free(*t);
}

static void test_tree_fixture(void **state)
{
        HR_CLEANUP(free_table) struct hr_proc_table *table = NULL;
        struct hr_tree t = {0};
        struct hr_usage u;
        char proc[128];

        (void)state;
        snprintf(proc, sizeof(proc), "%s/proc", root);
        put_process(1, 0, "systemd", 'S', 1, 0);
        put_process(100, 1, "python3", 'S', 500, 1000);
        put_process(101, 100, "foo) Z 1 (", 'S', 501, 1000); /* a name that looks like a zombie */
        put_process(50, 101, "a\\nb", 'R', 502, 1000);       /* a grandchild with a lower pid */
        put_process(102, 1, "other", 'S', 503, 1000);
        put("/proc/self/stat", "no process\n");
        put("/proc/103/stat", "103 (cut off");
        put_dir("/proc/104");

        assert_int_equal(hr_proc_table_new(proc, &table), 0);
        assert_int_equal(hr_proc_table_scan(table), 0);
        assert_int_equal(hr_process_open(proc, 100, 0), -EOPNOTSUPP); /* never a pidfd of a fixture's pid */
        assert_int_equal(hr_tree_open(proc, 100, 499, &t), -ESRCH);
        assert_int_equal(hr_tree_open(proc, 99, 0, &t), -ESRCH);
        assert_int_equal(hr_tree_open(proc, 0, 0, &t), -ESRCH);
        assert_int_equal(hr_tree_open(proc, 100, 500, &t), 0);
        assert_int_equal(hr_tree_update(proc, &t, table), 0);
        assert_int_equal(t.member_count, 3);
        assert_true(has_member(&t, 100) && has_member(&t, 101) && has_member(&t, 50));
        assert_int_equal(t.members[0].pidfd, -1);
        assert_int_equal(hr_tree_read_usage(proc, &t, &u), 0);
        assert_int_equal(u.current_bytes, 3 * 1008 * 1024);
        assert_int_equal(u.shmem_bytes, 3 * 8 * 1024);
        assert_int_equal(u.swap_bytes, 3 * 16 * 1024);

        /* A status that makes no sense: the last good sum, as a whole. */
        put("/proc/50/status", "Name:\tx\n");
        assert_int_equal(hr_tree_read_usage(proc, &t, &u), 0);
        assert_int_equal(u.current_bytes + u.swap_bytes, 3 * 1024 * 1024);
        assert_int_equal(t.bad_count, 1);
        put_process(50, 101, "x", 'R', 502, 1000);

        /* The parent dies, the orphan stays; the parent's pid is given to another, which has a child. */
        put_process(50, 1, "x", 'R', 502, 1000);
        put_process(101, 1, "stranger", 'S', 900, 1000);
        put_process(105, 101, "strange child", 'S', 901, 1000);
        assert_int_equal(hr_proc_table_scan(table), 0);
        assert_int_equal(hr_tree_update(proc, &t, table), 0);
        assert_int_equal(t.member_count, 2);
        assert_true(has_member(&t, 100) && has_member(&t, 50));

        /* A child that died since the table was made: its own child is still taken in. */
        put_process(110, 100, "sh", 'S', 910, 1000);
        put_process(111, 110, "work", 'S', 911, 1000);
        assert_int_equal(hr_proc_table_scan(table), 0);
        take_away("/proc/110");
        assert_int_equal(hr_tree_update(proc, &t, table), 0);
        assert_true(!has_member(&t, 110) && has_member(&t, 111));

        /* Born and orphaned between two looks: found below the job's own subreaper, which is no member. */
        put_process(90, 1, "headroom", 'S', 490, 0);
        put_process(120, 90, "escaped", 'S', 920, 1000);
        put_process(121, 120, "its child", 'S', 921, 1000);
        put_process(122, 90, HR_WITNESS_NAME, 'S', 491, 0);
        put_process(123, 120, HR_WITNESS_NAME, 'S', 922, 0); /* of a `run` inside the job */
        assert_int_equal(hr_proc_table_scan(table), 0);
        assert_int_equal(hr_tree_update(proc, &t, table), 0);
        assert_false(has_member(&t, 120));
        t.reaper = 90;
        t.reaper_start_ticks = 489; /* its pid is another's now */
        assert_int_equal(hr_tree_update(proc, &t, table), 0);
        assert_false(has_member(&t, 120));
        t.reaper_start_ticks = 490;
        assert_int_equal(hr_tree_update(proc, &t, table), 0);
        assert_true(has_member(&t, 120) && has_member(&t, 121) && has_member(&t, 123));
        assert_false(has_member(&t, 90) || has_member(&t, 122));
        for (pid_t pid = 120; pid <= 123; pid++) {
                char path[32];

                snprintf(path, sizeof(path), "/proc/%d", pid);
                take_away(path);
        }

        /* The leader becomes a zombie. */
        put_process(100, 1, "python3", 'Z', 500, 0);
        assert_int_equal(hr_proc_table_scan(table), 0);
        assert_int_equal(hr_tree_update(proc, &t, table), 0);
        assert_int_equal(t.member_count, 2);

        take_away("/proc/50");
        take_away("/proc/111");
        assert_int_equal(hr_tree_read_usage(proc, &t, &u), HR_SENSE_GONE);
        assert_int_equal(hr_proc_table_scan(table), 0);
        assert_int_equal(hr_tree_update(proc, &t, table), HR_SENSE_GONE);
        hr_tree_close(&t);
        hr_tree_close(&t);
}

/* A process with one mapping on the heap; with a text that is larger than what is read of it, many. */
static void put_memory(pid_t pid, const char *name, unsigned kib, size_t mappings)
{
        _free_ char *text = NULL;
        char path[64], rollup[64];
        size_t size;
        FILE *f = open_memstream(&text, &size);

        put_process(pid, 1, name, 'S', 1, kib);
        for (size_t i = 0; i < mappings; i++)
                fprintf(f,
                        "%zx-%zx rw-p 00000000 00:00 0 \nRss: %u kB\nPss: %u kB\nSwapPss: 0 kB\n"
                        "VmFlags: rd %1000s \n",
                        4096 * (i + 1), 4096 * (i + 2), kib, kib, "");
        fclose(f);
        snprintf(path, sizeof(path), "/proc/%d/smaps", pid);
        put_bytes(path, text, size);
        snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", pid);
        snprintf(rollup, sizeof(rollup), "Pss: %zu kB\nSwapPss: 0 kB\n", kib * mappings);
        put(path, rollup);
}

static uint64_t sum_of(const struct hr_breakdown *b)
{
        uint64_t all = b->rest_bytes;

        for (size_t i = 0; i < HR_MAPPING_COUNT; i++)
                all += b->bytes[i];
        return all;
}

static void test_mapping_fixture(void **state)
{
        struct hr_breakdown b = {.process_count = 77};
        pid_t pids[HR_MAPPING_PIDS_MAX + 5];
        char proc[128];

        (void)state;
        snprintf(proc, sizeof(proc), "%s/proc", root);
        for (size_t i = 0; i < ELEMENTSOF(pids); i++)
                pids[i] = 100 + (pid_t)i;
        assert_int_equal(hr_mapping_read(proc, pids, 20, HR_USEC_PER_SEC, &b), HR_SENSE_GONE);
        assert_int_equal(b.process_count, 77);

        /* Twenty, the largest last: sixteen are listed. One is a zombie, one is away. */
        for (unsigned i = 0; i < 20; i++)
                put_memory(100 + (pid_t)i, i == 19 ? "a\x1b[31m)\n" : "work", 100 + i, 1);
        put_process(120, 1, "dead", 'Z', 1, 0);
        put("/proc/120/status", "Uid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nSigPnd:\t0\nShdPnd:\t0\nSigBlk:\t0\n"
                                "SigIgn:\t0\nSigCgt:\t0\n");
        assert_int_equal(hr_mapping_read(proc, pids, 22, HR_USEC_PER_SEC, &b), 0);
        assert_int_equal(b.process_count, HR_BREAKDOWN_PROCESSES_MAX);
        assert_int_equal(b.processes[0].pid, 119);
        assert_string_equal(b.processes[0].name, "a\x1b[31m)\n");
        assert_int_equal(b.processes[0].bytes, 119 * 1024);
        assert_int_equal(b.processes[15].pid, 104);
        assert_int_equal(b.others_count, 4);
        assert_int_equal(b.others_bytes, (100 + 101 + 102 + 103) * 1024);
        assert_int_equal(b.unread_count, 0);
        assert_int_equal(b.rest_bytes, 0);
        assert_int_equal(b.bytes[HR_MAPPING_HEAP], (20 * 100 + 190) * 1024);

        /* One whose mappings make no sense is not told apart; another's sum makes none either. */
        put("/proc/118/smaps", "rubbish\n");
        put("/proc/117/smaps", "1-2 rw-p 00000000 00:00 0 \nPss: 117 kB");
        put("/proc/117/smaps_rollup", "rubbish\n");
        assert_int_equal(hr_mapping_read(proc, pids, 20, HR_USEC_PER_SEC, &b), 0);
        assert_int_equal(b.rest_bytes, 118 * 1024);
        assert_int_equal(b.unread_count, 1);
        assert_int_equal(sum_of(&b), (20 * 100 + 190 - 117) * 1024);

        /* More text than is read: what came is told apart, the rest and who comes later is not. */
        put_memory(119, "large", 1000, HR_MAPPING_TEXT_MAX / 1000);
        assert_int_equal(hr_mapping_read(proc, pids, 20, HR_USEC_PER_SEC * 60, &b), 0);
        assert_int_equal(b.processes[0].bytes, (uint64_t)1000 * 1024 * (HR_MAPPING_TEXT_MAX / 1000));
        assert_true(b.bytes[HR_MAPPING_HEAP] > b.processes[0].bytes / 10 * 9);
        assert_true(b.rest_bytes > (20 * 100 + 171 - 117) * 1024);
        assert_int_equal(sum_of(&b), b.processes[0].bytes + (19 * 100 + 171 - 117) * 1024);

        /* No time: nothing is known. More processes than are looked at. */
        assert_int_equal(hr_mapping_read(proc, pids, 20, 0, &b), 0);
        assert_int_equal(b.unread_count, 20);
        assert_int_equal(b.process_count, 0);
        assert_int_equal(hr_mapping_read(proc, pids, ELEMENTSOF(pids), HR_USEC_PER_SEC * 60, &b), 0);
        assert_int_equal(b.unread_count, 1 + 5);
}

static void test_tree_overflow(void **state)
{
        HR_CLEANUP(free_table) struct hr_proc_table *table = NULL;
        struct hr_tree t = {0};
        char proc[128];

        (void)state;
        snprintf(proc, sizeof(proc), "%s/proc", root);
        put_process(2, 1, "leader", 'S', 1, 1);
        for (pid_t pid = 3; pid < HR_MEMBERS_MAX + 10; pid++)
                put_process(pid, pid - 1, "x", 'S', (uint64_t)pid, 1); /* a chain */
        assert_int_equal(hr_proc_table_new(proc, &table), 0);
        assert_int_equal(hr_proc_table_scan(table), 0);
        assert_int_equal(hr_tree_open(proc, 2, 0, &t), 0);
        assert_int_equal(hr_tree_update(proc, &t, table), 0);
        assert_int_equal(t.member_count, HR_MEMBERS_MAX);
        assert_true(t.overflow);
        hr_tree_close(&t);
}

static void test_is_python(void **state)
{
        static const struct {
                const char *name, *exe;
                bool python;
        } cases[] = {
                {"python3", "/usr/bin/python3.11", true},
                {"job", "/opt/conda/bin/python", true},
                {"job", "/usr/lib/libpython3.11.so.1.0", true},
                {"python3", "/usr/bin/node", false}, /* the exe decides */
                {"python3", "/home/python/bin/a.out", false},
                {"job", "/usr/bin/python3.11 (deleted)", true},
                {"kworker", NULL, false},
        };
        char proc[128];

        (void)state;
        snprintf(proc, sizeof(proc), "%s/proc", root);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char path[PATH_MAX];

                print_message("  %s %s\n", cases[i].name, cases[i].exe ? cases[i].exe : "(none)");
                put_process(5, 1, cases[i].name, 'S', 1, 1);
                snprintf(path, sizeof(path), "%s/5/exe", proc);
                unlink(path);
                if (cases[i].exe)
                        assert_int_equal(symlink(cases[i].exe, path), 0);
                assert_int_equal(hr_process_is_python(proc, 5), cases[i].python);
        }
        assert_false(hr_process_is_python(proc, 6));
}

static void test_way_in(void **state)
{
        static const struct {
                const char *name;
                const char *line; /* blanks stand for NUL */
                int way;
        } cases[] = {
                {"systemd", "/lib/systemd/systemd --user", 1},
                {"sshd", "sshd: user@pts/1", 1},
                {"sshd-session", "sshd-session: user", 1},
                {"dbus-daemon", "", 1},
                {"dbus-broker-lau", "", 1},
                {"systemd-journal", "", 1},
                {"systemd-logind", "", 1},
                {"slurmstepd", "", 1},
                {"headroomd", "", 1},
                {"agetty", "", 1},
                {"login", "", 1},
                {"jupyter-lab", "x", 1},
                {"python3", "/usr/bin/python3 /usr/local/bin/jupyter-lab --no-browser", 1},
                {"python3", "python3 -I -m jupyterlab", 1},
                {"python3", "python3 -m ipykernel_launcher -f /run/jupyter/kernel.json", 0},
                {"python3", "python3 analyse.py jupyter", 0},
                {"grep", "grep jupyter", 0},
                {"less", "less -N jupyter-notes", 0},
                {"loginx", "", 0},
                {"bash", "-bash", 0},
                {"foo) Z ", "", 0},
        };
        struct hr_hierarchy h;
        struct hr_group g = HR_GROUP_INIT;
        char proc[128], name[32];

        (void)state;
        snprintf(proc, sizeof(proc), "%s/proc", root);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                char line[128] = "";
                size_t size = strlen(cases[i].line);

                print_message("  %s: %s\n", cases[i].name, cases[i].line);
                memcpy(line, cases[i].line, size);
                for (size_t c = 0; c < size; c++)
                        if (line[c] == ' ')
                                line[c] = '\0';
                put_process(10, 1, cases[i].name, 'S', 1, 1);
                put_bytes("/proc/10/cmdline", line, size + 1);
                snprintf(name, sizeof(name), "unset");
                assert_int_equal(hr_process_is_way_in(proc, 10, name, sizeof(name)), cases[i].way);
                assert_string_equal(name, cases[i].way ? cases[i].name : "unset");
        }
        assert_int_equal(hr_process_is_way_in(proc, 11, name, sizeof(name)), 0); /* away */
        put_process(1, 0, "anything", 'S', 1, 1);
        assert_int_equal(hr_process_is_way_in(proc, 1, name, sizeof(name)), 1);

        static const struct {
                const char *group, *process, *expected;
        } groups[] = {
                {"/system.slice/job.service", "bash", NULL},
                {"/system.slice/ssh.service", "sshd", "sshd"},
                {"/user.slice/session-3.scope", "bash", "session-3.scope"},
                {"/user.slice/user@1000.service", "bash", "user@1000.service"},
                {"/user.slice/user@1000.service/app.slice/job.scope", "bash", NULL},
                {"/init.scope", "bash", "init.scope"},
                {"/my-session-3.scope", "bash", NULL},
                {"/session-3.scope.d", "bash", NULL},
        };
        for (size_t i = 0; i < ELEMENTSOF(groups); i++) {
                print_message("  %s with %s\n", groups[i].group, groups[i].process);
                put_group2(groups[i].group, "1\n"); /* holds 10 and 11, which is away */
                put_process(10, 1, groups[i].process, 'S', 1, 1);
                put_bytes("/proc/10/cmdline", "x", 2);
                find_fixture(&h);
                assert_int_equal(hr_group_open(&h, groups[i].group, &g), 0);
                assert_int_equal(
                        hr_group_is_way_in(proc, &g, name, sizeof(name)), groups[i].expected ? 1 : 0);
                if (groups[i].expected)
                        assert_string_equal(name, groups[i].expected);
                hr_group_close(&g);
        }
}

/* --- host, pressure, tripwire in a fixture --- */

#define MEMINFO(swap_free)                                                                     \
        "MemTotal:       1000000 kB\nMemFree:         100000 kB\nMemAvailable:    500000 kB\n" \
        "SwapTotal:       200000 kB\nSwapFree:        " swap_free " kB\n"

static void test_host(void **state)
{
        static const struct {
                const char *name, *text;
        } bad[] = {
                {"absurd SwapFree", MEMINFO("18446744073709551615")},
                {"SwapFree above SwapTotal", MEMINFO("200001")},
                {"negative", MEMINFO("-1")},
                {"empty", ""},
                {"cut off", "MemTotal:       1000000 kB\nMemFree:  "},
                {"no memory", "MemTotal: 0 kB\nMemFree: 0 kB\nMemAvailable: 0 kB\nSwapTotal: 0 kB\nSwapFree: "
                              "0 kB\n"},
        };
        struct hr_hierarchy h;
        struct hr_host host = HR_HOST_INIT;
        struct hr_meminfo m;

        (void)state;
        find_fixture(&h);
        assert_int_equal(hr_host_open(&h, &host), -ENOENT);
        assert_int_equal(hr_host_read(&host, &m), -EBADF);
        put("/proc/meminfo", bad[0].text);
        assert_true(hr_host_open(&h, &host) < 0);
        put("/proc/meminfo", MEMINFO("150000"));
        assert_int_equal(hr_host_open(&h, &host), 0);
        assert_cloexec(host.meminfo_fd);
        for (size_t i = 0; i < ELEMENTSOF(bad); i++) {
                print_message("  %s\n", bad[i].name);
                put("/proc/meminfo", bad[i].text);
                assert_int_equal(hr_host_read(&host, &m), 0);
                assert_int_equal(m.swap_free_bytes, 150000 * 1024);
                assert_int_equal(m.available_bytes, 500000 * 1024);
                assert_int_equal(host.bad_count, i + 1);
        }
        put("/proc/meminfo", MEMINFO("140000"));
        assert_int_equal(hr_host_read(&host, &m), 0);
        assert_int_equal(m.swap_free_bytes, 140000 * 1024);
        hr_host_close(&host);
        hr_host_close(&host);
}

static void test_events_fixture(void **state)
{
        struct hr_hierarchy h;
        struct hr_group g = HR_GROUP_INIT;
        struct hr_tripwire t = HR_TRIPWIRE_INIT;
        struct hr_psi p = HR_PSI_INIT;
        bool tripped;

        (void)state;
        put_group2("/a", "1\n");
        put(V2 "/a/memory.events.local", "low 0\nhigh 5\nmax 6\noom 2\noom_kill 1\n");
        put("/proc/pressure/memory", "some avg10=0.00 avg60=0.00 avg300=0.00 total=100\n");
        find_fixture(&h);
        assert_int_equal(hr_group_open(&h, "/a", &g), 0);
        assert_int_equal(hr_tripwire_open(&h, &g, &t), -EOPNOTSUPP);
        assert_int_equal(hr_tripwire_arm1(&t, &g, 1), -EOPNOTSUPP);
        assert_int_equal(hr_psi_open(&h, 150000, 2000000, &p), -EOPNOTSUPP);

        h.fixture = false; /* the counters, without the events */
        assert_int_equal(hr_tripwire_open(&h, &g, &t), 0);
        assert_int_equal(t.poll_events, EPOLLPRI);
        assert_int_equal(t.high_count, 5);
        assert_int_equal(t.oom_kill_count, 1);
        static const struct {
                const char *name, *text;
                int result;
                bool tripped;
                uint64_t high, oom_kill;
        } cases[] = {
                {"nothing new", "low 0\nhigh 5\nmax 6\noom 2\noom_kill 1\n", 0, false, 5, 1},
                {"high", "low 0\nhigh 7\nmax 6\noom 2\noom_kill 1\n", 0, true, 7, 1},
                {"a kill only", "low 0\nhigh 7\nmax 9\noom 3\noom_kill 2\n", 0, false, 7, 2},
                {"reset", "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\n", 0, false, 0, 0},
                {"after the reset", "low 0\nhigh 1\nmax 0\noom 0\noom_kill 0\n", 0, true, 1, 0},
                {"cut off", "low 0\nhigh ", -EBADMSG, false, 1, 0},
        };
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                print_message("  %s\n", cases[i].name);
                put(V2 "/a/memory.events.local", cases[i].text);
                tripped = false;
                assert_int_equal(hr_tripwire_read(&t, &g, &tripped), cases[i].result);
                assert_int_equal(tripped, cases[i].tripped);
                assert_int_equal(t.high_count, cases[i].high);
                assert_int_equal(t.oom_kill_count, cases[i].oom_kill);
        }
        hr_tripwire_close(&t);
        take_away(V2 "/a/memory.events.local");
        assert_int_equal(hr_tripwire_open(&h, &g, &t), -EOPNOTSUPP); /* before 5.2 */
        hr_group_close(&g);

        /* Only the first event is doubted. */
        char path[128];
        bool real;
        snprintf(path, sizeof(path), "%s/proc/pressure/memory", root);
        p = (struct hr_psi){.fd = open(path, O_RDONLY | O_CLOEXEC), .some_total_usec = 100};
        assert_int_equal(hr_psi_read(&p, &real), 0);
        assert_false(real);
        assert_int_equal(hr_psi_read(&p, &real), 0);
        assert_true(real);
        hr_psi_close(&p);
        p = (struct hr_psi){.fd = open(path, O_RDONLY | O_CLOEXEC), .some_total_usec = 99};
        assert_int_equal(hr_psi_read(&p, &real), 0);
        assert_true(real);
        hr_psi_close(&p);
        hr_psi_close(&p);
}

/* --- discovery, in a fixture and on the kernel --- */

struct seen {
        char text[8192]; /* "+/a -/a =/a " */
};

static void note(struct seen *s, char what, const char *path)
{
        size_t length = strlen(s->text);

        snprintf(s->text + length, sizeof(s->text) - length, "%c%s ", what, path);
}

static void appeared(const char *path, void *userdata)
{
        note(userdata, '+', path);
}

static void vanished(const char *path, void *userdata)
{
        note(userdata, '-', path);
}

static void limit_written(const char *path, void *userdata)
{
        note(userdata, '=', path);
}

static struct hr_discover *new_discover(const struct hr_hierarchy *h, struct seen *s)
{
        struct hr_discover *d = NULL;

        assert_int_equal(hr_discover_new(h,
                                 &(struct hr_discover_events){
                                         .appeared = appeared,
                                         .vanished = vanished,
                                         .limit_written = limit_written,
                                         .userdata = s,
                                 },
                                 &d),
                0);
        assert_cloexec(hr_discover_fd(d));
        return d;
}

static void expect_seen(struct hr_discover *d, struct seen *s, const char *expected)
{
        s->text[0] = '\0';
        assert_int_equal(hr_discover_dispatch(d), 0);
        assert_string_equal(s->text, expected);
        struct pollfd p = {.fd = hr_discover_fd(d), .events = POLLIN};
        assert_int_equal(poll(&p, 1, 0), 0); /* nothing is left: the loop would not spin */
}

/* The steps that must be the same in plain directories and on the kernel. */
static void discover_steps(const struct hr_hierarchy *h, const char *limit_file)
{
        struct seen s = {0};
        struct hr_discover *d = new_discover(h, &s);
        char a[700], b[800], c[900], file[1000];

        snprintf(a, sizeof(a), "%s/a", h->memory);
        snprintf(b, sizeof(b), "%s/b b", a);
        snprintf(c, sizeof(c), "%s/c\\\x1b", b);
        snprintf(file, sizeof(file), "%s/%s", a, limit_file);

        assert_int_equal(mkdir(a, 0755), 0);
        assert_int_equal(hr_discover_scan(d), 0);
        assert_string_equal(s.text, "+/a ");
        expect_seen(d, &s, "");
        assert_int_equal(mkdir(b, 0755), 0); /* as mkdir -p: the second comes without an event */
        assert_int_equal(mkdir(c, 0755), 0);
        expect_seen(d, &s, "+/a/b b +/a/b b/c\\\x1b ");

        _close_ int fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, "400000000\n", 10), 10);
        fd = hr_close(fd);
        expect_seen(d, &s, "=/a ");

        assert_int_equal(rmdir(c), 0);
        assert_int_equal(mkdir(c, 0755), 0); /* made again under the same name */
        expect_seen(d, &s, "-/a/b b/c\\\x1b +/a/b b/c\\\x1b ");
        assert_int_equal(rmdir(c), 0);
        assert_int_equal(rmdir(b), 0);
        expect_seen(d, &s, "-/a/b b/c\\\x1b -/a/b b ");
        assert_int_equal(mkdir(b, 0755), 0); /* and away before anybody looks */
        assert_int_equal(rmdir(b), 0);
        expect_seen(d, &s, "");
        assert_int_equal(mkdir(b, 0755), 0);
        expect_seen(d, &s, "+/a/b b ");
        assert_int_equal(rmdir(b), 0);
        assert_int_equal(mkdir(b, 0755), 0);
        s.text[0] = '\0';
        assert_int_equal(
                hr_discover_scan(d), 0); /* finds the other one by itself; the queued events come after */
        assert_string_equal(s.text, "-/a/b b +/a/b b ");
        s.text[0] = '\0';
        assert_int_equal(hr_discover_dispatch(d), 0);
        assert_int_equal(strlen(s.text) % strlen("-/a/b b +/a/b b "), 0);
        assert_int_equal(rmdir(b), 0);
        expect_seen(d, &s, "-/a/b b ");
        if (h->fixture)
                assert_int_equal(unlink(file), 0);
        assert_int_equal(rmdir(a), 0);
        expect_seen(d, &s, "-/a ");
        hr_discover_free(d);
}

static void write_limit_file(const char *path)
{
        _close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

        assert_true(fd >= 0);
        assert_int_equal(write(fd, "400000000\n", 10), 10);
}

/* Only what is watched, for as long as it is there; made again, it is watched again. */
static void limits_steps(const struct hr_hierarchy *h, const char *limit_file)
{
        struct seen s = {0};
        struct hr_limits *l;
        char a[700], b[700], file_a[900], file_b[900];

        snprintf(a, sizeof(a), "%s/limits a", h->memory);
        snprintf(b, sizeof(b), "%s/limits b", h->memory);
        snprintf(file_a, sizeof(file_a), "%s/%s", a, limit_file);
        snprintf(file_b, sizeof(file_b), "%s/%s", b, limit_file);
        assert_int_equal(hr_limits_new(h, &l), 0);
        assert_cloexec(hr_limits_fd(l));
        hr_limits_watch(l, "/limits a"); /* it is not there: nothing comes of it */
        for (int round = 0; round < 2; round++) {
                assert_int_equal(mkdir(a, 0755), 0);
                assert_int_equal(mkdir(b, 0755), 0);
                for (int i = 0; i < 2 && h->fixture; i++)
                        hr_close(open(i ? file_a : file_b, O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
                for (int i = 0; i < 2; i++) /* twice is once */
                        hr_limits_watch(l, "/limits a");
                write_limit_file(file_a);
                write_limit_file(file_b);
                s.text[0] = '\0';
                assert_int_equal(hr_limits_dispatch(l, limit_written, &s), 0);
                assert_string_equal(s.text, "=/limits a ");
                for (int i = 0; i < 2 && h->fixture; i++)
                        assert_int_equal(unlink(i ? file_a : file_b), 0);
                assert_int_equal(rmdir(a), 0);
                assert_int_equal(rmdir(b), 0);
                s.text[0] = '\0';
                assert_int_equal(hr_limits_dispatch(l, limit_written, &s), 0);
                assert_string_equal(s.text, "");
                struct pollfd p = {.fd = hr_limits_fd(l), .events = POLLIN};
                assert_int_equal(poll(&p, 1, 0), 0); /* nothing is left: the loop would not spin */
        }
        hr_limits_free(l);
}

static void test_discover_fixture(void **state)
{
        struct hr_hierarchy h, none = {0};
        struct hr_discover *d;

        (void)state;
        put(V2 "/cgroup.controllers", "memory\n");
        find_fixture(&h);
        discover_steps(&h, "memory.max");
        limits_steps(&h, "memory.max");
        assert_int_equal(hr_discover_new(&none, &(struct hr_discover_events){0}, &d), -EOPNOTSUPP);
        assert_null(hr_discover_free(NULL));
}

static void test_discover_overflow(void **state)
{
        struct hr_hierarchy h;
        struct seen s = {0};

        (void)state;
        put_group2("/a", "1\n");
        put_dir(V2 "/a/old");
        find_fixture(&h);
        struct hr_discover *d = new_discover(&h, &s);
        assert_int_equal(hr_discover_scan(d), 0);
        assert_string_equal(s.text, "+/a +/a/old ");

        char path[2][PATH_MAX];
        snprintf(path[0], PATH_MAX, "%s" V2 "/a/memory.max", root);
        snprintf(path[1], PATH_MAX, "%s" V2 "/a/memory.peak", root);
        _close_ int one = open(path[0], O_WRONLY | O_CLOEXEC), two = open(path[1], O_WRONLY | O_CLOEXEC);
        for (int i = 0; i < 20000;
                i++) { /* more than fs.inotify.max_queued_events; equal neighbours are merged */
                assert_int_equal(pwrite(one, "1", 1, 0), 1);
                assert_int_equal(pwrite(two, "1", 1, 0), 1);
        }
        put_dir(V2 "/a/new");
        take_away(V2 "/a/old");
        s.text[0] = '\0';
        for (int i = 0; i < 100; i++) { /* a bounded number of reads at a time */
                assert_int_equal(hr_discover_dispatch(d), 0);
                if (!strstr(s.text, "new"))
                        s.text[0] = '\0';
        }
        assert_non_null(strstr(s.text, "+/a/new "));
        assert_non_null(strstr(s.text, "-/a/old "));
        assert_null(strstr(s.text, "/a "));
        hr_discover_free(d);
}

static void test_discover_limit(void **state)
{
        struct hr_hierarchy h;
        char path[PATH_MAX];
        unsigned made = 0;

        (void)state;
        put(V2 "/cgroup.controllers", "memory\n");
        find_fixture(&h);
        for (unsigned i = 0; i < 130; i++)
                for (unsigned k = 0; k < 130; k++) {
                        snprintf(path, sizeof(path), "%s" V2 "/%u/%u/", root, i, k);
                        if (k == 0)
                                make_parents(path);
                        else
                                assert_int_equal(mkdir(path, 0755), 0);
                        made++;
                }
        struct hr_discover *d;
        assert_int_equal(hr_discover_new(&h, &(struct hr_discover_events){0}, &d), 0);
        int r = hr_discover_scan(d);
        if (r != -ENOSPC || hr_discover_refused_count(d) != made + 130 + 1 - 16384)
                print_message("  %d, %" PRIu64 " refused of %u\n", r, hr_discover_refused_count(d), made);
        assert_int_equal(r, -ENOSPC); /* once */
        assert_true(
                hr_discover_refused_count(d) >= made + 130 + 1 - 16384); /* the user's limit may be lower */
        assert_int_equal(hr_discover_scan(d), 0);
        hr_discover_free(d);
}

/* --- the kernel --- */

static struct {
        struct hr_hierarchy h;
        char parent[300]; /* path in the memory hierarchy below which groups are made */
        char top[320];    /* path of this test's group */
        const char *why;  /* why it can't run */
} kernel;

static void group_file(char full[static PATH_MAX], const char *path, const char *name)
{
        snprintf(full, PATH_MAX, "%s%s/%s", kernel.h.memory, path, name);
}

static int write_group(const char *path, const char *name, const char *text)
{
        char full[PATH_MAX];

        group_file(full, path, name);
        _close_ int fd = open(full, O_WRONLY | O_CLOEXEC);
        return fd < 0 || write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

static void make_group(const char *path)
{
        char full[PATH_MAX];

        group_file(full, path, "");
        assert_int_equal(mkdir(full, 0755), 0);
}

static int remove_group(const char *path)
{
        char full[PATH_MAX];
        int r = -EBUSY;

        group_file(full, path, "");
        for (int i = 0; i < 200 && r == -EBUSY; i++) {
                r = rmdir(full) < 0 ? -errno : 0;
                if (r == -EBUSY)
                        usleep(10000); /* a process that was just reaped still counts for a moment */
        }
        return r;
}

/* Once: where may groups be made. */
static int kernel_setup(void **state)
{
        char text[4096], full[PATH_MAX];
        const char *parent = getenv("HR_TEST_CGROUP");
        size_t size;

        (void)state;
        if (hr_hierarchy_find("", &kernel.h) < 0 || kernel.h.memory_version == 0) {
                kernel.why = "no memory controller on this kernel";
                return 0;
        }
        if (parent)
                snprintf(kernel.parent, sizeof(kernel.parent), "%s", strcmp(parent, "/") == 0 ? "" : parent);
        else if (hr_sense_read_at(AT_FDCWD, "/proc/self/cgroup", text, sizeof(text), &size) != 0 ||
                 hr_parse_proc_cgroup(text, size, kernel.h.memory_version == 1 ? "memory" : NULL,
                         kernel.parent, sizeof(kernel.parent)) != 0) {
                kernel.why = "the test's own cgroup is not known";
                return 0;
        }
        if (strcmp(kernel.parent, "/") == 0)
                kernel.parent[0] = '\0';
        snprintf(kernel.top, sizeof(kernel.top), "%.250s/hr-test-%d", kernel.parent, getpid());
        group_file(full, kernel.top, "");
        if (mkdir(full, 0755) < 0) {
                kernel.why = "no right to make a cgroup";
                return 0;
        }
        group_file(
                full, kernel.top, kernel.h.memory_version == 1 ? "memory.usage_in_bytes" : "memory.current");
        if (access(full, R_OK) < 0) {
                kernel.why =
                        "no memory controller for children of the test's own cgroup (set HR_TEST_CGROUP)";
                remove_group(kernel.top);
        } else if (kernel.h.memory_version == 2)
                write_group(kernel.top, "cgroup.subtree_control", "+memory");
        return 0;
}

static int kernel_teardown(void **state)
{
        (void)state;
        return kernel.why ? 0 : remove_group(kernel.top);
}

#define NEED_KERNEL()                               \
        do {                                        \
                if (kernel.why)                     \
                        SAY_SKIP("%s", kernel.why); \
        } while (0)

static const char *group_path(const char *name)
{
        static char path[400];

        snprintf(path, sizeof(path), "%s/%s", kernel.top, name);
        return path;
}

/* A process in a group (NULL: ours) that does what the letters say: 'a' 8 MiB more, 'f' fork one like it, 'q'
 * end. */
struct worker {
        pid_t pid;
        int in, out;
};

static _Noreturn void work(int in, int out)
{
        char letter;

        while (read(in, &letter, 1) == 1 && letter != 'q') {
                if (letter == 'a') {
                        void *p = mmap(
                                NULL, 8 * HR_MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

                        if (p != MAP_FAILED)
                                memset(p, 1, 8 * HR_MIB);
                }
                if (letter == 'f' && fork() == 0) {
                        alarm(60); /* outlives its parent, but not for ever */
                        for (;;)
                                pause();
                }
                if (write(out, &letter, 1) != 1)
                        break;
        }
        _exit(0);
}

static struct worker start_worker(const char *path, const char *name)
{
        int in[2], out[2];
        struct worker w;
        char letter;

        assert_int_equal(pipe2(in, O_CLOEXEC), 0);
        assert_int_equal(pipe2(out, O_CLOEXEC), 0);
        w.pid = fork();
        assert_true(w.pid >= 0);
        if (w.pid == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                if (name)
                        prctl(PR_SET_NAME, name);
                if (path && write_group(path, "cgroup.procs", "0") < 0)
                        _exit(1);
                close(in[1]);
                close(out[0]);
                if (write(out[1], "r", 1) != 1)
                        _exit(1);
                work(in[0], out[1]);
        }
        close(in[0]);
        close(out[1]);
        w.in = in[1];
        w.out = out[0];
        assert_int_equal(read(w.out, &letter, 1), 1);
        return w;
}

static void tell_worker(struct worker *w, char letter)
{
        char answer;

        assert_int_equal(write(w->in, &letter, 1), 1);
        assert_int_equal(read(w->out, &answer, 1), 1);
}

static void end_worker(struct worker *w)
{
        close(w->in);
        close(w->out);
        kill(w->pid, SIGKILL);
        waitpid(w->pid, NULL, 0);
}

static void test_kernel_group(void **state)
{
        struct hr_group g = HR_GROUP_INIT;
        struct hr_group_limits limits;
        struct hr_usage u;
        struct pids p = {0};
        char name[64];
        uint64_t n, before;
        bool populated;

        (void)state;
        NEED_KERNEL();
        const char *path = group_path("use");
        bool v1 = kernel.h.memory_version == 1;
        make_group(path);
        assert_int_equal(hr_group_open(&kernel.h, path, &g), 0);
        assert_int_equal(g.kind, v1 ? HR_KIND_CGROUP1 : HR_KIND_CGROUP2);
        assert_int_equal(hr_group_read_populated(&g, &populated), 0);
        assert_false(populated);
        assert_int_equal(hr_group_read_limits(&g, &limits), 0);
        assert_true(limits.limit_bytes == HR_BYTES_NONE);
        assert_int_equal(write_group(path, v1 ? "memory.limit_in_bytes" : "memory.max", "400M"), 0);
        assert_int_equal(hr_group_read_limits(&g, &limits), 0);
        assert_int_equal(limits.limit_bytes, 400 * HR_MIB);

        assert_int_equal(hr_group_read_current(&g, &before), 0);
        struct worker w = start_worker(path, NULL);
        for (int i = 0; i < 4; i++)
                tell_worker(&w, 'a');
        assert_int_equal(hr_group_read_current(&g, &n), 0);
        assert_in_range(n, before + 31 * HR_MIB, before + 40 * HR_MIB);
        assert_int_equal(hr_group_read_usage(&g, &u), 0);
        assert_in_range(u.current_bytes, before + 31 * HR_MIB, before + 40 * HR_MIB);
        assert_int_equal(hr_group_read_populated(&g, &populated), 0);
        assert_true(populated);
        assert_int_equal(hr_group_each_pid(&g, count_pid, &p), 0);
        assert_int_equal(p.count, 1);
        assert_int_equal(p.last, w.pid);
        assert_int_equal(hr_group_is_way_in("/proc", &g, name, sizeof(name)), 0);
        end_worker(&w);
        w = start_worker(path, "sshd");
        assert_int_equal(hr_group_is_way_in("/proc", &g, name, sizeof(name)), 1);
        assert_string_equal(name, "sshd");
        end_worker(&w);

        int r = hr_group_read_peak(&g, &n);
        assert_true(r == -ENODATA || (r == 0 && n >= 31 * HR_MIB));
        assert_int_equal(hr_group_read_oom_kills(&g, &n), 0);
        assert_int_equal(n, 0);
        assert_int_equal(hr_group_check_identity(&kernel.h, &g), 0);
        assert_int_equal(g.bad_count, 0);
        hr_group_close(&g);
        assert_int_equal(remove_group(path), 0);
}

static void test_kernel_oom_kill(void **state)
{
        struct hr_group g = HR_GROUP_INIT;
        uint64_t n = 0;

        (void)state;
        NEED_KERNEL();
        const char *path = group_path("oom");
        bool v1 = kernel.h.memory_version == 1;
        make_group(path);
        assert_int_equal(hr_group_open(&kernel.h, path, &g), 0);
        assert_int_equal(write_group(path, v1 ? "memory.limit_in_bytes" : "memory.max", "16M"), 0);
        (void)write_group(path, v1 ? "memory.memsw.limit_in_bytes" : "memory.swap.max", v1 ? "16M" : "0");
        struct worker w = start_worker(path, NULL);
        assert_int_equal(write(w.in, "aaaa", 4), 4);
        int status;
        assert_int_equal(waitpid(w.pid, &status, 0), w.pid);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        assert_int_equal(hr_group_read_oom_kills(&g, &n), 0);
        assert_int_equal(n, 1);
        close(w.in);
        close(w.out);
        hr_group_close(&g);
        assert_int_equal(remove_group(path), 0);
}

static void test_kernel_vanish(void **state)
{
        struct hr_group g = HR_GROUP_INIT, again = HR_GROUP_INIT;
        struct hr_group_limits limits;
        struct hr_tripwire t = HR_TRIPWIRE_INIT;
        struct hr_usage u;
        struct pids p = {0};
        uint64_t n;
        bool populated;

        (void)state;
        NEED_KERNEL();
        const char *path = group_path("gone");
        assert_int_equal(hr_group_open(&kernel.h, path, &g), HR_SENSE_GONE); /* before open */
        for (int remade = 0; remade < 2; remade++) {
                make_group(path);
                assert_int_equal(hr_group_open(&kernel.h, path, &g), 0);
                assert_int_equal(remove_group(path), 0);
                if (remade) {
                        make_group(path);
                        assert_int_equal(hr_group_open(&kernel.h, path, &again), 0);
                        assert_int_not_equal(again.inode, g.inode);
                        assert_int_equal(hr_group_check_identity(&kernel.h, &again), 0);
                        assert_int_equal(hr_group_read_usage(&again, &u), 0);
                }
                /* The old handle never shows what stands there now. */
                assert_int_equal(hr_group_read_current(&g, &n), HR_SENSE_GONE);
                assert_int_equal(hr_group_read_usage(&g, &u), HR_SENSE_GONE);
                assert_int_equal(hr_group_read_limits(&g, &limits), HR_SENSE_GONE);
                assert_int_equal(hr_group_read_peak(&g, &n), HR_SENSE_GONE);
                assert_int_equal(hr_group_read_oom_kills(&g, &n), HR_SENSE_GONE);
                assert_int_equal(hr_group_read_populated(&g, &populated), HR_SENSE_GONE);
                assert_int_equal(hr_group_check_identity(&kernel.h, &g), HR_SENSE_GONE);
                assert_int_equal(hr_group_each_pid(&g, count_pid, &p), 0);
                assert_int_equal(p.count, 0);
                if (kernel.h.memory_version == 1) {
                        assert_int_equal(hr_tripwire_open(&kernel.h, &g, &t), 0);
                        assert_int_equal(hr_tripwire_arm1(&t, &g, HR_MIB), HR_SENSE_GONE);
                        assert_int_equal(t.fd, -1);
                } else
                        assert_int_equal(hr_tripwire_open(&kernel.h, &g, &t), HR_SENSE_GONE);
                assert_int_equal(g.bad_count, 0);
                hr_group_close(&g);
        }
        hr_group_close(&again);
        assert_int_equal(remove_group(path), 0);
}

static _Atomic bool churn_stop;

static void *churn(void *userdata)
{
        char full[PATH_MAX];

        group_file(full, userdata, "");
        while (!churn_stop) {
                mkdir(full, 0755);
                sched_yield();
                rmdir(full);
        }
        return NULL;
}

/* Opens and reads a group that another thread makes and removes as fast as it can. */
static void test_kernel_churn(void **state)
{
        unsigned opened = 0, gone_at_open = 0, gone_after = 0, remade = 0;
        char path[400];
        pthread_t thread;

        (void)state;
        NEED_KERNEL();
        snprintf(path, sizeof(path), "%s", group_path("churn"));
        churn_stop = false;
        assert_int_equal(pthread_create(&thread, NULL, churn, path), 0);
        for (int i = 0; i < 3000; i++) {
                struct hr_group g = HR_GROUP_INIT;
                struct hr_group_limits limits;
                struct hr_usage u;
                struct pids p = {0};
                bool populated;
                uint64_t n;
                int r = hr_group_open(&kernel.h, path, &g);

                if (r == HR_SENSE_GONE) {
                        gone_at_open++;
                        continue;
                }
                assert_int_equal(r, 0);
                opened++;
                /* rmdir takes the files away one after another, and the name last: any may go first. */
                const int results[] = {
                        hr_group_read_usage(&g, &u),
                        hr_group_read_limits(&g, &limits),
                        hr_group_read_peak(&g, &n),
                        hr_group_read_populated(&g, &populated),
                        hr_group_read_oom_kills(&g, &n),
                        hr_group_read_current(&g, &n),
                };
                for (size_t k = 0; k < ELEMENTSOF(results); k++) {
                        if (results[k] != 0 && results[k] != HR_SENSE_GONE)
                                print_message("  read %zu: %d\n", k, results[k]);
                        assert_true(results[k] == HR_SENSE_GONE || results[k] == 0);
                }
                bool gone = results[ELEMENTSOF(results) - 1] == HR_SENSE_GONE;
                gone_after += gone;
                if (gone) /* and for good */
                        assert_int_equal(hr_group_read_current(&g, &n), HR_SENSE_GONE);
                r = hr_group_check_identity(&kernel.h, &g);
                assert_true(r == HR_SENSE_GONE || r == 0);
                assert_int_equal(hr_group_each_pid(&g, count_pid, &p), 0);
                struct hr_group h = HR_GROUP_INIT;
                if (hr_group_open(&kernel.h, path, &h) == 0) {
                        remade += h.inode != g.inode;
                        hr_group_close(&h);
                }
                assert_int_equal(g.bad_count, 0);
                hr_group_close(&g);
        }
        churn_stop = true;
        pthread_join(thread, NULL);
        print_message("  opened %u, away at open %u, away after %u, made again %u\n", opened, gone_at_open,
                gone_after, remade);
}

/* A v2 cgroup without the memory controller lives, and is no group of memory. */
static void test_kernel_no_controller(void **state)
{
        struct hr_group g = HR_GROUP_INIT;
        char full[PATH_MAX], name[64];

        (void)state;
        struct hr_hierarchy h;
        if (hr_hierarchy_find("", &h) < 0 || !h.unified[0] || h.memory_version == 2)
                SAY_SKIP("no v2 hierarchy without the memory controller");
        snprintf(name, sizeof(name), "/hr-test-%d-none", getpid());
        snprintf(full, sizeof(full), "%s%s", h.unified, name);
        if (mkdir(full, 0755) < 0)
                SAY_SKIP("no right to make a cgroup in %s", h.unified);
        h.memory_version = 2;
        strcpy(h.memory, h.unified);
        assert_int_equal(hr_group_open(&h, name, &g), -ENOENT);

        /* What is generic to v2 works all the same. */
        _close_ int dir_fd = open(full, O_PATH | O_DIRECTORY | O_CLOEXEC);
        struct hr_group half = {
                .ops = &hr_cgroup2_ops, .dir_fd = dir_fd, .current_fd = -1, .stat_fd = -1, .swap_fd = -1};
        bool populated = true;
        assert_int_equal(hr_group_read_populated(&half, &populated), 0);
        assert_false(populated);
        struct pids p = {0};
        struct worker w = start_worker(NULL, NULL);
        char file[PATH_MAX], pid[16];
        snprintf(file, sizeof(file), "%.300s/cgroup.procs", full);
        snprintf(pid, sizeof(pid), "%d", w.pid);
        int fd = open(file, O_WRONLY | O_CLOEXEC);
        assert_int_equal(write(fd, pid, strlen(pid)), strlen(pid));
        close(fd);
        assert_int_equal(hr_group_read_populated(&half, &populated), 0);
        assert_true(populated);
        assert_int_equal(hr_cgroup_each_pid(dir_fd, count_pid, &p), 0);
        assert_int_equal(p.last, w.pid);

        /* A threaded cgroup refuses the read of its cgroup.procs: the process stands in the domain above,
         * once. */
        char threaded[PATH_MAX];
        snprintf(threaded, sizeof(threaded), "%.300s/t", full);
        assert_int_equal(mkdir(threaded, 0755), 0);
        snprintf(file, sizeof(file), "%.300s/t/cgroup.type", full);
        fd = open(file, O_WRONLY | O_CLOEXEC);
        assert_int_equal(write(fd, "threaded", 8), 8);
        close(fd);
        p = (struct pids){0};
        assert_int_equal(hr_cgroup_each_pid(dir_fd, count_pid, &p), 0);
        assert_int_equal(p.count, 1);
        assert_int_equal(rmdir(threaded), 0);
        end_worker(&w);
        for (int i = 0; i < 200 && rmdir(full) < 0; i++)
                usleep(10000);
        assert_int_equal(hr_group_read_populated(&half, &populated), HR_SENSE_GONE);
        assert_int_equal(hr_cgroup_each_pid(dir_fd, count_pid, &p), 0);
}

/* For what will come: only a failure waits so long. The kernel tells of a cgroup's end when its queue of them
 * is done. */
#define SOON_MSEC 20000

static bool ready(const struct hr_tripwire *t, int timeout_msec)
{
        _close_ int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        struct epoll_event e = {.events = t->poll_events};

        assert_int_equal(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, t->fd, &e), 0);
        return epoll_wait(epoll_fd, &e, 1, timeout_msec) > 0;
}

static void test_kernel_tripwire(void **state)
{
        struct hr_group g = HR_GROUP_INIT;
        struct hr_tripwire t = HR_TRIPWIRE_INIT;
        bool tripped = true, v1 = kernel.h.memory_version == 1;
        char text[32];
        uint64_t n;

        (void)state;
        NEED_KERNEL();
        const char *path = group_path("wire");
        make_group(path);
        assert_int_equal(hr_group_open(&kernel.h, path, &g), 0);
        assert_int_equal(hr_tripwire_open(&kernel.h, &g, &t), 0);
        struct worker w = start_worker(path, NULL);
        assert_int_equal(hr_group_read_current(&g, &n), 0);
        if (v1) {
                assert_int_equal(t.fd, -1);
                assert_int_equal(hr_tripwire_arm1(&t, &g, n + 16 * HR_MIB), 0);
        } else {
                snprintf(text, sizeof(text), "%" PRIu64, n + 16 * HR_MIB);
                assert_int_equal(write_group(path, "memory.high", text), 0);
        }
        assert_cloexec(t.fd);
        (void)ready(&t, 0); /* kernfs may have one left from before */
        assert_int_equal(hr_tripwire_read(&t, &g, &tripped), 0);
        assert_false(tripped);
        tell_worker(&w, 'a');
        assert_false(ready(&t, 100));
        assert_int_equal(hr_tripwire_read(&t, &g, &tripped), 0);
        assert_false(tripped);
        for (int i = 0; i < (v1 ? 3 : 2); i++)
                tell_worker(&w, 'a');
        assert_true(ready(&t, SOON_MSEC));
        assert_int_equal(hr_tripwire_read(&t, &g, &tripped), 0);
        assert_true(tripped);
        if (v1) {
                assert_false(ready(&t, 100)); /* consumed: one crossing, one event */

                /* Armed again higher: the old threshold is gone with its descriptor. */
                assert_int_equal(hr_group_read_current(&g, &n), 0);
                assert_int_equal(hr_tripwire_arm1(&t, &g, n + 12 * HR_MIB), 0);
                assert_int_equal(t.armed_bytes, n + 12 * HR_MIB);
                tell_worker(&w, 'a');
                assert_false(ready(&t, 100));
                tell_worker(&w, 'a');
                assert_true(ready(&t, SOON_MSEC));
                assert_int_equal(hr_tripwire_read(&t, &g, &tripped), 0);
                assert_true(tripped);

                /* Above it already: fires at once, where the kernel alone would stay silent. */
                assert_int_equal(hr_tripwire_arm1(&t, &g, HR_MIB), 0);
                assert_true(ready(&t, 0));
                assert_int_equal(hr_tripwire_read(&t, &g, &tripped), 0);
                assert_true(tripped);
                assert_int_equal(hr_tripwire_arm1(&t, &g, 4 * HR_GIB), 0);
                (void)ready(&t, 100); /* what fired for the old one is not the new one's */
                assert_false(ready(&t, 0));
        }

        /* The cgroup goes while the trigger is armed. */
        end_worker(&w);
        assert_int_equal(remove_group(path), 0);
        assert_true(ready(&t, SOON_MSEC));
        assert_int_equal(hr_tripwire_read(&t, &g, &tripped), HR_SENSE_GONE);
        assert_int_equal(hr_tripwire_read(&t, &g, &tripped), HR_SENSE_GONE);
        if (v1)
                assert_false(ready(&t, 100)); /* v2 is ready for ever: stop polling at GONE */
        hr_tripwire_close(&t);
        hr_tripwire_close(&t);
        hr_group_close(&g);

        /* And made again at once, under the same name. */
        make_group(path);
        assert_int_equal(hr_group_open(&kernel.h, path, &g), 0);
        assert_int_equal(hr_tripwire_open(&kernel.h, &g, &t), 0);
        if (v1)
                assert_int_equal(hr_tripwire_arm1(&t, &g, 64 * HR_MIB), 0);
        assert_int_equal(remove_group(path), 0);
        make_group(path);
        assert_true(ready(&t, SOON_MSEC));
        assert_int_equal(hr_tripwire_read(&t, &g, &tripped), HR_SENSE_GONE);
        hr_tripwire_close(&t);
        hr_group_close(&g);
        assert_int_equal(remove_group(path), 0);
}

static void test_kernel_discover(void **state)
{
        (void)state;
        NEED_KERNEL();
        struct hr_hierarchy h = kernel.h;
        const char *path = group_path("find");
        make_group(path);
        if (h.memory_version == 2)
                write_group(path, "cgroup.subtree_control", "+memory");
        strncat(h.memory, path, sizeof(h.memory) - strlen(h.memory) - 1);
        discover_steps(&h, h.memory_version == 1 ? "memory.limit_in_bytes" : "memory.max");
        limits_steps(&h, h.memory_version == 1 ? "memory.limit_in_bytes" : "memory.max");
        assert_int_equal(remove_group(path), 0);
}

static void test_kernel_discover_rename(void **state)
{
        struct seen s = {0};
        char from[600], to[600];

        (void)state;
        NEED_KERNEL();
        if (kernel.h.memory_version != 1)
                SAY_SKIP("only v1 renames cgroups");
        struct hr_hierarchy h = kernel.h;
        const char *path = group_path("name");
        make_group(path);
        strncat(h.memory, path, sizeof(h.memory) - strlen(h.memory) - 1);
        struct hr_discover *d = new_discover(&h, &s);
        snprintf(from, sizeof(from), "%s/x", h.memory);
        snprintf(to, sizeof(to), "%s/y", h.memory);
        assert_int_equal(mkdir(from, 0755), 0);
        assert_int_equal(hr_discover_scan(d), 0);
        assert_int_equal(rename(from, to), 0);
        expect_seen(d, &s, "-/x +/y ");
        assert_int_equal(rename(to, from), 0);
        s.text[0] = '\0';
        assert_int_equal(hr_discover_scan(d), 0); /* the inode has its watch already, under another name */
        assert_string_equal(s.text, "-/y +/x ");
        assert_int_equal(hr_discover_dispatch(d), 0);
        assert_int_equal(rmdir(from), 0);
        expect_seen(d, &s, "-/x ");
        hr_discover_free(d);
        assert_int_equal(remove_group(path), 0);
}

/* --- real processes --- */

static void test_processes(void **state)
{
        struct hr_pid_stat stat;
        struct hr_pid_status status;
        char name[32];
        uint64_t n;

        (void)state;
        struct worker w = start_worker(NULL, "foo) Z 1 (");
        assert_int_equal(hr_process_stat("/proc", w.pid, &stat), 0);
        assert_string_equal(stat.name, "foo) Z 1 (");
        assert_int_equal(stat.ppid, getpid());
        assert_true(stat.start_ticks > 0);
        tell_worker(&w, 'a');
        assert_int_equal(hr_process_status("/proc", w.pid, &status), 0);
        assert_true(status.has_memory && status.rss_anon_bytes >= 7 * HR_MIB);
        assert_int_equal(status.uid, geteuid());
        const pid_t pids[] = {w.pid, 0x3fffffff};
        assert_int_equal(hr_process_pss("/proc", pids, 2, &n), 0);
        assert_true(n >= 8 * HR_MIB);
        struct hr_breakdown b;
        assert_int_equal(hr_mapping_read("/proc", pids, 2, HR_USEC_PER_SEC, &b), 0);
        assert_int_equal(b.process_count, 1);
        assert_string_equal(b.processes[0].name, "foo) Z 1 (");
        assert_int_equal(sum_of(&b), b.processes[0].bytes);
        assert_in_range(b.processes[0].bytes, n - n / 20, n + n / 20);
        assert_true(b.bytes[HR_MAPPING_HEAP] >= 7 * HR_MIB && b.bytes[HR_MAPPING_STACK] > 0);
        assert_true(b.bytes[HR_MAPPING_PROGRAM] > 0 && b.rest_bytes == 0 && b.unread_count == 0);
        assert_false(hr_process_is_python("/proc", w.pid));
        assert_int_equal(hr_process_is_way_in("/proc", w.pid, name, sizeof(name)), 0);
        assert_int_equal(hr_process_is_way_in("/proc", 1, name, sizeof(name)), 1);
        assert_int_equal(
                hr_process_is_way_in("/proc", getpid(), name, sizeof(name)), 1); /* the watchdog itself */

        assert_int_equal(hr_process_open("/proc", w.pid, stat.start_ticks + 1), -ESRCH);
        assert_int_equal(hr_process_open("/proc", 0, 0), -EINVAL);
        _close_ int pidfd = hr_process_open("/proc", w.pid, stat.start_ticks);
        assert_true(pidfd >= 0);
        assert_cloexec(pidfd);
        kill(w.pid, SIGKILL);
        siginfo_t info;
        assert_int_equal(waitid(P_PID, (id_t)w.pid, &info, WEXITED | WNOWAIT), 0); /* a zombie now */
        assert_int_equal(hr_process_open("/proc", w.pid, 0), -ESRCH);
        assert_int_equal(hr_process_stat("/proc", w.pid, &stat), 0);
        assert_int_equal(stat.state, 'Z');
        assert_int_equal(hr_process_status("/proc", w.pid, &status), 0);
        assert_false(status.has_memory);
        assert_int_equal(hr_process_pss("/proc", pids, 1, &n), 0);
        assert_int_equal(n, 0);
        end_worker(&w);
        assert_int_equal(hr_process_stat("/proc", w.pid, &stat), HR_SENSE_GONE);
        assert_int_equal(hr_process_status("/proc", w.pid, &status), HR_SENSE_GONE);
        assert_int_equal(hr_process_open("/proc", w.pid, 0), -ESRCH);
        assert_int_equal(hr_process_is_way_in("/proc", w.pid, name, sizeof(name)), 0);
        assert_false(hr_process_is_python("/proc", w.pid));
}

static void test_tree(void **state)
{
        HR_CLEANUP(free_table) struct hr_proc_table *table = NULL;
        struct hr_tree t = {0};
        struct hr_usage u;
        uint64_t before;

        (void)state;
        assert_int_equal(hr_proc_table_new("/proc", &table), 0);
        struct worker w = start_worker(NULL, NULL), stranger = start_worker(NULL, NULL);
        assert_int_equal(hr_tree_open("/proc", w.pid, 0, &t), 0);
        assert_true(t.members[0].start_ticks > 0 && t.members[0].pidfd >= 0);
        assert_int_equal(hr_proc_table_scan(table), 0);
        assert_int_equal(hr_tree_update("/proc", &t, table), 0);
        assert_int_equal(t.member_count, 1);
        assert_int_equal(hr_tree_read_usage("/proc", &t, &u), 0);
        before = u.current_bytes;
        tell_worker(&w, 'a');
        assert_int_equal(hr_tree_read_usage("/proc", &t, &u), 0);
        /* The kernel counts RSS in batches: some 64 pages a thread may be missing. */
        assert_in_range(u.current_bytes, before + 7 * HR_MIB, before + 9 * HR_MIB);
        assert_int_equal(t.last_used_bytes, u.current_bytes + u.swap_bytes);

        tell_worker(&w, 'f');
        tell_worker(&w, 'f');
        assert_int_equal(hr_proc_table_scan(table), 0);
        assert_int_equal(hr_tree_update("/proc", &t, table), 0);
        assert_int_equal(t.member_count, 3);
        assert_false(has_member(&t, stranger.pid));
        assert_int_equal(hr_tree_update("/proc", &t, table), 0); /* again with the same table */
        assert_int_equal(t.member_count, 3);
        assert_cloexec(t.members[2].pidfd);
        assert_int_equal(hr_tree_add("/proc", &t, t.members[2].pid, t.members[2].start_ticks), 0);
        assert_int_equal(t.member_count, 3);
        assert_int_equal(hr_tree_add("/proc", &t, stranger.pid, 1), -ESRCH);

        end_worker(&w); /* the leader dies, its children stay members */
        assert_int_equal(hr_tree_read_usage("/proc", &t, &u), 0);
        assert_int_equal(hr_proc_table_scan(table), 0);
        assert_int_equal(hr_tree_update("/proc", &t, table), 0);
        assert_int_equal(t.member_count, 2);
        for (size_t i = 0; i < 2; i++)
                assert_int_equal(syscall(SYS_pidfd_send_signal, t.members[i].pidfd, SIGKILL, NULL, 0), 0);
        for (size_t i = 0; i < 2; i++) {
                struct pollfd p = {.fd = t.members[i].pidfd, .events = POLLIN};
                assert_int_equal(poll(&p, 1, 5000), 1);
        }
        assert_int_equal(hr_tree_read_usage("/proc", &t, &u), HR_SENSE_GONE);
        assert_int_equal(hr_tree_update("/proc", &t, table), HR_SENSE_GONE); /* though the table shows them */
        hr_tree_close(&t);

        /* One that was made after the table is not dropped for not being in it. */
        struct worker late = start_worker(NULL, NULL);
        assert_int_equal(hr_tree_open("/proc", late.pid, 0, &t), 0);
        assert_int_equal(hr_tree_update("/proc", &t, table), 0);
        assert_int_equal(t.member_count, 1);
        hr_tree_close(&t);
        end_worker(&late);
        end_worker(&stranger);
}

/* --- host and pressure --- */

static void test_host_real(void **state)
{
        struct hr_hierarchy h;
        struct hr_host host = HR_HOST_INIT;
        struct hr_meminfo m;

        (void)state;
        assert_int_equal(hr_hierarchy_find("", &h), 0);
        assert_int_equal(hr_host_open(&h, &host), 0);
        assert_int_equal(hr_host_read(&host, &m), 0);
        assert_true(m.total_bytes >= 64 * HR_MIB && m.available_bytes <= m.total_bytes);
        assert_int_equal(host.bad_count, 0);
        hr_host_close(&host);
}

static void test_psi_real(void **state)
{
        struct hr_hierarchy h;
        struct hr_psi p = HR_PSI_INIT;
        bool real;

        (void)state;
        assert_int_equal(hr_hierarchy_find("", &h), 0);
        int r = hr_psi_open(&h, 150000, 2000000, &p);
        if (r == -EOPNOTSUPP || r == -EACCES || r == -EPERM)
                SAY_SKIP("no pressure triggers here: %s", strerror(-r));
        assert_int_equal(r, 0);
        assert_cloexec(p.fd);
        assert_int_equal(write(p.fd, "some 150000 2000000", 20), -1); /* one trigger a descriptor */
        assert_int_equal(errno, EBUSY);
        assert_int_equal(hr_psi_read(&p, &real), 0);
        hr_psi_close(&p);
        assert_int_equal(hr_psi_open(&h, 150000, 1, &p), -EINVAL);
        assert_int_equal(p.fd, -1);
}

/* --- what the sampling path costs --- */

static uint64_t now_nsec(void)
{
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* The sampling path, as one table: what it is, and one sample of it. */
static struct {
        struct hr_group group;
        struct hr_host host;
        struct hr_tripwire wire;
        struct hr_tree tree;
        struct hr_proc_table *table;
} path;

static void sample_pread(void)
{
        char text[32];

        (void)!pread(path.group.current_fd, text, sizeof(text), 0);
}

static void sample_current(void)
{
        uint64_t n;

        hr_group_read_current(&path.group, &n);
}

static void sample_usage(void)
{
        struct hr_usage u;

        hr_group_read_usage(&path.group, &u);
}

static void sample_tripwire(void)
{
        bool tripped;

        hr_tripwire_read(&path.wire, &path.group, &tripped);
}

static void sample_host(void)
{
        struct hr_meminfo m;

        hr_host_read(&path.host, &m);
}

static void sample_scan(void)
{
        hr_proc_table_scan(path.table);
}

static void sample_update(void)
{
        hr_tree_update("/proc", &path.tree, path.table);
}

static void sample_tree(void)
{
        struct hr_usage u;

        hr_tree_read_usage("/proc", &path.tree, &u);
}

/* System calls of one sample, counted by ptrace between two getppid() as marks; -1: not allowed here. */
static long count_calls(void (*sample)(void))
{
        pid_t pid = fork();
        long calls = 0;
        int marks = 0, status;
        bool entry = false;

        if (pid == 0) {
                if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
                        _exit(1);
                raise(SIGSTOP);
                syscall(SYS_getppid);
                sample();
                syscall(SYS_getppid);
                _exit(0);
        }
        if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status))
                return -1;
        ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
        while (ptrace(PTRACE_SYSCALL, pid, NULL, NULL) == 0 && waitpid(pid, &status, 0) == pid) {
                struct __ptrace_syscall_info info = {0};

                if (WIFEXITED(status) || WIFSIGNALED(status))
                        return marks == 2 ? calls : -1;
                if (!WIFSTOPPED(status) || WSTOPSIG(status) != (SIGTRAP | 0x80))
                        continue;
                entry = !entry;
                if (!entry)
                        continue;
                if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info) < 0)
                        continue;
                if (info.entry.nr == SYS_getppid)
                        marks++;
                else if (marks == 1)
                        calls++;
        }
        return -1;
}

static void test_cost(void **state)
{
        static const struct {
                const char *name;
                void (*sample)(void);
                unsigned rounds;
        } samples[] = {
                {"a bare pread", sample_pread, 200000},
                {"hr_group_read_current", sample_current, 200000},
                {"hr_group_read_usage", sample_usage, 20000},
                {"hr_tripwire_read", sample_tripwire, 100000},
                {"hr_host_read", sample_host, 20000},
                {"hr_proc_table_scan", sample_scan, 100},
                {"hr_tree_update", sample_update, 10000},
                {"hr_tree_read_usage", sample_tree, 1000},
        };
        double first = 0;

        (void)state;
        NEED_KERNEL();
        const char *name = group_path("cost");
        make_group(name);
        assert_int_equal(hr_group_open(&kernel.h, name, &path.group), 0);
        assert_int_equal(hr_tripwire_open(&kernel.h, &path.group, &path.wire), 0);
        if (kernel.h.memory_version == 1)
                assert_int_equal(hr_tripwire_arm1(&path.wire, &path.group, HR_GIB), 0);
        path.host = (struct hr_host)HR_HOST_INIT;
        assert_int_equal(hr_host_open(&kernel.h, &path.host), 0);
        assert_int_equal(hr_proc_table_new("/proc", &path.table), 0);
        struct worker w = start_worker(name, NULL);
        tell_worker(&w, 'a');
        tell_worker(&w, 'f');
        assert_int_equal(hr_tree_open("/proc", w.pid, 0, &path.tree), 0);
        sample_scan();
        sample_update();
        assert_int_equal(path.tree.member_count, 2);

        for (size_t i = 0; i < ELEMENTSOF(samples); i++) {
                double best = 1e18;
                unsigned long before = allocations;

                for (int pass = 0; pass < 5; pass++) { /* the best of five: other load makes it only slower */
                        uint64_t start = now_nsec();

                        for (unsigned k = 0; k < samples[i].rounds / 5; k++)
                                samples[i].sample();
                        best = MIN(best, (double)(now_nsec() - start) / (samples[i].rounds / 5));
                }
                unsigned long made = allocations - before;
                if (i == 0)
                        first = best;
                print_message("  %-22s %10.0f ns  %6.2f of a pread  %4ld system calls  %lu allocations\n",
                        samples[i].name, best, best / first, count_calls(samples[i].sample), made);
                assert_int_equal(made, 0);
        }
        for (size_t i = 0; i < path.tree.member_count; i++)
                syscall(SYS_pidfd_send_signal, path.tree.members[i].pidfd, SIGKILL, NULL, 0);
        end_worker(&w);
        hr_tree_close(&path.tree);
        hr_proc_table_free(path.table);
        hr_host_close(&path.host);
        hr_tripwire_close(&path.wire);
        hr_group_close(&path.group);
        assert_int_equal(remove_group(name), 0);
}

/* --- descriptors --- */

static int open_descriptors(void)
{
        DIR *dir = opendir("/proc/self/fd");
        int count = 0;

        while (readdir(dir))
                count++;
        closedir(dir);
        return count;
}

static int descriptors_at_start;

static void test_descriptors_before(void **state)
{
        (void)state;
        descriptors_at_start = open_descriptors();
}

static void test_descriptors_after(void **state)
{
        (void)state;
        assert_int_equal(open_descriptors(), descriptors_at_start);
}

int main(void)
{
#define fixture_test(f) cmocka_unit_test_setup_teardown(f, fixture_setup, fixture_teardown)
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_descriptors_before),
                cmocka_unit_test(test_hierarchy),
                fixture_test(test_hierarchy_large),
                cmocka_unit_test(test_hierarchy_real),
                fixture_test(test_group_paths),
                fixture_test(test_group2),
                fixture_test(test_group1),
                fixture_test(test_group_bad_values),
                fixture_test(test_read_sizes),
                fixture_test(test_each_pid),
                fixture_test(test_each_pid_most),
                fixture_test(test_tree_fixture),
                fixture_test(test_tree_overflow),
                fixture_test(test_mapping_fixture),
                fixture_test(test_is_python),
                fixture_test(test_way_in),
                fixture_test(test_host),
                fixture_test(test_events_fixture),
                fixture_test(test_discover_fixture),
                fixture_test(test_discover_overflow),
                fixture_test(test_discover_limit),
                cmocka_unit_test(test_kernel_group),
                cmocka_unit_test(test_kernel_oom_kill),
                cmocka_unit_test(test_kernel_vanish),
                cmocka_unit_test(test_kernel_churn),
                cmocka_unit_test(test_kernel_no_controller),
                cmocka_unit_test(test_kernel_tripwire),
                cmocka_unit_test(test_kernel_discover),
                cmocka_unit_test(test_kernel_discover_rename),
                cmocka_unit_test(test_processes),
                cmocka_unit_test(test_tree),
                cmocka_unit_test(test_host_real),
                cmocka_unit_test(test_psi_real),
                cmocka_unit_test(test_cost),
                cmocka_unit_test(test_descriptors_after),
        };

        return cmocka_run_group_tests(tests, kernel_setup, kernel_teardown);
}
