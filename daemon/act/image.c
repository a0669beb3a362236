/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "act/image.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "think/units.h"

/*
 * Whoever could write into an image could become anybody: a restore makes processes with whatever user,
 * capabilities and memory stand in it. Whoever could read one has the job's memory. So each directory is
 * looked at before it is used, from the root on, and nothing is taken for whole that was not sealed.
 */

#define FIRST_LINE "headroom-image 1"

struct field {
        const char *key;
        enum { TEXT, NUMBER, ID } type;
        size_t offset, size;
};
#define F(type, member)                                                                                  \
        {                                                                                                \
#member, type, offsetof(struct hr_image, member), sizeof(((struct hr_image *)0)->member) \
        }
static const struct field fields[] = {
        F(TEXT, id),
        F(TEXT, name),
        F(TEXT, policy),
        F(TEXT, checkpoint),
        F(TEXT, user),
        F(ID, uid),
        F(ID, gid),
        F(ID, leader),
        F(ID, retried),
        F(NUMBER, used_bytes),
        F(NUMBER, limit_bytes),
        F(NUMBER, free_bytes),
        F(NUMBER, keep_usec),
        F(NUMBER, time_usec),
        F(TEXT, cgroup),
        F(TEXT, control),
        F(TEXT, program),
        F(TEXT, dir),
        F(TEXT, index),
        F(TEXT, lock),
};

int hr_image_format(const struct hr_image *image, char *buf, size_t size)
{
        size_t n = (size_t)snprintf(buf, size, FIRST_LINE "\n");

        for (size_t i = 0; i < ELEMENTSOF(fields); i++) {
                const char *at = (const char *)image + fields[i].offset;
                char text[4 * sizeof(image->control)];
                if (fields[i].type == TEXT)
                        hr_units_escape(text, sizeof(text), at);
                else if (fields[i].type == NUMBER)
                        snprintf(text, sizeof(text), "%" PRIu64, *(const uint64_t *)at);
                else
                        snprintf(text, sizeof(text), "%u", *(const unsigned *)at);
                if (n < size)
                        n += (size_t)snprintf(buf + n, size - n, "%s=%s\n", fields[i].key, text);
        }
        if (n < size)
                n += (size_t)snprintf(buf + n, size - n, "end\n");
        return n < size ? 0 : -ENOSPC;
}

static int take(const struct field *f, char *value, struct hr_image *image)
{
        char *at = (char *)image + f->offset, *end;

        if (f->type == TEXT)
                return hr_units_unescape(at, f->size, value) < 0 ? -EBADMSG : 0;
        if (value[0] < '0' || value[0] > '9')
                return -EBADMSG;
        errno = 0;
        uint64_t number = strtoull(value, &end, 10);
        if (errno != 0 || *end != '\0' || (f->type == ID && number > UINT32_MAX))
                return -EBADMSG;
        if (f->type == NUMBER)
                *(uint64_t *)at = number;
        else
                *(unsigned *)at = (unsigned)number;
        return 0;
}

int hr_image_parse(const char *text, size_t size, struct hr_image *ret)
{
        _free_ char *copy = strndup(text, size);
        struct hr_image image = {0};
        bool seen[ELEMENTSOF(fields)] = {0}, ended = false;
        char *rest = copy, *line;

        if (!copy)
                return -ENOMEM;
        if (strlen(copy) != size || size == 0 || copy[size - 1] != '\n')
                return -EBADMSG;
        copy[size - 1] = '\0';
        if (strcmp(strsep(&rest, "\n"), FIRST_LINE) != 0)
                return -EBADMSG;
        while ((line = strsep(&rest, "\n"))) {
                char *equals = strchr(line, '=');
                size_t i = 0;
                if (ended)
                        return -EBADMSG;
                if (strcmp(line, "end") == 0) {
                        ended = true;
                        continue;
                }
                if (!equals)
                        return -EBADMSG;
                *equals = '\0';
                while (i < ELEMENTSOF(fields) && strcmp(fields[i].key, line) != 0)
                        i++;
                if (i == ELEMENTSOF(fields) || seen[i] || take(&fields[i], equals + 1, &image) < 0)
                        return -EBADMSG;
                seen[i] = true;
        }
        for (size_t i = 0; i < ELEMENTSOF(fields); i++)
                if (!seen[i])
                        return -EBADMSG;
        if (!ended || !hr_units_is_job_id(image.id) || image.leader <= 1)
                return -EBADMSG;
        *ret = image;
        return 0;
}

/* ---- directories ---- */

int hr_image_check_directory(const char *path, char *text, size_t text_size)
{
        char part[PATH_MAX];
        size_t length = strlen(path);
        struct stat st;

        if (path[0] != '/' || length >= sizeof(part))
                return -EINVAL;
        for (size_t n = 1; n <= length; n++) {
                if (n > 1 && n < length && path[n] != '/')
                        continue;
                memcpy(part, path, n);
                part[n] = '\0';
                if (lstat(part, &st) < 0)
                        return -errno;
                /* In a sticky directory (/tmp) nobody can move what is root's. */
                bool sticky = n < length && st.st_mode & S_ISVTX;
                const char *why = !S_ISDIR(st.st_mode)          ? "is no directory"
                                  : st.st_uid != 0              ? "is not root's"
                                  : st.st_mode & 022 && !sticky ? "may be written by others than root"
                                                                : NULL;
                if (why) {
                        snprintf(text, text_size, "images would not be safe in it: %.140s %s", part, why);
                        return -EPERM;
                }
        }
        return 0;
}

int hr_image_make_directory(const char *path)
{
        char part[PATH_MAX];

        if (path[0] != '/' || strlen(path) >= sizeof(part))
                return -EINVAL;
        strcpy(part, path);
        for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
                *slash = '\0';
                int r = mkdir(part, 0700) < 0 && errno != EEXIST ? -errno : 0;
                *slash = '/';
                if (r < 0)
                        return r;
        }
        return mkdir(part, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

static void close_dir(DIR **d)
{
        if (*d)
                closedir(*d);
}
#define _dir_ HR_CLEANUP(close_dir)

static bool is_dot(const char *name)
{
        return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static int remove_below(int dir_fd, const char *name)
{
        if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT)
                return 0;
        if (errno != EISDIR && errno != EPERM)
                return -errno;
        int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        _dir_ DIR *d = fd < 0 ? NULL : fdopendir(fd);
        int r = 0;

        if (!d)
                return -errno;
        for (struct dirent *e = readdir(d); e && r == 0; e = readdir(d))
                if (!is_dot(e->d_name))
                        r = remove_below(fd, e->d_name);
        return r < 0 ? r : unlinkat(dir_fd, name, AT_REMOVEDIR) < 0 ? -errno : 0;
}

int hr_image_remove(const char *path)
{
        return remove_below(AT_FDCWD, path);
}

/* ---- the record ---- */

static int write_file(const char *path, const char *name, const char *text)
{
        char file[PATH_MAX];

        snprintf(file, sizeof(file), "%s/%s", path, name);
        _close_ int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0)
                return -errno;
        for (size_t n = strlen(text); n > 0;) {
                ssize_t k = write(fd, text, n);
                if (k < 0)
                        return -errno;
                text += k;
                n -= (size_t)k;
        }
        return fsync(fd) < 0 ? -errno : 0;
}

int hr_image_write_record(const char *path, const struct hr_image *image)
{
        char text[HR_IMAGE_TEXT_MAX];
        int r = hr_image_format(image, text, sizeof(text));

        return r < 0 ? r : write_file(path, "record", text);
}

int hr_image_read_record(const char *path, struct hr_image *ret)
{
        char file[PATH_MAX], text[HR_IMAGE_TEXT_MAX];

        snprintf(file, sizeof(file), "%s/record", path);
        _close_ int fd = open(file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text));
        return n < 0 ? -errno : hr_image_parse(text, (size_t)n, ret);
}

/* ---- the seal ---- */

/* Names are seen from img/. 0: how large they are, or -errno. */
static int list_images(const char *img, const char *below, FILE *f, uint64_t *ret_bytes)
{
        char path[PATH_MAX];
        struct stat st;

        snprintf(path, sizeof(path), "%s/%s", img, below);
        _dir_ DIR *d = opendir(path);
        *ret_bytes = 0;
        if (!d)
                return -errno;
        for (struct dirent *e = readdir(d); e; e = readdir(d))
                if (!is_dot(e->d_name) && fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
                        S_ISREG(st.st_mode) && strstr(e->d_name, ".img")) {
                        fprintf(f, "%" PRIu64 " %s%s\n", (uint64_t)st.st_size, below, e->d_name);
                        *ret_bytes += (uint64_t)st.st_size;
                }
        return 0;
}

int hr_image_seal(
        const char *path, pid_t leader, bool predump, uint64_t *ret_bytes, uint64_t *ret_predump_bytes)
{
        static const struct {
                const char *name;
                bool predump;
        } needed[] = {
                {"inventory.img", true},
                {"pstree.img", false},
                {"core-%d.img", false},
                {"mm-%d.img", false},
                {"pagemap-%d.img", true},
                {"pages-1.img", true},
        };
        char img[PATH_MAX], name[64], parent[64];
        struct stat st;
        size_t size = 0;
        _free_ char *text = NULL;

        snprintf(img, sizeof(img), "%s/img", path);
        _close_ int dir = open(img, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dir < 0)
                return -errno;
        for (size_t i = 0; i < ELEMENTSOF(needed); i++) {
                snprintf(name, sizeof(name), needed[i].name, (int)leader);
                if ((needed[i].predump || !predump) &&
                        (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_size == 0))
                        return -ENODATA;
        }
        bool has_parent = readlinkat(dir, "parent", parent, sizeof(parent)) >= 0;
        FILE *f = open_memstream(&text, &size);
        if (!f)
                return -ENOMEM;
        uint64_t bytes, predump_bytes = 0;
        int r = list_images(img, "", f, &bytes);
        if (r == 0)
                r = list_images(img, HR_IMAGE_PARENT "/", f, &predump_bytes);
        fprintf(f, "end\n");
        if (fclose(f) != 0)
                return -ENOMEM;
        if (r == -ENOENT && !has_parent)
                r = 0;
        else if (r == 0 && !has_parent) /* CRIU did not use it: all is in img/, or nothing is whole */
                r = -ENODATA;
        if (r < 0)
                return r == -ENOENT ? -ENODATA : r;
        /* A disk that is full or breaks may say so only now. */
        if (syncfs(dir) < 0)
                return -errno;
        r = write_file(path, "manifest", text);
        if (r == 0) {
                *ret_bytes = bytes;
                *ret_predump_bytes = predump_bytes;
        }
        return r;
}

int hr_image_check_seal(const char *path, char *text, size_t text_size)
{
        char file[PATH_MAX], line[NAME_MAX + 32], name[NAME_MAX + 1];
        uint64_t bytes;
        struct stat st;

        snprintf(file, sizeof(file), "%s/manifest", path);
        _fclose_ FILE *f = fopen(file, "re");
        snprintf(text, text_size, "its image was never finished");
        if (!f)
                return -ENODATA;
        while (fgets(line, sizeof(line), f)) {
                if (strcmp(line, "end\n") == 0)
                        return 0;
                if (sscanf(line, "%" SCNu64 " %255s", &bytes, name) != 2)
                        return -ENODATA;
                snprintf(file, sizeof(file), "%s/img/%s", path, name);
                if (lstat(file, &st) < 0 || (uint64_t)st.st_size != bytes) {
                        snprintf(text, text_size, "its image is damaged: %.80s is not as it was written",
                                name);
                        return -ENODATA;
                }
        }
        return -ENODATA;
}

/* ---- where they are ---- */

int hr_image_find(const char *index, const char *id, char *path, size_t size)
{
        char link[PATH_MAX], real[PATH_MAX];
        struct stat st;

        if (!hr_units_is_job_id(id))
                return -EINVAL;
        snprintf(link, sizeof(link), "%s/%s", index, id);
        if (!realpath(link, real) || stat(real, &st) < 0)
                return errno == ENOTDIR ? -ENOENT : -errno;
        if (!S_ISDIR(st.st_mode) || strlen(real) >= size)
                return -ENOENT;
        strcpy(path, real);
        return 0;
}

static void sync_directory(const char *path)
{
        _close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd >= 0)
                (void)fsync(fd); /* the name alone; what is in it is on its disk */
}

int hr_image_publish(const struct hr_image *image, const char *path)
{
        char final[PATH_MAX], old[PATH_MAX], link[PATH_MAX];

        snprintf(final, sizeof(final), "%s/%s", image->dir, image->id);
        snprintf(old, sizeof(old), "%s/.%s.old", image->dir, image->id);
        snprintf(link, sizeof(link), "%s/%s", image->index, image->id);
        int r = hr_image_remove(old);
        if (r == 0 && rename(final, old) < 0 && errno != ENOENT)
                r = -errno;
        if (r == 0 && rename(path, final) < 0)
                r = -errno;
        if (r < 0)
                return r;
        sync_directory(image->dir);
        (void)hr_image_remove(old); /* else the sweep does it */
        if (strcmp(image->dir, image->index) == 0)
                return 0;
        if (unlink(link) < 0 && errno != ENOENT)
                return -errno;
        return symlink(final, link) < 0 ? -errno : 0;
}

/* ---- the sweep ---- */

static bool is_old(const struct hr_image *image, uint64_t now_usec)
{
        return image->keep_usec != HR_USEC_NEVER && now_usec > hr_add(image->time_usec, image->keep_usec);
}

static bool is_locked(const char *lock)
{
        _close_ int fd = open(lock, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        return fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK;
}

/*
 * ".j7.new", ".j7.old": of a dump that was cut short, unless it is under way. ".j7.pre": written ahead, for
 * as long as the job's cgroup is there. Without a record it was cut short before CRIU began; a moment's
 * grace, for it may be beginning.
 */
static void sweep_rest(const char *path)
{
        struct hr_image image;
        struct stat st;
        size_t length = strlen(path);

        bool ahead = length > 4 && strcmp(path + length - 4, ".pre") == 0;
        bool wanted = hr_image_read_record(path, &image) < 0
                              ? lstat(path, &st) < 0 || time(NULL) < st.st_mtime + 3600
                      : ahead ? access(image.control, F_OK) == 0
                              : is_locked(image.lock);
        if (wanted)
                return;
        (void)hr_image_remove(path);
}

void hr_image_sweep(const char *index, uint64_t now_usec)
{
        char path[PATH_MAX], real[PATH_MAX];
        struct hr_image image;
        _dir_ DIR *d = opendir(index);

        for (struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d)) {
                snprintf(path, sizeof(path), "%s/%s", index, e->d_name);
                if (e->d_name[0] == '.' && !is_dot(e->d_name)) {
                        sweep_rest(path);
                } else if (hr_units_is_job_id(e->d_name)) {
                        if (hr_image_find(index, e->d_name, real, sizeof(real)) < 0) {
                                (void)unlink(path); /* it leads nowhere */
                        } else if (hr_image_read_record(real, &image) == 0 && is_old(&image, now_usec)) {
                                (void)hr_image_remove(real);
                                (void)unlink(path);
                        }
                }
        }
}
