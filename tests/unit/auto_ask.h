/* tests/unit/auto_ask.h - somebody who asks for an auto model. */
#ifndef TESTS_UNIT_AUTO_ASK_H
#define TESTS_UNIT_AUTO_ASK_H

#include "tests/unit/catalog_env.h"

#include "gateway/auto_models.h"

#include <string.h>

struct asker {
	bool has_balance, is_broken;
	const char *own_key; /* for this model; NULL = none */
	unsigned asked;
};

static inline enum err_code has_balance(void *ctx, bool *has, struct err *e)
{
	struct asker *a = ctx;

	a->asked++;
	*has = a->has_balance;
	return a->is_broken ? err_set(e, ERR_STORE, "no books") : ERR_OK;
}

static inline bool has_key(void *ctx, const char *model)
{
	const struct asker *a = ctx;

	return a->own_key && strcmp(a->own_key, model) == 0;
}

static inline enum err_code choose_as(const struct catalog *c, struct asker *a, const char *model,
	const char *mode, const char *feature, struct auto_choice *out, struct err *e)
{
	const struct auto_ask ask = { .mode = slice_of(mode),
		.feature = slice_of(feature),
		.has_balance = has_balance,
		.has_key = has_key,
		.ctx = a };

	return auto_models_choose(c, model, &ask, out, e);
}

static inline struct auto_choice choose(
	const struct catalog *c, const char *model, const char *mode)
{
	struct asker a = { .has_balance = true };
	struct auto_choice choice;
	struct err e;

	if (choose_as(c, &a, model, mode, "", &choice, &e))
		fail_msg("%s", e.message);
	return choice;
}

/* Whoever has all keys. */
#define ALL_KEYS \
	"ANTHROPIC_API_KEY=k", "OPENAI_API_KEY=k", "MOONSHOT_API_KEY=k", "MINIMAX_API_KEY=k", \
		"GEMINI_API_KEY=k", "XAI_API_KEY=k", "DEEPSEEK_API_KEY=k", "MISTRAL_API_KEY=k", \
		"ARCEE_API_KEY=k", "OPENROUTER_API_KEY=k", "ZAI_API_KEY=k"

#define OPUS   "anthropic/claude-opus-4.6"
#define SONNET "anthropic/claude-sonnet-4.6"
#define KIMI   "moonshotai/kimi-k2.5"
#define M27    "minimax/minimax-m2.7"

#endif
