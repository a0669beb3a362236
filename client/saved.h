/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Jobs that were ended by their checkpoint, and how each was started, so that `headroom resume` can start it
 * again from there. One file for each in the owner's own state directory: the environment of a job may hold
 * secrets.
 */

#include "call.h"

#define HR_SAVED_DAYS 30 /* a record that nobody resumes is kept for so long; chosen, not tuned */

struct hr_saved {
        char *file; /* of the record */
        char *job, *name, *policy, *checkpoint, *directory;
        char *path;    /* of its checkpoint, for HEADROOM_RESUME; "criu:/dir": CRIU's image, the daemon's to
                          restore; NULL: not known yet, or there is none */
        bool is_saved; /* else it may still run */
        bool fuse, has_limit;
        uint64_t limit_bytes;
        char **command, **environment; /* NULL-ended */
};
/* The path that an event "saved" names, or NULL where it names none. */
const char *hr_saved_path_of(const char *reason);
bool hr_saved_is_image(const struct hr_saved *s);   /* CRIU's */
struct hr_saved *hr_saved_free(struct hr_saved *s); /* returns NULL; accepts NULL */
static inline void hr_saved_freep(struct hr_saved **s)
{
        hr_saved_free(*s);
}

/* What this process is about to start: of `command`, its directory and environment. -ENOMEM, -errno. */
int hr_saved_new(char *const *command, struct hr_saved **ret);
/* Keeps it under s->job; what is there of that name is replaced. -errno: it can't be kept. */
int hr_saved_write(struct hr_saved *s);

/*
 * Those that are kept, the newest first. A detached job's record says only how it was started: its end is
 * looked up in `events` (what the daemon keeps), then by `call` (NULL: not) in the job's record; where it
 * ended in another way the record is removed, where it may still run it is left out.
 */
struct hr_saved_list {
        struct hr_saved **all;
        size_t count;
};
void hr_saved_list_done(struct hr_saved_list *list);
bool hr_saved_any(void); /* is there any record at all */
int hr_saved_read(struct hr_call *call, const struct hr_call_list *events, struct hr_saved_list *ret);
/* By id or name; NULL: none. The list's. */
struct hr_saved *hr_saved_find(const struct hr_saved_list *list, const char *word);
