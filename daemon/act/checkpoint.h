/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Asking a job to save its state, and judging whether it did. Hooks are run by the helper (act/hook). */

#include "act/target.h"
#include "think/policy.h"

/*
 * Sends the method's signal: to the leader alone, or to every process that has a handler for it. has_file: a
 * file will prove it. Returns HR_SAVE_RUNNING, HR_SAVE_ASKED (sent, and nothing can prove it) or
 * HR_SAVE_FAILED; text says why.
 */
enum hr_save hr_checkpoint_signal(const struct hr_target *t, const struct hr_checkpoint_method *method,
        bool has_file, char *text, size_t text_size);
/* A hook's wait status (or -errno) as an outcome. */
enum hr_save hr_checkpoint_judge_hook(int result, char *text, size_t text_size);
/* "%j" the job's id, "%n" its name, "%u" its owner, "%%" a percent sign. */
void hr_checkpoint_expand(
        const char *pattern, const char *id, const char *name, const char *user, char *buf, size_t size);
