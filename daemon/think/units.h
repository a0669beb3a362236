/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/*
 * Sizes, times, levels and names: text to numbers and back. Pure.
 *
 * Sizes: "8G" = "8GiB" (binary), "8GB" = 10^9, "512M", "80%" of the host's memory, "max". Fractions are
 * taken ("1.5G"). A bare number is refused (except "0"): -EUCLEAN, for the caller to give the hint.
 */

#include <stdarg.h>

#include "think/macros.h"

/*
 * host_total_bytes is what a percentage refers to; 0: percentages are refused with -ENODATA.
 * Returns 0, -EINVAL (no size), -ERANGE (too large), -EUCLEAN (a number without a unit), -ENODATA.
 * "max" gives HR_BYTES_NONE.
 */
int hr_units_parse_size(const char *text, uint64_t host_total_bytes, uint64_t *ret_bytes);

/* "70%", "70 %", "97.5%", "off" (HR_PERMYRIAD_OFF); 0 to 100 %. -EINVAL, -ERANGE, -EUCLEAN (no "%"). */
int hr_units_parse_level(const char *text, uint32_t *ret_permyriad);

/*
 * "10s", "500ms", "15min" or "15m", "2h", "3d", "1h 30min", "0", "never" (HR_USEC_NEVER).
 * -EINVAL, -ERANGE, -EUCLEAN (a number other than 0 without a unit).
 */
int hr_units_parse_time(const char *text, uint64_t *ret_usec);

/* "yes", "no", "true", "false", "on", "off", "1", "0". -EINVAL. */
int hr_units_parse_bool(const char *text, bool *ret);

#define HR_TEXT_SIZE_MAX 32 /* enough for any text that the formatters make */

/* All formatters write into buf (HR_TEXT_SIZE_MAX bytes) and return it, so that they fit into a printf. */
char *hr_units_format_bytes(char *buf, uint64_t bytes); /* "388.0 MiB", "max"; exact multiples: "400 MiB" */
char *hr_units_format_time(char *buf, uint64_t usec); /* "12 s", "3 min 20 s", "2 h 5 min", "3 d", "never" */
char *hr_units_format_level(char *buf, uint32_t permyriad); /* "97.0 %", "off" */
/* A time that is estimated, as a person would say it: "less than a second", "about 2 min", "1 to 3 min",
 * "up to 20 s", "1 min or more" (most_usec is HR_USEC_NEVER), "never" (both are). */
char *hr_units_format_estimate(char *buf, uint64_t least_usec, uint64_t most_usec);

/* The same, spelled so that the parsers above take it back without loss ("400M", "1073741825B"-like forms are
 * avoided: a size that is no whole KiB is written in bytes with the unit "B"). Used by --dump-config. */
char *hr_units_spell_bytes(char *buf, uint64_t bytes);
char *hr_units_spell_time(char *buf, uint64_t usec);
char *hr_units_spell_level(char *buf, uint32_t permyriad);

#define HR_NAME_MAX 64 /* a job's or a policy's name with its NUL */

/* A job's name: begins with a letter, then letters, digits and "._-@"; shorter than HR_NAME_MAX; can't look
 * like an id (j and digits). Returns 0 or -EINVAL. */
int hr_units_check_name(const char *text);
bool hr_units_is_job_id(const char *text); /* "j17" */

/*
 * Escapes what came from outside (names of processes, cgroups, files) for a terminal, a journal or a line:
 * control characters, DEL, backslash and invalid UTF-8 become \xHH. Always ends buf with NUL; cuts at whole
 * characters. Returns buf.
 */
char *hr_units_escape(char *buf, size_t size, const char *text);
/* Undoes it. -EBADMSG: a backslash that it never writes; -ENAMETOOLONG: it does not fit. */
int hr_units_unescape(char *buf, size_t size, const char *text);

/*
 * As vsnprintf, of text for people in UTF-8: what does not fit is cut between two words, or at least between
 * two characters, and ends in "…". Where size has no room for that, nothing is written but NUL.
 */
void hr_units_vformat_text(char *buf, size_t size, const char *format, va_list ap) HR_PRINTF(3, 0);

/* A signal's number by name, with or without "SIG" ("USR1", "SIGTERM", "RTMIN+3"); -EINVAL. */
int hr_units_signal_from_name(const char *name);
