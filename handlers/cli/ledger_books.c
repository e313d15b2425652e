#include "handlers/cli/ledger_books.h"

#include "gateway/books.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define SUBJECT UINT64_C(0x00FFFFFFFFFFFFFF) /* the part of a number that a subject keeps */

struct text_key {
	uint64_t by;
	uint64_t number;
};

struct text {
	uint64_t subject; /* for the way back */
	char id[RECORD_NAME_MAX + 1];
	char label[PEOPLE_NAME_MAX + 1];
};

static enum err_code no_memory(struct err *e)
{
	return err_set(e, ERR_NO_MEMORY, "no memory for the names");
}

static enum err_code note(struct ledger_books *b, enum usage_by by, uint64_t number,
	uint64_t subject, const char *id, const char *label, struct err *e)
{
	struct text_key key = { by, number };
	bool fresh;
	struct text *t = tally_at(&b->texts, &key, &fresh);

	if (!t)
		return no_memory(e);
	t->subject = subject;
	str_copy_cut(t->id, sizeof(t->id), id);
	str_copy_cut(t->label, sizeof(t->label), label);
	return ERR_OK;
}

/* ---- who is who ---- */

static enum err_code note_keys(struct ledger_books *b, struct err *e)
{
	struct key_info *list = NULL;
	size_t count = 0;
	enum err_code rc = keys_list(b->keys, &list, &count, e);

	for (size_t i = 0; i < count && !rc; i++) {
		uint64_t number = people_number(slice_of(list[i].id));

		rc = note(b, USAGE_BY_KEY, number, account_subject(ACCOUNT_KEY, number), list[i].id,
			list[i].name, e);
		/* Without a user of its own a key spends as the user of its id. */
		if (!rc && !list[i].user[0])
			rc = note(b, USAGE_BY_USER, number, account_subject(ACCOUNT_USER, number),
				list[i].id, list[i].name, e);
	}
	free(list);
	return rc;
}

static enum err_code note_users(struct ledger_books *b, struct err *e)
{
	struct people_user *list = NULL;
	size_t count = 0;
	enum err_code rc = people_user_list(b->people, &list, &count, e);

	for (size_t i = 0; i < count && !rc; i++)
		rc = note(b, USAGE_BY_USER, list[i].number,
			account_subject(ACCOUNT_USER, list[i].number), list[i].id,
			strcmp(list[i].id, list[i].name) == 0 ? "" : list[i].name, e);
	free(list);
	return rc;
}

static enum err_code note_orgs(struct ledger_books *b, struct err *e)
{
	struct people_org *list = NULL;
	size_t count = 0;
	enum err_code rc = people_org_list(b->people, &list, &count, e);

	for (size_t i = 0; i < count && !rc; i++)
		rc = note(b, USAGE_BY_ORG, list[i].number,
			account_subject(ACCOUNT_ORG, list[i].number), list[i].id, list[i].slug, e);
	free(list);
	return rc;
}

/* ---- opening ---- */

enum ledger_keep ledger_books_keep(const struct conf *c)
{
	return conf_int(c, CONF_JOURNAL_KEEP) ? LEDGER_COMPRESS : LEDGER_DROP;
}

enum err_code ledger_books_open(struct ledger_books *b, const struct conf *c, struct err *e)
{
	enum err_code rc;

	*b = (struct ledger_books){ 0 };
	tally_init(&b->texts, sizeof(struct text_key), sizeof(struct text));
	rc = books_open(c, &b->ledger, e);
	if (!rc)
		rc = books_keys(c, &b->keys, e);
	if (!rc)
		rc = books_people(c, &b->people, e);
	if (!rc)
		rc = note_keys(b, e);
	if (!rc)
		rc = note_users(b, e);
	if (!rc)
		rc = note_orgs(b, e);
	if (rc)
		ledger_books_close(b);
	return rc;
}

void ledger_books_close(struct ledger_books *b)
{
	people_file_close(b->people);
	keys_close(b->keys);
	ledger_close(b->ledger);
	tally_fini(&b->texts);
	*b = (struct ledger_books){ 0 };
}

/* ---- looking up ---- */

enum err_code ledger_books_key(
	struct ledger_books *b, const char *which, struct key_info *out, struct err *e)
{
	struct key_info *list = NULL;
	size_t count = 0, named = 0;
	enum err_code rc = keys_list(b->keys, &list, &count, e);
	bool found = false;

	for (size_t i = 0; i < count && !found; i++) {
		if (strcmp(list[i].id, which) == 0) {
			*out = list[i];
			found = true;
		} else if (strcmp(list[i].name, which) == 0 && !list[i].revoked_ms) {
			*out = list[i];
			named++;
		}
	}
	free(list);
	if (rc || found || named == 1)
		return rc;
	if (named)
		return err_set(e, ERR_BAD_REQUEST, "several keys are called %s: use the id", which);
	return err_set(e, ERR_NOT_FOUND, "no key has the id or name %s", which);
}

static const struct text *text_of(struct ledger_books *b, enum usage_by by, uint64_t number)
{
	struct text_key key = { by, number };
	const struct text *known = tally_find(&b->texts, &key);
	struct buf name = { .max_bytes = RECORD_NAME_MAX + 1 };
	char unknown[24];

	if (known || !number)
		return known;
	snprintf(unknown, sizeof(unknown), "#%016" PRIx64, number);
	if ((by != USAGE_BY_MODEL && by != USAGE_BY_PROVIDER) ||
		ledger_name_text(b->ledger, number, &name, NULL) != ERR_OK) {
		buf_reset(&name);
		buf_str(&name, unknown);
	}
	(void)!note(b, by, number, 0, buf_ok(&name) ? buf_cstr(&name) : unknown, "", NULL);
	buf_fini(&name);
	return tally_find(&b->texts, &key);
}

static void find(void *ctx, enum usage_by by, uint64_t number, struct buf *id, struct buf *label)
{
	const struct text *t = text_of(ctx, by, number);

	if (t) {
		buf_str(id, t->id);
		buf_str(label, t->label);
	} else if (!number && (by == USAGE_BY_KEY || by == USAGE_BY_USER)) {
		buf_str(id, "anonymous");
	}
}

struct usage_names ledger_books_names(struct ledger_books *b)
{
	return (struct usage_names){ find, b };
}

void ledger_books_text(struct ledger_books *b, enum usage_by by, uint64_t number, struct buf *out)
{
	struct buf label = { 0 };

	find(b, by, number, out, &label);
	buf_fini(&label);
}

/* A subject has only 56 bits of the number; names of models and providers are looked up by all. */
void ledger_books_subject(struct ledger_books *b, uint64_t subject, struct buf *out)
{
	buf_printf(out, "%s ", account_kind_name(subject));
	for (size_t i = 0; i < b->texts.n; i++) {
		const struct text *t = tally_value(&b->texts, i);

		if (t->subject != subject)
			continue;
		buf_str(out,
			t->label[0] && account_kind_of(subject) == ACCOUNT_ORG ? t->label : t->id);
		return;
	}
	buf_printf(out, "#%014" PRIx64, subject & SUBJECT);
}
