/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * The lines that a job's process and the daemon say to each other on the job's socket: protocol headroom/1,
 * headroom-job(7). Pure: takes and makes text; tell/channel has the socket.
 */

#include "think/sample.h"

#define HR_TALK_LINE_MAX 4096U /* bytes of a line with its newline, from either side */
#define HR_TALK_HOLDERS_MAX 16U
#define HR_TALK_NEED_MAX_USEC (3600 * HR_USEC_PER_SEC)
#define HR_TALK_NUMBER_MAX (UINT64_MAX / 2) /* so that no number reads as HR_BYTES_NONE */

enum hr_talk_word {
        HR_TALK_UNKNOWN, /* to be ignored: that is how the protocol grows */
        HR_TALK_HELLO,
        HR_TALK_TRIMMED,
        HR_TALK_CHECKPOINTED,
        HR_TALK_NEED,
        HR_TALK_FAILED,
        HR_TALK_HOLDS,
        HR_TALK_SPARE,
        HR_TALK_STATUS,
        HR_TALK_MEMORY_ERROR,
        HR_TALK_WORD_COUNT,
};

/* What the daemon asks for, and a peer can say it answers: bit n of the abilities is request n. */
enum hr_talk_request { HR_TALK_TRIM, HR_TALK_CHECKPOINT, HR_TALK_WHY, HR_TALK_REQUEST_COUNT };
/* The bit above them: it says so, unasked, where it ends by an uncaught MemoryError. */
#define HR_TALK_TELLS_MEMORY_ERROR (1U << HR_TALK_REQUEST_COUNT)

/* One line of a peer. Only the fields of its word are set, the others are 0 and "". */
struct hr_talk {
        enum hr_talk_word word;
        uint32_t abilities;     /* HELLO; words that we don't know are passed over */
        uint64_t bytes;         /* TRIMMED, HOLDS */
        uint64_t usec;          /* NEED: at most HR_TALK_NEED_MAX_USEC */
        uint64_t count;         /* HOLDS: objects, 0: unknown */
        uint64_t line;          /* HOLDS, MEMORY_ERROR: 0: unknown */
        uint64_t garbage_bytes; /* SPARE: HR_BYTES_NONE: unknown */
        uint64_t malloc_bytes;  /* SPARE: the same */
        /* CHECKPOINTED: an absolute path; FAILED: the reason, "" where none is given; HOLDS: the variable's
         * name, "": unknown. What was percent-encoded is not any more and may hold any byte but NUL: escape
         * it where it is shown. They point into the line. */
        const char *text;
        const char *file; /* HOLDS, MEMORY_ERROR: "": unknown */
};

/*
 * Takes one line apart, in place: `size` bytes, the last of which is its newline. The newline is overwritten.
 * 0; -EMSGSIZE: longer than HR_TALK_LINE_MAX; -EBADMSG: not UTF-8, a control character, a known word with a
 * field too few, too many or of the wrong form; -ERANGE: a number that is too large. A line whose first word
 * is not known is HR_TALK_UNKNOWN, with nothing else set.
 */
int hr_talk_parse(char *line, size_t size, struct hr_talk *ret);

/* May what begins with these bytes become a line "hello headroom/1..."? True for no bytes at all. */
bool hr_talk_may_be_hello(const char *data, size_t size);

/* What `status` is answered with. */
struct hr_talk_status {
        enum hr_stage stage;
        uint64_t used_bytes;
        uint64_t limit_bytes; /* HR_BYTES_NONE: none */
        uint64_t left_usec;   /* to the limit at the worst estimate; HR_USEC_NEVER: never */
};

#define HR_TALK_SAY_MAX 128U /* enough for every line of the daemon, with newline and NUL */

/* The daemon's lines. Each writes into buf (HR_TALK_SAY_MAX bytes) and returns it; job is below 64 bytes. */
char *hr_talk_say_welcome(char *buf, const char *job);
char *hr_talk_say_pressure(char *buf, enum hr_stage stage);
char *hr_talk_say_status(char *buf, const struct hr_talk_status *status);
/* deadline_usec: of CHECKPOINT, CLOCK_REALTIME; said in whole seconds, rounded down. */
char *hr_talk_say_request(char *buf, enum hr_talk_request request, uint64_t deadline_usec);
