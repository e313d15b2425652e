#include "gateway/tee.h"

static struct tee *tee_of(const struct sink *s)
{
	/* The sink is the first member. */
	return (struct tee *)(uintptr_t)s;
}

/* Somebody else still reads what its client does not. */
static bool goes_on(const struct tee *t)
{
	return t->flight && flight_is_followed(t->flight);
}

static enum sink_state state_of(struct tee *t, enum sink_state client)
{
	if (client == SINK_OK)
		return SINK_OK;
	t->gone |= client == SINK_GONE;
	/* Nor do they wait for a slow one: what it does not take is kept for it, while that fits.
	 */
	return goes_on(t) ? SINK_OK : client;
}

static enum sink_state begin(struct sink *s, const struct sink_head *head)
{
	struct tee *t = tee_of(s);

	t->begun = true;
	return t->gone ? state_of(t, SINK_GONE) : state_of(t, sink_begin(t->client, head));
}

/* Comments and the white space of heartbeats are this client's alone. */
static bool is_content(struct slice bytes)
{
	return bytes.len && *bytes.ptr != ':' && *bytes.ptr != '\n' && *bytes.ptr != ' ';
}

static enum sink_state write_out(struct sink *s, struct slice bytes)
{
	struct tee *t = tee_of(s);

	if (is_content(bytes)) {
		buf_slice_append(&t->events, bytes);
		if (t->flight && !t->told) {
			t->told = true;
			flight_begin(t->flight, &t->who);
		}
		if (t->flight)
			flight_write(t->flight, bytes);
	}
	return t->gone ? state_of(t, SINK_GONE) : state_of(t, sink_write(t->client, bytes));
}

static enum sink_state flush(struct sink *s)
{
	struct tee *t = tee_of(s);

	return t->gone ? state_of(t, SINK_GONE) : state_of(t, sink_flush(t->client));
}

static int fd(const struct sink *s)
{
	return sink_fd(tee_of(s)->client);
}

static bool is_gone(struct sink *s)
{
	struct tee *t = tee_of(s);

	t->gone |= sink_is_gone(t->client);
	return t->gone && !goes_on(t);
}

static bool has_begun(const struct sink *s)
{
	const struct tee *t = tee_of(s);

	return t->begun || sink_has_begun(t->client);
}

void tee_init(struct tee *t, struct sink *client, struct flight *flight, size_t max_bytes)
{
	static const struct sink_ops ops = { .begin = begin,
		.write = write_out,
		.flush = flush,
		.fd = fd,
		.is_gone = is_gone,
		.has_begun = has_begun };

	*t = (struct tee){ .sink = { .ops = &ops },
		.client = client,
		.flight = flight,
		.events = { .max_bytes = max_bytes } };
}

void tee_fini(struct tee *t)
{
	buf_fini(&t->events);
}

void tee_set_who(struct tee *t, const char *provider, const char *model)
{
	if (t->told)
		return;
	str_copy_cut(t->who.provider, sizeof(t->who.provider), provider);
	str_copy_cut(t->who.model, sizeof(t->who.model), model);
}

bool tee_client_is_gone(const struct tee *t)
{
	return t->gone;
}
