/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tell/resolve.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#include "fd.h"
#include "think/parse.h"

/*
 * Words to jobs. A word that looks like an id is an id, a number is a pid, anything else is a name or a unit,
 * exactly. First among the jobs that the caller may see; only when there is none among them, the others are
 * looked at, to say "not yours" and not "no such job".
 *
 * Ownership is looked at, never assumed: a cgroup is a user's when every process in it is, by the owner of
 * /proc/PID, which is the effective user, or root for a process that changed its credentials. What can't be
 * read is not his. Walks are bounded: a tree or a list above the bound is refused, not half read.
 */

#define PIDS_TEXT_MAX (1024U * 1024U) /* cgroup.procs of one group: some 150000 pids */
#define GROUPS_MAX 16384U             /* directories that one request may look at; chosen, not tuned */
#define DEPTH_MAX 16U
#define ANCESTORS_MAX 256U
#define UNITS_MAX 8U /* candidates that are listed */

HR_PRINTF(3, 4) static void say(char *text, size_t size, const char *format, ...)
{
        va_list args;

        va_start(args, format);
        vsnprintf(text, size, format, args);
        va_end(args);
}

/* ---- small readings ---- */

static int read_at(int dir, const char *path, size_t max, char **ret, size_t *ret_size)
{
        _close_ int fd = openat(dir, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        _free_ char *text = NULL;
        size_t size = 0, room = 0;

        if (fd < 0)
                return -errno;
        for (;;) {
                ssize_t n;

                if (room - size < 1024) {
                        char *larger;

                        if (room >= max)
                                return -E2BIG;
                        room = room > 0 ? 2 * room : 4096;
                        larger = realloc(text, room);
                        if (!larger)
                                return -ENOMEM;
                        text = larger;
                }
                n = read(fd, text + size, room - size);
                if (n < 0)
                        return -errno;
                if (n == 0)
                        break;
                size += (size_t)n;
        }
        *ret = TAKE_PTR(text);
        *ret_size = size;
        return 0;
}

static int read_proc(const struct hr_view *v, pid_t pid, const char *file, char **ret, size_t *ret_size)
{
        char path[PATH_MAX];

        if (snprintf(path, sizeof(path), "%s/%d/%s", v->proc_path, (int)pid, file) >= (int)sizeof(path))
                return -ENAMETOOLONG;
        return read_at(AT_FDCWD, path, 64 * 1024, ret, ret_size);
}

int hr_resolve_parent(const struct hr_view *v, pid_t pid, pid_t *ret)
{
        _free_ char *text = NULL;
        struct hr_pid_stat stat;
        size_t size;
        int r;

        r = read_proc(v, pid, "stat", &text, &size);
        if (r >= 0)
                r = hr_parse_pid_stat(text, size, &stat);
        if (r < 0)
                return -ESRCH;
        *ret = stat.ppid;
        return 0;
}

int hr_resolve_owns_process(const struct hr_view *v, uid_t uid, pid_t pid)
{
        char path[PATH_MAX];
        struct stat st;

        if (snprintf(path, sizeof(path), "%s/%d", v->proc_path, (int)pid) >= (int)sizeof(path))
                return -ESRCH;
        if (stat(path, &st) < 0)
                return errno == ENOENT ? -ESRCH : -EPERM;
        return st.st_uid == uid ? 0 : -EPERM;
}

/* ---- the cgroup tree ---- */

static const char *below(const char *cgroup) /* without its leading slashes */
{
        return cgroup + strspn(cgroup, "/");
}

static int open_cgroup(const struct hr_view *v, const char *cgroup)
{
        char path[PATH_MAX];
        int fd;

        if (!v->cgroup_path || v->cgroup_path[0] == '\0')
                return -ENOENT;
        if (snprintf(path, sizeof(path), "%s/%s", v->cgroup_path, below(cgroup)) >= (int)sizeof(path))
                return -ENAMETOOLONG;
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

struct walk {
        uint32_t groups_left;
        int (*enter)(struct walk *w, int fd,
                const char *path); /* each group; 0: go on below, 1: not, negative: stop */

        const struct hr_view *view;
        uid_t uid;
        uint32_t processes; /* seen */

        const char *wanted;
        char *found[UNITS_MAX];
        uint32_t found_count;
};

static void closedirp(DIR **d)
{
        if (*d)
                closedir(*d);
}

/* Takes fd. path: of this group, "" for the top one. */
static int walk_group(struct walk *w, int fd, const char *path, unsigned depth)
{
        HR_CLEANUP(closedirp) DIR *dir = fdopendir(fd);
        struct dirent *entry;
        int r;

        if (!dir) {
                hr_close(fd);
                return -ENOMEM;
        }
        if (w->groups_left-- == 0 || depth > DEPTH_MAX)
                return -E2BIG;
        r = w->enter(w, dirfd(dir), path);
        if (r != 0)
                return r < 0 ? r : 0;

        while ((entry = readdir(dir))) {
                _free_ char *child = NULL;
                int child_fd;

                if (entry->d_name[0] == '.' || (entry->d_type != DT_DIR && entry->d_type != DT_UNKNOWN))
                        continue;
                child_fd = openat(dirfd(dir), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                if (child_fd < 0) {
                        if (errno == ENOENT || errno == ENOTDIR || errno == ENODEV)
                                continue; /* gone meanwhile, or no group */
                        return -errno;
                }
                if (asprintf(&child, "%s/%s", path, entry->d_name) < 0) {
                        child = NULL;
                        hr_close(child_fd);
                        return -ENOMEM;
                }
                r = walk_group(w, child_fd, child, depth + 1);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int each_process(pid_t pid, void *userdata)
{
        struct walk *w = userdata;
        int r;

        w->processes++;
        if (pid <= 0)
                return -EPERM; /* 0: a process of a namespace that we don't see */
        r = hr_resolve_owns_process(w->view, w->uid, pid);
        return r == -ESRCH ? 0 : r; /* it has ended meanwhile */
}

static int enter_owned(struct walk *w, int fd, const char *path HR_UNUSED)
{
        _free_ char *text = NULL;
        size_t size;
        int r;

        r = read_at(fd, "cgroup.procs", PIDS_TEXT_MAX, &text, &size);
        if (r == -ENOENT || r == -ENODEV)
                return 1; /* the group is gone */
        if (r >= 0 && size > 0)
                r = hr_parse_pids(text, size, each_process, w);
        return r < 0 ? -EPERM : 0; /* a threaded group (EOPNOTSUPP) too */
}

int hr_resolve_owns_cgroup(const struct hr_view *v, uid_t uid, const char *cgroup)
{
        struct walk w = {.groups_left = GROUPS_MAX, .enter = enter_owned, .view = v, .uid = uid};
        int fd = open_cgroup(v, cgroup), r;

        if (fd < 0)
                return fd == -ENOENT || fd == -ENOTDIR ? -ENOENT : -EPERM;
        r = walk_group(&w, fd, "", 0);
        if (r < 0)
                return -EPERM;
        return w.processes > 0 ? 0 : -ENODATA;
}

static int enter_named(struct walk *w, int fd HR_UNUSED, const char *path)
{
        const char *last = strrchr(path, '/');

        if (!last || strcmp(last + 1, w->wanted) != 0)
                return 0;
        if (w->found_count < UNITS_MAX) {
                w->found[w->found_count] = strdup(path);
                if (!w->found[w->found_count])
                        return -ENOMEM;
                w->found_count++;
        }
        return 1; /* a unit is not inside one of the same name */
}

/* ---- jobs ---- */

bool hr_resolve_visible(const struct hr_caller *caller, const struct hr_card *card)
{
        return caller->admin || caller->uid == card->uid;
}

struct hr_card *hr_resolve_id(const struct hr_view *v, const char *id)
{
        for (uint32_t i = 0; i < hr_exchange_slots(v->exchange); i++) {
                struct hr_card *card = hr_exchange_card(v->exchange, i);

                if (card && strcmp(card->id, id) == 0)
                        return card;
        }
        return NULL;
}

static bool is_number(const char *word)
{
        return word[0] != '\0' && word[strspn(word, "0123456789")] == '\0';
}

static pid_t to_pid(const char *word) /* 0: no pid */
{
        unsigned long n;

        errno = 0;
        n = strtoul(word, NULL, 10);
        return errno != 0 || n > INT_MAX ? 0 : (pid_t)n;
}

/* What a pid is: where it lives and who its ancestors are. */
struct pid_place {
        char cgroup[PATH_MAX]; /* "" where not known */
        uint32_t count;
        pid_t line[ANCESTORS_MAX]; /* itself, parent, ... */
};

static void place_pid(const struct hr_view *v, pid_t pid, struct pid_place *ret)
{
        _free_ char *text = NULL;
        size_t size;

        ret->count = 0;
        if (read_proc(v, pid, "cgroup", &text, &size) < 0 ||
                hr_parse_proc_cgroup(text, size, v->memory_controller, ret->cgroup, sizeof(ret->cgroup)) < 0)
                ret->cgroup[0] = '\0';
        while (pid > 1 && ret->count < ANCESTORS_MAX) {
                ret->line[ret->count++] = pid;
                if (hr_resolve_parent(v, pid, &pid) < 0)
                        return;
        }
}

/* How near the pid is to this job: 0: not in it, else the higher the nearer. */
static size_t depth_of_pid(const struct pid_place *place, const struct hr_card *card)
{
        const char *group = below(card->cgroup ? card->cgroup : ""), *of_pid = below(place->cgroup);
        size_t length = strlen(group);

        if (card->kind == HR_KIND_PROCESS) {
                for (uint32_t i = 0; i < place->count; i++)
                        if (card->leader > 0 && place->line[i] == card->leader)
                                return PATH_MAX + ANCESTORS_MAX - i;
                return 0;
        }
        if (length == 0 || strncmp(of_pid, group, length) != 0)
                return 0;
        return of_pid[length] == '\0' || of_pid[length] == '/' ? length : 0;
}

/* How well the card fits the word: 0: not. */
static size_t fits(const struct hr_card *card, const char *word, const struct pid_place *place)
{
        if (place)
                return depth_of_pid(place, card);
        if (hr_units_is_job_id(word))
                return strcmp(card->id, word) == 0;
        return strcmp(card->name ? card->name : "", word) == 0 ||
               strcmp(card->unit ? card->unit : "", word) == 0;
}

struct hr_card *hr_resolve_pid(const struct hr_view *v, pid_t pid)
{
        _free_ struct pid_place *place = malloc(sizeof(*place));
        struct hr_card *found = NULL;
        size_t best = 0;

        if (!place)
                return NULL;
        place_pid(v, pid, place);
        for (uint32_t i = 0; i < hr_exchange_slots(v->exchange); i++) {
                struct hr_card *card = hr_exchange_card(v->exchange, i);
                size_t depth = card ? depth_of_pid(place, card) : 0;

                if (depth > best) {
                        found = card;
                        best = depth;
                }
        }
        return found;
}

static void say_candidates(const struct hr_view *v, const struct hr_caller *caller, const char *word,
        const struct pid_place *place, size_t best, char *text, size_t size)
{
        char safe[160];
        size_t n;

        n = (size_t)snprintf(text, size, "\"%s\" could be", hr_units_escape(safe, sizeof(safe), word));
        for (uint32_t i = 0, count = 0; i < hr_exchange_slots(v->exchange) && n + 160 < size; i++) {
                struct hr_card *card = hr_exchange_card(v->exchange, i);

                if (!card || !hr_resolve_visible(caller, card) || fits(card, word, place) != best)
                        continue;
                n += (size_t)snprintf(text + n, size - n, "%s %s (%.64s)", count++ > 0 ? "," : "", card->id,
                        hr_units_escape(safe, sizeof(safe), card->name ? card->name : ""));
        }
        snprintf(text + n, size - n, ". Say which by its id.");
}

int hr_resolve_job(const struct hr_view *v, const struct hr_caller *caller, const char *word,
        struct hr_card **ret, char *text, size_t text_size)
{
        _free_ struct pid_place *place = NULL;
        struct hr_card *found = NULL;
        size_t best = 0;
        bool others = false, several = false;
        char safe[160];

        hr_units_escape(safe, sizeof(safe), word);
        if (word[0] == '\0') {
                say(text, text_size, "No job is named.");
                return -EINVAL;
        }
        if (is_number(word)) {
                place = malloc(sizeof(*place));
                if (!place)
                        return -ENOMEM;
                place_pid(v, to_pid(word), place);
        }

        for (uint32_t i = 0; i < hr_exchange_slots(v->exchange); i++) {
                struct hr_card *card = hr_exchange_card(v->exchange, i);
                size_t fit = card ? fits(card, word, place) : 0;

                if (fit == 0)
                        continue;
                if (!hr_resolve_visible(caller, card)) {
                        others = true;
                } else if (fit > best) {
                        found = card;
                        best = fit;
                        several = false;
                } else if (fit == best) {
                        several = true;
                }
        }
        if (several) {
                say_candidates(v, caller, word, place, best, text, text_size);
                return -ENOTUNIQ;
        }
        if (found) {
                *ret = found;
                return 0;
        }
        if (others) {
                say(text, text_size, "%s is the job of another user.", safe);
                return -EPERM;
        }
        say(text, text_size, place ? "Process %s is in no job." : "There is no job \"%s\".", safe);
        return -ENOENT;
}

/* ---- what to attach ---- */

void hr_target_clear(struct hr_target *t)
{
        free(t->cgroup);
        free(t->unit);
        *t = (struct hr_target){0};
}

static bool is_unit(const char *word)
{
        static const char *const endings[] = {".service", ".scope", ".slice"};
        size_t length = strlen(word);

        for (size_t i = 0; i < ELEMENTSOF(endings); i++) {
                size_t n = strlen(endings[i]);

                if (length > n && strcmp(word + length - n, endings[i]) == 0)
                        return true;
        }
        return false;
}

static int may_attach(const struct hr_view *v, const struct hr_caller *caller, const char *cgroup)
{
        return caller->uid == 0 ? 0 : hr_resolve_owns_cgroup(v, caller->uid, cgroup);
}

static int find_unit(const struct hr_view *v, const struct hr_caller *caller, const char *unit, char **ret)
{
        struct walk w = {.groups_left = GROUPS_MAX, .enter = enter_named, .wanted = unit};
        int fd = open_cgroup(v, ""), r, refused = -ENOENT;
        char *found = NULL;

        if (fd < 0)
                return fd;
        r = walk_group(&w, fd, "", 0);

        /* Two users may have a unit of the same name: only those count that the caller may attach. */
        for (uint32_t i = 0; i < w.found_count; i++) {
                int allowed = r < 0 ? r : may_attach(v, caller, w.found[i]);

                if (allowed >= 0 && !found) {
                        found = TAKE_PTR(w.found[i]);
                } else {
                        if (allowed >= 0)
                                r = -ENOTUNIQ;
                        else
                                refused = allowed;
                        free(w.found[i]);
                }
        }
        if (r < 0 || !found) {
                free(found);
                return r < 0 ? r : refused;
        }
        *ret = found;
        return 0;
}

/* "/a/b" from "a//b/", "/a/b" or "/sys/fs/cgroup/a/b"; -EINVAL for ".." and for the top. */
static int clean_cgroup(const struct hr_view *v, const char *word, char **ret)
{
        size_t mount = v->cgroup_path ? strlen(v->cgroup_path) : 0, n = 0;
        _free_ char *path = NULL;

        while (mount > 0 && v->cgroup_path[mount - 1] == '/')
                mount--;
        if (mount > 0 && strncmp(word, v->cgroup_path, mount) == 0 &&
                (word[mount] == '/' || word[mount] == '\0'))
                word += mount;
        path = malloc(strlen(word) + 2);
        if (!path)
                return -ENOMEM;

        for (;;) {
                size_t length;

                word += strspn(word, "/");
                length = strcspn(word, "/");
                if (length == 0)
                        break;
                if (word[0] == '.' && (length == 1 || (length == 2 && word[1] == '.')))
                        return -EINVAL;
                path[n++] = '/';
                memcpy(path + n, word, length);
                n += length;
                word += length;
        }
        if (n == 0)
                return -EINVAL;
        path[n] = '\0';
        *ret = TAKE_PTR(path);
        return 0;
}

static int target_process(
        const struct hr_view *v, const struct hr_caller *caller, const char *word, struct hr_target *t)
{
        pid_t parent;
        int r;

        t->pid = to_pid(word);
        if (t->pid <= 1)
                return t->pid == 1 ? -EPERM : -ESRCH;
        r = hr_resolve_parent(v, t->pid, &parent);
        if (r >= 0 && caller->uid != 0)
                r = hr_resolve_owns_process(v, caller->uid, t->pid);
        return r;
}

static int target_cgroup(
        const struct hr_view *v, const struct hr_caller *caller, const char *word, struct hr_target *t)
{
        const char *last;
        int fd, r;

        if (!strchr(word, '/') && is_unit(word)) {
                r = find_unit(v, caller, word, &t->cgroup);
        } else {
                r = clean_cgroup(v, word, &t->cgroup);
                if (r < 0)
                        return r;
                fd = open_cgroup(v, t->cgroup);
                if (fd < 0)
                        return fd == -ENOTDIR ? -ENOENT : fd;
                hr_close(fd);
                r = may_attach(v, caller, t->cgroup);
        }
        if (r < 0)
                return r;
        last = strrchr(t->cgroup, '/') + 1;
        if (is_unit(last)) {
                t->unit = strdup(last);
                if (!t->unit)
                        return -ENOMEM;
        }
        return 0;
}

int hr_resolve_target(const struct hr_view *v, const struct hr_caller *caller, const char *word,
        struct hr_target *ret, char *text, size_t text_size)
{
        static const struct {
                int error;
                const char *text;
        } sentences[] = {
                {-ESRCH, "There is no process %s."},
                {-ENOENT, "There is no cgroup or unit %s in the memory hierarchy."},
                {-EPERM, "%s is not yours: every process in it must run as you, or ask root."},
                {-ENODATA, "There is no process in %s, so only root can attach it."},
                {-EINVAL, "%s can't be watched: name a process, a unit, or a cgroup below the top one."},
                {-ENOTUNIQ, "There are several units %s: name one by its cgroup's path."},
                {-E2BIG, "The cgroup tree is too large to look for %s: name it by its cgroup's path."},
        };
        HR_CLEANUP(hr_target_clear) struct hr_target t = {0};
        char safe[256];
        int r;

        r = is_number(word) ? target_process(v, caller, word, &t) : target_cgroup(v, caller, word, &t);
        if (r >= 0) {
                *ret = t;
                t = (struct hr_target){0};
                return 0;
        }
        hr_units_escape(safe, sizeof(safe), word);
        say(text, text_size, "%s can't be attached: %s.", safe, strerrordesc_np(-r));
        for (size_t i = 0; i < ELEMENTSOF(sentences); i++)
                if (sentences[i].error == r) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
                        say(text, text_size, sentences[i].text, safe);
#pragma GCC diagnostic pop
                }
        return r == -ENODATA ? -EPERM : r;
}
