/* tollgate store: where things are kept, and moving them. */
#include "handlers/cli/cli.h"

#include "handlers/cli/store_migrate.h"
#include "handlers/cli/store_status.h"

static const char usage[] =
	"Usage: tollgate store status\n"
	"       tollgate store migrate gdbm redis\n"
	"       tollgate store migrate redis gdbm [--from-copy]\n"
	"\n"
	"status   where keys, balances and usage are kept (GATEWAY_STORE), whether Redis answers, "
	"and\n"
	"         whether this host's copies are the same; fails when something is away or behind\n"
	"migrate  moves keys, people, users' provider keys and the books to Redis, beside what "
	"other\n"
	"         hosts have there, or takes them home; proves that both are the same. The "
	"gateway\n"
	"         may run; what was interrupted is done again. GATEWAY_STORE in the environment "
	"of\n"
	"         the command says which Redis; then set it for the gateway. `gdbm-redis` is "
	"fine,\n"
	"         too\n"
	"         --from-copy  for a Redis that is lost: without asking it, keep what this host "
	"has\n";

enum { STATUS, MIGRATE };

static const struct cli_verb verbs[] = { [STATUS] = { .name = "status" },
	[MIGRATE] = { "migrate", 1, "from where to where: gdbm redis, or redis gdbm", 1 },
	{ 0 } };

int cli_store(const struct conf *c, int argc, char **argv)
{
	bool from_copy = false;
	const char *operands[4];
	const struct cli_option options[] = {
		{ "--from-copy", NULL, &from_copy, 1u << MIGRATE },
		{ 0 },
	};
	int rc = cli_options(usage, options, argc, argv, operands, 3), verb;
	enum store_way way;

	operands[3] = NULL;
	if (rc != CLI_GO_ON)
		return rc;
	verb = cli_verb("store", verbs, options, operands);
	if (verb < 0)
		return CLI_USAGE;
	if (verb == STATUS)
		return store_status(c);
	way = store_migrate_way(operands[1], operands[2]);
	if (way == STORE_WAY_NONE)
		return cli_misuse("store", "say from where to where: gdbm redis, or redis gdbm");
	if (from_copy && way != STORE_TO_GDBM)
		return cli_misuse("store", "--from-copy goes with redis gdbm");
	return store_migrate(c, way, from_copy);
}
