#include "handlers/common/path.h"

/* Longest first, so that "/api/gateway/v1" is not taken for "/api/gateway" and "/v1". */
static const char *const bases[] = { "/api/gateway/v1", "/api/openrouter/v1", "/api/gateway",
	"/api/openrouter", "/api/v1", "/v1" };

#define BASES (sizeof(bases) / sizeof(bases[0]))

/* What stands behind the base path that begins at this slash; NULL when none does. */
static const char *behind_base(const char *at)
{
	for (size_t i = 0; i < BASES; i++) {
		size_t n = strlen(bases[i]);

		if (strncmp(at, bases[i], n) == 0 && (at[n] == '/' || at[n] == '\0'))
			return at + n;
	}
	return NULL;
}

bool path_is_endpoint(const char *path, const char *endpoint, bool takes_rest, struct slice *rest)
{
	size_t n = strlen(endpoint);

	for (const char *at = strchr(path, '/'); at; at = strchr(at + 1, '/')) {
		const char *end = behind_base(at);

		if (!end || strncmp(end, endpoint, n) != 0)
			continue;
		end += n;
		if (*end == '\0' || (*end == '/' && takes_rest)) {
			*rest = slice_of(*end ? end + 1 : end);
			return true;
		}
	}
	return false;
}

bool path_is_own(const char *path, const char *endpoint, bool takes_rest, struct slice *rest)
{
	size_t n = strlen(endpoint);

	for (const char *at = strchr(path, '/'); at; at = strchr(at + 1, '/')) {
		if (strncmp(at, endpoint, n) != 0 || (at[n] && !(at[n] == '/' && takes_rest)))
			continue;
		*rest = slice_of(at[n] ? at + n + 1 : at + n);
		return true;
	}
	return false;
}

bool path_has_base(const char *path)
{
	for (const char *at = strchr(path, '/'); at; at = strchr(at + 1, '/'))
		if (behind_base(at))
			return true;
	return false;
}

enum err_code path_refuse(const char *path, struct err *e)
{
	if (path_has_base(path))
		return err_set(e, ERR_BAD_PATH,
			"Invalid path: no endpoint has this name; a base URL ends in /v1, and "
			"clients append /chat/completions, /models and so on");
	return err_set(e, ERR_NOT_FOUND, "nothing is served at this path; the API is below /v1");
}
