#include "store/people_share.h"

static enum err_code open_for(
	struct share **out, struct share_conf conf, struct redis *redis, struct err *e)
{
	conf.redis = redis;
	return share_open(out, &conf, e);
}

enum err_code people_share_on(struct people_file *f, struct redis *redis, struct err *e)
{
	struct share *share;
	enum err_code rc = open_for(&share, people_file_share_conf(f), redis, e);

	if (!rc)
		people_file_set_share(f, share);
	return rc;
}

enum err_code byok_share_on(struct byok *b, struct redis *redis, struct err *e)
{
	struct share *share;
	enum err_code rc = open_for(&share, byok_share_conf(b), redis, e);

	if (!rc)
		byok_set_share(b, share);
	return rc;
}

void people_share_tick(struct people_file *f, int64_t mono_ms)
{
	if (people_file_share(f))
		share_tick(people_file_share(f), mono_ms);
}

void byok_share_tick(struct byok *b, int64_t mono_ms)
{
	if (byok_share(b))
		share_tick(byok_share(b), mono_ms);
}

enum err_code people_share_take(struct people_file *f, struct err *e)
{
	return people_file_share(f) ? share_take(people_file_share(f), e) : ERR_OK;
}

enum err_code byok_share_take(struct byok *b, struct err *e)
{
	return byok_share(b) ? share_take(byok_share(b), e) : ERR_OK;
}

enum err_code people_share_expect(struct people_file *f, uint64_t changes, struct err *e)
{
	return people_file_share(f) ? share_expect(people_file_share(f), changes, e) : ERR_OK;
}

enum err_code people_share_give(struct people_file *f, const struct share_progress *p,
	struct share_moved *out, struct err *e)
{
	enum err_code rc = people_file_mark_pepper(f, e);

	*out = (struct share_moved){ .sent = 0 };
	return rc ? rc : share_give(people_file_share(f), p, out, e);
}
