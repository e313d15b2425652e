/* tollgate - the operator's command. */
#include "handlers/cli/cli.h"

#include <stdio.h>

static const struct command {
	const char *name;
	bool needs_settings;
	int (*run)(const struct conf *c, int argc, char **argv);
	const char *help; /* one line */
} commands[] = {
	{ "backup", true, cli_backup, "save everything that is kept in one file" },
	{ "byok", true, cli_byok, "keep users' own keys at providers" },
	{ "cache", true, cli_cache, "remembered answers: look at them, forget them, make them" },
	{ "config", true, cli_config, "show every setting and where its value comes from" },
	{ "credits", true, cli_credits, "put money on balances, and show them" },
	{ "keys", true, cli_keys, "make, show, change and end API keys" },
	{ "ledger", true, cli_ledger, "prove, rebuild or export the books" },
	{ "logs", true, cli_logs, "show the log in readable lines, or follow it" },
	{ "models", true, cli_models, "models and their prices: show, set, refresh" },
	{ "orgs", true, cli_orgs, "organisations, their policies and members" },
	{ "providers", true, cli_providers, "how the providers are; drain one, resume it" },
	{ "restore", true, cli_restore, "go back to what a backup has" },
	{ "selftest", true, cli_selftest, "try what happens when providers misbehave" },
	{ "serve-demo", true, cli_serve_demo, "serve the demonstration models by themselves" },
	{ "store", true, cli_store, "where things are kept, and moving them" },
	{ "usage", true, cli_usage, "what was used, by whom, and what it cost" },
	{ "users", true, cli_users, "who the keys belong to" },
	{ "version", false, cli_version, "print the version" },
	{ "why", true, cli_why, "explain why a key is at its limit" },
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void print_help(FILE *to)
{
	fputs("Tollgate " TOLLGATE_VERSION ", an LLM API gateway. This is the operator's command.\n"
	      "\n"
	      "Usage: tollgate COMMAND [OPTIONS]\n"
	      "\n",
		to);
	for (size_t i = 0; i < COMMANDS; i++)
		fprintf(to, "  %-12s %s\n", commands[i].name, commands[i].help);
	fputs("\n"
	      "  --help       this text; tollgate COMMAND --help tells more\n"
	      "  --version    print the version\n"
	      "  --commands   print the names of all commands\n"
	      "\n"
	      "Settings come from the environment and from gateway.conf: see `tollgate config`.\n",
		to);
}

static int run(const struct command *command, int argc, char **argv)
{
	struct conf *c = NULL;
	struct err e;
	bool help = false;
	int rc;

	for (int i = 1; i < argc; i++)
		help |= strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0;
	/* Help is there even when the settings are wrong. */
	if (command->needs_settings && !help && conf_load(&c, &e))
		return cli_fail(&e);
	rc = command->run(c, argc, argv);
	conf_fini(c);
	if (fflush(stdout) != 0 && rc == CLI_OK)
		rc = CLI_FAILED;
	return rc;
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : NULL;

	if (!name) {
		print_help(stderr);
		return CLI_USAGE;
	}
	for (size_t i = 0; i < COMMANDS; i++)
		if (strcmp(name, commands[i].name) == 0)
			return run(&commands[i], argc - 1, argv + 1);
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
		print_help(stdout);
		return CLI_OK;
	}
	if (strcmp(name, "--version") == 0)
		return cli_version(NULL, 1, argv);
	if (strcmp(name, "--commands") == 0) {
		for (size_t i = 0; i < COMMANDS; i++)
			puts(commands[i].name);
		return CLI_OK;
	}
	fprintf(stderr, "tollgate: unknown %s %s\nTry: tollgate --help\n",
		name[0] == '-' ? "option" : "command", name);
	return CLI_USAGE;
}
