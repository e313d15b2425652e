#include "store/redis_wire.h"

#include "base/crypto.h"

#include <stdlib.h>

/* Every piece of an answer is one of these, behind the others. */
struct block {
	struct block *next;
	char bytes[];
};

struct answer {
	struct redis_value value;
	struct block *blocks;
	size_t items;
};

static void answer_free(struct answer *a)
{
	if (!a)
		return;
	while (a->blocks) {
		struct block *b = a->blocks;

		a->blocks = b->next;
		free(b);
	}
	free(a);
}

void redis_reply_fini(struct redis_reply *r)
{
	answer_free(r->own);
	*r = (struct redis_reply){ 0 };
}

#if __has_include(<hiredis/hiredis.h>) && !defined(TOLLGATE_NO_REDIS)

#include <hiredis/hiredis.h>

/* How lists are counted: hiredis 1.0 changed it. */
#if HIREDIS_MAJOR >= 1
typedef size_t list_size;
#else
typedef int list_size;
#endif

struct redis_reader {
	redisReader *parser;
	struct answer *answer; /* the one that is coming in */
	size_t fed;            /* since the last whole answer */
};

bool redis_is_built(void)
{
	return true;
}

static void *take(struct answer *a, size_t n)
{
	struct block *b = malloc(sizeof(*b) + n);

	if (!b)
		return NULL;
	b->next = a->blocks;
	a->blocks = b;
	return b->bytes;
}

/* Where this piece belongs: the answer itself, or its place in a list. */
static struct redis_value *place_of(const redisReadTask *task)
{
	struct redis_reader *r = task->privdata;
	struct redis_value *parent = task->parent ? task->parent->obj : NULL;

	if (parent)
		return &parent->items[task->idx];
	if (!r->answer)
		r->answer = calloc(1, sizeof(*r->answer));
	return r->answer ? &r->answer->value : NULL;
}

static void *on_string(const redisReadTask *task, char *text, size_t n)
{
	struct redis_value *v = place_of(task);
	char *copy;

	if (!v)
		return NULL;
	copy = take(((struct redis_reader *)task->privdata)->answer, n + 1);
	if (!copy)
		return NULL;
	memcpy(copy, text, n);
	copy[n] = '\0';
	*v = (struct redis_value){ .kind = task->type == REDIS_REPLY_ERROR ? REDIS_ERROR
									   : REDIS_STRING,
		.text = { copy, n } };
	return v;
}

static void *on_list(const redisReadTask *task, list_size n)
{
	struct redis_value *v = place_of(task);
	struct answer *a = ((struct redis_reader *)task->privdata)->answer;
	size_t count = (size_t)n;

	if (!v || count > REDIS_ITEMS_MAX || a->items + count > REDIS_ITEMS_MAX)
		return NULL;
	a->items += count;
	*v = (struct redis_value){ .kind = REDIS_ARRAY };
	if (!count)
		return v;
	v->items = take(a, count * sizeof(*v->items));
	if (!v->items)
		return NULL;
	memset(v->items, 0, count * sizeof(*v->items));
	v->count = count;
	return v;
}

static void *on_integer(const redisReadTask *task, long long n)
{
	struct redis_value *v = place_of(task);

	if (v)
		*v = (struct redis_value){ .kind = REDIS_INTEGER, .integer = n };
	return v;
}

static void *on_nil(const redisReadTask *task)
{
	struct redis_value *v = place_of(task);

	if (v)
		*v = (struct redis_value){ .kind = REDIS_NIL };
	return v;
}

/* Pieces end with their answer. */
static void on_free(void *piece)
{
	(void)piece;
}

#if HIREDIS_MAJOR >= 1
/* Of a protocol that nobody asked for. */
static void *on_double(const redisReadTask *task, double n, char *text, size_t len)
{
	(void)n;
	return on_string(task, text, len);
}

static void *on_bool(const redisReadTask *task, int n)
{
	return on_integer(task, n);
}
#endif

static redisReplyObjectFunctions makers = {
	.createString = on_string,
	.createArray = on_list,
	.createInteger = on_integer,
#if HIREDIS_MAJOR >= 1
	.createDouble = on_double,
	.createBool = on_bool,
#endif
	.createNil = on_nil,
	.freeObject = on_free,
};

struct redis_reader *redis_reader_new(void)
{
	struct redis_reader *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->parser = redisReaderCreateWithFunctions(&makers);
	if (!r->parser) {
		free(r);
		return NULL;
	}
	r->parser->privdata = r;
	return r;
}

void redis_reader_free(struct redis_reader *r)
{
	if (!r)
		return;
	redisReaderFree(r->parser);
	answer_free(r->answer);
	free(r);
}

enum err_code redis_reader_feed(struct redis_reader *r, struct slice bytes, struct err *e)
{
	r->fed += bytes.len;
	if (r->fed > REDIS_ANSWER_MAX)
		return err_set(
			e, ERR_IO, "its answer is longer than %zu MiB", REDIS_ANSWER_MAX >> 20);
	if (redisReaderFeed(r->parser, bytes.ptr, bytes.len) != REDIS_OK)
		return err_set(e, ERR_IO, "its answer cannot be kept");
	return ERR_OK;
}

enum err_code redis_reader_next(
	struct redis_reader *r, struct redis_reply *out, bool *got, struct err *e)
{
	void *whole = NULL;

	*got = false;
	/* The reader's own words repeat bytes of what came: they are not for a log. */
	if (redisReaderGetReply(r->parser, &whole) != REDIS_OK)
		return err_set(e, ERR_IO,
			r->parser->err == REDIS_ERR_OOM
				? "its answer is too large"
				: "what it answers is not the protocol of Redis");
	if (!whole)
		return ERR_OK;
	*got = true;
	r->fed = r->parser->len - r->parser->pos;
	out->value = r->answer->value;
	out->own = r->answer;
	r->answer = NULL;
	return ERR_OK;
}

bool redis_reader_is_empty(const struct redis_reader *r)
{
	return !r->answer && r->parser->pos == r->parser->len;
}

enum err_code redis_wire_write(struct buf *out, const struct slice *words, size_t n, struct err *e)
{
	const char *few[16], **texts = few;
	size_t few_sizes[16], *sizes = few_sizes, total = 0;
	enum err_code rc = ERR_OK;
	char *text = NULL;
	int len;

	if (!n || n > REDIS_WORDS_MAX)
		return err_set(e, ERR_RANGE, "a command of %zu words", n);
	for (size_t i = 0; i < n; i++) {
		if (words[i].len > REDIS_COMMAND_MAX - total)
			return err_set(e, ERR_RANGE, "a command of more than %zu MiB",
				REDIS_COMMAND_MAX >> 20);
		total += words[i].len;
	}
	if (n > 16) {
		texts = malloc(n * sizeof(*texts));
		sizes = malloc(n * sizeof(*sizes));
	}
	if (!texts || !sizes) {
		rc = err_set(e, ERR_NO_MEMORY, "no memory for a command to Redis");
		goto out;
	}
	for (size_t i = 0; i < n; i++) {
		texts[i] = words[i].len ? words[i].ptr : "";
		sizes[i] = words[i].len;
	}
	len = (int)redisFormatCommandArgv(&text, (int)n, texts, sizes);
	if (len < 0) {
		rc = err_set(e, ERR_NO_MEMORY, "no memory for a command to Redis");
		goto out;
	}
	buf_append(out, text, (size_t)len);
	/* It may be the password. */
	crypto_wipe(text, (size_t)len < 2048 ? (size_t)len : 2048);
	redisFreeCommand(text);
	if (!buf_ok(out))
		rc = err_set(e, ERR_NO_MEMORY, "no room for a command to Redis");
out:
	if (texts != few)
		free(texts);
	if (sizes != few_sizes)
		free(sizes);
	return rc;
}

#else /* no hiredis: redis_open() refuses, so nobody has a connection to read from */

bool redis_is_built(void)
{
	return false;
}

struct redis_reader *redis_reader_new(void)
{
	return NULL;
}

void redis_reader_free(struct redis_reader *r)
{
	(void)r;
}

static enum err_code absent(struct err *e)
{
	return err_set(e, ERR_CONF, "this build is without Redis");
}

enum err_code redis_reader_feed(struct redis_reader *r, struct slice bytes, struct err *e)
{
	(void)r;
	(void)bytes;
	return absent(e);
}

enum err_code redis_reader_next(
	struct redis_reader *r, struct redis_reply *out, bool *got, struct err *e)
{
	(void)r;
	(void)out;
	*got = false;
	return absent(e);
}

bool redis_reader_is_empty(const struct redis_reader *r)
{
	(void)r;
	return true;
}

enum err_code redis_wire_write(struct buf *out, const struct slice *words, size_t n, struct err *e)
{
	(void)out;
	(void)words;
	(void)n;
	return absent(e);
}

#endif
