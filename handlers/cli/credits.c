/* tollgate credits: money on the balances of users and organisations. */
#include "handlers/cli/cli.h"

#include "handlers/cli/amount.h"
#include "handlers/cli/json_out.h"
#include "handlers/cli/ledger_books.h"
#include "handlers/cli/table.h"

#include "base/crypto.h"

#include <stdio.h>

static const char usage[] =
	"Usage: tollgate credits add AMOUNT (--user ID | --org ORG) [--note TEXT] [--id TEXT]\n"
	"       tollgate credits set AMOUNT (--user ID | --org ORG) [--note TEXT]\n"
	"       tollgate credits show (--user ID | --org ORG) [--json]\n"
	"\n"
	"add      adds 10usd, 2.50usd or -1usd, exact to 6 decimals\n"
	"         --note TEXT  why, up to 191 bytes: stands in the books\n"
	"         --id TEXT    makes it once: the same id again adds nothing\n"
	"set      makes the balance AMOUNT, by adding what is missing or too much\n"
	"show     shows balance and spending\n"
	"         --json       as JSON, in microdollars\n"
	"\n"
	"--user ID is a user, or the id of a key that belongs to none; --org ORG an organisation, "
	"by\n"
	"its short name or id, whose balance pays for requests made in its name.\n";

enum { ADD, SET, SHOW };

static const struct cli_verb verbs[] = { [ADD] = { "add", 1, "an AMOUNT like 10usd", 0 },
	[SET] = { "set", 1, "an AMOUNT like 10usd", 0 },
	[SHOW] = { .name = "show" },
	{ 0 } };

struct words {
	const char *user, *org, *note, *id;
	bool json;
};

/* Whose balance it is. */
struct holder {
	uint64_t subject;
	char id[PEOPLE_ID_SIZE];
	char label[PEOPLE_SLUG_SIZE + PEOPLE_NAME_MAX];
};

static enum err_code find_user(
	struct ledger_books *b, const char *id, struct holder *out, struct err *e)
{
	struct people_user user;
	struct key_info key;
	enum err_code rc;

	if (strncmp(id, "key_", 4) != 0 && strncmp(id, "env:", 4) != 0) {
		rc = people_user_get(b->people, id, &user, e);
		if (rc)
			return rc;
		out->subject = account_subject(ACCOUNT_USER, user.number);
		str_copy_cut(out->id, sizeof(out->id), user.id);
		str_copy_cut(out->label, sizeof(out->label), user.name);
		return ERR_OK;
	}
	rc = keys_get(b->keys, id, &key, e);
	if (!rc && key.user[0])
		rc = err_param(e, ERR_BAD_REQUEST, "--user",
			"the key %s belongs to the user %s, whose balance it spends", key.id,
			key.user);
	if (rc)
		return rc;
	out->subject = account_subject(ACCOUNT_USER, key.number);
	str_copy_cut(out->id, sizeof(out->id), key.id);
	str_copy_cut(out->label, sizeof(out->label), key.name);
	return ERR_OK;
}

static enum err_code find_holder(
	struct ledger_books *b, const struct words *w, struct holder *out, struct err *e)
{
	struct people_org org;
	enum err_code rc;

	if (w->user)
		return find_user(b, w->user, out, e);
	rc = people_org_get(b->people, w->org, &org, e);
	if (rc)
		return rc;
	out->subject = account_subject(ACCOUNT_ORG, org.number);
	str_copy_cut(out->id, sizeof(out->id), org.id);
	str_copy_cut(out->label, sizeof(out->label), org.slug);
	return ERR_OK;
}

static int show(struct ledger_books *b, const struct holder *h, const struct words *w)
{
	int64_t now_ms = clock_wall_ms();
	char balance[AMOUNT_SIZE], today[AMOUNT_SIZE], month[AMOUNT_SIZE], total[AMOUNT_SIZE];
	char credited[AMOUNT_SIZE], held[AMOUNT_SIZE];
	struct buf out = { 0 };
	struct account a;
	struct err e;

	if (ledger_account(b->ledger, h->subject, &a, &e))
		return cli_fail(&e);
	if (w->json) {
		buf_str(&out, "{\"id\":");
		buf_json_cstr(&out, h->id);
		json_out_text(&out, "kind", w->user ? "user" : "organization");
		buf_printf(&out, ",\"balance_microdollars\":%lld", (long long)account_balance(&a));
		buf_printf(&out, ",\"credited_microdollars\":%lld", (long long)a.credited);
		buf_printf(&out, ",\"charged_microdollars\":%lld", (long long)a.charged);
		buf_printf(&out, ",\"reserved_microdollars\":%lld", (long long)a.reserved);
		buf_printf(&out, ",\"spent_today_microdollars\":%lld",
			(long long)account_spent_on_day(&a, now_ms));
		buf_printf(&out, ",\"spent_this_month_microdollars\":%lld}\n",
			(long long)account_spent_in_month(&a, now_ms));
		json_out_print(&out);
		return CLI_OK;
	}
	amount_write(account_balance(&a), balance);
	amount_write(a.credited, credited);
	amount_write(a.reserved, held);
	amount_write(account_spent_on_day(&a, now_ms), today);
	amount_write(account_spent_in_month(&a, now_ms), month);
	amount_write(a.spent, total);
	printf("%s%s%s (%s)\n", cli_style(CLI_BOLD), h->id, cli_style(CLI_PLAIN), h->label);
	table_line("balance", "%s", balance);
	table_line("credited in all", "%s", credited);
	table_line("held by requests", "%s", held);
	table_line("spent today", "%s", today);
	table_line("spent this month", "%s", month);
	table_line("spent in all", "%s", total);
	return CLI_OK;
}

/* What makes a credit unique: the operator's text, for one holder, or chance. */
static struct ledger_id id_of(const struct words *w, const struct holder *h)
{
	struct buf text = { 0 };
	struct ledger_id id;
	uint8_t random[32];

	if (w->id) {
		buf_printf(&text, "credit %s %s", h->id, w->id);
		id = ledger_id(buf_slice(&text));
	} else {
		crypto_random(random, sizeof(random));
		id = ledger_id((struct slice){ (const char *)random, sizeof(random) });
	}
	buf_fini(&text);
	return id;
}

static int credit(
	struct ledger_books *b, const struct holder *h, int64_t microusd, const struct words *w)
{
	bool already = false;
	char amount[AMOUNT_SIZE];
	struct err e;

	amount_write(microusd, amount);
	if (!microusd) {
		puts("The balance is that already.");
		return show(b, h, w);
	}
	if (ledger_credit(b->ledger, ledger_now(), h->subject, microusd, id_of(w, h), 0,
		    slice_of(w->note ? w->note : ""), &already, &e))
		return cli_fail(&e);
	if (already)
		printf("There is a credit with the id %s already: nothing was added.\n", w->id);
	else
		printf("Added %s.\n", amount);
	return show(b, h, w);
}

static int run(struct ledger_books *b, int verb, const char *text, const struct words *w)
{
	struct holder h = { .id = "" };
	int64_t microusd = 0;
	struct account a;
	struct err e;
	enum err_code rc = find_holder(b, w, &h, &e);

	if (!rc && verb != SHOW)
		rc = amount_read(
			text, "AMOUNT", -PEOPLE_MICROUSD_MAX, PEOPLE_MICROUSD_MAX, &microusd, &e);
	if (!rc && verb == SET) {
		rc = ledger_account(b->ledger, h.subject, &a, &e);
		if (!rc)
			microusd = account_add(microusd, -account_balance(&a));
	}
	if (rc)
		return cli_fail(&e);
	return verb == SHOW ? show(b, &h, w) : credit(b, &h, microusd, w);
}

/* One line of text that fits where a note does. */
static bool is_note(const char *note)
{
	struct slice text = slice_of(note);

	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.ptr[i] < 0x20 || text.ptr[i] == 0x7f)
			return false;
	return text.len < sizeof(((struct record_credit *)0)->note) && utf8_is_valid(text, NULL);
}

int cli_credits(const struct conf *c, int argc, char **argv)
{
	struct words w = { .user = NULL };
	const char *operands[5];
	const struct cli_option options[] = {
		{ "--user", &w.user, NULL, 1u << ADD | 1u << SET | 1u << SHOW },
		{ "--org", &w.org, NULL, 1u << ADD | 1u << SET | 1u << SHOW },
		{ "--note", &w.note, NULL, 1u << ADD | 1u << SET },
		{ "--id", &w.id, NULL, 1u << ADD },
		{ "--json", NULL, &w.json, 1u << SHOW },
		{ 0 },
	};
	int rc = cli_options(usage, options, argc, argv, operands, 4), verb;
	struct ledger_books books = { .ledger = NULL };
	struct err e;

	operands[4] = NULL;
	if (rc != CLI_GO_ON)
		return rc;
	verb = cli_verb("credits", verbs, options, operands);
	if (verb < 0)
		return CLI_USAGE;
	if (!w.user == !w.org)
		return cli_misuse("credits", "say whose balance: --user ID or --org ORG");
	if (w.note && !is_note(w.note))
		return cli_misuse("credits", "--note has up to 191 bytes of text in one line");
	if (w.id && (!w.id[0] || !is_note(w.id)))
		return cli_misuse("credits", "--id has 1 to 191 bytes of text in one line");
	if (ledger_books_open(&books, c, &e))
		return cli_fail(&e);
	rc = run(&books, verb, operands[1], &w);
	ledger_books_close(&books);
	return rc;
}
