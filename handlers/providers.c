/* handlers/providers.c - GET …/providers: who serves the models. */
#include "handlers/common/listing.h"

static void handle(struct exchange *x)
{
	listing_answer(x, catalog_write_providers);
}

int main(int argc, char **argv)
{
	static const struct front_spec spec = {
		.program = "providers.fcgi",
		.summary = "the list of providers",
		.endpoint = "/providers",
		.methods = "GET, HEAD, OPTIONS",
		.needs = FRONT_CATALOG,
		.handle = handle,
	};

	return front_main(argc, argv, &spec);
}
