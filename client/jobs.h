/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The verbs that show jobs or act on one. Each returns an exit status, and has said why where it is not 0. */

#include "verbs.h"

int hr_jobs_status(const struct hr_verb_info *verb, const struct hr_options *o);
int hr_jobs_limit(const struct hr_verb_info *verb, const struct hr_options *o);
int hr_jobs_attach(const struct hr_verb_info *verb, const struct hr_options *o);
int hr_jobs_resume(const struct hr_verb_info *verb, const struct hr_options *o);
int hr_jobs_act(const struct hr_verb_info *verb, const struct hr_options *o); /* what its name says */
