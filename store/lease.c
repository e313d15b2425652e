#include "store/lease.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OWNERS 64 /* remembered during one look; more are asked again */

bool lease_open(struct hot *h, const struct lease *what, uint32_t *index, uint32_t *generation)
{
	uint64_t at = h->head->lease_free;
	struct account *accounts[HOT_HOLDS] = { NULL };
	struct lease *l, filled = *what;

	if (!at || at > h->head->leases)
		return false;
	for (unsigned i = 0; i < HOT_HOLDS; i++) {
		if (!(what->holds[i] & LEASE_MONEY))
			continue;
		accounts[i] = hot_account_make(h, what->holds[i] & LEASE_SUBJECT);
		if (!accounts[i])
			return false;
	}
	l = &h->leases[at - 1];
	for (unsigned i = 0; i < HOT_HOLDS; i++) {
		if (!accounts[i])
			continue;
		hot_set(h, &accounts[i]->reserved, accounts[i]->reserved + what->microusd);
		hot_set(h, &accounts[i]->holds, accounts[i]->holds + 1);
	}
	*index = (uint32_t)(at - 1);
	*generation = lease_generation(l);
	filled.state = (uint64_t)*generation << 32 | LEASE_OPEN;
	filled.next = 0;
	hot_set(h, &h->head->lease_free, l->next);
	hot_set(h, &h->head->leases_used, h->head->leases_used + 1);
	hot_copy(h, l, &filled, HOT_LEASE_WORDS);
	return true;
}

struct lease *lease_find(const struct hot *h, uint32_t index, uint32_t generation)
{
	struct lease *l;

	if (index >= h->head->leases)
		return NULL;
	l = &h->leases[index];
	return lease_state(l) != LEASE_FREE && lease_generation(l) == generation ? l : NULL;
}

void lease_mark(struct hot *h, struct lease *l, enum lease_state state)
{
	hot_set(h, &l->state, (l->state & ~UINT64_C(0xFF)) | (uint64_t)state);
}

static void give_back(struct hot *h, const struct lease *l, uint64_t hold, int64_t tokens)
{
	uint64_t subject = hold & LEASE_SUBJECT;
	struct account *a = hold & LEASE_MONEY ? hot_account(h, subject) : NULL;
	struct meter *m = hold & (LEASE_TOKENS | LEASE_RUNNING) ? hot_meter(h, subject) : NULL;
	struct meter changed;

	if (a) {
		hot_set(h, &a->reserved, a->reserved - l->microusd);
		hot_set(h, &a->holds, a->holds - 1);
	}
	if (m) {
		changed = *m;
		if (hold & LEASE_TOKENS)
			meter_adjust_tokens(&changed, tokens - l->tokens);
		if (hold & LEASE_RUNNING && changed.running > 0)
			changed.running--;
		hot_copy(h, m, &changed, METER_WORDS);
	}
}

void lease_end(struct hot *h, struct lease *l, int64_t tokens)
{
	uint64_t index = (uint64_t)(l - h->leases);
	uint32_t generation = lease_generation(l) + 1;

	for (unsigned i = 0; i < HOT_HOLDS; i++)
		if (l->holds[i])
			give_back(h, l, l->holds[i], tokens);
	hot_set(h, &l->state, (uint64_t)generation << 32 | LEASE_FREE);
	hot_set(h, &l->next, h->head->lease_free);
	hot_set(h, &h->head->lease_free, index + 1);
	hot_set(h, &h->head->leases_used, h->head->leases_used - 1);
}

/* proc(5): field 3 is the state, field 22 the start time; the name in field 2 may hold anything,
 * so fields are counted from its last parenthesis. */
uint64_t lease_owner_born(uint64_t pid)
{
	char path[64], text[1024], *p;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%llu/stat", (unsigned long long)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	p = strrchr(text, ')');
	if (!p || p[1] != ' ' || p[2] == 'Z' || p[2] == 'X')
		return 0;
	p += 2;
	for (int field = 3; field < 22; field++) {
		p = strchr(p, ' ');
		if (!p)
			return 0;
		p++;
	}
	return strtoull(p, NULL, 10);
}

struct owners {
	uint64_t pid[OWNERS];
	uint64_t born[OWNERS];
	size_t n;
};

static uint64_t born(struct owners *o, uint64_t pid)
{
	uint64_t t;

	for (size_t i = 0; i < o->n; i++)
		if (o->pid[i] == pid)
			return o->born[i];
	t = lease_owner_born(pid);
	if (o->n < OWNERS) {
		o->pid[o->n] = pid;
		o->born[o->n++] = t;
	}
	return t;
}

size_t lease_overdue(const struct hot *h, int64_t mono_ms, struct lease_ref *out, size_t max)
{
	struct owners owners = { .n = 0 };
	size_t n = 0;

	for (uint32_t i = 0; i < h->head->leases && n < max; i++) {
		const struct lease *l = &h->leases[i];
		uint64_t state = hot_peek(&l->state);
		uint64_t pid = hot_peek(&l->pid), start = hot_peek(&l->born);
		int64_t deadline_ms = (int64_t)hot_peek((const hot_word *)&l->deadline_ms);

		/* Read while it changed: it is another by now, or will be seen next time. */
		if ((state & 0xFF) == LEASE_FREE || hot_peek(&l->state) != state)
			continue;
		if (mono_ms <= deadline_ms && born(&owners, pid) == start)
			continue;
		out[n].index = i;
		out[n++].generation = (uint32_t)(state >> 32);
	}
	return n;
}
