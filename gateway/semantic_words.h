/* gateway/semantic_words.h - the words by which questions differ though their vectors do not: a
 * table. For semantic_guard.c.
 *
 * English, German, French and Spanish, and the negations of some others. Lower case, in UTF-8; an
 * apostrophe is ASCII's.
 */
#ifndef GATEWAY_SEMANTIC_WORDS_H
#define GATEWAY_SEMANTIC_WORDS_H

#include "base/str.h"

enum semantic_kind {
	SEMANTIC_OTHER,    /* tells nothing apart */
	SEMANTIC_NOT,      /* a negation */
	SEMANTIC_NUMBER,   /* value */
	SEMANTIC_TIMES,    /* "hundred", "thousand" …: what comes before, value times */
	SEMANTIC_AND,      /* may stand within a number */
	SEMANTIC_OPERATOR, /* means the sign in text */
	SEMANTIC_SAME,   /* has an opposite; text is the word that stands for all that mean this */
	SEMANTIC_ITSELF, /* one of many, such as a day: text is the word */
};

struct semantic_word {
	enum semantic_kind kind;
	int64_t value;
	struct slice text; /* lent by the table, or the word itself */
};

/* What a word in lower case is. */
struct semantic_word semantic_word(struct slice word);

/* Words and phrases that speak of now, ended by NULL. A blank stands for whatever parts words,
 * apostrophes too. */
const char *const *semantic_now_words(void);

#endif
