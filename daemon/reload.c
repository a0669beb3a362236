/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "reload.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

#include "fd.h"
#include "thread.h"

#define STACK_BYTES (256 * 1024)

/*
 * One reload at a time. The thread reads and parses, leaves the result in `done`, and wakes the deciding
 * thread; the old configuration stays whole until the new one is.
 */

#define FILE_SIZE_MAX (1 << 20) /* a configuration of more than 1 MiB is a mistake */
#define DROP_INS_MAX 128

static struct {
        int fd;
        atomic_bool busy;
        char path[PATH_MAX];
        uint64_t host_total_bytes;
        struct hr_config *done;
        char text[240];
} reload = {.fd = -1};

static void say(
        hr_problem_fn report, void *userdata, enum hr_problem_level level, const char *file, const char *text)
{
        struct hr_problem p = {.level = level, .file = file, .line = 0, .text = text};
        report(&p, userdata);
}

static int read_file(const char *path, char **ret_text, size_t *ret_size)
{
        struct stat st;
        _close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
        if (st.st_size > FILE_SIZE_MAX)
                return -EFBIG;
        _free_ char *text = malloc((size_t)st.st_size + 1);
        if (!text)
                return -ENOMEM;
        size_t size = 0;
        for (;;) {
                ssize_t n = read(fd, text + size, (size_t)st.st_size + 1 - size);
                if (n < 0)
                        return -errno;
                if (n == 0)
                        break;
                size += (size_t)n;
                if (size > (size_t)st.st_size)
                        return -EAGAIN; /* it grew while it was read */
        }
        *ret_text = TAKE_PTR(text);
        *ret_size = size;
        return 0;
}

static int parse_file(struct hr_config *c, const char *path, bool required, hr_problem_fn report,
        void *userdata, int *problems, unsigned *errors)
{
        _free_ char *text = NULL;
        size_t size = 0;
        unsigned found = 0;
        int r = read_file(path, &text, &size);
        if (r == -ENOENT && !required)
                return 0;
        if (r < 0) {
                char why[120];
                /* A home that is somebody else's (su without a dash): said, and done without. */
                bool foreign = r == -EACCES && !required;
                snprintf(why, sizeof(why), "can't be read: %s", strerror(-r));
                say(report, userdata, foreign ? HR_PROBLEM_WARNING : HR_PROBLEM_ERROR, path, why);
                (*problems)++;
                *errors += !foreign;
                return r == -ENOMEM ? r : 0;
        }
        r = hr_config_parse(c, path, text, size, report, userdata, &found);
        if (r < 0)
                return r;
        *problems += r;
        *errors += found;
        return 0;
}

static int is_drop_in(const struct dirent *e)
{
        size_t n = strlen(e->d_name);
        return e->d_name[0] != '.' && n > 5 && strcmp(e->d_name + n - 5, ".conf") == 0;
}

static int parse_drop_ins(struct hr_config *c, const char *path, hr_problem_fn report, void *userdata,
        int *problems, unsigned *errors)
{
        char dir[PATH_MAX], file[PATH_MAX + 300];
        struct dirent **list = NULL;
        int r = 0;

        snprintf(dir, sizeof(dir), "%s.d", path);
        int n = scandir(dir, &list, is_drop_in, alphasort);
        for (int i = 0; i < n; i++) {
                if (r == 0 && i < DROP_INS_MAX) {
                        snprintf(file, sizeof(file), "%s/%s", dir, list[i]->d_name);
                        r = parse_file(c, file, true, report, userdata, problems, errors);
                }
                free(list[i]);
        }
        free(list);
        return r;
}

struct counting {
        hr_problem_fn report;
        void *userdata;
        unsigned errors;
};

static void count_and_report(const struct hr_problem *p, void *userdata)
{
        struct counting *c = userdata;
        c->errors += p->level == HR_PROBLEM_ERROR;
        c->report(p, c->userdata);
}

int hr_config_files_read(const char *path, bool required, uint64_t host_total_bytes, hr_problem_fn report,
        void *userdata, int *ret_problems, struct hr_config **ret)
{
        HR_CLEANUP(hr_config_freep) struct hr_config *c = NULL;
        int problems = 0;
        unsigned errors = 0;

        int r = hr_config_new(host_total_bytes, &c);
        if (r == 0 && path)
                r = parse_file(c, path, required, report, userdata, &problems, &errors);
        if (r == 0 && path)
                r = parse_drop_ins(c, path, report, userdata, &problems, &errors);
        if (r < 0)
                return r;
        struct counting counting = {.report = report, .userdata = userdata};
        r = hr_config_check(c, count_and_report, &counting);
        if (r < 0)
                return r;
        *ret_problems = problems + r;
        if (errors + counting.errors > 0)
                return -EINVAL;
        *ret = TAKE_PTR(c);
        return 0;
}

/* ---- on SIGHUP ---- */

static void keep_first(const struct hr_problem *p, void *userdata HR_UNUSED)
{
        if (reload.text[0] != '\0')
                return;
        if (p->line > 0)
                snprintf(reload.text, sizeof(reload.text), "%s:%u: %s", p->file, p->line, p->text);
        else
                snprintf(reload.text, sizeof(reload.text), "%s: %s", p->file, p->text);
}

static void *read_again(void *unused HR_UNUSED)
{
        struct hr_config *c = NULL;
        int problems = 0;
        int r = hr_config_files_read(
                reload.path, false, reload.host_total_bytes, keep_first, NULL, &problems, &c);
        if (r < 0 && reload.text[0] == '\0')
                snprintf(reload.text, sizeof(reload.text), "%s", strerror(-r));
        reload.done = c;
        uint64_t one = 1;
        (void)!write(reload.fd, &one, sizeof(one)); /* an eventfd takes it */
        return NULL;
}

int hr_reload_init(void)
{
        reload.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        return reload.fd < 0 ? -errno : 0;
}

int hr_reload_fd(void)
{
        return reload.fd;
}

int hr_reload_start(const char *path, uint64_t host_total_bytes)
{
        pthread_t thread;

        if (!path)
                return -ENOENT;
        if (atomic_exchange(&reload.busy, true))
                return -EBUSY;
        snprintf(reload.path, sizeof(reload.path), "%s", path);
        reload.host_total_bytes = host_total_bytes;
        reload.text[0] = '\0';
        reload.done = NULL;
        int r = hr_thread_start(STACK_BYTES, read_again, NULL, &thread);
        if (r < 0)
                atomic_store(&reload.busy, false);
        else
                (void)pthread_detach(thread); /* it is joinable: can't fail */
        return r;
}

struct hr_config *hr_reload_take(char *text, size_t size)
{
        uint64_t count;
        (void)!read(reload.fd, &count, sizeof(count)); /* only ever woken by the thread */
        snprintf(text, size, "%s", reload.text);
        struct hr_config *c = TAKE_PTR(reload.done);
        atomic_store(&reload.busy, false);
        return c;
}
