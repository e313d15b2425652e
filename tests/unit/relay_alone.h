/* tests/unit/relay_alone.h - one attempt, alone, from its beginning to what the client is told. */
#ifndef TESTS_UNIT_RELAY_ALONE_H
#define TESTS_UNIT_RELAY_ALONE_H

#include "gateway/relay.h"

static inline enum err_code relay_chat(struct pump *pump, const struct relay_conf *conf,
	const struct relay_call *call, const char *request_id, struct relay_result *res,
	struct err *e)
{
	struct job_group group;
	struct relay *r;
	enum err_code rc;

	*res = (struct relay_result){ 0 };
	job_group_init(&group);
	rc = relay_start(pump, &group, conf, call, &r, e);
	if (!rc) {
		while (!relay_is_over(r, true))
			(void)job_group_wait(&group, INT64_MAX);
		rc = relay_end(r, res, e);
		if (!rc)
			rc = relay_deliver(r, res, e);
		if (rc && relay_has_begun(call->client)) {
			buf_reset(&res->ending);
			relay_write_failure(call, e, request_id, &res->ending);
		}
		relay_free(r);
	}
	job_group_fini(&group);
	return rc;
}

#endif
