/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "saved.h"

/*
 * A record is lines "key=value" below a first line with the version, values with \xHH for what is no plain
 * text, in $XDG_STATE_HOME/headroom/jobs/ID, mode 0600. `run` writes it when it is told that its job was
 * ended by its checkpoint; for a detached job, which nobody waits for, at the start. Ids are never used
 * again, so that one record can't be taken for another's; two daemons (the system's and a user's own) have a
 * directory each.
 */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "fd.h"
#include "think/units.h"

#define FIRST_LINE "headroom-job 1"
#define RECORD_MAX (1024 * 1024)
#define WORDS_MAX 16384

extern char **environ;

static void free_words(char **words)
{
        for (size_t i = 0; words && words[i]; i++)
                free(words[i]);
        free(words);
}

struct hr_saved *hr_saved_free(struct hr_saved *s)
{
        if (!s)
                return NULL;
        free(s->file);
        free(s->job);
        free(s->name);
        free(s->policy);
        free(s->checkpoint);
        free(s->directory);
        free(s->path);
        free_words(s->command);
        free_words(s->environment);
        free(s);
        return NULL;
}

const char *hr_saved_path_of(const char *reason)
{
        return *reason == '/' || strncmp(reason, "criu:/", 6) == 0 ? reason : NULL;
}

bool hr_saved_is_image(const struct hr_saved *s)
{
        return s->path && strncmp(s->path, "criu:", 5) == 0;
}

void hr_saved_list_done(struct hr_saved_list *list)
{
        for (size_t i = 0; i < list->count; i++)
                hr_saved_free(list->all[i]);
        free(list->all);
        *list = (struct hr_saved_list){0};
}

static char **copy_words(char *const *words)
{
        size_t count = 0;

        while (words[count])
                count++;
        char **copy = calloc(count + 1, sizeof(*copy));
        for (size_t i = 0; copy && i < count; i++) {
                copy[i] = strdup(words[i]);
                if (!copy[i]) {
                        free_words(copy);
                        return NULL;
                }
        }
        return copy;
}

int hr_saved_new(char *const *command, struct hr_saved **ret)
{
        HR_CLEANUP(hr_saved_freep) struct hr_saved *s = calloc(1, sizeof(*s));

        if (!s)
                return -ENOMEM;
        s->directory = getcwd(NULL, 0);
        s->command = copy_words(command);
        s->environment = copy_words(environ);
        if (!s->directory || !s->command || !s->environment)
                return -ENOMEM;
        *ret = TAKE_PTR(s);
        return 0;
}

/* ---- where they are ---- */

static int make_directory(char *path) /* with those above it, as mkdir -p, 0700 */
{
        for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
                *slash = '\0';
                int r = mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
                *slash = '/';
                if (r < 0)
                        return r;
        }
        return mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

static int directory(char **ret)
{
        const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
        bool own = state && state[0] == '/';

        if (!own && (!home || home[0] != '/'))
                return -ENOENT;
        return asprintf(ret, "%s%s/headroom/jobs", own ? state : home, own ? "" : "/.local/state") < 0
                       ? -ENOMEM
                       : 0;
}

/* ---- writing ---- */

static void put(FILE *f, const char *key, const char *value)
{
        size_t size = 4 * strlen(value) + 1;
        _free_ char *text = malloc(size);

        if (text)
                fprintf(f, "%s=%s\n", key, hr_units_escape(text, size, value));
        else
                fputs("\n", f); /* which makes the record bad */
}

static void put_all(FILE *f, const struct hr_saved *s)
{
        fprintf(f, FIRST_LINE "\n");
        put(f, "job", s->job);
        put(f, "name", s->name);
        put(f, "policy", s->policy ? s->policy : "");
        put(f, "checkpoint", s->checkpoint ? s->checkpoint : "");
        fprintf(f, "fuse=%d\nsaved=%d\n", s->fuse, s->is_saved);
        if (s->has_limit)
                fprintf(f, "limit=%" PRIu64 "\n", s->limit_bytes);
        if (s->path)
                put(f, "path", s->path);
        put(f, "directory", s->directory);
        for (size_t i = 0; s->command[i]; i++)
                put(f, "word", s->command[i]);
        for (size_t i = 0; s->environment[i]; i++)
                put(f, "environment", s->environment[i]);
}

int hr_saved_write(struct hr_saved *s)
{
        _free_ char *dir = NULL, *file = NULL, *aside = NULL;
        int r = directory(&dir);

        if (r == 0)
                r = make_directory(dir);
        if (r < 0)
                return r;
        if (asprintf(&file, "%s/%s", dir, s->job) < 0 || asprintf(&aside, "%s/.%s.new", dir, s->job) < 0)
                return -ENOMEM;
        int fd = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
        FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
        if (!f)
                return -errno;
        put_all(f, s);
        r = fflush(f) != 0 || fsync(fd) < 0 ? -errno : 0; /* what it tells of is worth hours */
        if (fclose(f) != 0 && r == 0)
                r = -errno;
        if (r == 0 && rename(aside, file) < 0)
                r = -errno;
        if (r < 0) {
                (void)unlink(aside);
                return r;
        }
        free(s->file);
        s->file = TAKE_PTR(file);
        return 0;
}

/* ---- reading ---- */

static int add_word(char ***words, size_t *count, char *word)
{
        if (*count + 1 >= WORDS_MAX)
                return -E2BIG;
        char **more = reallocarray(*words, *count + 2, sizeof(*more));
        if (!more)
                return -ENOMEM;
        *words = more;
        more[(*count)++] = word;
        more[*count] = NULL;
        return 0;
}

/* Takes one line in; value belongs to it from then on, or is freed. */
static int take(struct hr_saved *s, size_t counts[2], const char *key, char *value)
{
        const struct {
                const char *key;
                char **text;
        } texts[] = {
                {"job", &s->job},
                {"name", &s->name},
                {"policy", &s->policy},
                {"checkpoint", &s->checkpoint},
                {"path", &s->path},
                {"directory", &s->directory},
        };
        int r = -EBADMSG;

        for (size_t i = 0; i < ELEMENTSOF(texts); i++)
                if (strcmp(key, texts[i].key) == 0 && !*texts[i].text) {
                        *texts[i].text = value;
                        return 0;
                }
        if (strcmp(key, "word") == 0)
                r = add_word(&s->command, &counts[0], value);
        else if (strcmp(key, "environment") == 0)
                r = add_word(&s->environment, &counts[1], value);
        if (r == 0)
                return 0;
        if (strcmp(key, "fuse") == 0)
                r = (s->fuse = strcmp(value, "1") == 0, 0);
        else if (strcmp(key, "saved") == 0)
                r = (s->is_saved = strcmp(value, "1") == 0, 0);
        else if (strcmp(key, "limit") == 0)
                r = (s->has_limit = sscanf(value, "%" SCNu64, &s->limit_bytes) == 1) ? 0 : -EBADMSG;
        free(value);
        return r;
}

static int read_record(const char *dir, const char *name, struct hr_saved **ret)
{
        HR_CLEANUP(hr_saved_freep) struct hr_saved *s = calloc(1, sizeof(*s));
        _free_ char *line = NULL;
        size_t size = 0, counts[2] = {0};
        struct stat st;

        if (!s || asprintf(&s->file, "%s/%s", dir, name) < 0)
                return -ENOMEM;
        int fd = open(s->file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        FILE *f = fd < 0 ? NULL : fdopen(fd, "r");
        if (!f)
                return -errno;
        /* Nobody else may say what is to be run. */
        int r = fstat(fd, &st) < 0 || st.st_uid != geteuid() || st.st_size > RECORD_MAX ? -EPERM : 0;
        if (r == 0 && (getline(&line, &size, f) < 0 || strcmp(line, FIRST_LINE "\n") != 0))
                r = -EBADMSG;
        while (r == 0 && getline(&line, &size, f) > 0) {
                char *equals = strchr(line, '='), *value = equals ? malloc(strlen(equals)) : NULL;

                if (!value) {
                        r = -EBADMSG;
                        break;
                }
                *equals = '\0';
                equals[1 + strcspn(equals + 1, "\n")] = '\0';
                r = hr_units_unescape(value, strlen(equals + 1) + 1, equals + 1);
                if (r < 0)
                        free(value);
                else
                        r = take(s, counts, line, value);
        }
        fclose(f);
        if (r == 0 && (!s->job || strcmp(s->job, name) != 0 || !s->name || !s->directory || counts[0] == 0))
                r = -EBADMSG;
        if (r < 0)
                return r;
        *ret = TAKE_PTR(s);
        return 0;
}

bool hr_saved_any(void)
{
        _free_ char *dir = NULL;
        DIR *d = directory(&dir) == 0 ? opendir(dir) : NULL;
        bool any = false;

        for (struct dirent *e = d ? readdir(d) : NULL; e && !any; e = readdir(d))
                any = hr_units_is_job_id(e->d_name);
        if (d)
                closedir(d);
        return any;
}

static int take_saved(struct hr_saved *s, const char *reason)
{
        s->is_saved = true;
        free(s->path);
        s->path = hr_saved_path_of(reason) ? strdup(reason) : NULL;
        return 1;
}

/* A detached job: what became of it. 1: it was saved; 0: it may still run; -ENOENT: it ended in another way.
 */
static int look_up(struct hr_saved *s, const struct hr_call_list *events)
{
        int found = 0;

        for (size_t i = 0; i < events->count; i++) {
                const struct hr_call_event *e = &events->events[i];

                if (strcmp(e->job, s->job) != 0)
                        continue;
                if (strcmp(e->action, "saved") == 0)
                        return take_saved(s, e->reason);
                if (strcmp(e->action, "end") == 0)
                        found = -ENOENT;
        }
        return found;
}

/* The same of one whose events the daemon no longer has: by its record. */
static int look_up_record(struct hr_saved *s, struct hr_call *call)
{
        HR_CLEANUP(hr_call_story_done) struct hr_call_story story = {0};

        if (!call || hr_call_story(call, s->job, &story) != 0)
                return 0;
        for (size_t i = 0; i < story.deeds.count; i++) {
                const struct hr_call_deed *d = &story.deeds.deeds[i];

                if (strcmp(d->action, "saved") == 0)
                        return take_saved(s, d->reason);
        }
        return -ENOENT;
}

static bool is_old(const char *file)
{
        struct stat st;

        return stat(file, &st) == 0 && time(NULL) - st.st_mtime > HR_SAVED_DAYS * 24 * 3600;
}

static int newer_first(const void *a, const void *b)
{
        const struct hr_saved *const *x = a, *const *y = b;
        unsigned long long m = strtoull((*x)->job + 1, NULL, 10), n = strtoull((*y)->job + 1, NULL, 10);

        return m > n ? -1 : m < n;
}

int hr_saved_read(struct hr_call *call, const struct hr_call_list *events, struct hr_saved_list *ret)
{
        HR_CLEANUP(hr_saved_list_done) struct hr_saved_list list = {0};
        _free_ char *dir = NULL;
        int r = directory(&dir);
        DIR *d = r == 0 ? opendir(dir) : NULL;

        for (struct dirent *e = d ? readdir(d) : NULL; e && r == 0; e = readdir(d)) {
                HR_CLEANUP(hr_saved_freep) struct hr_saved *s = NULL;

                if (!hr_units_is_job_id(e->d_name) || read_record(dir, e->d_name, &s) < 0)
                        continue;
                int found = s->is_saved ? 1 : look_up(s, events);
                if (found == 0)
                        found = look_up_record(s, call);
                if (found < 0 || is_old(s->file))
                        (void)unlink(s->file);
                if (found != 1 || is_old(s->file))
                        continue;
                struct hr_saved **more = reallocarray(list.all, list.count + 1, sizeof(*more));
                if (!more) {
                        r = -ENOMEM;
                        break;
                }
                list.all = more;
                list.all[list.count++] = TAKE_PTR(s);
        }
        if (d)
                closedir(d);
        if (r == -ENOMEM)
                return r;
        if (list.count > 1)
                qsort(list.all, list.count, sizeof(*list.all), newer_first);
        *ret = list;
        list = (struct hr_saved_list){0};
        return 0;
}

struct hr_saved *hr_saved_find(const struct hr_saved_list *list, const char *word)
{
        for (size_t i = 0; i < list->count; i++)
                if (strcmp(list->all[i]->job, word) == 0 || strcmp(list->all[i]->name, word) == 0)
                        return list->all[i];
        return NULL;
}
