/* tests/unit/gather_trees.h - streams that were gathered, compared as trees. */
#ifndef TESTS_UNIT_GATHER_TREES_H
#define TESTS_UNIT_GATHER_TREES_H

#include "base/json.h"
#include "gateway/providers/gather.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static struct json_object *tree_of(struct slice text)
{
	struct json_object *tree;
	struct err e = { 0 };

	if (json_read(text, 200, &tree, &e))
		fail_msg("%s: %.*s", e.message, SLICE_ARG(text));
	return tree;
}

static void assert_same_json(const char *what, struct json_object *got, struct json_object *want)
{
	if (!json_object_equal(got, want))
		fail_msg("%s: expected\n%s\n--- but got\n%s", what,
			json_object_to_json_string(want), json_object_to_json_string(got));
}

static struct buf gathered(const char *what, struct slice events, struct slice usage)
{
	struct buf out = { 0 };
	struct err e = { 0 };

	if (gather_events(events, usage, &out, &e))
		fail_msg("%s: %s", what, e.message);
	return out;
}

#endif
