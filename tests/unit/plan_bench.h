/* tests/unit/plan_bench.h - makes plans of requests and compares them. */
#ifndef TESTS_UNIT_PLAN_BENCH_H
#define TESTS_UNIT_PLAN_BENCH_H

#include "tests/unit/catalog_env.h"

#include "gateway/chat.h"
#include "gateway/plan.h"

#include <stdio.h>

/* A catalogue, settings, and a place for what a request wishes. */
struct bench {
	struct env env;
	struct plan_conf *conf;
	struct buf body;
	struct chat_req req;
	struct wishes wishes;
	struct plan_ask ask;
	struct plan plan;
	struct err e;
};

static inline void bench_open(struct bench *b, const char *const *settings)
{
	memset(b, 0, sizeof(*b));
	env_load(&b->env, settings);
	if (plan_conf_load(b->env.conf, &b->conf, &b->e))
		fail_msg("%s", b->e.message);
	b->ask = (struct plan_ask){ .catalog = b->env.catalog, .conf = b->conf };
}

static inline void bench_close(struct bench *b)
{
	plan_fini(&b->plan);
	buf_fini(&b->body);
	plan_conf_fini(b->conf);
	env_fini(&b->env);
}

/* Makes the plan of a request with these further members (",\"models\":[…]"; may be ""). */
static inline enum err_code make(struct bench *b, const char *model, const char *members)
{
	static const struct json_limits limits = { .max_depth = 32, .max_keys = 1000 };

	plan_fini(&b->plan);
	buf_reset(&b->body);
	buf_printf(&b->body,
		"{\"model\":\"%s\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]%s}", model,
		members);
	if (chat_parse(buf_slice(&b->body), &limits, &b->req, &b->e))
		fail_msg("%s", b->e.message);
	if (wishes_read(&b->req, &b->wishes, &b->e))
		fail_msg("%s", b->e.message);
	b->ask.wishes = &b->wishes;
	b->ask.model = b->req.model;
	return plan_make(&b->ask, &b->plan, &b->e);
}

/* The plan as a text: "anthropic bedrock | openai", with "=name" where one is given. */
static inline void check(
	struct bench *b, const char *model, const char *members, const char *expected)
{
	char got[1024] = "";
	size_t len = 0;
	unsigned link = 0;

	print_message("%s %s\n", model, members);
	if (make(b, model, members))
		fail_msg("%s", b->e.message);
	for (size_t i = 0; i < b->plan.count; i++) {
		const struct candidate *c = &b->plan.at[i];

		len += (size_t)snprintf(got + len, sizeof(got) - len, "%s%s",
			i == 0            ? ""
			: c->link != link ? " | "
					  : " ",
			c->route.target.slug);
		link = c->link;
	}
	assert_string_equal(got, expected);
}

static inline void check_refused(struct bench *b, const char *model, const char *members,
	enum err_code code, const char *param, const char *words)
{
	print_message("%s %s\n", model, members);
	assert_int_equal(make(b, model, members), code);
	assert_null(b->plan.at);
	if (param)
		assert_string_equal(b->e.param, param);
	if (!strstr(b->e.message, words))
		fail_msg("\"%s\" does not say \"%s\"", b->e.message, words);
}

#define BEDROCK "AWS_BEARER_TOKEN_BEDROCK=k", "AWS_REGION=us-east-1"

#endif
