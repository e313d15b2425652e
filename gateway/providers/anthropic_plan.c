/* gateway/providers/anthropic_plan.c - what a request to Anthropic is to be: how the model thinks
 * and how much it may write (anthropic.md sections 4 and 7). */
#include "gateway/providers/anthropic_plan.h"

#include <stdlib.h>

#define BUDGET_MIN     1024
#define UNSTREAMED_MAX 32000 /* tokens without a word from the client, lest the line goes dead */
#define UNKNOWN_MAX    8192  /* what a model may write of which nothing is known */
#define ID_MAX         64    /* bytes of a call's id */

/* Thoughts of nobody's format come from clients that keep only Anthropic's own blocks. */
static bool claude_takes(struct slice format)
{
	return !format.len || slice_is(format, "anthropic-claude-v1");
}

static bool others_take(struct slice format)
{
	return !format.len || slice_is(format, "unknown");
}

static int64_t most_output(const struct anthropic_plan *p)
{
	int64_t model = p->model->max_output, target = p->target->max_output;

	if (model && target)
		return model < target ? model : target;
	return model ? model : target;
}

/* Do results come last that need the thoughts before their calls, and are those lost? */
static bool lost_thoughts(const struct anthropic_plan *p)
{
	const struct talk *talk = &p->talk;
	const struct turn *last, *asked;

	if (talk->turn_count < 2)
		return false;
	last = &talk->turns[talk->turn_count - 1];
	asked = last - 1;
	if (!last->has_results || !asked->has_calls)
		return false;
	for (unsigned i = 0; i < last->count; i++)
		if (talk->parts[last->first + i].kind != PART_RESULT)
			return false;
	for (unsigned i = 0; i < asked->count; i++) {
		const struct part *part = &talk->parts[asked->first + i];

		if ((part->kind == PART_THOUGHT || part->kind == PART_HIDDEN_THOUGHT) &&
			anthropic_sends(p, part))
			return false;
	}
	return true;
}

static const char *word_of(const struct anthropic_model *m, enum effort effort)
{
	switch (effort) {
	case EFFORT_MINIMAL:
	case EFFORT_LOW:
		return "low";
	case EFFORT_MEDIUM:
		return "medium";
	case EFFORT_HIGH:
		return "high";
	case EFFORT_XHIGH:
		return m->xhigh ? "xhigh" : "max";
	case EFFORT_MAX:
		return "max";
	case EFFORT_UNSET:
	case EFFORT_NONE:
		break;
	}
	return NULL;
}

/* What was asked for, in OpenAI's words or in Anthropic's own. */
struct wish {
	enum effort effort;
	int64_t budget;
	bool on, off;
};

static struct wish read_wish(const struct anthropic_plan *p)
{
	struct wish w = { p->ask.reasoning.effort, p->ask.reasoning.max_tokens, false, false };
	struct slice type = json_get(p->ask.thinking, "type").raw;
	bool enabled = json_str_is(type, "enabled");
	int64_t budget;

	if (enabled && !w.budget && json_int(json_get(p->ask.thinking, "budget_tokens"), &budget) &&
		budget > 0)
		w.budget = budget;
	w.off = w.effort == EFFORT_NONE || json_str_is(type, "disabled");
	w.on = !w.off &&
	       (w.effort != EFFORT_UNSET || w.budget || enabled || json_str_is(type, "adaptive"));
	return w;
}

static void think_freely(struct anthropic_plan *p, struct wish w, int64_t most)
{
	p->thinks = THINKS_FREELY;
	if (w.effort == EFFORT_UNSET && w.budget)
		w.effort = effort_of_tokens(w.budget, most);
	p->effort = word_of(p->model, w.effort);
}

static void think_within(struct anthropic_plan *p, struct wish w, int64_t most)
{
	p->thinks = THINKS_BUDGET;
	p->budget = w.budget;
	if (!p->budget)
		p->budget =
			effort_tokens(w.effort == EFFORT_UNSET ? EFFORT_MEDIUM : w.effort, most);
	if (p->budget < BUDGET_MIN)
		p->budget = BUDGET_MIN;
}

static void think_not(struct anthropic_plan *p, struct wish w)
{
	const struct anthropic_model *m = p->model;

	if (m->always_thinks)
		return;
	p->thinks = THINKS_NOT;
	if (!w.off || m->thinking < ANTHROPIC_EITHER)
		return;
	/* Who asks for an effort without thoughts gets it, as far as it goes. */
	if (m->calm_when_off && w.effort > EFFORT_HIGH)
		w.effort = EFFORT_HIGH;
	p->effort = word_of(m, w.effort);
}

static void plan_thinking(struct anthropic_plan *p, int64_t most)
{
	const struct anthropic_model *m = p->model;
	struct wish w = read_wish(p);
	/* Thinking goes neither with a tool that must be called nor with lost thoughts. */
	bool conflict = (w.on || m->thinks_unasked) && !m->always_thinks &&
			(p->forces_tool || lost_thoughts(p));

	if (m->thinking == ANTHROPIC_NEVER_THINKS)
		return;
	if (w.off || conflict)
		think_not(p, w);
	else if (w.on && (m->thinking == ANTHROPIC_ADAPTIVE ||
				 (m->thinking == ANTHROPIC_EITHER && !w.budget)))
		think_freely(p, w, most);
	else if (w.on)
		think_within(p, w, most);
}

/* What the client wants to read, and what may be thought before. */
static void plan_limit(struct anthropic_plan *p, int64_t most)
{
	int64_t wanted = p->ask.max_tokens;

	if (!wanted) {
		wanted = most;
		if (!p->req->stream && wanted > UNSTREAMED_MAX)
			wanted = UNSTREAMED_MAX;
	}
	if (wanted > most)
		wanted = most;
	if (p->budget > most)
		p->budget = most;
	p->max_tokens = wanted + p->budget < most ? wanted + p->budget : most;
	if (p->thinks != THINKS_BUDGET || p->budget < p->max_tokens)
		return;
	/* There must be room for the answer. */
	p->budget = p->max_tokens - (wanted < most / 4 ? wanted : most / 4);
	if (p->budget < BUDGET_MIN) {
		p->budget = 0;
		p->thinks = THINKS_UNSAID;
	}
}

enum err_code anthropic_plan_read(struct anthropic_plan *p, struct err *e)
{
	struct talk_rules rules = { .id_max = ID_MAX };
	enum err_code rc;
	int64_t most;

	anthropic_native_id(p->target->native_id, p->model_id);
	p->model = anthropic_model_of(p->model_id);
	rules.takes_thought = anthropic_is_claude(p->model) ? claude_takes : others_take;
	rules.ids = anthropic_is_claude(p->model) ? TALK_IDS_WITHOUT_DOTS : TALK_IDS_FITTED;
	if (p->req->n > 1)
		return ask_refuse(p->target, "n", "gives one answer at a time", e);
	rc = talk_read(p->req, p->talk_rules ? p->talk_rules : &rules, &p->talk, e);
	if (!rc)
		rc = ask_read(p->req, p->names ? p->names : &anthropic_names, p->talk.calls,
			p->talk.call_count, &p->ask, e);
	if (rc)
		return rc;
	p->json = anthropic_json_of(p->target, &p->ask, p->model);
	p->forces_tool = p->json.by_tool ||
			 (p->ask.tool_count &&
				 (p->ask.choice == TOOLS_REQUIRED || p->ask.choice == TOOLS_NAMED));
	most = most_output(p);
	plan_thinking(p, most ? most : UNKNOWN_MAX);
	if (!most) /* of a model of which nothing is known, the client's word counts */
		most = p->budget + (p->ask.max_tokens ? p->ask.max_tokens : UNKNOWN_MAX);
	plan_limit(p, most);
	return anthropic_place_breakpoints(p, e);
}

void anthropic_plan_fini(struct anthropic_plan *p)
{
	talk_fini(&p->talk);
	ask_fini(&p->ask);
	free(p->keep);
}
