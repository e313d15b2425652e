#include "store/flights_inside.h"

enum err_code flights_open(struct flights **out, const struct flights_conf *conf, struct err *e)
{
	*out = NULL;
	return conf->redis ? flights_redis_open(out, conf, e) : flights_host_open(out, conf, e);
}

void flights_close(struct flights *f)
{
	if (f)
		f->ops->close(f);
}

enum flight_role flight_join(
	struct flights *f, const struct cache_key *key, bool lead, struct flight **out)
{
	*out = NULL;
	return f->ops->join(f, key, lead, out);
}

void flight_begin(struct flight *f, const struct flight_who *who)
{
	f->ops->begin(f, who);
}

void flight_write(struct flight *f, struct slice events)
{
	if (events.len)
		f->ops->write(f, events);
}

bool flight_is_followed(const struct flight *f)
{
	return f->ops->is_followed(f);
}

enum flight_news flight_read(struct flight *f, struct buf *out, struct flight_who *who,
	struct cache_entry *entry, int64_t wait_ms)
{
	return f->ops->read(f, out, who, entry, wait_ms);
}

void flight_end(struct flight *f, const struct cache_entry *entry)
{
	f->ops->end(f, entry);
}
