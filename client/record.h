/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* headroom record: a job's memory as text, to replay it or to draw it. */

#include "verbs.h"

int hr_record_verb(const struct hr_verb_info *verb, const struct hr_options *o);
