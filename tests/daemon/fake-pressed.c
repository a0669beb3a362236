/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * fake-pressed LIBSYSTEMD: a program that knows nothing of Headroom and reacts to memory pressure by sd_event
 * alone, as systemd's own services do. It frees 64 MiB of small pieces but for the last, so that malloc keeps
 * them, and waits. Prints "waits", and "trimmed" at each event.
 */

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <systemd/sd-event.h>

#include "think/macros.h"

#define PIECES (64 * 1024)

static int (*trim)(void);

static int on_pressure(sd_event_source *source HR_UNUSED, void *userdata HR_UNUSED)
{
        int r = trim();

        puts(r < 0 ? "failed" : "trimmed");
        return 0;
}

int main(int argc, char *argv[])
{
        static char *pieces[PIECES];
        int (*make)(sd_event **);
        int (*run)(sd_event *);
        int (*add)(sd_event *, sd_event_source **, sd_event_handler_t, void *);
        sd_event *loop = NULL;
        void *library = argc > 1 ? dlopen(argv[1], RTLD_NOW | RTLD_DEEPBIND)
                                 : NULL; /* not this machine's own, which is linked in too */

        if (!library) {
                fprintf(stderr, "%s\n", argc > 1 ? dlerror() : "usage: fake-pressed LIBSYSTEMD");
                return EXIT_FAILURE;
        }
        setvbuf(stdout, NULL, _IOLBF, 0);
        for (size_t i = 0; i < PIECES; i++) {
                pieces[i] = malloc(1024);
                if (pieces[i])
                        memset(pieces[i], 'x', 1024);
        }
        for (size_t i = 0; i + 1 < PIECES; i++)
                free(pieces[i]);
        *(void **)&make = dlsym(library, "sd_event_new");
        *(void **)&run = dlsym(library, "sd_event_loop");
        *(void **)&add = dlsym(library, "sd_event_add_memory_pressure");
        *(void **)&trim = dlsym(library, "sd_event_trim_memory");
        if (!make || !run || !add || !trim || make(&loop) < 0)
                return EXIT_FAILURE;
        int r = add(loop, NULL, on_pressure, NULL);
        if (r < 0) {
                fprintf(stderr, "no pressure events: %s\n", strerror(-r));
                return EXIT_FAILURE;
        }
        puts("waits");
        return run(loop) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
