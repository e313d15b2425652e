#include "gateway/semantic_words.h"

#include "base/crypto.h"
#include "gateway/semantic.h"

#include <inttypes.h>
#include <stdio.h>

#define WORD_MAX   64 /* longer ones are in no table */
#define NUMBER_MAX INT64_C(1000000000000)

/* ---- one spelling ---- */

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Of a word: a letter, a digit, or a byte of a character beyond ASCII. */
static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || is_digit(c) || (c & 0x80);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Signs that have a simpler spelling; none is the beginning of another. */
static const struct {
	const char *from;
	const char *to;
} spellings[] = {
	{ "\u2018", "'" },
	{ "\u2019", "'" },
	{ "\u02bc", "'" },
	{ "\u201a", "'" },
	{ "\u201c", "\"" },
	{ "\u201d", "\"" },
	{ "\u201e", "\"" },
	{ "\u00ab", "\"" },
	{ "\u00bb", "\"" },
	{ "\u300c", "\"" },
	{ "\u300d", "\"" },
	{ "\u00a0", " " },
	{ "\u202f", " " },
	{ "\u2009", " " },
	{ "\u2212", "-" },
	{ "\u2013", "-" },
	{ "\u2014", "-" },
	{ "\u00d7", "*" },
	{ "\u00f7", "/" },
	{ "\u2264", "<=" },
	{ "\u2265", ">=" },
	{ "\u2260", "!=" },
	{ "\u00bf", "?" },
	{ "\u00a1", "!" },
	{ "\u2026", "..." },
	{ "\u00b2", "^2" },
	{ "\u00b3", "^3" },
	{ "\u00bd", "1/2" },
	{ "\u00bc", "1/4" },
	{ "\u00be", "3/4" },
	{ "\u20ac", "$e" },
	{ "\u00a3", "$p" },
	{ "\u00a5", "$y" },
};

/* Folds the character beyond ASCII at the start of text; how many bytes it has. */
static size_t fold_one(struct slice text, struct buf *out)
{
	uint8_t lead = (uint8_t)text.ptr[0], next = text.len > 1 ? (uint8_t)text.ptr[1] : 0;
	uint8_t last = text.len > 2 ? (uint8_t)text.ptr[2] : 0;

	for (size_t i = 0; i < sizeof(spellings) / sizeof(spellings[0]); i++)
		if (slice_starts(text, spellings[i].from)) {
			buf_str(out, spellings[i].to);
			return strlen(spellings[i].from);
		}
	/* U+00C0 to U+00DE are the capitals of what stands 32 behind. */
	if (lead == 0xc3 && next >= 0x80 && next <= 0x9e) {
		buf_char(out, (char)lead);
		buf_char(out, (char)(next + 0x20));
		return 2;
	}
	/* Digits of full width, and two rows of Arabic ones. */
	if (lead == 0xef && next == 0xbc && last >= 0x90 && last <= 0x99) {
		buf_char(out, (char)('0' + last - 0x90));
		return 3;
	}
	if ((lead == 0xd9 && next >= 0xa0 && next <= 0xa9) ||
		(lead == 0xdb && next >= 0xb0 && next <= 0xb9)) {
		buf_char(out, (char)('0' + (next & 0x0f)));
		return 2;
	}
	buf_char(out, text.ptr[0]);
	return 1;
}

/* Appends the text in lower case and with plain signs. */
static void fold(struct slice text, struct buf *out)
{
	while (text.len) {
		char c = *text.ptr;
		size_t n = 1;

		if (c & 0x80)
			n = fold_one(text, out);
		else
			buf_char(out, c >= 'A' && c <= 'Z' ? (char)(c + 'a' - 'A') : c);
		text = slice_from(text, n);
	}
}

/* Folding makes nothing longer than this. */
static struct buf buf_for(struct slice text)
{
	return (struct buf){ .max_bytes = 3 * text.len + 16 };
}

/* ---- the guard ---- */

struct guard {
	struct crypto_hash hash;
	const char *p, *begin, *end;
	bool counts;        /* a number in words is being read: */
	int64_t sum, part;  /* sum + part */
	bool behind_number; /* the item before was one */
	bool unclosed[2];   /* no further ' or " stands open: none closes */
};

static void put_item(struct guard *g, char kind, struct slice text)
{
	crypto_hash_add(&g->hash, (struct slice){ &kind, 1 });
	crypto_hash_add(&g->hash, text);
	crypto_hash_add(&g->hash, (struct slice){ "\n", 1 });
	g->behind_number = kind == 'n';
}

/* Ends a number in words. */
static void end_number(struct guard *g)
{
	char digits[24];

	if (!g->counts)
		return;
	snprintf(digits, sizeof(digits), "%" PRId64, g->sum + g->part);
	g->counts = false;
	g->sum = g->part = 0;
	put_item(g, 'n', slice_of(digits));
}

static void item(struct guard *g, char kind, struct slice text)
{
	end_number(g);
	put_item(g, kind, text);
}

/* "twenty", "one": 21; "two", "hundred", "five": 205; "one", "two": two numbers. */
static void number_word(struct guard *g, int64_t value)
{
	bool goes_on =
		g->counts &&
		((!g->part && g->sum) ||
			(g->part && g->part % 100 == 0 && value > 0 && value < 100) ||
			(g->part % 100 >= 20 && g->part % 10 == 0 && value > 0 && value < 10));

	if (g->counts && !goes_on)
		end_number(g);
	g->part += value;
	g->counts = true;
}

static void times_word(struct guard *g, int64_t value)
{
	if (g->counts && (!g->part || g->part >= value || g->sum + g->part * value > NUMBER_MAX))
		end_number(g);
	if (!g->counts)
		g->part = 1;
	g->counts = true;
	if (value == 100) {
		g->part *= value;
		return;
	}
	g->sum += g->part * value;
	g->part = 0;
}

/* Letters that no Latin script has: which words of theirs are numbers or negations nobody here
 * knows, so all of them count. */
static bool is_foreign(struct slice word)
{
	for (size_t i = 0; i < word.len; i++)
		if ((uint8_t)word.ptr[i] >= 0xca)
			return true;
	return false;
}

static bool has_digit(struct slice word)
{
	for (size_t i = 0; i < word.len; i++)
		if (is_digit(word.ptr[i]))
			return true;
	return false;
}

static void take_word(struct guard *g)
{
	struct slice word = { g->p, 0 };
	struct semantic_word w;

	while (g->p < g->end &&
		(is_letter(*g->p) || (*g->p == '\'' && g->p + 1 < g->end && is_letter(g->p[1]))))
		g->p++;
	word.len = (size_t)(g->p - word.ptr);
	/* "C++" and "C#" are not C. */
	while (g->p < g->end && (*g->p == '+' || *g->p == '#') && !has_digit(word) &&
		(g->p + 1 == g->end || !is_digit(g->p[1])))
		g->p++;
	if (g->p > word.ptr + word.len || has_digit(word) || is_foreign(word)) {
		item(g, 'w', (struct slice){ word.ptr, (size_t)(g->p - word.ptr) });
		return;
	}
	w = semantic_word(word);
	switch (w.kind) {
	case SEMANTIC_NUMBER:
		number_word(g, w.value);
		break;
	case SEMANTIC_TIMES:
		times_word(g, w.value);
		break;
	case SEMANTIC_AND:
		break;
	case SEMANTIC_NOT:
		item(g, '!', SLICE(""));
		break;
	case SEMANTIC_OPERATOR:
		end_number(g);
		if (g->behind_number)
			item(g, 's', w.text);
		break;
	case SEMANTIC_SAME:
	case SEMANTIC_ITSELF:
		item(g, 'o', w.text);
		break;
	case SEMANTIC_OTHER:
		end_number(g);
		g->behind_number = false;
	}
}

/* Is what stands at p, a comma, between thousands: "1,000"? */
static bool parts_thousands(const struct guard *g, const char *p, size_t before)
{
	return before <= 3 && g->end - p > 3 && is_digit(p[1]) && is_digit(p[2]) &&
	       is_digit(p[3]) && (g->end - p == 4 || !is_digit(p[4]));
}

/* "1,000", "1,000.5" and "1000.5"; "0.5", ".5" and "0,5"; "007"; "2nd", "10km", "1.2.3". */
static void take_number(struct guard *g)
{
	char digits[WORD_MAX];
	size_t n = 0, run = 0;
	bool whole = true; /* no point yet */
	struct slice more = { NULL, 0 };

	for (; g->p < g->end && n + 1 < sizeof(digits); g->p++) {
		bool next = g->p + 1 < g->end && is_digit(g->p[1]);

		if (is_digit(*g->p)) {
			if (whole && n == 1 && digits[0] == '0')
				n = 0;
			digits[n++] = *g->p;
			run++;
		} else if (*g->p == ',' && whole && run && parts_thousands(g, g->p, run)) {
			run = 0;
		} else if ((*g->p == '.' || *g->p == ',') && next) {
			if (!n)
				digits[n++] = '0';
			digits[n++] = '.';
			whole = false;
		} else {
			break;
		}
	}
	more.ptr = g->p;
	while (g->p < g->end && is_letter(*g->p))
		g->p++;
	more.len = (size_t)(g->p - more.ptr);
	item(g, 'n', (struct slice){ digits, n });
	if (more.len && !slice_is(more, "st") && !slice_is(more, "nd") && !slice_is(more, "rd") &&
		!slice_is(more, "th"))
		item(g, 'w', more);
}

/* The text up to the mark, if it stands in quotes; p is behind it then. */
static bool take_quoted(struct guard *g, struct slice mark)
{
	const char *from = g->p + mark.len, *at;
	bool *unclosed = *mark.ptr == '`' ? NULL : &g->unclosed[*mark.ptr == '"'];

	if (unclosed && *unclosed)
		return false;
	for (at = from; at + mark.len <= g->end; at++) {
		/* An apostrophe within a word ends nothing. */
		if (memcmp(at, mark.ptr, mark.len) != 0 ||
			(*mark.ptr == '\'' && at + 1 < g->end && is_letter(at[1])))
			continue;
		item(g, 'q', slice_trim((struct slice){ from, (size_t)(at - from) }));
		g->p = at + mark.len;
		return true;
	}
	if (unclosed)
		*unclosed = true;
	return false;
}

static bool begins_quote(const struct guard *g)
{
	if (*g->p == '"' || *g->p == '`')
		return true;
	return *g->p == '\'' && (g->p == g->begin || !is_letter(g->p[-1])) && g->p + 1 < g->end &&
	       !is_blank(g->p[1]);
}

/* Signs count beside numbers: "2+2", "-5", "10%", "$5"; those of code everywhere. */
static void take_sign(struct guard *g)
{
	static const char beside[] = "+-*/^%$#~", always[] = "<>=&|";
	const char *next = g->p + 1;
	bool counts = *g->p && strchr(always, *g->p);

	end_number(g);
	while (next < g->end && is_blank(*next))
		next++;
	if (*g->p && strchr(beside, *g->p))
		counts = g->behind_number || (next < g->end && is_digit(*next)) ||
			 (*g->p == '$' && next + 1 < g->end && is_digit(next[1]));
	if (counts)
		item(g, 's', (struct slice){ g->p, 1 });
	g->behind_number = counts; /* "<=", "**": what follows counts as well */
	g->p++;
}

static void take_next(struct guard *g)
{
	struct slice mark = { g->p, 1 };
	bool point = *g->p == '.' && g->p + 1 < g->end && is_digit(g->p[1]);

	while (*g->p == '`' && mark.ptr + mark.len < g->end && mark.ptr[mark.len] == '`')
		mark.len++;
	if (begins_quote(g) && take_quoted(g, mark))
		return;
	/* "twenty-one" is one number. */
	if (is_blank(*g->p) ||
		(*g->p == '-' && g->counts && g->p + 1 < g->end && is_letter(g->p[1])))
		g->p++;
	else if (is_digit(*g->p) || point)
		take_number(g);
	else if (is_letter(*g->p))
		take_word(g);
	else
		take_sign(g);
}

uint64_t semantic_guard(struct slice question)
{
	struct buf text = buf_for(question);
	struct guard g = { .behind_number = false };
	uint8_t hash[SHA256_BYTES];
	uint64_t out;

	fold(question, &text);
	crypto_hash_begin(&g.hash);
	g.p = g.begin = buf_slice(&text).ptr;
	g.end = g.p + text.len;
	while (g.p < g.end)
		take_next(&g);
	end_number(&g);
	/* Without memory to look closer only the very same text agrees. */
	if (!buf_ok(&text))
		item(&g, '?', question);
	crypto_hash_end(&g.hash, hash);
	memcpy(&out, hash, sizeof(out));
	buf_fini(&text);
	return out;
}

/* ---- about now ---- */

/* Appends the words with a blank before and behind each; "l'année" is two. */
static void part_words(struct slice text, struct buf *out)
{
	bool parted = false;

	buf_char(out, ' ');
	for (size_t i = 0; i < text.len; i++) {
		bool inside = is_letter(text.ptr[i]);

		if (inside || !parted)
			buf_char(out, inside ? text.ptr[i] : ' ');
		parted = !inside;
	}
	buf_char(out, ' ');
}

bool semantic_is_about_now(struct slice question)
{
	struct buf text = buf_for(question), words = { .max_bytes = 3 * question.len + 32 };
	char phrase[WORD_MAX];
	bool found;

	fold(question, &text);
	part_words(buf_slice(&text), &words);
	found = !buf_ok(&text) || !buf_ok(&words);
	for (const char *const *w = semantic_now_words(); *w && !found; w++) {
		int n = snprintf(phrase, sizeof(phrase), " %s ", *w);

		found = memmem(words.data, words.len, phrase, (size_t)n) != NULL;
	}
	buf_fini(&text);
	buf_fini(&words);
	return found;
}
