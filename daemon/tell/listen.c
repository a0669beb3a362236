/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tell/listen.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "fd.h"

/*
 * The path is the daemon's, in a directory that only it may write to. Two daemons that start at once race
 * between the look at the old socket and its removal; the daemon's lock is taken before.
 */

/* Somebody listens: -EADDRINUSE. A socket that a daemon left behind is removed; any other file is not. */
static int clear_path(const struct sockaddr_un *address)
{
        _close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        struct stat st;

        if (fd < 0)
                return -errno;
        if (lstat(address->sun_path, &st) < 0)
                return errno == ENOENT ? 0 : -errno;
        if (!S_ISSOCK(st.st_mode) || connect(fd, (const struct sockaddr *)address, sizeof(*address)) >= 0 ||
                errno != ECONNREFUSED)
                return -EADDRINUSE;
        return unlink(address->sun_path) < 0 && errno != ENOENT ? -errno : 0;
}

static int bind_to(int fd, const struct sockaddr_un *address)
{
        return bind(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 ? -errno : 0;
}

int hr_listen_open(const char *path, mode_t mode, struct hr_listen *ret)
{
        _close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        _free_ char *copy = strdup(path);
        struct stat st;
        int r;

        if (fd < 0)
                return -errno;
        if (!copy)
                return -ENOMEM;
        if (strlen(path) >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        memcpy(address.sun_path, path, strlen(path) + 1);

        r = bind_to(fd, &address);
        if (r == -EADDRINUSE && (r = clear_path(&address)) >= 0)
                r = bind_to(fd, &address);
        if (r < 0)
                return r;
        /* Before listen(): nobody can have connected by then. */
        if (chmod(path, mode) < 0 || stat(path, &st) < 0 || listen(fd, SOMAXCONN) < 0) {
                r = -errno;
                unlink(path);
                return r;
        }
        *ret = (struct hr_listen){
                .fd = TAKE_FD(fd), .path = TAKE_PTR(copy), .dev = st.st_dev, .ino = st.st_ino};
        return 0;
}

void hr_listen_close(struct hr_listen *l)
{
        struct stat st;

        if (l->path && stat(l->path, &st) >= 0 && st.st_dev == l->dev && st.st_ino == l->ino)
                unlink(l->path);
        hr_close(l->fd);
        free(l->path);
        *l = HR_LISTEN_NONE;
}
