/* tests/fake/place.h - the places of the fake provider: each plays a provider of its own, at the
 * paths that begin with /NAME/. What is counted here, and the rules, last until the next reset.
 * Header-only, see cue.h.
 */
#ifndef FAKE_PLACE_H
#define FAKE_PLACE_H

#include "tests/fake/cue.h"

#define PLACES_MAX 64
#define RULE_MAX   256

struct place {
	char name[32];
	uint32_t seen;       /* requests */
	char rule[RULE_MAX]; /* a line of cues for all of them; "" = none */
};

struct places {
	struct place at[PLACES_MAX];
	size_t count;
};

/* Lends the place that a path begins with; NULL when there is none, or no room for another. */
static struct place *place_of(struct places *ps, struct slice path)
{
	struct slice name = slice_from(path, path.len ? 1 : 0), rest = name;
	struct place *p;

	name = slice_cut(&rest, '/');
	for (size_t i = 0; i < ps->count; i++)
		if (slice_is(name, ps->at[i].name))
			return &ps->at[i];
	if (ps->count == PLACES_MAX)
		return NULL;
	p = &ps->at[ps->count];
	if (!slice_copy(name, p->name, sizeof(p->name)))
		return NULL;
	ps->count++;
	return p;
}

/* Sets the rule of a place, and counts its requests anew. false when there is no room for it. */
static bool place_rule(struct places *ps, struct slice name, struct slice rule)
{
	struct place *p = place_of(ps, name);

	if (!p || !slice_copy(slice_trim(rule), p->rule, sizeof(p->rule)))
		return false;
	p->seen = 0;
	return true;
}

/* A request has come: from here on its cues are read as those of its place. */
static void place_enter(struct places *ps, struct slice path)
{
	struct place *p = place_of(ps, path);

	scene = (struct scene){ .nth = 1 };
	if (p)
		scene = (struct scene){ slice_of(p->name), ++p->seen, slice_of(p->rule) };
}

#endif
