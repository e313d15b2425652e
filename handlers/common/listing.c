#include "handlers/common/listing.h"

#include <pthread.h>

/* The catalogue never changes in a process, so its listings do not either. */
static struct {
	pthread_mutex_t lock;
	struct buf text[2];
} kept = { .lock = PTHREAD_MUTEX_INITIALIZER };

static bool wants_all(const struct exchange *x)
{
	char value[8];
	bool all;

	return request_query_get(x->rq, "all", value, sizeof(value)) &&
	       str_bool(slice_of(value), &all) && all;
}

void listing_answer(struct exchange *x, listing_writer writer)
{
	bool all = wants_all(x);
	struct buf *text = &kept.text[all];
	struct err e;
	bool good;

	pthread_mutex_lock(&kept.lock);
	if (!text->len)
		writer(x->front->catalog, all, text);
	good = buf_ok(text);
	pthread_mutex_unlock(&kept.lock);
	if (good) {
		exchange_listing(x, buf_slice(text));
		return;
	}
	(void)!err_set(&e, ERR_NO_MEMORY, "the listing does not fit into memory");
	exchange_error(x, &e);
}
