/* handlers/cli/providers_show.h - how the providers are, as the operator reads it. */
#ifndef HANDLERS_CLI_PROVIDERS_SHOW_H
#define HANDLERS_CLI_PROVIDERS_SHOW_H

#include "gateway/health_log.h"
#include "gateway/providers_view.h"

/* A line for each provider, and below it one for each of its models that is out of rotation, or
 * for every_model. */
void providers_show_table(
	const struct providers_view *v, const struct catalog *c, bool every_model);

void providers_show_json(const struct providers_view *v, const struct catalog *c);

#endif
