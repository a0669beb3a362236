/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* `headroom doctor`: what works on this machine, what does not, and how to get it. */

#include "verbs.h"

int hr_doctor_verb(const struct hr_verb_info *verb, const struct hr_options *o); /* an exit status */
