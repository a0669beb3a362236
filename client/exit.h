/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Exit statuses of the client (contract). A function that returns one has already said why on stderr. */
enum hr_exit {
        HR_EXIT_DONE = 0,
        HR_EXIT_FAILED = 1,      /* understood, and not done */
        HR_EXIT_USAGE = 2,       /* the command line is wrong, or JOB is ambiguous */
        HR_EXIT_UNREACHABLE = 3, /* no daemon */
        HR_EXIT_NO_JOB = 4,
        HR_EXIT_NOT_PERMITTED = 5,
        HR_EXIT_INTERRUPTED = 75,  /* run: interrupted by Headroom, and the job still returned 0 */
        HR_EXIT_NOT_STARTED = 125, /* run: the job never began */
        HR_EXIT_NOT_EXECUTABLE = 126,
        HR_EXIT_NOT_FOUND = 127,
        HR_EXIT_SIGNAL = 128, /* run: plus the number of the signal that ended the job */
};
