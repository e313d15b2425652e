/* handlers/models_by_provider.c - GET …/models-by-provider: the models grouped by who serves them.
 */
#include "handlers/common/listing.h"

static void handle(struct exchange *x)
{
	listing_answer(x, catalog_write_models_by_provider);
}

int main(int argc, char **argv)
{
	static const struct front_spec spec = {
		.program = "models_by_provider.fcgi",
		.summary = "the models grouped by provider",
		.endpoint = "/models-by-provider",
		.methods = "GET, HEAD, OPTIONS",
		.needs = FRONT_CATALOG,
		.handle = handle,
	};

	return front_main(argc, argv, &spec);
}
