/* SPDX-License-Identifier: LGPL-2.1-or-later */

/*
 * The client: finds the verb in the table, gives it its options, and ends with its status. Options that every
 * verb has may stand before it; without a verb it is `status`.
 */

#include <fcntl.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "drill.h"
#include "exit.h"
#include "fd.h"
#include "output.h"
#include "verbs.h"

#ifndef HR_VERSION
#define HR_VERSION "0.1.0"
#endif

static int run_verb(char **arguments)
{
        const struct hr_verb_info *verb = NULL;
        struct hr_options o = {0};
        int r;

        r = hr_options_parse(&o, arguments, HR_OPTIONS_GLOBAL, true, NULL);
        if (r != 0)
                return r;
        if (o.argument_count > 0) {
                verb = hr_verbs_find(arguments[0]);
                if (!verb)
                        return hr_verbs_unknown(arguments);
                r = hr_options_parse(
                        &o, arguments + 1, HR_OPTIONS_GLOBAL | verb->options, verb->has_command, verb->name);
                if (r != 0)
                        return r;
        }
        if (hr_options_has(&o, HR_OPTION_VERSION)) {
                puts("headroom " HR_VERSION);
                return HR_EXIT_DONE;
        }
        if (hr_options_has(&o, HR_OPTION_HELP)) {
                hr_verbs_help(verb);
                return HR_EXIT_DONE;
        }
        verb = verb ? verb : hr_verbs_default();
        r = hr_verbs_check(verb, &o);
        return r != 0 ? r : verb->handler(verb, &o);
}

/* A descriptor 0, 1 or 2 that came closed would be given to a socket. The job finds it closed again. */
static void fill_descriptors(void)
{
        int fd;

        do
                fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        while (fd >= 0 && fd <= STDERR_FILENO);
        hr_close(fd);
}

int main(int argc, char **argv)
{
        int r;

        if (argc < 1)
                return HR_EXIT_USAGE;
        if (argc > 2 && strcmp(argv[1], HR_DRILL_BOMB) == 0) /* the drill's own job: no verb of a person */
                return hr_drill_bomb(argv + 2);
        fill_descriptors();
        setlocale(LC_CTYPE, "");
        hr_output_begin();
        r = run_verb(argv + 1);
        if (hr_output_finish() < 0 && r == HR_EXIT_DONE)
                r = HR_EXIT_FAILED;
        return r;
}
