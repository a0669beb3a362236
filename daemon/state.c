/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "state.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * One table of keys writes and reads the lower part. Reading is strict: an unknown version, a key that is
 * missing or a number that is none makes the record bad, and a bad record is set aside and told, never
 * guessed at.
 */

enum type { TEXT, U32, U64, I32, FLAG };

#define FIELD(key, type, member)                                                                     \
        {                                                                                            \
                key, type, offsetof(struct hr_state, member), sizeof(((struct hr_state *)0)->member) \
        }
static const struct field {
        const char *key;
        enum type type;
        size_t offset, size;
} fields[] = {
        FIELD("id", TEXT, id),
        FIELD("name", TEXT, name),
        FIELD("policy", TEXT, policy),
        FIELD("checkpoint", TEXT, checkpoint),
        FIELD("user", TEXT, user),
        FIELD("uid", U32, uid),
        FIELD("gid", U32, gid),
        FIELD("leader", I32, leader),
        FIELD("leader_start_ticks", U64, leader_start_ticks),
        FIELD("fuse", FLAG, fuse),
        FIELD("locked", FLAG, locked),
        FIELD("attached", FLAG, attached),
        FIELD("matched", FLAG, matched),
        FIELD("limit_max_bytes", U64, limit_max_bytes),
        FIELD("own_limit_bytes", U64, own_limit_bytes),
        FIELD("kind", U32, placement.kind),
        FIELD("freezer", U32, placement.freezer),
        FIELD("cgroup", TEXT, placement.cgroup),
        FIELD("control", TEXT, placement.control),
        FIELD("unit", TEXT, placement.unit),
        FIELD("why", TEXT, placement.why),
        FIELD("owned", FLAG, placement.owned),
        /* Those that came later may be missing: an upgrade forgets no job. */
        FIELD("reaper", I32, reaper),
        FIELD("reaper_start_ticks", U64, reaper_start_ticks),
};
#define NEEDED_COUNT (ELEMENTSOF(fields) - 2)

/* ---- writing ---- */

static void armed_format(const struct hr_armed *a, char line[HR_STATE_ARMED_SIZE + 1])
{
        int n = snprintf(line, HR_STATE_ARMED_SIZE,
                "headroom %d %d %d %d %d %d %u %d %d %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64
                " %" PRIu64 " %u %" PRIu64,
                HR_STATE_VERSION, a->frozen, a->fused, a->high, a->limit, (int)a->stage, a->phase,
                a->owner_held, a->interrupted, a->fuse_soft_bytes, a->limit_before_bytes,
                a->deadline_realtime_usec, a->peak_bytes, a->high_before_bytes, a->stood_back_bytes,
                a->retried, a->guard_bytes);
        memset(line + n, ' ', (size_t)(HR_STATE_ARMED_SIZE - n));
        line[HR_STATE_ARMED_SIZE - 1] = '\n';
        line[HR_STATE_ARMED_SIZE] = '\0';
}

int hr_state_format(const struct hr_state *state, char *buf, size_t size)
{
        if (size < HR_STATE_ARMED_SIZE + 1)
                return -ENOBUFS;
        armed_format(&state->armed, buf);
        size_t used = HR_STATE_ARMED_SIZE;
        for (size_t i = 0; i < ELEMENTSOF(fields); i++) {
                const struct field *f = &fields[i];
                const char *at = (const char *)state + f->offset;
                char text[4 * HR_PATH_MAX];
                switch (f->type) {
                case TEXT:
                        hr_units_escape(text, sizeof(text), at);
                        break;
                case U32:
                        snprintf(text, sizeof(text), "%" PRIu32, *(const uint32_t *)at);
                        break;
                case I32:
                        snprintf(text, sizeof(text), "%" PRId32, *(const int32_t *)at);
                        break;
                case U64:
                        snprintf(text, sizeof(text), "%" PRIu64, *(const uint64_t *)at);
                        break;
                case FLAG:
                        snprintf(text, sizeof(text), "%d", *(const bool *)at);
                        break;
                }
                int n = snprintf(buf + used, size - used, "%s=%s\n", f->key, text);
                if (n < 0 || (size_t)n >= size - used)
                        return -ENOBUFS;
                used += (size_t)n;
        }
        return (int)used;
}

#define RECORD_MAX (HR_STATE_ARMED_SIZE + 24 * 1024)

static int job_path(char *buf, size_t size, const char *dir, const char *id, const char *suffix)
{
        return (size_t)snprintf(buf, size, "%s/jobs/%s%s", dir, id, suffix) < size ? 0 : -ENAMETOOLONG;
}

int hr_state_create(const char *dir, const struct hr_state *state, int *ret_fd)
{
        char path[600], aside[616];
        _free_ char *text = malloc(RECORD_MAX);
        if (!text)
                return -ENOMEM;
        int size = hr_state_format(state, text, RECORD_MAX);
        if (size < 0)
                return size;
        int r = job_path(path, sizeof(path), dir, state->id, "");
        if (r == 0)
                r = job_path(aside, sizeof(aside), dir, state->id, ".new");
        if (r < 0)
                return r;
        _close_ int fd = open(aside, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return -errno;
        ssize_t n = write(fd, text, (size_t)size);
        if (n != size || rename(aside, path) < 0) {
                r = n < 0 || n == size ? -errno : -ENOSPC;
                (void)unlink(aside);
                return r;
        }
        *ret_fd = TAKE_FD(fd);
        return 0;
}

int hr_state_arm(int fd, const struct hr_armed *armed)
{
        char line[HR_STATE_ARMED_SIZE + 1];
        armed_format(armed, line);
        ssize_t n = pwrite(fd, line, HR_STATE_ARMED_SIZE, 0);
        return n == HR_STATE_ARMED_SIZE ? 0 : n < 0 ? -errno : -ENOSPC;
}

int hr_state_remove(const char *dir, const char *id)
{
        char path[600];
        int r = job_path(path, sizeof(path), dir, id, "");
        return r < 0 ? r : unlink(path) < 0 ? -errno : 0;
}

int hr_state_open(const char *dir, const char *id)
{
        char path[600];
        int r = job_path(path, sizeof(path), dir, id, "");
        if (r < 0)
                return r;
        int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
        return fd < 0 ? -errno : fd;
}

/* ---- reading ---- */

/* The next number of a line of them, all digits. */
static int next_number(const char **at, uint64_t *ret)
{
        char *end;
        *at += strspn(*at, " ");
        if (**at < '0' || **at > '9')
                return -EBADMSG;
        errno = 0;
        *ret = strtoull(*at, &end, 10);
        *at = end;
        return errno != 0 ? -errno : 0;
}

static int armed_parse(const char *line, struct hr_armed *ret)
{
        /* As in the table: those that came later may be missing. */
        uint64_t n[17] = {[13] = HR_BYTES_NONE, [14] = HR_BYTES_NONE, [16] = HR_BYTES_NONE};
        if (strncmp(line, "headroom ", 9) != 0)
                return -EBADMSG;
        const char *at = line + 9;
        for (size_t i = 0; i < ELEMENTSOF(n); i++) {
                if (i >= 13 && at[strspn(at, " ")] == '\0')
                        break;
                int r = next_number(&at, &n[i]);
                if (r < 0)
                        return r;
        }
        if (n[0] != HR_STATE_VERSION)
                return -EPROTONOSUPPORT;
        if (n[5] >= HR_STAGE_COUNT || at[strspn(at, " ")] != '\0')
                return -EBADMSG;
        *ret = (struct hr_armed){
                .frozen = n[1],
                .fused = n[2],
                .high = n[3],
                .limit = n[4],
                .stage = (enum hr_stage)n[5],
                .phase = (uint32_t)n[6],
                .owner_held = n[7],
                .interrupted = n[8],
                .fuse_soft_bytes = n[9],
                .limit_before_bytes = n[10],
                .deadline_realtime_usec = n[11],
                .peak_bytes = n[12],
                .high_before_bytes = n[13],
                .stood_back_bytes = n[14],
                .retried = (uint32_t)n[15],
                .guard_bytes = n[16],
        };
        return 0;
}

static int field_parse(const struct field *f, const char *text, struct hr_state *state)
{
        char *at = (char *)state + f->offset;
        uint64_t number = 0;

        if (f->type == TEXT)
                return hr_units_unescape(at, f->size, text);
        int r = next_number(&text, &number);
        if (r < 0 || *text != '\0')
                return r < 0 ? r : -EBADMSG;
        switch (f->type) {
        case FLAG:
                *(bool *)at = number != 0;
                break;
        case U64:
                *(uint64_t *)at = number;
                break;
        default:
                if (number > (f->type == I32 ? INT32_MAX : UINT32_MAX))
                        return -ERANGE;
                *(uint32_t *)at = (uint32_t)number;
        }
        return 0;
}

int hr_state_parse(const char *text, size_t size, struct hr_state *ret)
{
        struct hr_state state = {0};
        uint32_t seen = 0;
        _Static_assert(ELEMENTSOF(fields) < 32, "a bit for each field");

        if (size < HR_STATE_ARMED_SIZE || text[HR_STATE_ARMED_SIZE - 1] != '\n' || text[size - 1] != '\n')
                return -EBADMSG;
        _free_ char *copy = strndup(text, size);
        if (!copy)
                return -ENOMEM;
        if (strlen(copy) != size)
                return -EBADMSG;
        copy[HR_STATE_ARMED_SIZE - 1] = '\0';
        int r = armed_parse(copy, &state.armed);
        if (r < 0)
                return r;
        char *save = NULL;
        for (char *line = strtok_r(copy + HR_STATE_ARMED_SIZE, "\n", &save); line;
                line = strtok_r(NULL, "\n", &save)) {
                char *equals = strchr(line, '=');
                if (!equals)
                        return -EBADMSG;
                *equals = '\0';
                for (size_t i = 0; i < ELEMENTSOF(fields); i++)
                        if (strcmp(fields[i].key, line) == 0) {
                                if (seen & 1U << i)
                                        return -EBADMSG;
                                r = field_parse(&fields[i], equals + 1, &state);
                                if (r < 0)
                                        return r;
                                seen |= 1U << i;
                        }
        }
        if ((~seen & ((1U << NEEDED_COUNT) - 1)) != 0 || !hr_units_is_job_id(state.id) ||
                state.placement.kind >= HR_KIND_COUNT || state.placement.freezer > HR_FREEZER_STOP)
                return -EBADMSG;
        *ret = state;
        return 0;
}

static int read_record(int dir, const char *name, struct hr_state *ret)
{
        _free_ char *text = malloc(RECORD_MAX);
        size_t size;
        if (!text)
                return -ENOMEM;
        int r = hr_sense_read_at(dir, name, text, RECORD_MAX, &size);
        return r != 0 ? (r < 0 ? r : -ENOENT) : hr_state_parse(text, size, ret);
}

static void closedirp(DIR **d)
{
        if (*d)
                closedir(*d);
}

int hr_state_each(const char *dir, bool set_aside, hr_state_fn each, void *userdata)
{
        char path[600];
        int bad = 0;
        snprintf(path, sizeof(path), "%s/jobs", dir);
        HR_CLEANUP(closedirp) DIR *d = opendir(path);
        if (!d)
                return errno == ENOENT ? 0 : -errno;
        for (struct dirent *e = readdir(d); e; e = readdir(d)) {
                char aside[300];
                if (!hr_units_is_job_id(e->d_name))
                        continue;
                struct hr_state state;
                if (read_record(dirfd(d), e->d_name, &state) == 0 && strcmp(state.id, e->d_name) == 0) {
                        each(&state, userdata);
                        continue;
                }
                bad++;
                if (!set_aside)
                        continue;
                snprintf(aside, sizeof(aside), "%s.bad", e->d_name);
                (void)renameat(dirfd(d), e->d_name, dirfd(d), aside); /* kept for a person to look at */
        }
        return bad;
}
