/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "sense/group.h"

/*
 * Where the cgroup hierarchies are mounted, found once at start. Three worlds: v2 alone (unified == memory),
 * v1 alone, and hybrid hosts, where v2 is mounted beside v1 and the memory controller is on one of the two.
 * "memory" in the cgroup.controllers of v2's root decides: a controller is in one hierarchy at a time.
 *
 * A fixture is a directory that stands for "/". Its mount points come from its own mountinfo, or, without
 * that, from the usual places below it. Nothing here runs again after the start, so it may allocate: on a
 * host with many containers mountinfo is far larger than any buffer on the stack.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define MOUNTINFO_MAX (16 * HR_MIB) /* chosen, not tuned: some 80000 mounts */

HR_PRINTF(3, 4) static int format(char *buf, size_t size, const char *text, ...)
{
        va_list arguments;
        int n;

        va_start(arguments, text);
        n = vsnprintf(buf, size, text, arguments);
        va_end(arguments);
        return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

/* The whole file in one buffer; 0 or -errno. */
static int read_whole(const char *path, char **ret_text, size_t *ret_size)
{
        for (size_t room = 64 * HR_KIB; room <= MOUNTINFO_MAX; room *= 2) {
                _free_ char *text = malloc(room);
                int r;

                if (!text)
                        return -ENOMEM;
                r = hr_sense_read_at(AT_FDCWD, path, text, room, ret_size);
                if (r == -EFBIG)
                        continue;
                if (r != 0)
                        return r < 0 ? r : -EIO;
                *ret_text = TAKE_PTR(text);
                return 0;
        }
        return -EFBIG;
}

static bool has_word(const char *text, size_t size, const char *word)
{
        size_t length = strlen(word);

        for (size_t at = 0; at + length <= size; at++) {
                bool starts = at == 0 || text[at - 1] == ' ';
                bool ends = at + length == size || text[at + length] == ' ' || text[at + length] == '\n';

                if (starts && ends && memcmp(text + at, word, length) == 0)
                        return true;
        }
        return false;
}

/* Does v2, mounted there, account memory. */
static bool unified_has_memory(const char *mount_point)
{
        char path[600], text[1024];
        size_t size;

        return mount_point[0] && format(path, sizeof(path), "%s/cgroup.controllers", mount_point) == 0 &&
               hr_sense_read_at(AT_FDCWD, path, text, sizeof(text), &size) == 0 &&
               has_word(text, size, "memory");
}

static bool exists(const char *path)
{
        struct stat st;

        return stat(path, &st) == 0;
}

/* One hierarchy's mount point with the root before it; "" where there is none. */
static int from_mountinfo(
        const char *root, const char *text, size_t size, const char *controller, char ret[static 512])
{
        char mount_point[512];
        int r = hr_parse_mountinfo(text, size, controller, mount_point, sizeof(mount_point));

        if (r == -ENOENT) {
                ret[0] = '\0';
                return 0;
        }
        return r < 0 ? r : format(ret, 512, "%s%s", root, mount_point);
}

static int find_mounted(struct hr_hierarchy *h, char memory1[static 512], const char *text, size_t size)
{
        const struct {
                const char *controller;
                char *mount_point;
        } wanted[] = {{NULL, h->unified}, {"memory", memory1}, {"freezer", h->freezer}};

        for (size_t i = 0; i < ELEMENTSOF(wanted); i++) {
                int r = from_mountinfo(h->root, text, size, wanted[i].controller, wanted[i].mount_point);

                if (r < 0)
                        return r;
        }
        return 0;
}

static int find_usual(struct hr_hierarchy *h, char memory1[static 512])
{
        /* Later rows win: v2 alone is at the top, and then has no directory "unified" of its own. */
        const struct {
                const char *place, *sign;
                char *mount_point;
        } usual[] = {
                {"/sys/fs/cgroup/unified", "/cgroup.controllers", h->unified},
                {"/sys/fs/cgroup", "/cgroup.controllers", h->unified},
                {"/sys/fs/cgroup/memory", "", memory1},
                {"/sys/fs/cgroup/freezer", "", h->freezer},
        };

        for (size_t i = 0; i < ELEMENTSOF(usual); i++) {
                char path[600];
                int r = format(path, sizeof(path), "%s%s%s", h->root, usual[i].place, usual[i].sign);

                if (r == 0 && exists(path))
                        r = format(usual[i].mount_point, 512, "%s%s", h->root, usual[i].place);
                if (r < 0)
                        return r;
        }
        return 0;
}

int hr_hierarchy_find(const char *root, struct hr_hierarchy *ret)
{
        struct hr_hierarchy h = {0};
        char path[320], memory1[512] = "";
        _free_ char *text = NULL;
        size_t size = 0, length = strlen(root);
        int r;

        while (length > 0 && root[length - 1] == '/')
                length--;
        h.fixture = length > 0;
        if ((r = format(h.root, sizeof(h.root), "%.*s", (int)length, root)) < 0 ||
                (r = format(h.proc, sizeof(h.proc), "%s/proc", h.root)) < 0 ||
                (r = format(path, sizeof(path), "%s/self/mountinfo", h.proc)) < 0)
                return r;

        r = read_whole(path, &text, &size);
        if (r == 0)
                r = find_mounted(&h, memory1, text, size);
        else if (r == -ENOENT && h.fixture)
                r = find_usual(&h, memory1);
        if (r < 0)
                return r;

        if (unified_has_memory(h.unified)) {
                h.memory_version = 2;
                strcpy(h.memory, h.unified); /* of the same size */
        } else if (memory1[0]) {
                h.memory_version = 1;
                strcpy(h.memory, memory1);
        }
        *ret = h;
        return 0;
}
