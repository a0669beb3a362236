/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* `headroom metrics`: what Prometheus is told, on stdout. */

#include "verbs.h"

int hr_metrics_verb(const struct hr_verb_info *verb, const struct hr_options *o);
