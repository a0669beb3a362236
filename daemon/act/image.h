/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * An image: what CRIU wrote of a job, so that it can go on from there after it was ended. A directory that is
 * root's alone:
 *
 *   DIR/ID/record    how the job was watched, and by whom it may be resumed (below)
 *   DIR/ID/files     which files its processes had open, by their identity (act/takeable)
 *   DIR/ID/manifest  each file of img/ with its size: written last, so that half an image is none
 *   DIR/ID/img/      CRIU's
 *   DIR/ID/pre/      CRIU's as well: memory that was written ahead, which img/ leads to as its "parent"
 *
 * While it is being written it is DIR/.ID.new: what has its final name is whole. Memory that is written ahead
 * of it is in DIR/.ID.pre, which has the same parts (manifest: of what is in its img/ then), until it is
 * used. STATE/images/ID leads there whatever DIR was, so that it is found after the policy has changed.
 */

#include "act/place.h"

struct hr_image {
        char id[HR_ID_MAX], name[HR_NAME_MAX], policy[HR_NAME_MAX], checkpoint[272], user[HR_NAME_MAX];
        uid_t uid; /* who may resume it: the job's owner, and root */
        gid_t gid;
        pid_t leader;
        uint32_t retried; /* how often the job had been started again by itself */
        uint64_t used_bytes;
        uint64_t limit_bytes;            /* HR_BYTES_NONE: none */
        uint64_t free_bytes;             /* what a dump must leave free in DIR */
        uint64_t keep_usec;              /* it is removed when it is older */
        uint64_t time_usec;              /* CLOCK_REALTIME, of the dump */
        char cgroup[HR_PATH_MAX];        /* in the memory hierarchy: a restored job goes beside it */
        char control[HR_PATH_MAX + 512]; /* the directory of the cgroup that freezes it, as a whole path */
        char program[256];               /* criu */
        char dir[256];                   /* DIR */
        char index[520];                 /* STATE/images */
        char lock[560];                  /* locked as long as CRIU is at the job */
};

#define HR_IMAGE_TEXT_MAX (16 * 1024)
/* The text of `record`. -ENOSPC. */
int hr_image_format(const struct hr_image *image, char *buf, size_t size);
/* -EBADMSG: cut off, repeated, missing or not understood. */
int hr_image_parse(const char *text, size_t size, struct hr_image *ret);

/* Can the directory, and everything on the way to it, be changed by root alone? 0; -EPERM, and text says what
 * is wrong; -errno. */
int hr_image_check_directory(const char *path, char *text, size_t text_size);
/* Makes the directory with those above it, root's alone. */
int hr_image_make_directory(const char *path);

int hr_image_write_record(const char *path, const struct hr_image *image); /* PATH/record */
int hr_image_read_record(const char *path, struct hr_image *ret);
#define HR_IMAGE_PREDUMP "pre"
#define HR_IMAGE_PARENT "../" HR_IMAGE_PREDUMP /* seen from img/ */
/* Is there, in PATH/img, all that a dump (predump: a dump of its memory alone) of `leader` leaves? Then
 * PATH/manifest is written and all of it is on its disk. -ENODATA: something is missing; -errno. ret_bytes:
 * how large that is; ret_predump_bytes: and what is in PATH/pre, 0: there is none. */
int hr_image_seal(
        const char *path, pid_t leader, bool predump, uint64_t *ret_bytes, uint64_t *ret_predump_bytes);
/* Is it as it was sealed? -ENODATA, and text says what is missing. */
int hr_image_check_seal(const char *path, char *text, size_t text_size);

/* The whole tree away; no link is followed. */
int hr_image_remove(const char *path);
/* Where the image of a job is. -ENOENT: there is none. */
int hr_image_find(const char *index, const char *id, char *path, size_t size);
/* PATH gets its final name, and the index leads to it. What was there of that name is gone after that. */
int hr_image_publish(const struct hr_image *image, const char *path);
/* Removes those that are older than they are to be kept, and what is left of dumps that were cut short. */
void hr_image_sweep(const char *index, uint64_t now_usec);
