#include "handlers/common/listing.h"

bool listing_wants_all(const struct exchange *x)
{
	char value[8];
	bool all;

	return request_query_get(x->rq, "all", value, sizeof(value)) &&
	       str_bool(slice_of(value), &all) && all;
}

void listing_answer(struct exchange *x, catalog_writer writer)
{
	const struct buf *text =
		catalog_live_listing(x->front->catalogs, x->copy, writer, listing_wants_all(x));
	struct err e;

	if (buf_ok(text)) {
		exchange_listing(x, buf_slice(text));
		return;
	}
	(void)!err_set(&e, ERR_NO_MEMORY, "the listing does not fit into memory");
	exchange_error(x, &e);
}
