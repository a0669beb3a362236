/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "think/parse.h"

#include <errno.h>
#include <string.h>

/*
 * The texts of /proc and of the cgroup file systems, taken apart in one pass from left to right.
 *
 * A cursor walks the text and never passes its end; the text needs no NUL behind it, and a NUL inside is an
 * error, found by the scan for the end of the line. Every file here ends in a newline: a text that doesn't
 * was cut off by a buffer too small or a file that changed, and what stands before the cut may be half a
 * number.
 *
 * Most files are lines of "key value" (cgroup files) or "Key: value" (/proc). Each of them has one table
 * here: key, form of the value, whether it must be there, and where the number goes. A key that stands twice,
 * a value that has not its form, and a needed key that is missing are -EBADMSG; keys without a row are
 * skipped, for kernels add some in every release. Results are gathered in a local and handed over only when
 * all is well.
 *
 * Formats: Documentation/admin-guide/cgroup-v2.rst ("Memory Interface Files", "Core Interface Files"),
 * admin-guide/cgroup-v1/memory.rst (5.2, 10) and cgroups.rst, filesystems/proc.rst (1.1 tables 1-2 and 1-4,
 * meminfo, smaps_rollup, 3.5 mountinfo), accounting/psi.rst; cgroups(7) for /proc/PID/cgroup.
 */

struct cursor {
        const char *at, *end;
};

/* Takes one line, without its newline. 1: *ret is set; 0: the text is over; -EBADMSG: NUL, or cut off. */
static int take_line(struct cursor *text, struct cursor *ret)
{
        if (text->at == text->end)
                return 0;
        for (const char *p = text->at; p < text->end; p++) {
                if (*p == '\0')
                        return -EBADMSG;
                if (*p == '\n') {
                        *ret = (struct cursor){text->at, p};
                        text->at = p + 1;
                        return 1;
                }
        }
        return -EBADMSG;
}

static bool at_end(const struct cursor *c)
{
        return c->at == c->end;
}

static size_t left(const struct cursor *c)
{
        return (size_t)(c->end - c->at);
}

static bool is_digit(char c)
{
        return c >= '0' && c <= '9';
}

static bool take_word(struct cursor *c, const char *word)
{
        size_t size = strlen(word);

        if (left(c) < size || memcmp(c->at, word, size) != 0)
                return false;
        c->at += size;
        return true;
}

/* What stands before the next `stop`, which is taken too; without one the rest, if `or_rest`. */
static bool take_until(struct cursor *c, char stop, bool or_rest, struct cursor *ret)
{
        const char *p = memchr(c->at, stop, left(c));

        if (!p && !or_rest)
                return false;
        *ret = (struct cursor){c->at, p ? p : c->end};
        c->at = p ? p + 1 : c->end;
        return true;
}

static bool equal(const struct cursor *c, const char *word)
{
        size_t size = strlen(word);

        return left(c) == size && memcmp(c->at, word, size) == 0;
}

static int take_number(struct cursor *c, uint64_t *ret)
{
        uint64_t n = 0;

        if (at_end(c) || !is_digit(*c->at))
                return -EBADMSG;
        for (; !at_end(c) && is_digit(*c->at); c->at++)
                if (__builtin_mul_overflow(n, 10, &n) ||
                        __builtin_add_overflow(n, (uint64_t)(*c->at - '0'), &n))
                        return -ERANGE;
        *ret = n;
        return 0;
}

static int take_hex(struct cursor *c, uint64_t *ret)
{
        uint64_t n = 0;
        const char *begin = c->at;

        for (; !at_end(c); c->at++) {
                char ch = *c->at;
                unsigned digit;

                if (is_digit(ch))
                        digit = (unsigned)(ch - '0');
                else if (ch >= 'a' && ch <= 'f')
                        digit = (unsigned)(ch - 'a') + 10;
                else
                        break;
                if (n >> 60)
                        return -ERANGE;
                n = n << 4 | digit;
        }
        if (c->at == begin)
                return -EBADMSG;
        *ret = n;
        return 0;
}

static int take_pid(struct cursor *c, pid_t *ret)
{
        uint64_t n;
        int r = take_number(c, &n);

        if (r < 0)
                return r;
        if (n > INT32_MAX)
                return -ERANGE;
        *ret = (pid_t)n;
        return 0;
}

/* Copies with an ending NUL. */
static int copy_path(const struct cursor *c, char *path, size_t path_size)
{
        if (left(c) >= path_size)
                return -ENAMETOOLONG;
        memcpy(path, c->at, left(c));
        path[left(c)] = '\0';
        return 0;
}

enum form {
        FORM_NUMBER,
        FORM_KIB, /* "123 kB": these are 1024 bytes */
        FORM_HEX,
        FORM_IDS, /* four numbers, blanks between: real, effective, saved, file system */
};

struct field {
        const char *key;
        enum form form;
        bool optional;
        size_t offset; /* of the uint64_t (FORM_IDS: of four) in the result */
};

static void take_blanks(struct cursor *c)
{
        while (!at_end(c) && (*c->at == ' ' || *c->at == '\t'))
                c->at++;
}

static int take_value(struct cursor *line, enum form form, uint64_t *ret)
{
        int r;

        switch (form) {
        case FORM_HEX:
                r = take_hex(line, ret);
                break;
        case FORM_IDS:
                for (size_t i = 0; i < 4; i++) {
                        if (i > 0)
                                take_blanks(line);
                        r = take_number(line, &ret[i]);
                        if (r < 0)
                                return r;
                        if (ret[i] > UINT32_MAX)
                                return -ERANGE;
                }
                break;
        case FORM_KIB:
                r = take_number(line, ret);
                if (r < 0)
                        return r;
                if (!take_word(line, " kB"))
                        return -EBADMSG;
                if (__builtin_mul_overflow(*ret, HR_KIB, ret))
                        return -ERANGE;
                break;
        case FORM_NUMBER:
        default:
                r = take_number(line, ret);
                break;
        }
        if (r < 0)
                return r;
        return at_end(line) ? 0 : -EBADMSG;
}

/*
 * Walks all lines. stop is what ends a key: ' ' for cgroup files, where the value follows at once, ':' for
 * /proc, where blanks come before it. *ret_seen (may be NULL) has bit i set for fields[i].
 */
static int parse_fields(const char *text, size_t size, char stop, const struct field *fields, size_t count,
        void *result, unsigned *ret_seen)
{
        struct cursor rest = {text, text + size}, line, key;
        unsigned seen = 0;
        int r;

        while ((r = take_line(&rest, &line)) > 0) {
                if (!take_until(&line, stop, false, &key) || at_end(&key))
                        return -EBADMSG;
                if (stop == ':')
                        take_blanks(&line);
                else if (at_end(&line)) /* a key without a value; /proc has some ("Groups:") */
                        return -EBADMSG;

                for (size_t i = 0; i < count; i++) {
                        if (!equal(&key, fields[i].key))
                                continue;
                        if (seen & 1U << i)
                                return -EBADMSG;
                        seen |= 1U << i;
                        uint64_t *value = (uint64_t *)(void *)((char *)result + fields[i].offset);
                        r = take_value(&line, fields[i].form, value);
                        if (r < 0)
                                return r;
                        break;
                }
        }
        if (r < 0)
                return r;
        for (size_t i = 0; i < count; i++)
                if (!fields[i].optional && !(seen & 1U << i))
                        return -EBADMSG;
        if (ret_seen)
                *ret_seen = seen;
        return 0;
}

int hr_parse_number(const char *text, size_t size, uint64_t *ret)
{
        struct cursor rest = {text, text + size}, line;
        uint64_t n = HR_BYTES_NONE;
        int r = take_line(&rest, &line);

        if (r < 0)
                return r;
        if (r == 0 || !at_end(&rest))
                return -EBADMSG;
        if (!equal(&line, "max")) {
                r = take_value(&line, FORM_NUMBER, &n);
                if (r < 0)
                        return r;
        }
        *ret = n;
        return 0;
}

int hr_parse_stat2(const char *text, size_t size, struct hr_usage *usage)
{
        static const struct field fields[] = {
                {"inactive_file", FORM_NUMBER, false, offsetof(struct hr_usage, inactive_file_bytes)},
                {"active_file", FORM_NUMBER, false, offsetof(struct hr_usage, active_file_bytes)},
                {"slab_reclaimable", FORM_NUMBER, false, offsetof(struct hr_usage, slab_reclaimable_bytes)},
                {"shmem", FORM_NUMBER, false, offsetof(struct hr_usage, shmem_bytes)},
        };
        struct hr_usage u = *usage;
        int r = parse_fields(text, size, ' ', fields, ELEMENTSOF(fields), &u, NULL);

        if (r < 0)
                return r;
        *usage = u;
        return 0;
}

/*
 * The kernel spells "no limit" as LONG_MAX cut to whole pages (PAGE_COUNTER_MAX); the largest page that Linux
 * has on a memory cgroup host is 64 KiB.
 */
#define STAT1_NO_LIMIT (INT64_MAX & ~(uint64_t)0xFFFF)

int hr_parse_stat1(
        const char *text, size_t size, struct hr_usage *usage, uint64_t *ret_hierarchical_limit_bytes)
{
        struct stat1 {
                struct hr_usage usage;
                uint64_t limit_bytes;
        } s = {.usage = *usage};
        /* total_swap is missing with swapaccount=0 (the default of many distributions up to 5.7), total_shmem
         * before 4.15: there it is 0, as the kernel doesn't count it. */
        static const struct field fields[] = {
                {"total_inactive_file", FORM_NUMBER, false,
                        offsetof(struct stat1, usage.inactive_file_bytes)},
                {"total_active_file", FORM_NUMBER, false, offsetof(struct stat1, usage.active_file_bytes)},
                {"total_shmem", FORM_NUMBER, true, offsetof(struct stat1, usage.shmem_bytes)},
                {"total_swap", FORM_NUMBER, true, offsetof(struct stat1, usage.swap_bytes)},
                {"hierarchical_memory_limit", FORM_NUMBER, false, offsetof(struct stat1, limit_bytes)},
        };

        s.usage.shmem_bytes = s.usage.swap_bytes = 0;
        int r = parse_fields(text, size, ' ', fields, ELEMENTSOF(fields), &s, NULL);
        if (r < 0)
                return r;
        *usage = s.usage;
        if (ret_hierarchical_limit_bytes)
                *ret_hierarchical_limit_bytes =
                        s.limit_bytes >= STAT1_NO_LIMIT ? HR_BYTES_NONE : s.limit_bytes;
        return 0;
}

int hr_parse_cgroup_events(const char *text, size_t size, bool *ret_populated, bool *ret_frozen)
{
        struct events {
                uint64_t populated, frozen;
        } e = {};
        static const struct field fields[] = {
                {"populated", FORM_NUMBER, false, offsetof(struct events, populated)},
                {"frozen", FORM_NUMBER, false, offsetof(struct events, frozen)},
        };

        int r = parse_fields(text, size, ' ', fields, ELEMENTSOF(fields), &e, NULL);
        if (r < 0)
                return r;
        if (e.populated > 1 || e.frozen > 1)
                return -EBADMSG;
        *ret_populated = e.populated;
        *ret_frozen = e.frozen;
        return 0;
}

int hr_parse_memory_events(const char *text, size_t size, struct hr_memory_events *ret)
{
        static const struct field fields[] = {
                {"high", FORM_NUMBER, false, offsetof(struct hr_memory_events, high)},
                {"max", FORM_NUMBER, false, offsetof(struct hr_memory_events, max)},
                {"oom", FORM_NUMBER, false, offsetof(struct hr_memory_events, oom)},
                {"oom_kill", FORM_NUMBER, false, offsetof(struct hr_memory_events, oom_kill)},
        };
        struct hr_memory_events e = {};
        int r = parse_fields(text, size, ' ', fields, ELEMENTSOF(fields), &e, NULL);

        if (r < 0)
                return r;
        *ret = e;
        return 0;
}

int hr_parse_oom_control(const char *text, size_t size, uint64_t *ret_oom_kill)
{
        struct control {
                uint64_t disable, under_oom, oom_kill;
        } c = {};
        static const struct field fields[] = {
                {"oom_kill_disable", FORM_NUMBER, false, offsetof(struct control, disable)},
                {"under_oom", FORM_NUMBER, false, offsetof(struct control, under_oom)},
                {"oom_kill", FORM_NUMBER, true, offsetof(struct control, oom_kill)},
        };

        int r = parse_fields(text, size, ' ', fields, ELEMENTSOF(fields), &c, NULL);
        if (r < 0)
                return r;
        *ret_oom_kill = c.oom_kill;
        return 0;
}

int hr_parse_meminfo(const char *text, size_t size, struct hr_meminfo *ret)
{
        static const struct field fields[] = {
                {"MemTotal", FORM_KIB, false, offsetof(struct hr_meminfo, total_bytes)},
                {"MemFree", FORM_KIB, false, offsetof(struct hr_meminfo, free_bytes)},
                {"MemAvailable", FORM_KIB, false, offsetof(struct hr_meminfo, available_bytes)},
                {"SwapTotal", FORM_KIB, false, offsetof(struct hr_meminfo, swap_total_bytes)},
                {"SwapFree", FORM_KIB, false, offsetof(struct hr_meminfo, swap_free_bytes)},
        };
        struct hr_meminfo m = {};
        int r = parse_fields(text, size, ':', fields, ELEMENTSOF(fields), &m, NULL);

        if (r < 0)
                return r;
        if (m.total_bytes == 0 || m.free_bytes > m.total_bytes || m.available_bytes > m.total_bytes ||
                m.swap_free_bytes > m.swap_total_bytes)
                return -EBADMSG;
        *ret = m;
        return 0;
}

int hr_parse_vmstat(const char *text, size_t size, uint64_t *ret_allocated_pages)
{
        /* Which zones there are depends on the machine; normal is always one of them (mm/vmstat.c). */
        struct zones {
                uint64_t dma, dma32, normal, high, movable, device;
        } z = {};
        static const struct field fields[] = {
                {"pgalloc_dma", FORM_NUMBER, true, offsetof(struct zones, dma)},
                {"pgalloc_dma32", FORM_NUMBER, true, offsetof(struct zones, dma32)},
                {"pgalloc_normal", FORM_NUMBER, false, offsetof(struct zones, normal)},
                {"pgalloc_high", FORM_NUMBER, true, offsetof(struct zones, high)},
                {"pgalloc_movable", FORM_NUMBER, true, offsetof(struct zones, movable)},
                {"pgalloc_device", FORM_NUMBER, true, offsetof(struct zones, device)},
        };
        int r = parse_fields(text, size, ' ', fields, ELEMENTSOF(fields), &z, NULL);

        if (r < 0)
                return r;
        *ret_allocated_pages = z.dma + z.dma32 + z.normal + z.high + z.movable + z.device;
        return 0;
}

/*
 * "pid (comm) state ppid pgrp session tty_nr tpgid flags ... starttime(22) ...": after the state all fields
 * are numbers, some negative. comm is written raw, newlines and brackets too, so its end is the last ')'. The
 * kernel shows longer names for its own workers (up to 63 bytes); they are cut.
 */
int hr_parse_pid_stat(const char *text, size_t size, struct hr_pid_stat *ret)
{
        struct cursor c = {text, text + size};
        struct hr_pid_stat s = {};

        if (size == 0 || text[size - 1] != '\n' || memchr(text, '\0', size))
                return -EBADMSG;
        c.end--;

        int r = take_pid(&c, &s.pid);
        if (r < 0)
                return r;
        if (s.pid == 0 || !take_word(&c, " ("))
                return -EBADMSG;
        const char *close = c.end;
        while (close > c.at && close[-1] != ')')
                close--;
        if (close == c.at)
                return -EBADMSG;
        close--;
        size_t name_size = MIN((size_t)(close - c.at), sizeof(s.name) - 1);
        memcpy(s.name, c.at, name_size);
        c.at = close + 1;

        if (!take_word(&c, " ") || at_end(&c))
                return -EBADMSG;
        s.state = *c.at++;
        if (!((s.state >= 'A' && s.state <= 'Z') || (s.state >= 'a' && s.state <= 'z')))
                return -EBADMSG;

        unsigned field = 3;
        while (!at_end(&c)) {
                uint64_t n;

                field++;
                if (!take_word(&c, " "))
                        return -EBADMSG;
                bool negative = take_word(&c, "-");
                r = take_number(&c, &n);
                if (r < 0)
                        return r;
                switch (field) {
                case 4:
                        if (negative)
                                return -EBADMSG;
                        if (n > INT32_MAX)
                                return -ERANGE;
                        s.ppid = (pid_t)n;
                        break;
                case 6: /* -1 while the process is being reaped */
                        if (negative && n != 1)
                                return -EBADMSG;
                        if (n > INT32_MAX)
                                return -ERANGE;
                        s.session = negative ? -1 : (pid_t)n;
                        break;
                case 22:
                        if (negative)
                                return -EBADMSG;
                        s.start_ticks = n;
                        break;
                case 52:
                        s.wait_status = negative || n > INT32_MAX ? 0 : (int)n;
                        break;
                default:
                        break;
                }
        }
        if (field < 22)
                return -EBADMSG;
        *ret = s;
        return 0;
}

/* The Name line is no danger here: the kernel escapes newlines and backslashes in it (proc_task_name). */
int hr_parse_pid_status(const char *text, size_t size, struct hr_pid_status *ret)
{
        struct status {
                uint64_t uid[4], gid[4], data, anon, shmem, swap, caught, pending, shared, blocked, ignored;
        } s = {};
        static const struct field fields[] = {
                {"VmData", FORM_KIB, true, offsetof(struct status, data)},
                {"RssAnon", FORM_KIB, true, offsetof(struct status, anon)},
                {"RssShmem", FORM_KIB, true, offsetof(struct status, shmem)},
                {"VmSwap", FORM_KIB, true, offsetof(struct status, swap)},
                {"Uid", FORM_IDS, false, offsetof(struct status, uid)},
                {"Gid", FORM_IDS, false, offsetof(struct status, gid)},
                {"SigPnd", FORM_HEX, false, offsetof(struct status, pending)},
                {"ShdPnd", FORM_HEX, false, offsetof(struct status, shared)},
                {"SigBlk", FORM_HEX, false, offsetof(struct status, blocked)},
                {"SigIgn", FORM_HEX, false, offsetof(struct status, ignored)},
                {"SigCgt", FORM_HEX, false, offsetof(struct status, caught)},
        };
        const unsigned memory = 0xF; /* the first four rows: all or none */
        unsigned seen = 0;

        int r = parse_fields(text, size, ':', fields, ELEMENTSOF(fields), &s, &seen);
        if (r < 0)
                return r;
        if ((seen & memory) != 0 && (seen & memory) != memory)
                return -EBADMSG;
        *ret = (struct hr_pid_status){
                .uid_real = (uid_t)s.uid[0],
                .uid = (uid_t)s.uid[1],
                .gid = (gid_t)s.gid[1],
                .has_memory = (seen & memory) != 0,
                .vm_data_bytes = s.data,
                .rss_anon_bytes = s.anon,
                .rss_shmem_bytes = s.shmem,
                .vm_swap_bytes = s.swap,
                .sig_caught = s.caught,
                .sig_pending = s.pending,
                .sig_shared_pending = s.shared,
                .sig_blocked = s.blocked,
                .sig_ignored = s.ignored,
        };
        return 0;
}

int hr_parse_smaps_rollup(
        const char *text, size_t size, uint64_t *ret_pss_bytes, uint64_t *ret_swap_pss_bytes)
{
        struct rollup {
                uint64_t pss, swap_pss;
        } p = {};
        static const struct field fields[] = {
                {"Pss", FORM_KIB, false, offsetof(struct rollup, pss)},
                {"SwapPss", FORM_KIB, false, offsetof(struct rollup, swap_pss)},
        };

        /* The first line ("7f00-7fff ---p 0 00:00 0 [rollup]") has a colon as well, and no key that we know.
         */
        int r = parse_fields(text, size, ':', fields, ELEMENTSOF(fields), &p, NULL);
        if (r < 0)
                return r;
        *ret_pss_bytes = p.pss;
        *ret_swap_pss_bytes = p.swap_pss;
        return 0;
}

/* What the parser takes from a mapping's lines; the rows' order is that of the bits in `seen`. */
enum {
        SMAPS_PSS,
        SMAPS_SWAP_PSS,
        SMAPS_FLAGS,
        SMAPS_ALL = (1 << SMAPS_PSS) | (1 << SMAPS_SWAP_PSS) | (1 << SMAPS_FLAGS)
};
static const char *const smaps_keys[] = {
        [SMAPS_PSS] = "Pss",
        [SMAPS_SWAP_PSS] = "SwapPss",
        [SMAPS_FLAGS] = "VmFlags",
};

static bool begins(const struct cursor *c, const char *word)
{
        struct cursor copy = *c;

        return take_word(&copy, word);
}

/* Two letters each, a blank behind each. */
static bool has_flag(struct cursor flags, const char *flag)
{
        struct cursor word;

        while (!at_end(&flags)) {
                take_until(&flags, ' ', true, &word);
                if (equal(&word, flag))
                        return true;
        }
        return false;
}

/* What is in memory alone (mm/shmem.c, ipc/shm.c), by a name that nobody else can give a file, or by where it
 * is. */
static bool is_shared_memory(const struct hr_smaps *s, uint64_t device, const struct cursor *name)
{
        for (size_t i = 0; i < s->device_count; i++)
                if (s->devices[i] == device)
                        return true;
        return begins(name, "/dev/shm/") || begins(name, "/memfd:") || begins(name, "/SYSV") ||
               begins(name, "[anon_shmem:") || equal(name, "/dev/zero (deleted)");
}

static enum hr_mapping kind_of_name(const struct cursor *name)
{
        if (begins(name, "[stack") || begins(name, "[anon: glibc: pthread")) /* nptl/allocatestack.c */
                return HR_MAPPING_STACK;
        if (at_end(name) || begins(name, "[heap]") || begins(name, "[anon"))
                return HR_MAPPING_HEAP;
        return HR_MAPPING_PROGRAM; /* what the kernel lends: [vdso], [vvar], [vsyscall] */
}

static void end_file(struct hr_smaps *s)
{
        enum hr_mapping kind = s->file_executed ? HR_MAPPING_PROGRAM
                               : s->file_shared ? HR_MAPPING_SHARED
                                                : HR_MAPPING_FILE;

        s->bytes[kind] = hr_add(s->bytes[kind], s->file_bytes);
        s->file_bytes = 0;
        s->in_file = false;
}

static int end_mapping(struct hr_smaps *s)
{
        uint64_t *to = s->is_file ? &s->file_bytes : &s->bytes[s->kind];

        if (!s->in_mapping)
                return 0;
        if (s->seen != SMAPS_ALL)
                return -EBADMSG;
        *to = hr_add(*to, s->pss_bytes);
        s->bytes[HR_MAPPING_SWAPPED] = hr_add(s->bytes[HR_MAPPING_SWAPPED], s->swap_bytes);
        s->in_mapping = false;
        return 0;
}

static int take_hex_to(struct cursor *c, const char *stop, uint64_t *ret)
{
        int r = take_hex(c, ret);

        return r < 0 ? r : take_word(c, stop) ? 0 : -EBADMSG;
}

static bool are_modes(const char *at)
{
        static const char modes[4][2] = {{'r', '-'}, {'w', '-'}, {'x', '-'}, {'s', 'p'}};

        for (size_t i = 0; i < 4; i++)
                if (at[i] != modes[i][0] && at[i] != modes[i][1])
                        return false;
        return true;
}

/* "7f00-7fff rw-p 00000000 fe:00 4711      /name, which may hold anything but a newline". Addresses never go
 * backwards (proc.rst). */
static int begin_mapping(struct hr_smaps *s, struct cursor line)
{
        uint64_t start, end, offset, major, minor, inode;
        const char *modes;
        int r;

        if ((r = take_hex_to(&line, "-", &start)) < 0 || (r = take_hex_to(&line, " ", &end)) < 0)
                return r;
        modes = line.at;
        if (start < s->end || end <= start || left(&line) < 4 || !are_modes(modes))
                return -EBADMSG;
        line.at += 4;
        if (!take_word(&line, " "))
                return -EBADMSG;
        if ((r = take_hex_to(&line, " ", &offset)) < 0 || (r = take_hex_to(&line, ":", &major)) < 0 ||
                (r = take_hex_to(&line, " ", &minor)) < 0 || (r = take_number(&line, &inode)) < 0)
                return r;
        if (!at_end(&line) && *line.at != ' ')
                return -EBADMSG;
        take_blanks(&line);

        s->is_file = inode != 0 || begins(&line, "/");
        s->has_guard = s->was_guard && start == s->end;
        s->is_bare = !s->is_file && at_end(&line);
        s->was_guard = s->is_bare && memcmp(modes, "---p", 4) == 0;
        s->in_mapping = true;
        s->seen = 0;
        s->end = end;
        s->kind = kind_of_name(&line);
        if (!s->is_file)
                return 0;
        uint64_t device = hr_parse_device_number(major, minor);
        if (!s->in_file || s->file_device != device || s->file_inode != inode) {
                end_file(s);
                s->in_file = true;
                s->file_executed = false;
                s->file_device = device;
                s->file_inode = inode;
                s->file_shared = is_shared_memory(s, device, &line);
        }
        s->file_executed |= modes[2] == 'x';
        return 0;
}

static int take_smaps_field(struct hr_smaps *s, struct cursor line)
{
        struct cursor key;
        size_t i = 0;

        if (!s->in_mapping || !take_until(&line, ':', false, &key))
                return -EBADMSG;
        while (i < ELEMENTSOF(smaps_keys) && !equal(&key, smaps_keys[i]))
                i++;
        if (i == ELEMENTSOF(smaps_keys))
                return 0;
        if (s->seen & 1U << i)
                return -EBADMSG;
        s->seen |= 1U << i;
        take_blanks(&line);
        if (i == SMAPS_PSS)
                return take_value(&line, FORM_KIB, &s->pss_bytes);
        if (i == SMAPS_SWAP_PSS)
                return take_value(&line, FORM_KIB, &s->swap_bytes);
        if (s->is_bare && s->has_guard && has_flag(line, "nh") && has_flag(line, "wr"))
                s->kind = HR_MAPPING_STACK;
        return 0;
}

/* A line that begins a mapping begins with its address, in small letters; a field with a capital. */
int hr_parse_smaps(struct hr_smaps *s, const char *text, size_t size)
{
        struct cursor rest = {text, text + size}, line;
        int r;

        while ((r = take_line(&rest, &line)) > 0) {
                if (!at_end(&line) && *line.at >= 'A' && *line.at <= 'Z')
                        r = take_smaps_field(s, line);
                else if ((r = end_mapping(s)) == 0)
                        r = begin_mapping(s, line);
                if (r < 0)
                        return r;
        }
        return r;
}

int hr_parse_smaps_end(struct hr_smaps *s)
{
        int r = s->end > 0 ? end_mapping(s) : -EBADMSG;

        if (r < 0)
                return r;
        end_file(s);
        return 0;
}

/* Whether a list "a,b,c" has the word. */
static bool list_has(struct cursor list, const char *word)
{
        struct cursor item;

        while (!at_end(&list)) {
                take_until(&list, ',', true, &item);
                if (equal(&item, word))
                        return true;
        }
        return false;
}

/* "4:memory:/path", "1:name=systemd:/path", "0::/path"; the path may hold colons, but no newline. */
int hr_parse_proc_cgroup(const char *text, size_t size, const char *controller, char *path, size_t path_size)
{
        static const char deleted[] = " (deleted)";
        struct cursor rest = {text, text + size}, line, list, found = {};
        int r;

        if (size == 0)
                return -EBADMSG;
        while ((r = take_line(&rest, &line)) > 0) {
                uint64_t id;

                r = take_number(&line, &id);
                if (r < 0)
                        return r;
                if (!take_word(&line, ":") || !take_until(&line, ':', false, &list))
                        return -EBADMSG;
                if (at_end(&line) || *line.at != '/')
                        return -EBADMSG;
                if (controller ? !list_has(list, controller) : id != 0 || !at_end(&list))
                        continue;
                if (found.at)
                        return -EBADMSG;
                found = line;
        }
        if (r < 0)
                return r;
        if (!found.at)
                return -ENOENT;
        if (left(&found) >= sizeof(deleted) - 1 &&
                memcmp(found.end - (sizeof(deleted) - 1), deleted, sizeof(deleted) - 1) == 0)
                return -ESTALE;
        return copy_path(&found, path, path_size);
}

static bool is_octal(char c)
{
        return c >= '0' && c <= '7';
}

/* The kernel writes blank, tab, newline, backslash and '#' as \ooo; any other backslash stands for itself. */
static int copy_unescaped(struct cursor c, char *path, size_t path_size)
{
        size_t used = 0;
        char ch;

        for (int pass = 0; pass < 2; pass++) { /* measure, then write: the output is untouched on failure */
                struct cursor p = c;
                for (used = 0; !at_end(&p); used++) {
                        if (left(&p) >= 4 && p.at[0] == '\\' && p.at[1] <= '3' && is_octal(p.at[1]) &&
                                is_octal(p.at[2]) && is_octal(p.at[3])) {
                                ch = (char)((p.at[1] - '0') << 6 | (p.at[2] - '0') << 3 | (p.at[3] - '0'));
                                p.at += 4;
                        } else
                                ch = *p.at++;
                        if (ch == '\0')
                                return -EBADMSG;
                        if (pass == 1)
                                path[used] = ch;
                }
                if (used >= path_size)
                        return -ENAMETOOLONG;
        }
        path[used] = '\0';
        return 0;
}

/* "36 35 98:0 ROOT MOUNTPOINT options [optional...] - FSTYPE SOURCE super,options" */
int hr_parse_mountinfo(
        const char *text, size_t size, const char *controller, char *mount_point, size_t mount_point_size)
{
        struct cursor rest = {text, text + size}, line, first = {}, whole = {};
        int r;

        if (size == 0)
                return -EBADMSG;
        while ((r = take_line(&rest, &line)) > 0) {
                struct cursor root = {}, point = {}, word, type;

                for (unsigned i = 1; i <= 6; i++) {
                        if (!take_until(&line, ' ', false, &word) || at_end(&word))
                                return -EBADMSG;
                        if (i == 4)
                                root = word;
                        else if (i == 5)
                                point = word;
                }
                do
                        if (!take_until(&line, ' ', false, &word))
                                return -EBADMSG;
                while (!equal(&word, "-"));
                if (!take_until(&line, ' ', false, &type) || at_end(&type))
                        return -EBADMSG;
                if (!equal(&type, controller ? "cgroup" : "cgroup2"))
                        continue;
                if (!take_until(&line, ' ', false, &word)) /* the source, which may be empty */
                        return -EBADMSG;
                if (controller && !list_has(line, controller))
                        continue;
                if (!first.at)
                        first = point;
                if (!whole.at && equal(&root, "/"))
                        whole = point;
        }
        if (r < 0)
                return r;
        if (!first.at)
                return -ENOENT;
        return copy_unescaped(whole.at ? whole : first, mount_point, mount_point_size);
}

/* As above; the third word is "major:minor", decimal. */
int hr_parse_devices(const char *text, size_t size, const char *type, uint64_t *devices, size_t room)
{
        struct cursor rest = {text, text + size}, line, word, number = {}, kind;
        int count = 0, r;

        if (size == 0)
                return -EBADMSG;
        while ((r = take_line(&rest, &line)) > 0) {
                uint64_t major, minor;

                for (unsigned i = 1; i <= 3; i++)
                        if (!take_until(&line, ' ', false, i == 3 ? &number : &word))
                                return -EBADMSG;
                do
                        if (!take_until(&line, ' ', false, &word))
                                return -EBADMSG;
                while (!equal(&word, "-"));
                if (!take_until(&line, ' ', false, &kind))
                        return -EBADMSG;
                if (!equal(&kind, type))
                        continue;
                if ((r = take_number(&number, &major)) < 0)
                        return r;
                if (!take_word(&number, ":"))
                        return -EBADMSG;
                if ((r = take_number(&number, &minor)) < 0)
                        return r;
                if (!at_end(&number))
                        return -EBADMSG;
                if ((size_t)count < room)
                        devices[count] = hr_parse_device_number(major, minor);
                count++;
        }
        return r < 0 ? r : count;
}

/* "12.34" in percent: two decimals, as the kernel writes them, so that permyriad are exact. */
static int take_percent(struct cursor *c, uint32_t *ret)
{
        uint64_t whole;
        int r = take_number(c, &whole);

        if (r < 0)
                return r;
        if (left(c) < 3 || c->at[0] != '.' || !is_digit(c->at[1]) || !is_digit(c->at[2]))
                return -EBADMSG;
        if (whole > (UINT32_MAX - 99) / 100)
                return -ERANGE;
        *ret = (uint32_t)whole * 100 + (uint32_t)(c->at[1] - '0') * 10 + (uint32_t)(c->at[2] - '0');
        c->at += 3;
        return 0;
}

/* " avg10=0.00 avg60=0.00 avg300=0.00 total=123", what follows after a blank is skipped. */
static int take_pressure(struct cursor *line, uint32_t *ret_avg10, uint64_t *ret_total)
{
        static const char *const averages[] = {" avg10=", " avg60=", " avg300="};
        uint32_t percent;
        int r;

        for (size_t i = 0; i < ELEMENTSOF(averages); i++) {
                if (!take_word(line, averages[i]))
                        return -EBADMSG;
                r = take_percent(line, i == 0 ? ret_avg10 : &percent);
                if (r < 0)
                        return r;
        }
        if (!take_word(line, " total="))
                return -EBADMSG;
        r = take_number(line, ret_total);
        if (r < 0)
                return r;
        return at_end(line) || *line->at == ' ' ? 0 : -EBADMSG;
}

int hr_parse_pressure(const char *text, size_t size, struct hr_pressure *ret)
{
        struct cursor rest = {text, text + size}, line;
        struct hr_pressure p = {};
        bool some = false, full = false;
        int r;

        while ((r = take_line(&rest, &line)) > 0) {
                if (take_word(&line, "some")) {
                        if (some)
                                return -EBADMSG;
                        some = true;
                        r = take_pressure(&line, &p.some_avg10_permyriad, &p.some_total_usec);
                } else if (take_word(&line, "full")) {
                        if (full)
                                return -EBADMSG;
                        full = true;
                        r = take_pressure(&line, &p.full_avg10_permyriad, &p.full_total_usec);
                } else
                        return -EBADMSG;
                if (r < 0)
                        return r;
        }
        if (r < 0)
                return r;
        if (!some)
                return -EBADMSG;
        *ret = p;
        return 0;
}

/*
 * One pid a line, in no order, and on v1 perhaps twice. No text at all is a group without processes. A 0 is
 * how the kernel shows a process that our pid namespace can't name: then the list can't be acted on (and
 * kill(0) would hit ourselves), so it is an error.
 */
int hr_parse_pids(const char *text, size_t size, int (*each)(pid_t pid, void *userdata), void *userdata)
{
        struct cursor rest = {text, text + size}, line;
        int r, count = 0;

        while ((r = take_line(&rest, &line)) > 0) {
                pid_t pid;

                r = take_pid(&line, &pid);
                if (r < 0)
                        return r;
                if (pid == 0 || !at_end(&line))
                        return -EBADMSG;
                r = each(pid, userdata);
                if (r < 0)
                        return r;
                count++;
        }
        return r < 0 ? r : count;
}
