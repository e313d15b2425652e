#include "base/log_seldom.h"

#include <inttypes.h>
#include <pthread.h>
#include <string.h>

#define WHAT_SIZE sizeof(((struct err *)NULL)->message)
#define KEPT      8 /* with more troubles at once, the one said longest ago is forgotten */

struct trouble {
	enum log_level level;
	char what[WHAT_SIZE]; /* "" = no trouble */
	int64_t said_ms;
	uint64_t left_out; /* since then */
};

static struct {
	pthread_mutex_t lock;
	struct trouble at[KEPT];
} state = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* The one that was said before, or the place for it. */
static struct trouble *find(const struct trouble *like)
{
	struct trouble *oldest = state.at;

	for (struct trouble *t = state.at; t < state.at + KEPT; t++) {
		if (t->level == like->level && strcmp(t->what, like->what) == 0)
			return t;
		if (!t->what[0] || (oldest->what[0] && t->said_ms < oldest->said_ms))
			oldest = t;
	}
	*oldest = *like;
	oldest->said_ms -= LOG_SELDOM_MS;
	return oldest;
}

void log_seldom(enum log_level level, const char *who, const char *what, int64_t mono_ms)
{
	struct trouble like = { .level = level, .said_ms = mono_ms }, *t;
	uint64_t left_out;
	bool is_due;

	str_copy_cut(like.what, sizeof(like.what), what);
	pthread_mutex_lock(&state.lock);
	t = find(&like);
	left_out = t->left_out;
	is_due = mono_ms - t->said_ms >= LOG_SELDOM_MS;
	t->left_out = is_due ? 0 : left_out + 1;
	if (is_due)
		t->said_ms = mono_ms;
	pthread_mutex_unlock(&state.lock);
	if (is_due && left_out)
		log_line(level, "%s: %s (and %" PRIu64 " more times since this was said last)", who,
			what, left_out);
	else if (is_due)
		log_line(level, "%s: %s", who, what);
}
