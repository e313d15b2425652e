/* tollgate cache: the answers that are remembered. */
#include "handlers/cli/cli.h"

#include "base/clock.h"
#include "gateway/books.h"
#include "handlers/cli/amount.h"
#include "handlers/cli/cache_list.h"
#include "handlers/cli/cache_warm.h"
#include "handlers/cli/json_out.h"
#include "handlers/cli/table.h"

#include <inttypes.h>
#include <stdio.h>

static const char usage[] =
	"Usage: tollgate cache stats [--json]\n"
	"       tollgate cache list [--json]\n"
	"       tollgate cache show KEY [--body] [--json]\n"
	"       tollgate cache purge [--model MODEL] [--key PREFIX] [--older-than DURATION]\n"
	"       tollgate cache purge --all\n"
	"       tollgate cache warm FILE [--url URL] [--key-file FILE] [--missing]\n"
	"\n"
	"stats  how often answers were found, what that saved, and what they take\n"
	"list   every answer, the newest first\n"
	"show   one of them; KEY is the beginning of its key, which X-Cache-Key tells clients\n"
	"         --body          the answer itself, too\n"
	"purge  forgets answers, in all processes at once; those that every option given is true\n"
	"       of\n"
	"         --model MODEL   made by this model\n"
	"         --key PREFIX    with a key that begins so\n"
	"         --older-than D  made longer ago than that, as in 30s, 5m, 2h, 7d\n"
	"         --all           every one\n"
	"warm   asks the gateway for an answer to each line of FILE, which is the body of a chat\n"
	"       request (- is standard input); what was remembered is replaced\n"
	"         --url URL       base URL of the gateway (default " CACHE_WARM_URL ")\n"
	"         --key-file FILE the API key to ask with: answers are remembered for who it\n"
	"                         belongs to; without it they are anonymous\n"
	"         --missing       what is remembered stays as it is\n"
	"  --json  for programs\n";

enum { STATS, LIST, SHOW, PURGE, WARM };

static const struct cli_verb verbs[] = { [STATS] = { .name = "stats" },
	[LIST] = { .name = "list" },
	[SHOW] = { "show", 1, "the KEY of an answer", 0 },
	[PURGE] = { .name = "purge" },
	[WARM] = { "warm", 1, "a FILE with a request's body in each line", 0 },
	{ 0 } };

struct words {
	const char *model, *key, *older_than, *url, *key_file;
	bool all, body, missing, json;
};

/* ---- figures ---- */

static const struct {
	enum cache_event event;
	const char *name, *words;
} events[] = {
	{ CACHE_HIT, "hits", "found" },
	{ CACHE_SEMANTIC, "semantic_hits", "found by meaning" },
	{ CACHE_COALESCED, "coalesced", "shared in flight" },
	{ CACHE_MISS, "misses", "not found" },
	{ CACHE_BYPASS, "bypassed", "not asked for" },
	{ CACHE_STORED, "stored", "remembered" },
	{ CACHE_EVICTED, "evicted", "dropped for room" },
	{ CACHE_DAMAGED, "damaged", "not believed" },
};

#define EVENTS (sizeof(events) / sizeof(*events))

/* Of the requests that looked, how many in a thousand were answered. */
static unsigned found_per_mille(const struct cache_stats *s)
{
	uint64_t found =
		s->counted[CACHE_HIT] + s->counted[CACHE_SEMANTIC] + s->counted[CACHE_COALESCED];
	uint64_t looked = found + s->counted[CACHE_MISS];

	return looked ? (unsigned)(found * 1000 / looked) : 0;
}

static void print_json(const struct cache_stats *s)
{
	struct buf out = { 0 };

	buf_printf(&out,
		"{\"entries\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"files\":%" PRIu64
		",\"file_bytes\":%" PRIu64,
		s->entries, s->bytes, s->files, s->file_bytes);
	for (size_t i = 0; i < EVENTS; i++)
		buf_printf(&out, ",\"%s\":%" PRIu64, events[i].name, s->counted[events[i].event]);
	buf_printf(&out, ",\"hit_ratio\":%u.%03u,\"saved_microusd\":%" PRId64,
		found_per_mille(s) / 1000, found_per_mille(s) % 1000, s->saved_microusd);
	json_out_time(&out, "since", s->since_ms);
	json_out_time(&out, "oldest", s->oldest_ms);
	json_out_time(&out, "newest", s->newest_ms);
	buf_str(&out, "}\n");
	json_out_print(&out);
}

static int stats(struct cache *c, bool json)
{
	char saved[AMOUNT_SIZE], time[CLOCK_ISO_SIZE];
	struct cache_stats s;
	struct err e;

	if (cache_stats(c, clock_wall_ms(), &s, &e))
		return cli_fail(&e);
	if (json) {
		print_json(&s);
		return CLI_OK;
	}
	amount_write(s.saved_microusd, saved);
	amount_write_minute(s.since_ms, "-", time);
	printf("Remembered answers, counted since %s UTC\n", time);
	for (size_t i = 0; i < EVENTS; i++)
		table_line(events[i].words, "%" PRIu64, s.counted[events[i].event]);
	table_line("found in 100", "%u.%u", found_per_mille(&s) / 10, found_per_mille(&s) % 10);
	table_line("saved", "%s", saved);
	table_line("answers", "%" PRIu64 ", %" PRIu64 " KB", s.entries, s.bytes / 1000);
	table_line("files", "%" PRIu64 ", %" PRIu64 " KB", s.files, s.file_bytes / 1000);
	amount_write_minute(s.oldest_ms, "-", time);
	table_line("oldest (UTC)", "%s", time);
	amount_write_minute(s.newest_ms, "-", time);
	table_line("newest (UTC)", "%s", time);
	return CLI_OK;
}

/* ---- purge ---- */

static int misuse(const struct err *e)
{
	return cli_misuse("cache", "%s", e->message);
}

static int read_purge(const struct words *w, struct cache_prefix *prefix, struct cache_purge *what)
{
	struct err e;

	*what = (struct cache_purge){ .model = w->model };
	if (!w->model && !w->key && !w->older_than && !w->all)
		return cli_misuse("cache", "say which answers: --model, --key, --older-than, "
					   "or --all for every one");
	if (w->all && (w->model || w->key || w->older_than))
		return cli_misuse("cache", "--all goes with no other choice");
	if (w->key && cache_prefix_read(w->key, "--key", prefix, &e))
		return misuse(&e);
	if (w->key) {
		what->hash = prefix->hash;
		what->hash_bytes = prefix->bytes;
	}
	if (w->older_than && (!str_duration(slice_of(w->older_than), &what->older_than_ms) ||
				     what->older_than_ms <= 0))
		return cli_misuse("cache", "--older-than is a duration like 30s, 5m, 2h or 7d");
	return CLI_GO_ON;
}

/* What a vector leads to is forgotten with the answer; the vectors themselves go when all go. */
static enum err_code forget_questions(const struct conf *c, struct err *e)
{
	struct vectors *v;
	enum err_code rc = books_vectors(c, &v, e);

	if (rc)
		return rc;
	rc = vectors_clear(v, e);
	vectors_close(v);
	return rc;
}

static int purge(const struct conf *conf, struct cache *c, const struct words *w,
	const struct cache_purge *what)
{
	uint64_t dropped;
	struct err e;

	if (cache_purge(c, clock_wall_ms(), what, &dropped, &e) ||
		(w->all && forget_questions(conf, &e)))
		return cli_fail(&e);
	printf("Forgot %" PRIu64 " answer%s.\n", dropped, dropped == 1 ? "" : "s");
	return CLI_OK;
}

/* ---- which of them ---- */

static int open_and_run(
	const struct conf *c, int verb, const struct words *w, const char *const *operands)
{
	struct cache_purge what = { .model = NULL };
	struct cache_prefix prefix;
	struct cache *cache;
	struct err e;
	int code = verb == PURGE ? read_purge(w, &prefix, &what) : CLI_GO_ON;

	if (code != CLI_GO_ON)
		return code;
	if (verb == SHOW && cache_prefix_read(operands[1], "KEY", &prefix, &e))
		return misuse(&e);
	if (books_cache(c, &cache, &e))
		return cli_fail(&e);
	if (verb == STATS)
		code = stats(cache, w->json);
	else if (verb == LIST)
		code = cache_list(cache, w->json);
	else if (verb == SHOW)
		code = cache_show(cache, operands[1], w->body, w->json);
	else
		code = purge(c, cache, w, &what);
	cache_close(cache);
	return code;
}

int cli_cache(const struct conf *c, int argc, char **argv)
{
	struct words w = { .model = NULL };
	const char *operands[4];
	const struct cli_option options[] = {
		{ "--json", NULL, &w.json, 1u << STATS | 1u << LIST | 1u << SHOW },
		{ "--body", NULL, &w.body, 1u << SHOW },
		{ "--model", &w.model, NULL, 1u << PURGE },
		{ "--key", &w.key, NULL, 1u << PURGE },
		{ "--older-than", &w.older_than, NULL, 1u << PURGE },
		{ "--all", NULL, &w.all, 1u << PURGE },
		{ "--url", &w.url, NULL, 1u << WARM },
		{ "--key-file", &w.key_file, NULL, 1u << WARM },
		{ "--missing", NULL, &w.missing, 1u << WARM },
		{ 0 },
	};
	int code = cli_options(usage, options, argc, argv, operands, 3);
	int verb;

	operands[3] = NULL;
	if (code != CLI_GO_ON)
		return code;
	verb = cli_verb("cache", verbs, options, operands);
	if (verb < 0)
		return CLI_USAGE;
	if (verb == WARM)
		return cache_warm(c, &(struct cache_warm){ .file = operands[1],
					     .url = w.url ? w.url : CACHE_WARM_URL,
					     .key_file = w.key_file,
					     .missing = w.missing });
	return open_and_run(c, verb, &w, operands);
}
