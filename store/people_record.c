#include "store/people_record.h"

#define VERSION  1
#define DISABLED 1u
#define LIMITED  2u

static const char *const roles[PEOPLE_ROLES] = { "none", "owner", "member", "billing_manager" };

static uint32_t flags_of(bool disabled, struct people_limit daily)
{
	return (disabled ? DISABLED : 0) | (daily.is_set ? LIMITED : 0);
}

static struct people_limit read_limit(struct frame_reader *r)
{
	return (struct people_limit){ (r->flags & LIMITED) != 0, (int64_t)frame_get_u64(r) };
}

static enum err_code open_record(struct frame_reader *r, struct slice bytes, const char magic[2],
	uint32_t flags_known, const char *what, struct err *e)
{
	enum err_code rc = frame_open(r, bytes, magic, what, e);

	if (!rc && (r->version != VERSION || r->flags & ~flags_known))
		rc = frame_refuse(r, what, e);
	return rc;
}

struct slice people_user_write(const struct people_user *u, uint8_t out[PEOPLE_USER_BYTES])
{
	struct frame_writer w;

	frame_begin(&w, out, "TU", VERSION, flags_of(u->disabled, u->daily));
	frame_u64(&w, (uint64_t)u->created_ms);
	frame_u64(&w, u->number);
	frame_u64(&w, (uint64_t)u->daily.microusd);
	frame_text(&w, u->id);
	frame_text(&w, u->name);
	return frame_end(&w);
}

enum err_code people_user_read(struct slice bytes, struct people_user *out, struct err *e)
{
	struct frame_reader r;
	enum err_code rc = open_record(&r, bytes, "TU", DISABLED | LIMITED, "a user", e);

	*out = (struct people_user){ .id = "" };
	if (rc)
		return rc;
	out->disabled = r.flags & DISABLED;
	out->created_ms = (int64_t)frame_get_u64(&r);
	out->number = frame_get_u64(&r);
	out->daily = read_limit(&r);
	frame_get_text(&r, out->id, sizeof(out->id));
	frame_get_text(&r, out->name, sizeof(out->name));
	return frame_close(&r, "a user", e);
}

struct slice people_org_write(const struct people_org *o, uint8_t out[PEOPLE_ORG_BYTES])
{
	struct frame_writer w;

	frame_begin(&w, out, "TO", VERSION, flags_of(o->disabled, o->member_daily));
	frame_u64(&w, (uint64_t)o->created_ms);
	frame_u64(&w, o->number);
	frame_u64(&w, (uint64_t)o->member_daily.microusd);
	frame_u32(&w, o->data_collection);
	frame_field(&w, o->id, PEOPLE_ORG_ID_SIZE - 1);
	frame_text(&w, o->slug);
	frame_text(&w, o->name);
	frame_text(&w, o->models);
	frame_text(&w, o->providers);
	frame_text(&w, o->providers_denied);
	return frame_end(&w);
}

enum err_code people_org_read(struct slice bytes, struct people_org *out, struct err *e)
{
	static const char what[] = "an organisation";
	struct frame_reader r;
	enum err_code rc = open_record(&r, bytes, "TO", DISABLED | LIMITED, what, e);
	uint32_t data_collection;

	*out = (struct people_org){ .id = "" };
	if (rc)
		return rc;
	out->disabled = r.flags & DISABLED;
	out->created_ms = (int64_t)frame_get_u64(&r);
	out->number = frame_get_u64(&r);
	out->member_daily = read_limit(&r);
	data_collection = frame_get_u32(&r);
	if (data_collection >= PEOPLE_DATA_KINDS)
		return frame_refuse(&r, what, e);
	out->data_collection = (enum people_data_collection)data_collection;
	frame_get_field(&r, out->id, PEOPLE_ORG_ID_SIZE - 1);
	frame_get_text(&r, out->slug, sizeof(out->slug));
	frame_get_text(&r, out->name, sizeof(out->name));
	frame_get_text(&r, out->models, sizeof(out->models));
	frame_get_text(&r, out->providers, sizeof(out->providers));
	frame_get_text(&r, out->providers_denied, sizeof(out->providers_denied));
	return frame_close(&r, what, e);
}

struct slice people_member_write(const struct people_member *m, uint8_t out[PEOPLE_MEMBER_BYTES])
{
	struct frame_writer w;

	frame_begin(&w, out, "TM", VERSION, flags_of(false, m->daily));
	frame_u64(&w, (uint64_t)m->added_ms);
	frame_u64(&w, (uint64_t)m->daily.microusd);
	frame_u32(&w, m->role);
	return frame_end(&w);
}

enum err_code people_member_read(struct slice bytes, struct people_member *out, struct err *e)
{
	struct frame_reader r;
	enum err_code rc = open_record(&r, bytes, "TM", LIMITED, "a member", e);
	uint32_t role;

	*out = (struct people_member){ .role = PEOPLE_NO_MEMBER };
	if (rc)
		return rc;
	out->added_ms = (int64_t)frame_get_u64(&r);
	out->daily = read_limit(&r);
	role = frame_get_u32(&r);
	if (role == PEOPLE_NO_MEMBER || role >= PEOPLE_ROLES)
		return frame_refuse(&r, "a member", e);
	out->role = (enum people_role)role;
	return frame_close(&r, "a member", e);
}

const char *people_role_name(enum people_role role)
{
	return roles[role];
}

bool people_role_read(struct slice text, enum people_role *out)
{
	for (int i = PEOPLE_OWNER; i < PEOPLE_ROLES; i++)
		if (slice_is(text, roles[i])) {
			*out = (enum people_role)i;
			return true;
		}
	return false;
}
