/* store/people_record.h - what keys.gdbm says of users, organisations and members: bytes on disk
 * and the structs. The frame is that of people_frame.h, the version of all is 1; what is newer,
 * or holds an unknown flag, is refused. Balances are not here, they live in the ledger.
 *
 * A user, "TU":         { created_ms i64, number u64, daily i64 }, id, name.
 * An organisation, "TO": { created_ms i64, number u64, member_daily i64, data_collection u32,
 *                        id 36 }, slug, name, models, providers, providers_denied.
 * A member, "TM":       { added_ms i64, daily i64, role u32 }.
 * Flags: 1 = disabled (of a member: unused), 2 = the daily limit is set.
 *
 * Units:   microdollars, wall-clock milliseconds.
 * Threads: no shared state.
 */
#ifndef STORE_PEOPLE_RECORD_H
#define STORE_PEOPLE_RECORD_H

#include "store/people_frame.h"
#include "store/people_text.h"

/* The largest records: header, fixed fields, texts with their lengths. */
#define PEOPLE_USER_BYTES (FRAME_HEADER + 24 + 2 + PEOPLE_ID_SIZE + 2 + PEOPLE_NAME_MAX)
#define PEOPLE_ORG_BYTES \
	(FRAME_HEADER + 64 + 2 + PEOPLE_SLUG_SIZE + 2 + PEOPLE_NAME_MAX + 2 + \
		PEOPLE_ORG_MODELS_MAX + 2 * (2 + PEOPLE_LIST_MAX))
#define PEOPLE_MEMBER_BYTES (FRAME_HEADER + 20)

#define PEOPLE_MICROUSD_MAX INT64_C(100000000000000) /* the ledger's own largest amount */

/* { 0 } = no limit; set to 0 = nothing may be spent. */
struct people_limit {
	bool is_set;
	int64_t microusd;
};

struct people_user {
	char id[PEOPLE_ID_SIZE];
	char name[PEOPLE_NAME_MAX + 1];
	uint64_t number; /* people_number() of the id */
	int64_t created_ms;
	struct people_limit daily; /* in any organisation or none */
	bool disabled;
};

enum people_data_collection {
	PEOPLE_DATA_UNSET, /* as the request says */
	PEOPLE_DATA_ALLOW,
	PEOPLE_DATA_DENY,
	PEOPLE_DATA_KINDS
};

struct people_org {
	char id[PEOPLE_ORG_ID_SIZE]; /* a UUID, lower-case */
	char slug[PEOPLE_SLUG_SIZE];
	char name[PEOPLE_NAME_MAX + 1];
	uint64_t number; /* people_number() of the id */
	int64_t created_ms;
	struct people_limit member_daily; /* of members without a limit of their own */
	enum people_data_collection data_collection;
	bool disabled;
	char models[PEOPLE_ORG_MODELS_MAX + 1];     /* people_text.h; "" = all */
	char providers[PEOPLE_LIST_MAX + 1];        /* "" = all */
	char providers_denied[PEOPLE_LIST_MAX + 1]; /* wins */
};

enum people_role {
	PEOPLE_NO_MEMBER,
	PEOPLE_OWNER,
	PEOPLE_MEMBER,
	PEOPLE_BILLING_MANAGER, /* may not spend */
	PEOPLE_ROLES
};

struct people_member {
	enum people_role role;
	int64_t added_ms;
	struct people_limit daily; /* not set = the organisation's */
};

struct slice people_user_write(const struct people_user *u, uint8_t out[PEOPLE_USER_BYTES]);
struct slice people_org_write(const struct people_org *o, uint8_t out[PEOPLE_ORG_BYTES]);
struct slice people_member_write(const struct people_member *m, uint8_t out[PEOPLE_MEMBER_BYTES]);

/* ERR_IO: damaged. ERR_STORE: written by a newer version of this program. */
MUST_CHECK enum err_code people_user_read(
	struct slice bytes, struct people_user *out, struct err *e);
MUST_CHECK enum err_code people_org_read(struct slice bytes, struct people_org *out, struct err *e);
MUST_CHECK enum err_code people_member_read(
	struct slice bytes, struct people_member *out, struct err *e);

/* "owner", "member", "billing_manager"; false for anything else. */
const char *people_role_name(enum people_role role);
MUST_CHECK bool people_role_read(struct slice text, enum people_role *out);

#endif
