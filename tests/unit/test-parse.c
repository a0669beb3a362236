/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The parsers, on texts as kernels write them (v2 memory.stat with the fields of 6.1; the others recorded,
 * shortened where lines only repeat the form) and on what a cut read, a hostile process or a broken kernel
 * could hand us. Every text is copied to a block that ends with it, so that a sanitizer sees a byte read too
 * many.
 */

#include "test.h"

#include <errno.h>

#include "think/parse.h"

/* All parsers in one form: numbers out, so that one table and one fuzzer serve them all. */
#define VALUES_MAX 16
#define POISON 0x5EED5EED5EED5EEDULL

struct values {
        uint64_t v[VALUES_MAX];
        char text[64];
};

typedef int (*parser)(const char *text, size_t size, struct values *ret);

static int number(const char *text, size_t size, struct values *ret)
{
        return hr_parse_number(text, size, &ret->v[0]);
}

static int stat2(const char *text, size_t size, struct values *ret)
{
        struct hr_usage u = {
                .current_bytes = 1, .swap_bytes = 2, .kernel_bytes = 3, .inactive_file_bytes = POISON};
        int r = hr_parse_stat2(text, size, &u);

        assert_true(u.current_bytes == 1 && u.swap_bytes == 2 && u.kernel_bytes == 3);
        if (r < 0)
                assert_int_equal(u.inactive_file_bytes, POISON);
        else
                *ret = (struct values){.v = {u.inactive_file_bytes, u.active_file_bytes,
                                               u.slab_reclaimable_bytes, u.shmem_bytes}};
        return r;
}

static int stat1(const char *text, size_t size, struct values *ret)
{
        struct hr_usage u = {.current_bytes = 1, .kernel_bytes = 3, .inactive_file_bytes = POISON};
        uint64_t limit = POISON;
        int r = hr_parse_stat1(text, size, &u, &limit);

        assert_true(u.current_bytes == 1 && u.kernel_bytes == 3 && u.slab_reclaimable_bytes == 0);
        if (r < 0)
                assert_true(u.inactive_file_bytes == POISON && limit == POISON);
        else
                *ret = (struct values){.v = {u.inactive_file_bytes, u.active_file_bytes, u.shmem_bytes,
                                               u.swap_bytes, limit}};
        return r;
}

static int cgroup_events(const char *text, size_t size, struct values *ret)
{
        bool populated = false, frozen = true;
        int r = hr_parse_cgroup_events(text, size, &populated, &frozen);

        if (r < 0)
                assert_true(!populated && frozen);
        else
                *ret = (struct values){.v = {populated, frozen}};
        return r;
}

static int memory_events(const char *text, size_t size, struct values *ret)
{
        struct hr_memory_events e = {.high = POISON};
        int r = hr_parse_memory_events(text, size, &e);

        if (r < 0)
                assert_int_equal(e.high, POISON);
        else
                *ret = (struct values){.v = {e.high, e.max, e.oom, e.oom_kill}};
        return r;
}

static int oom_control(const char *text, size_t size, struct values *ret)
{
        return hr_parse_oom_control(text, size, &ret->v[0]);
}

static int meminfo(const char *text, size_t size, struct values *ret)
{
        struct hr_meminfo m = {.total_bytes = POISON};
        int r = hr_parse_meminfo(text, size, &m);

        if (r < 0)
                assert_int_equal(m.total_bytes, POISON);
        else
                *ret = (struct values){.v = {m.total_bytes, m.free_bytes, m.available_bytes,
                                               m.swap_total_bytes, m.swap_free_bytes}};
        return r;
}

static int vmstat(const char *text, size_t size, struct values *ret)
{
        uint64_t pages = POISON;
        int r = hr_parse_vmstat(text, size, &pages);

        if (r < 0)
                assert_int_equal(pages, POISON);
        else
                *ret = (struct values){.v = {pages}};
        return r;
}

static int pid_stat(const char *text, size_t size, struct values *ret)
{
        struct hr_pid_stat s = {.start_ticks = POISON};
        int r = hr_parse_pid_stat(text, size, &s);

        if (r < 0)
                assert_int_equal(s.start_ticks, POISON);
        else {
                *ret = (struct values){.v = {(uint64_t)s.pid, (uint64_t)s.ppid, (uint64_t)(int64_t)s.session,
                                               (uint64_t)s.state, s.start_ticks, (uint64_t)s.wait_status}};
                snprintf(ret->text, sizeof(ret->text), "%s", s.name);
        }
        return r;
}

static int pid_status(const char *text, size_t size, struct values *ret)
{
        struct hr_pid_status s = {.sig_caught = POISON};
        int r = hr_parse_pid_status(text, size, &s);

        if (r < 0)
                assert_int_equal(s.sig_caught, POISON);
        else
                *ret = (struct values){
                        .v = {s.uid, s.uid_real, s.gid, s.has_memory, s.vm_data_bytes, s.rss_anon_bytes,
                                s.rss_shmem_bytes, s.vm_swap_bytes, s.sig_caught, s.sig_pending,
                                s.sig_shared_pending, s.sig_blocked, s.sig_ignored}};
        return r;
}

static int smaps_rollup(const char *text, size_t size, struct values *ret)
{
        uint64_t pss = POISON, swap = POISON;
        int r = hr_parse_smaps_rollup(text, size, &pss, &swap);

        if (r < 0)
                assert_true(pss == POISON && swap == POISON);
        else
                *ret = (struct values){.v = {pss, swap}};
        return r;
}

/* As a whole and line by line: the same comes out. What 00:1b has is in memory. */
static int smaps(const char *text, size_t size, struct values *ret)
{
        static const uint64_t devices[] = {UINT64_C(0x1b)};
        struct hr_smaps whole = {.devices = devices, .device_count = 1}, lines = whole;
        int r = hr_parse_smaps(&whole, text, size), by_line = 0;

        if (r == 0)
                r = hr_parse_smaps_end(&whole);
        for (size_t at = 0, length; at < size && by_line == 0; at += length) {
                const char *newline = memchr(text + at, '\n', size - at);

                length = newline ? (size_t)(newline + 1 - (text + at)) : size - at;
                by_line = hr_parse_smaps(&lines, text + at, length);
        }
        if (by_line == 0)
                by_line = hr_parse_smaps_end(&lines);
        assert_int_equal(by_line, r);
        if (r < 0)
                return r;
        assert_memory_equal(whole.bytes, lines.bytes, sizeof(whole.bytes));
        *ret = (struct values){};
        memcpy(ret->v, whole.bytes, sizeof(whole.bytes));
        return 0;
}

static int tmpfs(const char *text, size_t size, struct values *ret)
{
        uint64_t devices[2] = {0};
        int r = hr_parse_devices(text, size, "tmpfs", devices, ELEMENTSOF(devices));

        if (r < 0)
                return r;
        *ret = (struct values){.v = {(uint64_t)r, devices[0], devices[1]}};
        return 0;
}

static int pressure(const char *text, size_t size, struct values *ret)
{
        struct hr_pressure p = {.some_total_usec = POISON};
        int r = hr_parse_pressure(text, size, &p);

        if (r < 0)
                assert_int_equal(p.some_total_usec, POISON);
        else
                *ret = (struct values){.v = {p.some_avg10_permyriad, p.full_avg10_permyriad,
                                               p.some_total_usec, p.full_total_usec}};
        return r;
}

static int path_of(int r, const char *buf, struct values *ret)
{
        if (r < 0)
                assert_string_equal(buf, "untouched");
        else
                snprintf(ret->text, sizeof(ret->text), "%s", buf);
        return r;
}

#define PATH_PARSER(name, function, controller)                                               \
        static int name(const char *text, size_t size, struct values *ret)                    \
        {                                                                                     \
                char buf[24] = "untouched";                                                   \
                return path_of(function(text, size, controller, buf, sizeof(buf)), buf, ret); \
        }
PATH_PARSER(cgroup_v2, hr_parse_proc_cgroup, NULL)
PATH_PARSER(cgroup_memory, hr_parse_proc_cgroup, "memory")
PATH_PARSER(cgroup_systemd, hr_parse_proc_cgroup, "name=systemd")
PATH_PARSER(mount_v2, hr_parse_mountinfo, NULL)
PATH_PARSER(mount_memory, hr_parse_mountinfo, "memory")
PATH_PARSER(mount_systemd, hr_parse_mountinfo, "name=systemd")

static int add_pid(pid_t pid, void *userdata)
{
        struct values *v = userdata;

        assert_true(pid > 0);
        if (pid == 666)
                return -ECANCELED;
        v->v[1] = v->v[1] * 10 + (uint64_t)pid;
        return 0;
}

static int pids(const char *text, size_t size, struct values *ret)
{
        struct values v = {};
        int r = hr_parse_pids(text, size, add_pid, &v);

        if (r < 0)
                return r;
        v.v[0] = (uint64_t)r;
        *ret = v;
        return 0;
}

#define STAT2_6_1                                                                                          \
        "anon 195493888\nfile 47284224\nkernel 5185536\nkernel_stack 409600\npagetables 1163264\n"         \
        "sec_pagetables 0\npercpu 288\nsock 0\nvmalloc 8192\nshmem 4096\nzswap 0\nzswapped 0\n"            \
        "file_mapped 26312704\nfile_dirty 4096\nfile_writeback 0\nswapcached 0\nanon_thp 0\nfile_thp 0\n"  \
        "shmem_thp 0\ninactive_anon 195428352\nactive_anon 57344\ninactive_file 31801344\n"                \
        "active_file 15478784\nunevictable 0\nslab_reclaimable 2462472\nslab_unreclaimable 968640\n"       \
        "slab 3431112\nworkingset_refault_anon 0\nworkingset_refault_file 0\nworkingset_activate_anon 0\n" \
        "pgscan 0\npgsteal 0\npgfault 144127\npgmajfault 187\npgrefill 0\nzswpin 0\nthp_collapse_alloc 0\n"

#define STAT1                                                                                              \
        "cache 9228288\nrss 6299648\nrss_huge 0\nshmem 9084928\nmapped_file 7507968\ndirty 4096\n"         \
        "writeback 0\nworkingset_refault_anon 0\nworkingset_refault_file 1507\nswap 0\nswapcached 0\n"     \
        "pgpgin 34570\npgpgout 30779\npgfault 33240\npgmajfault 0\ninactive_anon 0\nactive_anon 1531904\n" \
        "inactive_file 0\nactive_file 143360\nunevictable 13852672\n"                                      \
        "hierarchical_memory_limit 9223372036854771712\nhierarchical_memsw_limit 9223372036854771712\n"    \
        "total_cache 232988672\ntotal_rss 768897024\ntotal_rss_huge 631242752\ntotal_shmem 9084928\n"      \
        "total_mapped_file 38510592\ntotal_dirty 3485696\ntotal_writeback 0\ntotal_swap 12288\n"           \
        "total_pgpgin 3107649\ntotal_pgpgout 3037350\ntotal_pgfault 5238961\ntotal_pgmajfault 1508\n"      \
        "total_inactive_anon 762417152\ntotal_active_anon 1585152\ntotal_inactive_file 195637248\n"        \
        "total_active_file 28266496\ntotal_unevictable 13852672\n"

#define STAT1_SHORT "total_inactive_file 1\ntotal_active_file 2\n"

#define MEMINFO                                                                                      \
        "MemTotal:       24684084 kB\nMemFree:        23546592 kB\nMemAvailable:   23590628 kB\n"    \
        "Buffers:            1292 kB\nCached:           226224 kB\nSwapCached:            0 kB\n"    \
        "Active(anon):       1548 kB\nInactive(anon):   749012 kB\nSwapTotal:       1048576 kB\n"    \
        "SwapFree:        1048000 kB\nDirty:              3388 kB\nVmallocTotal:   34359738367 kB\n" \
        "HugePages_Total:       0\nHugepagesize:       2048 kB\nDirectMap1G:    25165824 kB\n"

#define STATUS_HEAD                                                                                       \
        "Name:\tpython3\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t20267\nNgid:\t0\nPid:\t20267\n"       \
        "PPid:\t1\nTracerPid:\t0\nUid:\t1000\t1001\t1001\t1001\nGid:\t100\t101\t101\t101\nFDSize:\t256\n" \
        "Groups:\t \nNStgid:\t20267\n"
#define STATUS_MEMORY                                                                               \
        "VmPeak:\t   50008 kB\nVmRSS:\t   17004 kB\nRssAnon:\t   10680 kB\nRssFile:\t       8 kB\n" \
        "RssShmem:\t    6316 kB\nVmData:\t   39492 kB\nVmStk:\t     132 kB\nVmSwap:\t       4 kB\n"
#define STATUS_TAIL                                                                                     \
        "CoreDumping:\t0\nThreads:\t1\nSigQ:\t0/3706\nSigPnd:\t0000000000000001\n"                      \
        "ShdPnd:\t0000000000000002\nSigBlk:\t0000000000010000\nSigIgn:\t0000000000001000\n"             \
        "SigCgt:\tffffffff00000202\nCapInh:\t0000000000000000\nSpeculation_Store_Bypass:\tvulnerable\n" \
        "Cpus_allowed:\t3\nMems_allowed:\t00000000,00000001\nnonvoluntary_ctxt_switches:\t0\n"
#define STATUS STATUS_HEAD STATUS_MEMORY STATUS_TAIL

#define ROLLUP                                                                                    \
        "55cffbbf1000-7ffe03858000 ---p 00000000 00:00 0                          [rollup]\n"     \
        "Rss:                1712 kB\nPss:                 324 kB\nPss_Dirty:           116 kB\n" \
        "Pss_Anon:            116 kB\nPss_File:            208 kB\nPss_Shmem:             0 kB\n" \
        "Shared_Clean:       1540 kB\nAnonymous:           116 kB\nSwap:                  8 kB\n" \
        "SwapPss:               4 kB\nLocked:                0 kB\n"

/* A mapping as Linux 6.18 has it, shortened; the numbers in kB. */
#define MAP_FLAGS(header, pss, swap, flags)                                                               \
        header "\nSize:               1024 kB\nRss:                 512 kB\nPss:        " #pss            \
               " kB\nPss_Dirty:             0 kB\nPrivate_Dirty:       512 kB\nSwap:                  8 " \
               "kB\nSwapPss:    " #swap " kB\nLocked:                0 kB\nTHPeligible:           0\n"    \
               "VmFlags: " flags "\n"
#define MAP(header, pss) MAP_FLAGS(header, pss, 0, "rd wr mr mw me ac ")
#define BARE "00000000 00:00 0 "
/* Program, heap, two threads' stacks, a library, data, three sorts of shared memory, the kernel's own. */
#define SMAPS                                                                                      \
        MAP("5590-5591 r--p 00000000 fe:00 10   /usr/bin/python3.11", 1)                           \
        MAP("5591-5592 r-xp 00001000 fe:00 10   /usr/bin/python3.11", 2)                           \
        MAP("5592-5593 rw-p 00002000 fe:00 10   /usr/bin/python3.11", 4)                           \
        MAP("5593-5594 rw-p " BARE, 8)                                                             \
        MAP_FLAGS("5600-5700 rw-p " BARE "                [heap]", 1000, 24, "rd wr mr mw me ac ") \
        MAP_FLAGS("7000-7001 ---p " BARE, 0, 0, "mr mw me nh ")                                    \
        MAP_FLAGS("7001-7800 rw-p " BARE, 16, 0, "rd wr mr mw me ac nh ")                          \
        MAP("7800-7900 rw-p " BARE "    [anon: glibc: pthread stack: 4711]", 32)                   \
        MAP("7a00-7a01 r--p 00000000 fe:00 11   /usr/lib/libc.so.6", 64)                           \
        MAP("7a01-7a02 rw-p " BARE "    [anon: glibc: malloc arena]", 128)                         \
        MAP("7a02-7a03 r-xp 00001000 fe:00 11   /usr/lib/libc.so.6", 256)                          \
        MAP("7b00-7c00 r--s 00000000 fe:00 12   /home/ana/frames of may.npy", 2048)                \
        MAP("7c00-7c01 rw-s 00000000 00:19 13   /dev/shm/psm_1a2b (deleted)", 1)                   \
        MAP("7c01-7c02 rw-s 00000000 00:01 14   /SYSV00000000 (deleted)", 2)                       \
        MAP("7c02-7c03 rw-s 00000000 00:01 15   /memfd:arrow (deleted)", 4)                        \
        MAP("7c03-7c04 rw-s 00000000 00:01 16   /dev/zero (deleted)", 8)                           \
        MAP("7c04-7c05 rw-s 00000000 00:1b 17   /tmp/plasma", 16)                                  \
        MAP("7ffe-7fff rw-p " BARE "                          [stack]", 512)                       \
        MAP("ffffffffff600000-ffffffffff601000 --xp " BARE "             [vsyscall]", 0)
#define SMAPS_HEAP_KIB (8 + 1000 + 128)
#define SMAPS_STACK_KIB (16 + 32 + 512)
#define SMAPS_PROGRAM_KIB (1 + 2 + 4 + 64 + 256)

#define PID_STAT_TAIL                                                                                       \
        "20264 20264 19420 0 -1 4194304 100 0 0 0 0 0 0 0 20 0 1 0 84160 3133440 394 18446744073709551615 " \
        "94913517916160 94913517936041 140730942237568 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0 94913517952048 "    \
        "94913517953664 94913659523072 140730942241223 140730942241243 140730942241243 140730942242795 0\n"

#define CGROUP_HYBRID \
        "9:name=systemd:/a/b\n8:pids:/\n5:cpu,cpuacct:/c\n4:memory:/jobs/x:y\n0::/user.slice/u\n"

#define MOUNTS_HYBRID                                                                                  \
        "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n"                          \
        "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime shared:5 - cgroup cgroup rw,cpu,cpuacct\n"        \
        "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:6 master:7 - cgroup cgroup rw,memory\n" \
        "40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd\n"      \
        "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate\n"

struct row {
        const char *name;
        parser parse;
        const char *text;
        int r;
        struct values wanted;
        size_t size; /* 0: strlen(text) */
};

#define OK(name, parse, text, ...)                            \
        {                                                     \
                name, parse, text, 0, {.v = {__VA_ARGS__}}, 0 \
        }
#define PATH(name, parse, in, out)                     \
        {                                              \
                name, parse, in, 0, {.text = (out)}, 0 \
        }
#define BAD(name, parse, text)                     \
        {                                          \
                name, parse, text, -EBADMSG, {}, 0 \
        }
#define ERROR(name, parse, text, error)         \
        {                                       \
                name, parse, text, error, {}, 0 \
        }
#define WITH_NUL(name, parse, literal)                                  \
        {                                                               \
                name, parse, literal, -EBADMSG, {}, sizeof(literal) - 1 \
        }

static const struct row rows[] = {
        OK("number", number, "123\n", 123),
        OK("number, zero", number, "0\n", 0),
        OK("number, max", number, "max\n", HR_BYTES_NONE),
        OK("number, v1's no limit", number, "9223372036854771712\n", 9223372036854771712ULL),
        OK("number, the largest", number, "18446744073709551614\n", UINT64_MAX - 1),
        ERROR("number, huge", number, "18446744073709551616\n", -ERANGE),
        ERROR("number, very huge", number, "99999999999999999999999999999999999\n", -ERANGE),
        BAD("number, empty", number, ""),
        BAD("number, newline alone", number, "\n"),
        BAD("number, cut off", number, "12"),
        BAD("number, max cut off", number, "ma\n"),
        BAD("number, max without newline", number, "max"),
        BAD("number, negative", number, "-1\n"),
        BAD("number, leading blank", number, " 1\n"),
        BAD("number, trailing blank", number, "1 \n"),
        BAD("number, repeated", number, "1\n1\n"),
        BAD("number, max and more", number, "max\nmax\n"),
        BAD("number, hex", number, "0x10\n"),
        BAD("number, not ASCII", number, "\xc2\xb2\n"),
        WITH_NUL("number, NUL", number, "12\0\n"),
        WITH_NUL("number, NUL at the end", number, "12\n\0"),

        OK("stat2, 6.1", stat2, STAT2_6_1, 31801344, 15478784, 2462472, 4096),
        OK("stat2, another order", stat2, "shmem 4\nslab_reclaimable 3\nactive_file 2\ninactive_file 1\n", 1,
                2, 3, 4),
        BAD("stat2, empty", stat2, ""),
        BAD("stat2, missing", stat2, "shmem 4\nactive_file 2\ninactive_file 1\n"),
        BAD("stat2, cut off", stat2, "shmem 4\nslab_reclaimable 3\nactive_file 2\ninactive_file 1"),
        BAD("stat2, a known key twice", stat2, STAT2_6_1 "shmem 4\n"),
        BAD("stat2, negative", stat2, "shmem -4\nslab_reclaimable 3\nactive_file 2\ninactive_file 1\n"),
        BAD("stat2, max", stat2, "shmem max\nslab_reclaimable 3\nactive_file 2\ninactive_file 1\n"),
        BAD("stat2, no value", stat2, "shmem \nslab_reclaimable 3\nactive_file 2\ninactive_file 1\n"),
        BAD("stat2, two blanks", stat2, "shmem  4\nslab_reclaimable 3\nactive_file 2\ninactive_file 1\n"),
        BAD("stat2, trailing rubbish", stat2, STAT2_6_1 "rubbish\n"),
        BAD("stat2, empty line", stat2, "\n" STAT2_6_1),
        BAD("stat2, a value and more", stat2,
                "shmem 4 5\nslab_reclaimable 3\nactive_file 2\ninactive_file 1\n"),
        ERROR("stat2, huge", stat2, "shmem 18446744073709551616\n" STAT2_6_1, -ERANGE),
        WITH_NUL("stat2, NUL in a line that is skipped", stat2, "an\0on 1\n" STAT2_6_1),

        OK("stat1", stat1, STAT1, 195637248, 28266496, 9084928, 12288, HR_BYTES_NONE),
        OK("stat1, a limit", stat1,
                "hierarchical_memory_limit 419430400\n" STAT1_SHORT "total_swap 9\ntotal_shmem 3\n", 1, 2, 3,
                9, 419430400),
        OK("stat1, no swap accounting", stat1, "hierarchical_memory_limit 5\n" STAT1_SHORT, 1, 2, 0, 0, 5),
        OK("stat1, no limit with pages of 64 KiB", stat1,
                "hierarchical_memory_limit 9223372036854710272\n" STAT1_SHORT, 1, 2, 0, 0, HR_BYTES_NONE),
        BAD("stat1, without the twins", stat1,
                "hierarchical_memory_limit 5\ninactive_file 1\nactive_file 2\n"),
        BAD("stat1, no limit line", stat1, STAT1_SHORT),
        BAD("stat1, v2's text", stat1, STAT2_6_1),
        BAD("stat1, repeated", stat1, STAT1 "total_swap 1\n"),
        BAD("stat1, empty", stat1, ""),

        OK("cgroup.events", cgroup_events, "populated 1\nfrozen 0\n", 1, 0),
        OK("cgroup.events, frozen", cgroup_events, "populated 1\nfrozen 1\n", 1, 1),
        OK("cgroup.events, one more", cgroup_events, "frozen 1\nnew 7\npopulated 0\n", 0, 1),
        BAD("cgroup.events, missing", cgroup_events, "populated 1\n"),
        BAD("cgroup.events, no such value", cgroup_events, "populated 2\nfrozen 0\n"),
        BAD("cgroup.events, cut off", cgroup_events, "populated 1\nfrozen "),
        BAD("cgroup.events, repeated", cgroup_events, "populated 1\nfrozen 0\npopulated 1\n"),
        BAD("cgroup.events, empty", cgroup_events, ""),

        OK("memory.events", memory_events, "low 0\nhigh 5\nmax 6\noom 7\noom_kill 8\noom_group_kill 9\n", 5,
                6, 7, 8),
        BAD("memory.events, missing", memory_events, "low 0\nhigh 5\nmax 6\noom 7\n"),
        BAD("memory.events, a prefix isn't the key", memory_events, "high 5\nmax 6\noom 7\noom_killx 8\n"),
        BAD("memory.events, repeated", memory_events, "high 5\nhigh 5\nmax 6\noom 7\noom_kill 8\n"),
        BAD("memory.events, negative", memory_events, "high 5\nmax 6\noom 7\noom_kill -8\n"),
        BAD("memory.events, empty", memory_events, ""),

        OK("oom_control", oom_control, "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n", 3),
        OK("oom_control before 4.13", oom_control, "oom_kill_disable 0\nunder_oom 0\n", 0),
        BAD("oom_control, cut off", oom_control, "oom_kill_disable 0\nunder_oom 0\noom_kill 3"),
        BAD("oom_control, repeated", oom_control,
                "oom_kill_disable 0\nunder_oom 0\noom_kill 3\noom_kill 3\n"),
        BAD("oom_control, missing", oom_control, "oom_kill 3\n"),
        BAD("oom_control, empty", oom_control, ""),

        OK("meminfo", meminfo, MEMINFO, 24684084 * 1024ULL, 23546592 * 1024ULL, 23590628 * 1024ULL, HR_GIB,
                1048000 * 1024ULL),
        OK("meminfo, no swap", meminfo,
                "MemTotal: 8 kB\nMemFree: 1 kB\nMemAvailable: 2 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n", 8192,
                1024, 2048),
        BAD("meminfo, absurd SwapFree", meminfo,
                "MemTotal: 8 kB\nMemFree: 1 kB\nMemAvailable: 2 kB\nSwapTotal: 5 kB\nSwapFree: 6 kB\n"),
        BAD("meminfo, absurd MemAvailable", meminfo,
                "MemTotal: 8 kB\nMemFree: 1 kB\nMemAvailable: 9 kB\nSwapTotal: 5 kB\nSwapFree: 5 kB\n"),
        BAD("meminfo, absurd MemFree", meminfo,
                "MemTotal: 8 kB\nMemFree: 9 kB\nMemAvailable: 8 kB\nSwapTotal: 5 kB\nSwapFree: 5 kB\n"),
        BAD("meminfo, nothing at all", meminfo,
                "MemTotal: 0 kB\nMemFree: 0 kB\nMemAvailable: 0 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n"),
        ERROR("meminfo, wrapped SwapFree", meminfo,
                "MemTotal: 8 kB\nMemFree: 1 kB\nMemAvailable: 2 kB\nSwapTotal: 5 kB\nSwapFree: "
                "18446744073709551612 kB\n",
                -ERANGE),
        BAD("meminfo, negative", meminfo,
                "MemTotal: 8 kB\nMemFree: 1 kB\nMemAvailable: 2 kB\nSwapTotal: 5 kB\nSwapFree: -1 kB\n"),
        BAD("meminfo, no unit", meminfo,
                "MemTotal: 8\nMemFree: 1 kB\nMemAvailable: 2 kB\nSwapTotal: 5 kB\nSwapFree: 1 kB\n"),
        BAD("meminfo, another unit", meminfo,
                "MemTotal: 8 MB\nMemFree: 1 kB\nMemAvailable: 2 kB\nSwapTotal: 5 kB\nSwapFree: 1 kB\n"),
        BAD("meminfo, repeated", meminfo, MEMINFO "MemFree: 1 kB\n"),
        BAD("meminfo, a line without a key", meminfo, MEMINFO "rubbish\n"),
        BAD("meminfo, no MemAvailable", meminfo,
                "MemTotal: 8 kB\nMemFree: 1 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n"),
        BAD("meminfo, empty", meminfo, ""),
        OK("vmstat", vmstat,
                "nr_free_pages 7\npgalloc_dma32 11\npgalloc_normal 500\npgalloc_movable 3\nnr_x 1\n", 514),
        BAD("vmstat, no normal zone", vmstat, "nr_free_pages 7\npgalloc_dma 3\n"),
        BAD("vmstat, a zone twice", vmstat, "pgalloc_normal 500\npgalloc_normal 3\n"),
        BAD("vmstat, negative", vmstat, "pgalloc_normal -500\n"),
        WITH_NUL("meminfo, NUL", meminfo, MEMINFO "\0"),

#define PID_STAT_ZEROS "0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0" /* fields 23 to 51 */
#define PID_STAT(row, comm, shown)                                                   \
        {                                                                            \
                row, pid_stat, "20272 (" comm ") S " PID_STAT_TAIL, 0,               \
                        {.v = {20272, 20264, 19420, 'S', 84160}, .text = (shown)}, 0 \
        }
        PID_STAT("pid stat", "cat", "cat"),
        PID_STAT("pid stat, hostile name", "foo) Z ", "foo) Z "),
        PID_STAT("pid stat, name like a whole line", ") R 1 1 1 ", ") R 1 1 1 "),
        PID_STAT("pid stat, brackets", "((()))", "((()))"),
        PID_STAT("pid stat, newline", "a\nb", "a\nb"),
        PID_STAT("pid stat, no UTF-8", "\xff\x1b[31m", "\xff\x1b[31m"),
        PID_STAT("pid stat, no name", "", ""),
        PID_STAT("pid stat, a worker's long name", "kworker/u8:2-events_unbound", "kworker/u8:2-ev"),
        BAD("pid stat, ends before the start time", pid_stat,
                "7 (x) X 0 -1 -1 0 -1 0 0 0 0 0 0 0 0 0 0 0 0 0\n"),
        {"pid stat, being reaped", pid_stat, "7 (x) X 0 -1 -1 0 -1 0 0 0 0 0 0 0 0 0 0 0 0 0 9\n", 0,
                {.v = {7, 0, (uint64_t)-1, 'X', 9}, .text = "x"}, 0},
        {"pid stat, a zombie that exited with 3", pid_stat,
                "7 (x) Z 1 7 7 0 -1 0 0 0 0 0 0 0 0 0 0 0 0 0 9 " PID_STAT_ZEROS " 768\n", 0,
                {.v = {7, 1, 7, 'Z', 9, 768}, .text = "x"}, 0},
        {"pid stat, an exit status that is none", pid_stat,
                "7 (x) Z 1 7 7 0 -1 0 0 0 0 0 0 0 0 0 0 0 0 0 9 " PID_STAT_ZEROS " -768\n", 0,
                {.v = {7, 1, 7, 'Z', 9, 0}, .text = "x"}, 0},
        BAD("pid stat, empty", pid_stat, ""),
        BAD("pid stat, newline alone", pid_stat, "\n"),
        BAD("pid stat, no name", pid_stat, "20272 S " PID_STAT_TAIL),
        BAD("pid stat, name not closed", pid_stat, "20272 (cat S " PID_STAT_TAIL),
        BAD("pid stat, closed before it opens", pid_stat, "20272 )cat( S " PID_STAT_TAIL),
        BAD("pid stat, no state", pid_stat, "20272 (cat) 20264 20264\n"),
        BAD("pid stat, after the name nothing", pid_stat, "20272 (cat)\n"),
        BAD("pid stat, pid 0", pid_stat, "0 (cat) S " PID_STAT_TAIL),
        BAD("pid stat, negative pid", pid_stat, "-1 (cat) S " PID_STAT_TAIL),
        ERROR("pid stat, huge pid", pid_stat, "2147483648 (cat) S " PID_STAT_TAIL, -ERANGE),
        BAD("pid stat, negative parent", pid_stat, "7 (x) S -1 0 0 0 -1 0 0 0 0 0 0 0 0 0 0 0 0 0 9\n"),
        BAD("pid stat, negative start", pid_stat, "7 (x) S 1 0 0 0 -1 0 0 0 0 0 0 0 0 0 0 0 0 0 -9\n"),
        BAD("pid stat, rubbish at the end", pid_stat, "7 (x) S 1 0 0 0 -1 0 0 0 0 0 0 0 0 0 0 0 0 0 9 x\n"),
        BAD("pid stat, two lines", pid_stat, "7 (x) S 1 0 0 0 -1 0 0 0 0 0 0 0 0 0 0 0 0 0 9\n1\n"),
        WITH_NUL("pid stat, NUL in the name", pid_stat, "20272 (c\0t) S " PID_STAT_TAIL),

        OK("status", pid_status, STATUS, 1001, 1000, 101, true, 39492 * 1024, 10680 * 1024, 6316 * 1024, 4096,
                0xffffffff00000202, 1, 2, 0x10000, 0x1000),
        OK("status of a kernel thread", pid_status, STATUS_HEAD STATUS_TAIL, 1001, 1000, 101, false, 0, 0, 0,
                0, 0xffffffff00000202, 1, 2, 0x10000, 0x1000),
        OK("status, hostile name", pid_status,
                "Name:\tfoo) Z \\nUid:\n"
                "Umask:\t0\n" STATUS,
                1001, 1000, 101, true, 39492 * 1024, 10680 * 1024, 6316 * 1024, 4096, 0xffffffff00000202, 1,
                2, 0x10000, 0x1000),
        BAD("status, half of its memory", pid_status, STATUS_HEAD "VmData:\t 1 kB\n" STATUS_TAIL),
        BAD("status, cut off after the memory", pid_status, STATUS_HEAD STATUS_MEMORY),
        BAD("status, repeated", pid_status, STATUS "Uid:\t0\t0\t0\t0\n"),
        BAD("status, three ids", pid_status, "Uid:\t0\t0\t0\n" STATUS),
        BAD("status, five ids", pid_status, "Uid:\t0\t0\t0\t0\t0\n" STATUS),
        ERROR("status, huge id", pid_status, "Uid:\t4294967296\t0\t0\t0\n" STATUS, -ERANGE),
        BAD("status, negative id", pid_status, "Uid:\t-1\t0\t0\t0\n" STATUS),
        BAD("status, no hex", pid_status, "SigCgt:\t000000000000000g\n" STATUS),
        BAD("status, no mask", pid_status, "SigCgt:\t\n" STATUS),
        ERROR("status, long mask", pid_status, "SigCgt:\t10000000000000000\n" STATUS, -ERANGE),
        BAD("status, empty", pid_status, ""),
        WITH_NUL("status, NUL", pid_status, "Name:\ta\0b\n" STATUS),

        OK("smaps_rollup", smaps_rollup, ROLLUP, 324 * 1024, 4 * 1024),
        BAD("smaps_rollup, no SwapPss", smaps_rollup, "Pss: 1 kB\n"),
        BAD("smaps_rollup, repeated", smaps_rollup, ROLLUP "Pss: 1 kB\n"),
        ERROR("smaps_rollup, huge", smaps_rollup, "Pss: 18014398509481984 kB\nSwapPss: 0 kB\n", -ERANGE),
        BAD("smaps_rollup, negative", smaps_rollup, "Pss: -1 kB\nSwapPss: 0 kB\n"),
        BAD("smaps_rollup, empty", smaps_rollup, ""),

        OK("smaps", smaps, SMAPS, SMAPS_HEAP_KIB * 1024, SMAPS_STACK_KIB * 1024, SMAPS_PROGRAM_KIB * 1024,
                2048 * 1024, 31 * 1024, 24 * 1024),
        OK("smaps, behind a guard but not marked", smaps, MAP("1-2 ---p " BARE, 0) MAP("2-3 rw-p " BARE, 4),
                4096),
        OK("smaps, marked but away from the guard", smaps,
                MAP("1-2 ---p " BARE, 0) MAP_FLAGS("3-4 rw-p " BARE, 4, 0, "rd wr nh"), 4096),
        OK("smaps, a guard behind a guard", smaps,
                MAP("1-2 ---p " BARE, 0) MAP_FLAGS("2-3 ---p " BARE, 4, 0, "mr nh"), 4096),
        OK("smaps, two files called alike", smaps,
                MAP("1-2 r-xp 0 fe:00 1 /a", 4) MAP("2-3 r--p 0 fe:00 2 /a", 8), 0, 0, 4096, 8192),
        OK("smaps, a file called like the heap", smaps, MAP("1-2 rw-p 0 fe:00 1   /tmp/x [heap]", 4), 0, 0, 0,
                4096),
        OK("smaps, a file called like shared memory", smaps, MAP("1-2 rw-p 0 fe:00 1   /tmp/dev/shm/x", 4), 0,
                0, 0, 4096),
        OK("smaps, a file called like a field", smaps,
                MAP("1-2 rw-p 0 fe:00 1   /Pss: 99 kB\\012Pss: 99 kB", 4), 0, 0, 0, 4096),
        OK("smaps, escape codes and no UTF-8", smaps, MAP("1-2 r-xp 0 fe:00 1   /a\x1b[31m)\xff\x7f", 4), 0,
                0, 4096),
        OK("smaps, no name, an inode", smaps, MAP("1-2 rw-s 0 00:05 1 ", 4), 0, 0, 0, 4096),
        OK("smaps, named shared memory", smaps, MAP("1-2 rw-s 0 00:01 1 [anon_shmem:x]", 4), 0, 0, 0, 0,
                4096),
        OK("smaps, the sum of huge ones stays", smaps,
                MAP("1-2 rw-p " BARE, 18014398509481983) MAP("2-3 rw-p " BARE, 18014398509481983),
                UINT64_MAX),
        BAD("smaps, empty", smaps, ""),
        BAD("smaps, a header alone", smaps, "1-2 rw-p " BARE "\n"),
        BAD("smaps, ends before SwapPss", smaps, "1-2 rw-p " BARE "\nPss: 1 kB\n"),
        BAD("smaps, ends before its flags", smaps, "1-2 rw-p " BARE "\nPss: 1 kB\nSwapPss: 0 kB\n"),
        BAD("smaps, no Pss in the first", smaps, "1-2 rw-p " BARE "\nVmFlags: rd\n" MAP("2-3 rw-p " BARE, 1)),
        BAD("smaps, a field before any mapping", smaps, "Pss: 1 kB\n" MAP("1-2 rw-p " BARE, 1)),
        BAD("smaps, repeated field", smaps, MAP("1-2 rw-p " BARE, 1) "Pss:  1 kB\n"),
        BAD("smaps, repeated mapping", smaps, MAP("1-2 rw-p " BARE, 1) MAP("1-2 rw-p " BARE, 1)),
        BAD("smaps, overlapping", smaps, MAP("1-3 rw-p " BARE, 1) MAP("2-4 rw-p " BARE, 1)),
        BAD("smaps, backwards", smaps, MAP("3-4 rw-p " BARE, 1) MAP("1-2 rw-p " BARE, 1)),
        BAD("smaps, of no length", smaps, MAP("2-2 rw-p " BARE, 1)),
        BAD("smaps, negative", smaps, MAP("1-2 rw-p " BARE, -1)),
        BAD("smaps, no unit", smaps, "1-2 rw-p " BARE "\nPss: 1\nSwapPss: 0 kB\nVmFlags: rd\n"),
        ERROR("smaps, huge", smaps, MAP("1-2 rw-p " BARE, 18014398509481984), -ERANGE),
        ERROR("smaps, very huge", smaps, MAP("1-2 rw-p " BARE, 99999999999999999999), -ERANGE),
        ERROR("smaps, huge address", smaps, MAP("1-10000000000000000 rw-p " BARE, 1), -ERANGE),
        ERROR("smaps, huge inode", smaps, MAP("1-2 rw-p 0 fe:00 99999999999999999999 /a", 1), -ERANGE),
        BAD("smaps, unknown modes", smaps, MAP("1-2 rwzp " BARE, 1)),
        BAD("smaps, modes cut off", smaps, "1-2 rw\n"),
        BAD("smaps, no device", smaps, MAP("1-2 rw-p 0 fe 1 /a", 1)),
        BAD("smaps, no inode", smaps, MAP("1-2 rw-p 0 fe:00 /a", 1)),
        BAD("smaps, rubbish behind the inode", smaps, MAP("1-2 rw-p 0 fe:00 1x /a", 1)),
        BAD("smaps, empty line", smaps, "\n" MAP("1-2 rw-p " BARE, 1)),
        BAD("smaps, rubbish", smaps, MAP("1-2 rw-p " BARE, 1) "?\n"),
        BAD("smaps, a field without a colon", smaps, MAP("1-2 rw-p " BARE, 1) "Pss\n"),
        WITH_NUL("smaps, NUL", smaps, MAP("1-2 rw-p 0 fe:00 1   /a\0b", 1)),

        OK("tmpfs", tmpfs, MOUNTS_HYBRID, 1, 28),
        OK("tmpfs, more than there is room for", tmpfs,
                "1 2 0:3 / /a rw - tmpfs x rw\n1 2 7:4 / /b rw master:1 - tmpfs x rw\n1 2 0:5 / /c rw - "
                "tmpfs x rw\n",
                3, 3, UINT64_C(7) << 32 | 4),
        OK("tmpfs, none", tmpfs, "1 2 0:3 / /m rw - ext4 tmpfs rw\n", 0),
        BAD("tmpfs, no device", tmpfs, "1 2 0 / /m rw - tmpfs x rw\n"),
        BAD("tmpfs, rubbish behind the device", tmpfs, "1 2 0:3x / /m rw - tmpfs x rw\n"),
        BAD("tmpfs, negative", tmpfs, "1 2 0:-3 / /m rw - tmpfs x rw\n"),
        BAD("tmpfs, cut off", tmpfs, "1 2 0:3 / /m rw - tmpfs x rw"),
        BAD("tmpfs, empty", tmpfs, ""),
        WITH_NUL("tmpfs, NUL", tmpfs, "1 2 0:3 / /m\0 rw - tmpfs x rw\n"),

        PATH("cgroup, v2 on a hybrid host", cgroup_v2, CGROUP_HYBRID, "/user.slice/u"),
        PATH("cgroup, memory", cgroup_memory, CGROUP_HYBRID, "/jobs/x:y"),
        PATH("cgroup, systemd", cgroup_systemd, CGROUP_HYBRID, "/a/b"),
        PATH("cgroup, v2 alone", cgroup_v2, "0::/\n", "/"),
        PATH("cgroup, outside of the namespace", cgroup_v2, "0::/../..\n", "/../.."),
        PATH("cgroup, co-mounted", cgroup_memory, "3:cpu,memory,pids:/x\n", "/x"),
        PATH("cgroup, just fits", cgroup_v2, "0::/234567890123456789012\n", "/234567890123456789012"),
        ERROR("cgroup, not on v1", cgroup_memory, "0::/\n", -ENOENT),
        ERROR("cgroup, a prefix isn't the controller", cgroup_memory, "3:memoryx,xmemory:/\n", -ENOENT),
        ERROR("cgroup, v1 alone", cgroup_v2, "3:memory:/\n", -ENOENT),
        ERROR("cgroup, deleted", cgroup_v2, "0::/jobs/x (deleted)\n", -ESTALE),
        ERROR("cgroup, too long", cgroup_v2, "0::/23456789012345678901234\n", -ENAMETOOLONG),
        BAD("cgroup, repeated", cgroup_v2, "0::/\n0::/\n"),
        BAD("cgroup, no path", cgroup_v2, "0::\n"),
        BAD("cgroup, not absolute", cgroup_v2, "0::x\n"),
        BAD("cgroup, one colon", cgroup_v2, "0:/\n"),
        BAD("cgroup, no id", cgroup_v2, "::/\n"),
        BAD("cgroup, negative id", cgroup_v2, "-1::/\n"),
        BAD("cgroup, cut off", cgroup_v2, "0::/jo"),
        BAD("cgroup, rubbish in another line", cgroup_v2, "0::/\nrubbish\n"),
        BAD("cgroup, empty", cgroup_v2, ""),
        WITH_NUL("cgroup, NUL", cgroup_v2, "0::/a\0b\n"),

        PATH("mount, v2 on a hybrid host", mount_v2, MOUNTS_HYBRID, "/sys/fs/cgroup/unified"),
        PATH("mount, memory", mount_memory, MOUNTS_HYBRID, "/sys/fs/cgroup/memory"),
        PATH("mount, systemd", mount_systemd, MOUNTS_HYBRID, "/sys/fs/cgroup/systemd"),
        PATH("mount, the first", mount_v2,
                "1 2 0:3 /a /m1 rw - cgroup2 x rw\n1 2 0:3 /b /m2 rw - cgroup2 x rw\n", "/m1"),
        PATH("mount, the whole", mount_v2,
                "1 2 0:3 /a /m1 rw - cgroup2 x rw\n1 2 0:3 / /m2 rw - cgroup2 x rw\n", "/m2"),
        PATH("mount, escapes", mount_v2, "1 2 0:3 / /a\\040b\\134c\\ rw - cgroup2 x rw\n", "/a b\\c\\"),
        PATH("mount, no escape", mount_v2, "1 2 0:3 / /a\\04 rw - cgroup2 x rw\n", "/a\\04"),
        PATH("mount, empty source", mount_v2, "1 2 0:3 / /m rw - cgroup2  rw\n", "/m"),
        ERROR("mount, none", mount_v2, "1 2 0:3 / /m rw - tmpfs x rw\n", -ENOENT),
        ERROR("mount, another controller", mount_memory, "1 2 0:3 / /m rw - cgroup x rw,memoryx\n", -ENOENT),
        ERROR("mount, a source named like it", mount_memory, "1 2 0:3 / /m rw - cgroup memory rw,cpu\n",
                -ENOENT),
        ERROR("mount, too long", mount_v2, "1 2 0:3 / /23456789012345678901234 rw - cgroup2 x rw\n",
                -ENAMETOOLONG),
        BAD("mount, escaped NUL", mount_v2, "1 2 0:3 / /a\\000b rw - cgroup2 x rw\n"),
        BAD("mount, no separator", mount_v2, "1 2 0:3 / /m rw cgroup2 x rw\n"),
        BAD("mount, cut off", mount_v2, "1 2 0:3 / /m rw - cgroup2 x"),
        BAD("mount, few fields", mount_v2, "1 2 0:3 /\n"),
        BAD("mount, no super options", mount_v2, "1 2 0:3 / /m rw - cgroup2 x\n"),
        BAD("mount, empty", mount_v2, ""),
        WITH_NUL("mount, NUL", mount_v2, "1 2 0:3 / /m rw - cgroup2 x rw\0\n"),

        OK("pressure", pressure,
                "some avg10=1.53 avg60=0.87 avg300=0.30 total=4711\nfull avg10=0.05 avg60=0.00 avg300=0.00 "
                "total=42\n",
                153, 5, 4711, 42),
        OK("pressure, some alone", pressure, "some avg10=100.00 avg60=0.00 avg300=0.00 total=0\n", 10000, 0,
                0, 0),
        OK("pressure, one more field", pressure, "some avg10=0.00 avg60=0.00 avg300=0.00 total=1 new=2\n", 0,
                0, 1, 0),
        BAD("pressure, full alone", pressure, "full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"),
        BAD("pressure, no total", pressure, "some avg10=0.00 avg60=0.00 avg300=0.00\n"),
        BAD("pressure, comma", pressure, "some avg10=0,00 avg60=0.00 avg300=0.00 total=0\n"),
        BAD("pressure, one digit", pressure, "some avg10=0.0 avg60=0.00 avg300=0.00 total=0\n"),
        BAD("pressure, three digits", pressure, "some avg10=0.000 avg60=0.00 avg300=0.00 total=0\n"),
        BAD("pressure, negative", pressure, "some avg10=-1.00 avg60=0.00 avg300=0.00 total=0\n"),
        BAD("pressure, repeated", pressure,
                "some avg10=0.00 avg60=0.00 avg300=0.00 total=1\nsome avg10=0.00 avg60=0.00 avg300=0.00 "
                "total=1\n"),
        BAD("pressure, rubbish", pressure, "some avg10=0.00 avg60=0.00 avg300=0.00 total=1\nrubbish\n"),
        BAD("pressure, rubbish after the total", pressure,
                "some avg10=0.00 avg60=0.00 avg300=0.00 total=1x\n"),
        ERROR("pressure, huge", pressure, "some avg10=42949673.00 avg60=0.00 avg300=0.00 total=1\n", -ERANGE),
        ERROR("pressure, huge total", pressure,
                "some avg10=0.00 avg60=0.00 avg300=0.00 total=99999999999999999999\n", -ERANGE),
        BAD("pressure, cut off", pressure, "some avg10=0.00 avg60=0.00 avg300=0.00 total=1"),
        BAD("pressure, empty", pressure, ""),

        OK("pids", pids, "1\n2\n3\n", 3, 123),
        OK("pids, none", pids, "", 0, 0),
        OK("pids, repeated as v1 may", pids, "5\n5\n", 2, 55),
        BAD("pids, one we can't name", pids, "1\n0\n"),
        BAD("pids, negative", pids, "-1\n"),
        BAD("pids, cut off", pids, "1\n2"),
        BAD("pids, empty line", pids, "1\n\n"),
        BAD("pids, trailing blank", pids, "1 \n"),
        ERROR("pids, huge", pids, "2147483648\n", -ERANGE),
        ERROR("pids, the callback refuses", pids, "1\n666\n3\n", -ECANCELED),
        WITH_NUL("pids, NUL", pids, "1\n\0\n"),
};

static void table(void **state HR_UNUSED)
{
        TEST_ROWS(row, rows)
        {
                size_t size = row->size ? row->size : strlen(row->text);
                char *exact = test_exact(row->text, size);
                struct values got;

                memset(&got, 0x55, sizeof(got));
                EXPECT_INT(row->name, row->parse(exact, size, &got), row->r);
                free(exact);
                if (row->r < 0) {
                        for (size_t i = 0; i < VALUES_MAX; i++)
                                EXPECT_UINT(row->name, got.v[i], 0x5555555555555555ULL);
                        continue;
                }
                if (row->wanted.text[0])
                        EXPECT_STR(row->name, got.text, row->wanted.text);
                if (row->parse == number || row->parse == oom_control)
                        EXPECT_UINT(row->name, got.v[0], row->wanted.v[0]);
                else if (row->wanted.v[0] || !row->wanted.text[0])
                        for (size_t i = 0; i < VALUES_MAX; i++)
                                EXPECT_UINT(row->name, got.v[i], row->wanted.v[i]);
        }
}

/* Cut anywhere but at the end of a line, every good text is an error. */
static void cut_off(void **state HR_UNUSED)
{
        TEST_ROWS(row, rows)
        {
                if (row->r < 0)
                        continue;
                for (size_t size = 1; size < strlen(row->text); size++) {
                        struct values got;
                        char *exact = test_exact(row->text, size);
                        int r = row->parse(exact, size, &got);
                        if (exact[size - 1] != '\n')
                                EXPECT_INT(row->name, r, -EBADMSG);
                        free(exact);
                }
        }
}

/* Bytes changed at random: whatever comes out, nothing is read past the end and no output is half written. */
static void damaged(void **state HR_UNUSED)
{
        static const char bytes[] = "\0\n :0129-()/\\amkB\xff";
        struct test_random random = test_random_new("parse damaged");

        TEST_ROWS(row, rows)
        {
                size_t size = row->size ? row->size : strlen(row->text);
                for (int i = 0; size > 0 && i < 300; i++) {
                        struct values got;
                        char *exact = test_exact(row->text, size);
                        for (uint64_t n = 1 + test_random_next(&random) % 3; n > 0; n--)
                                exact[test_random_next(&random) % size] =
                                        bytes[test_random_next(&random) % (sizeof(bytes) - 1)];
                        (void)row->parse(exact, size, &got);
                        free(exact);
                }
        }
}

/* What is spelled as the kernel spells it is read back. */
static void round_trip(void **state HR_UNUSED)
{
        struct test_random random = test_random_new("parse round trip");

        for (int i = 0; i < 20000; i++) {
                char text[256];
                uint64_t a = test_random_size(&random), b = test_random_size(&random), back;
                uint64_t c = test_random_size(&random), d = test_random_size(&random);
                struct hr_memory_events e;

                size_t size = (size_t)snprintf(text, sizeof(text), "%" PRIu64 "\n", a);
                assert_int_equal(hr_parse_number(text, size, &back), 0);
                assert_int_equal(back, a);
                size = (size_t)snprintf(text, sizeof(text),
                        "low 0\nhigh %" PRIu64 "\nmax %" PRIu64 "\noom %" PRIu64 "\noom_kill %" PRIu64 "\n",
                        a, b, c, d);
                assert_int_equal(hr_parse_memory_events(text, size, &e), 0);
                assert_true(e.high == a && e.max == b && e.oom == c && e.oom_kill == d);
        }
}

/* The files of the machine at hand, where it has them. */
static void this_machine(void **state HR_UNUSED)
{
        static const struct {
                const char *name;
                parser parse;
        } files[] = {
                {"/proc/meminfo", meminfo},
                {"/proc/vmstat", vmstat},
                {"/proc/self/stat", pid_stat},
                {"/proc/self/status", pid_status},
                {"/proc/2/status", pid_status},
                {"/proc/self/smaps_rollup", smaps_rollup},
                {"/proc/self/smaps", smaps},
                {"/proc/self/mountinfo", tmpfs},
                {"/proc/pressure/memory", pressure},
                {"/sys/fs/cgroup/memory/memory.stat", stat1},
                {"/sys/fs/cgroup/memory/memory.oom_control", oom_control},
                {"/sys/fs/cgroup/memory/memory.usage_in_bytes", number},
        };
        static char text[4 << 20]; /* sanitizers have many mappings */

        TEST_ROWS(file, files)
        {
                struct values got;
                FILE *f = fopen(file->name, "re");
                size_t size = f ? fread(text, 1, sizeof(text), f) : 0;
                if (f)
                        fclose(f);
                if (size > 0)
                        EXPECT_INT(file->name, file->parse(text, size, &got), 0);
                else
                        print_message("SKIP %s: not to be read here\n", file->name);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(table),
                cmocka_unit_test(cut_off),
                cmocka_unit_test(damaged),
                cmocka_unit_test(round_trip),
                cmocka_unit_test(this_machine),
        };

        return cmocka_run_group_tests_name("parse", tests, NULL, NULL);
}
