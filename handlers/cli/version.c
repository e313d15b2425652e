#include "handlers/cli/cli.h"

#include <stdio.h>

int cli_version(const struct conf *c, int argc, char **argv)
{
	static const char usage[] = "Usage: tollgate version\n\nPrints the version.\n";
	const struct cli_option none[] = { { 0 } };
	int rc = cli_options(usage, none, argc, argv, NULL, 0);

	(void)c;
	if (rc != CLI_GO_ON)
		return rc;
	puts("tollgate " TOLLGATE_VERSION);
	return CLI_OK;
}
