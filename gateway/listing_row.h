/* gateway/listing_row.h - members of a listing, written from checked rows of the catalogue.
 *
 * Nothing here changes a row: a catalogue is shared by threads.
 */
#ifndef GATEWAY_LISTING_ROW_H
#define GATEWAY_LISTING_ROW_H

#include "base/json.h"

/* A member of a row; NULL when absent or null. */
struct json_object *listing_member(struct json_object *o, const char *name);
bool listing_is_true(struct json_object *row, const char *name);

/* Append a value; "key": and a member of the row, null when absent; "key": and a text, a switch. */
void listing_put_value(struct buf *out, struct json_object *v);
void listing_put(struct buf *out, const char *key, struct json_object *row, const char *name);
void listing_put_text(struct buf *out, const char *key, const char *value);
void listing_put_switch(struct buf *out, const char *key, bool value);

#endif
