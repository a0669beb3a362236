/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "environment.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "tell/interface.h"

/*
 * The Python side lies beside the client: below lib/headroom of the same prefix, or, in a tree that was just
 * built, in the client's own directory. A client that was copied elsewhere finds that of the prefix that it
 * was built for. An interpreter started below the job gets it too, whoever starts it.
 */

#ifndef HR_LIBEXECDIR
#define HR_LIBEXECDIR "/usr/local/lib/headroom" /* the Makefile knows */
#endif

static bool has_hook(const char *directory)
{
        char path[PATH_MAX];
        struct stat st;

        return snprintf(path, sizeof(path), "%s/sitecustomize.py", directory) < (int)sizeof(path) &&
               stat(path, &st) >= 0 && S_ISREG(st.st_mode);
}

bool hr_environment_find_python(char *directory)
{
        static const char *const beside[] = {"/../lib/headroom/python", "/python"};
        char self[PATH_MAX], joined[PATH_MAX];
        ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
        char *slash = n > 0 ? memrchr(self, '/', (size_t)n) : NULL;

        for (size_t i = 0; slash && i < ELEMENTSOF(beside); i++) {
                *slash = '\0';
                if (snprintf(joined, sizeof(joined), "%s%s", self, beside[i]) < (int)sizeof(joined) &&
                        has_hook(joined) && realpath(joined, directory))
                        return true;
        }
        snprintf(directory, PATH_MAX, "%s", HR_LIBEXECDIR "/python");
        return has_hook(directory);
}

static void add_to_python_path(void)
{
        const char *before = getenv("PYTHONPATH");
        char directory[PATH_MAX];
        _free_ char *path = NULL;

        if (!hr_environment_find_python(directory) || strchr(directory, ':'))
                return;
        if (asprintf(&path, "%s%s%s", directory, before && *before ? ":" : "", before ? before : "") < 0)
                path = NULL;
        if (path)
                setenv("PYTHONPATH", path, true);
}

void hr_environment_set(const char *socket, bool python_hook)
{
        const char *slash = strrchr(socket, '/');
        char path[PATH_MAX];
        struct stat st;

        if (snprintf(path, sizeof(path), "%.*s" HR_JOB_SOCKET_BESIDE, slash ? (int)(slash - socket + 1) : 0,
                    socket) >= (int)sizeof(path) ||
                stat(path, &st) < 0 || !S_ISSOCK(st.st_mode))
                return;
        setenv("MEMORY_PRESSURE_WATCH", path, true);
        unsetenv("MEMORY_PRESSURE_WRITE"); /* of an outer service: it is for another file */
        if (python_hook)
                add_to_python_path();
}
