#include "handlers/cli/cli.h"

#include "gateway/demo.h"

#include <stdio.h>

static const char usage[] =
	"Usage: tollgate serve-demo [--port N]\n"
	"\n"
	"Serves the demonstration on 127.0.0.1 until it is interrupted: an OpenAI-shaped server "
	"with\n"
	"the models echo and story and no language model behind them, for trying clients.\n"
	"\n"
	"  --port N  listen on port N, 1 to 65535 (default 0: any free port)\n";

static void say_address(int port)
{
	printf("The demonstration (no language model) listens on http://127.0.0.1:%d/v1\n\n"
	       "curl -N http://127.0.0.1:%d/v1/chat/completions -H 'Content-Type: "
	       "application/json' \\\n"
	       "  -d '{\"model\":\"story\",\"stream\":true,\"messages\":[{\"role\":\"user\","
	       "\"content\":\"Tell me a story\"}]}'\n\n"
	       "Ctrl-C ends it.\n",
		port, port);
	fflush(stdout);
}

int cli_serve_demo(const struct conf *c, int argc, char **argv)
{
	const char *text = "0";
	const struct cli_option options[] = { { .name = "--port", .value = &text }, { 0 } };
	int rc = cli_options(usage, options, argc, argv, NULL, 0);
	int64_t port;
	struct err e;

	if (rc != CLI_GO_ON)
		return rc;
	if (!str_int(slice_of(text), 0, 65535, &port)) {
		fprintf(stderr, "tollgate serve-demo: --port: expected a number from 0 to 65535\n");
		return CLI_USAGE;
	}
	if (demo_serve((int)port, conf_int(c, CONF_DEMO_PACE), say_address, &e))
		return cli_fail(&e);
	return CLI_OK;
}
