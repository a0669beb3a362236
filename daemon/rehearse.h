/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include "act/freezer.h"

/*
 * Walks the path from a sample to a freeze, a fuse, a signal and a thaw once, on a child of our own, so that
 * every page of it is in memory (and locked) before it is needed: MCL_ONFAULT alone leaves the first page-ins
 * for later. What can't be rehearsed here is no error.
 */
void hr_rehearse(const struct hr_hierarchy *h, struct hr_freezer_thread *freezer);
