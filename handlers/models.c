/* handlers/models.c - GET …/models and …/models/{id}: what can be asked for. */
#include "handlers/common/listing.h"

static void one_model(struct exchange *x)
{
	struct buf json = { 0 };
	struct err e = { 0 };

	if (catalog_write_model(x->catalog, x->rest, &json, &e))
		exchange_error(x, &e);
	else
		exchange_listing(x, buf_slice(&json));
	buf_fini(&json);
}

static void handle(struct exchange *x)
{
	if (x->rest.len)
		one_model(x);
	else
		listing_answer(x, catalog_write_models);
}

int main(int argc, char **argv)
{
	static const struct front_spec spec = {
		.program = "models.fcgi",
		.summary = "the list of models, and each one by its id",
		.endpoint = "/models",
		.methods = "GET, HEAD, OPTIONS",
		.takes_rest = true,
		.needs = FRONT_CATALOG,
		.handle = handle,
	};

	return front_main(argc, argv, &spec);
}
