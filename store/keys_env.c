#include "store/keys_env.h"

#include "store/pepper.h"

#include <stdio.h>
#include <stdlib.h>

static enum err_code add(struct keys_env *k, struct slice item, size_t number, struct err *e)
{
	struct keys_env_key *more, *own;
	struct slice key = item, name = slice_trim(slice_cut(&key, '='));

	key = slice_trim(key);
	if (!key.ptr || !key_name_is_valid(name))
		return err_param(e, ERR_CONF, KEYS_ENV_SETTING,
			KEYS_ENV_SETTING ": entry %zu must be name=key, with a name of 1 to %d "
					 "printable characters",
			number, KEY_NAME_MAX);
	if (key.len < KEYS_ENV_MIN || key.len > 512)
		return err_param(e, ERR_CONF, KEYS_ENV_SETTING,
			KEYS_ENV_SETTING ": the key of %.*s must have %d to 512 characters",
			SLICE_ARG(name), KEYS_ENV_MIN);
	more = realloc(k->keys, (k->count + 1) * sizeof(*more));
	if (!more)
		return err_set(e, ERR_NO_MEMORY, "out of memory while reading " KEYS_ENV_SETTING);
	k->keys = more;
	own = &more[k->count];
	*own = (struct keys_env_key){ .info = { .flags = 0 } };
	snprintf(own->info.name, sizeof(own->info.name), "%.*s", SLICE_ARG(name));
	snprintf(own->info.id, sizeof(own->info.id), KEYS_ENV_PREFIX "%.*s", SLICE_ARG(name));
	own->info.number = people_number(slice_of(own->info.id));
	crypto_hmac_of(&k->pepper, key, own->hash);
	for (size_t i = 0; i < k->count; i++)
		if (strcmp(more[i].info.id, own->info.id) == 0 ||
			crypto_equal(more[i].hash, own->hash, SHA256_BYTES))
			return err_param(e, ERR_CONF, KEYS_ENV_SETTING,
				KEYS_ENV_SETTING ": %.*s: the name or the key is there twice",
				SLICE_ARG(name));
	k->count++;
	return ERR_OK;
}

enum err_code keys_env_read(struct keys_env *k, const char *text, struct err *e)
{
	struct slice rest = slice_of(text), item;
	enum err_code rc = ERR_OK;
	uint8_t pepper[PEPPER_BYTES];
	size_t number = 0;

	crypto_random(pepper, sizeof(pepper));
	crypto_hmac_begin(&k->pepper, (struct slice){ (const char *)pepper, sizeof(pepper) });
	crypto_wipe(pepper, sizeof(pepper));
	while (!rc && rest.len) {
		item = slice_trim(slice_cut(&rest, ','));
		number++;
		if (item.len)
			rc = add(k, item, number, e);
	}
	return rc;
}

/* Every entry is compared, so that time tells nothing. */
const struct key_info *keys_env_find(const struct keys_env *k, struct slice text)
{
	const struct key_info *found = NULL;
	uint8_t sum[SHA256_BYTES];

	if (!k->count)
		return NULL;
	crypto_hmac_of(&k->pepper, text, sum);
	for (size_t i = 0; i < k->count; i++)
		if (crypto_equal(k->keys[i].hash, sum, sizeof(sum)))
			found = &k->keys[i].info;
	return found;
}

void keys_env_fini(struct keys_env *k)
{
	free(k->keys);
	crypto_wipe(k, sizeof(*k));
}
