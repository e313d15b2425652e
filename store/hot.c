#include "store/hot.h"

#include "store/fault.h"
#include "store/mutex.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define METER_WAYS  8
#define RECENT_WAYS 4

_Static_assert(sizeof(struct lease) == HOT_LEASE_WORDS * 8, "a lease is 16 words");

/* ---- transactions ---- */

void hot_set_word(struct hot *h, hot_word *word, uint64_t value)
{
	struct hot_head *head = h->head;
	uint64_t n = head->undo_count;

	/* Never reached: the largest transaction (a settle with all its targets and holds)
	 * needs two thirds. Going on would overwrite the head. */
	if (n >= HOT_UNDO)
		abort();
	head->undo[n].offset = (uint64_t)((const char *)word - (const char *)head);
	head->undo[n].old = *word;
	hot_barrier();
	head->undo_count = n + 1;
	hot_barrier();
	__atomic_store_n(word, value, __ATOMIC_RELEASE);
}

void hot_copy(struct hot *h, void *to, const void *from, size_t n)
{
	hot_word *a = to;
	const hot_word *b = from;

	for (size_t i = 0; i < n; i++)
		if (a[i] != b[i])
			hot_set_word(h, &a[i], b[i]);
}

/* May be cut off and repeated at any instruction. */
void hot_abort(struct hot *h)
{
	struct hot_head *head = h->head;

	for (uint64_t n = head->undo_count < HOT_UNDO ? head->undo_count : HOT_UNDO; n-- > 0;) {
		uint64_t offset = head->undo[n].offset;

		if (offset % 8 == 0 && offset <= h->bytes - 8)
			__atomic_store_n((hot_word *)((char *)head + offset), head->undo[n].old,
				__ATOMIC_RELEASE);
	}
	(void)fault_at("hot.undone");
	hot_commit(h);
}

static void repair(struct hot *h)
{
	atomic_fetch_add(&h->head->owners_died, 1);
	if (h->head->undo_valid && !fault_at("hot.skip_undo")) {
		hot_abort(h);
		atomic_fetch_add(&h->head->undone, 1);
	}
	(void)fault_at("hot.repaired");
}

enum err_code hot_lock_any(struct hot *h, int64_t wait_ms, struct err *e)
{
	int rc = mutex_lock_for(&h->head->mutex, wait_ms);

	if (rc == EOWNERDEAD) {
		repair(h);
		rc = pthread_mutex_consistent(&h->head->mutex);
	}
	if (rc == ETIMEDOUT)
		return err_set(e, ERR_BUSY, "the store's table was busy for %lld ms; try again",
			(long long)wait_ms);
	if (rc)
		return err_set(e, ERR_STORE, "%s: the table's lock is beyond repair (%s)", h->path,
			strerror(rc));
	return ERR_OK;
}

enum err_code hot_lock(struct hot *h, int64_t wait_ms, struct err *e)
{
	enum err_code rc = hot_lock_any(h, wait_ms, e);

	if (!rc && h->head->state != HOT_VALID) {
		pthread_mutex_unlock(&h->head->mutex);
		return err_set(e, ERR_STORE, "%s: the table has to be built anew", h->path);
	}
	if (!rc)
		(void)fault_at("hot.locked");
	return rc;
}

void hot_unlock(struct hot *h)
{
	(void)fault_at("hot.unlock");
	pthread_mutex_unlock(&h->head->mutex);
}

/* ---- slots ---- */

static size_t spread(uint64_t x, uint64_t slots)
{
	x *= UINT64_C(0x9E3779B97F4A7C15);
	return (size_t)(x >> 32 ^ x >> 7) & (size_t)(slots - 1);
}

static struct account *probe(const struct hot *h, uint64_t subject)
{
	size_t n = h->head->accounts;
	size_t i = spread(subject, n);

	for (size_t tries = 0; tries < n; tries++, i = (i + 1) & (n - 1))
		if (!h->accounts[i].subject || h->accounts[i].subject == subject)
			return &h->accounts[i];
	return NULL;
}

struct account *hot_account(const struct hot *h, uint64_t subject)
{
	struct account *a = probe(h, subject);

	return a && a->subject ? a : NULL;
}

struct account *hot_account_make(struct hot *h, uint64_t subject)
{
	struct account *a = probe(h, subject);

	if (a && a->subject)
		return a;
	if (!a || h->head->accounts_used >= h->head->accounts / 16 * 15)
		return NULL;
	hot_set(h, &a->subject, subject);
	hot_set(h, &h->head->accounts_used, h->head->accounts_used + 1);
	return a;
}

static struct meter *meter_ways(const struct hot *h, uint64_t subject)
{
	return &h->meters[spread(subject, h->head->meters) & ~(size_t)(METER_WAYS - 1)];
}

struct meter *hot_meter(const struct hot *h, uint64_t subject)
{
	struct meter *m = meter_ways(h, subject);

	for (unsigned i = 0; i < METER_WAYS; i++)
		if (m[i].subject == subject)
			return &m[i];
	return NULL;
}

struct meter *hot_meter_place(const struct hot *h, uint64_t subject, int64_t mono_ms)
{
	struct meter *m = meter_ways(h, subject), *best = hot_meter(h, subject);
	int64_t least = INT64_MAX;

	for (unsigned i = 0; i < METER_WAYS && !best; i++)
		if (!m[i].subject)
			best = &m[i];
	if (best)
		return best;
	/* The busiest are kept, so a crowd of newcomers cannot wash out who is at a limit. */
	for (unsigned i = 0; i < METER_WAYS; i++) {
		int64_t worth = meter_worth(&m[i], mono_ms);

		if (worth < least) {
			least = worth;
			best = &m[i];
		}
	}
	return best;
}

static struct hot_recent *recent_ways(const struct hot *h, uint64_t id)
{
	return &h->recent[spread(id, h->head->recent) & ~(size_t)(RECENT_WAYS - 1)];
}

bool hot_recent_find(const struct hot *h, uint64_t id, uint64_t *segment, uint64_t *number)
{
	const struct hot_recent *r = recent_ways(h, id);

	for (unsigned i = 0; i < RECENT_WAYS; i++) {
		if (r[i].id != id || !id)
			continue;
		*segment = r[i].place >> 24;
		*number = r[i].place & 0xFFFFFF;
		return true;
	}
	return false;
}

void hot_recent_put(struct hot *h, uint64_t id, uint64_t segment, uint64_t number)
{
	struct hot_recent *r = recent_ways(h, id), *oldest = r;

	for (unsigned i = 1; i < RECENT_WAYS; i++)
		if (r[i].place < oldest->place)
			oldest = &r[i];
	hot_set(h, &oldest->id, id);
	hot_set(h, &oldest->place, segment << 24 | (number & 0xFFFFFF));
}

void hot_wipe(struct hot *h)
{
	h->head->state = HOT_BUILDING;
	hot_barrier();
	(void)fault_at("hot.wipe");
	memset(h->accounts, 0, sizeof(*h->accounts) * h->head->accounts);
	memset(h->recent, 0, sizeof(*h->recent) * h->head->recent);
	h->head->accounts_used = 0;
	h->head->undo_valid = 0;
}

/* ---- the self-test ---- */

enum err_code hot_self_test(struct err *e)
{
	pthread_mutex_t *m;
	pid_t child;
	int rc;

	m = mmap(NULL, sizeof(*m), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (m == MAP_FAILED)
		return err_set(e, ERR_STORE, "no memory for the table's self-test");
	rc = mutex_init_shared(m);
	child = rc ? -1 : fork();
	if (child == 0) {
		if (pthread_mutex_lock(m) == 0)
			kill(getpid(), SIGKILL);
		_exit(1);
	}
	if (child > 0) {
		while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
			continue;
		rc = pthread_mutex_trylock(m);
		/* Held now: it must leave the thread's list of robust mutexes before it is
		 * unmapped. */
		if (rc == EOWNERDEAD)
			pthread_mutex_consistent(m);
		if (rc == 0 || rc == EOWNERDEAD)
			pthread_mutex_unlock(m);
		if (fault_at("hot.self_test"))
			rc = ETIMEDOUT;
	}
	munmap(m, sizeof(*m));
	if (child < 0)
		return err_set(e, ERR_STORE, "the table's self-test cannot start a process");
	if (rc != EOWNERDEAD)
		return err_set(e, ERR_STORE,
			"robust mutexes do not work with this C library or kernel: "
			"the store cannot survive a killed process here");
	return ERR_OK;
}
